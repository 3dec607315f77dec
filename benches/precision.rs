//! The product X·W at each precision that is not f32 here, with operands split beforehand, beside
//! f32; and a training step at each, on rows of f32 and on a data set of bytes. One precision a process, because tiles lower the clock for a
//! while: `cargo bench --bench precision -- high`.

mod common;

use common::{Numbers, WORKLOADS, flops, tiles};
use criterion::{Criterion, Throughput};
use deltarule::data::{Dataset, Targets};
use deltarule::gemm::{PanelMatrix, SplitProduct, xw};
use deltarule::{BatchTargets, Hardware, Level, MatRef, Precision, Threads, Trainer};
use std::hint::black_box;

fn product(c: &mut Criterion<flops::Flops>, precision: Precision, [m, k, n]: [usize; 3]) {
    let level = Level::best();
    let mut numbers = Numbers(3);
    let mut panels = |rows, cols| {
        let values = numbers.uniform(rows * cols);
        let matrix = MatRef::new(&values, rows, cols).expect("a matrix");
        PanelMatrix::from_rows(matrix).expect("panels")
    };
    let (x, w) = (panels(m, k), panels(k, n));
    let mut out = PanelMatrix::zeros(m, n).expect("panels");
    let mut group = c.benchmark_group(format!("gemm/precision/{m}x{k}x{n}"));
    // f32's FLOPs, whatever it takes to do them.
    group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
    match precision.hardware(level) {
        Hardware::F32 => {
            group.bench_function(precision.name(), |b| {
                b.iter(|| xw(level, black_box(&x), &w, &mut out))
            });
        }
        _ => {
            let split = SplitProduct::new(level, precision, &x, &w).expect("split operands");
            group.bench_function(precision.name(), |b| {
                b.iter(|| black_box(&split).multiply(&mut out))
            });
        }
    }
    group.finish();
}

fn step(c: &mut Criterion<flops::Flops>, precision: Precision, name: &str) {
    let w = WORKLOADS.iter().find(|w| w.name == name).expect("a workload");
    let mut numbers = Numbers(5);
    let (x, labels) = (numbers.uniform(w.batch * w.n_in()), numbers.labels(w.batch, w.n_out()));
    let targets = Targets::Classes { labels: labels.clone(), n_classes: w.n_out() };
    let bytes = x.iter().map(|x| (x * 256.0) as u8).collect();
    let bytes = Dataset::from_u8(bytes, w.n_in(), targets).expect("a data set");
    let x = MatRef::new(&x, w.batch, w.n_in()).expect("a batch");
    let mut group = c.benchmark_group(format!("train_step/precision/{name}"));
    group.throughput(Throughput::Elements(w.batch as u64 * w.train_flops()));
    for threads in [1, 2] {
        let mut net = w.net(Level::best());
        let trainer = Trainer::new((w.optimizer)()).batch_size(w.batch).precision(precision);
        let team = if threads == 1 { Threads::One } else { Threads::N(threads) };
        let mut training = trainer.threads(team).session(&mut net).expect("a training");
        flops::against(Level::best(), threads);
        group.bench_function(format!("{precision}/{threads}"), |b| {
            b.iter(|| training.step(x, BatchTargets::Classes(&labels)))
        });
        // One batch, and a list of its samples besides.
        group.bench_function(format!("{precision}/{threads}/bytes"), |b| {
            b.iter(|| training.partial_fit(&bytes))
        });
    }
    group.finish();
}

fn main() {
    if let Some(peak) = tiles::peak() {
        println!("peak of one core's tiles: {peak:.0} GFLOP/s of bf16 products");
    }
    let mut c = flops::criterion().configure_from_args();
    for precision in Precision::ALL {
        flops::against(Level::best(), 1);
        for shape in [[1024, 1024, 1024], [512, 2048, 2048], [128, 512, 512]] {
            product(&mut c, precision, shape);
        }
        for name in ["medium", "large"] {
            step(&mut c, precision, name);
        }
    }
    c.final_summary();
}
