//! Saving and loading models of 10 million parameters, and what a checkpoint an epoch costs.
//! `TMPDIR=/dev/shm cargo bench --bench files`: files go to `TMPDIR`, which decides what syncing costs
//! (nothing there, so that `save` is memory to page cache). The peers are the same bytes as they are.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, CheckpointInterval, Mlp, Trainer};
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn large() -> Mlp {
    let net = Mlp::builder(2048).dense(2048, Activation::Relu).dense(2048, Activation::Relu);
    net.dense(1024, Activation::Relu).dense(10, Activation::Softmax).build().expect("a network")
}

/// Bytes a second between memory and page cache; with syncing where it says so.
fn models(c: &mut Criterion) {
    let net = large();
    assert!(net.n_parameters() > 10_000_000);
    let folder = std::env::temp_dir().join(format!("deltarule-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    let path = folder.join("model.safetensors");
    net.save(&path).expect("a saved model");
    assert_eq!(Mlp::load(&path).expect("a model").digest(), net.digest());
    let whole = fs::read(&path).expect("a file");
    let mut group = c.benchmark_group("model of 10 million parameters");
    group.throughput(Throughput::Bytes(whole.len() as u64)).sample_size(10);
    let mut memory = Vec::with_capacity(whole.len());
    group.bench_function("write to memory", |b| {
        b.iter(|| {
            memory.clear();
            net.write_to(&mut memory).expect("written");
        });
    });
    group.bench_function("write to a file", |b| {
        b.iter(|| {
            // Not synced: page cache, as `save` before its sync.
            let file = fs::File::create(folder.join("unsynced")).expect("a file");
            net.write_to(file).expect("written");
        });
    });
    group.bench_function("peer: write bytes to a file", |b| {
        b.iter(|| fs::write(folder.join("unsynced"), black_box(&whole)).expect("written"));
    });
    group.bench_function("save, synced", |b| b.iter(|| net.save(&path).expect("saved")));
    group.bench_function("write onnx to memory", |b| {
        b.iter(|| {
            memory.clear();
            net.write_onnx(&mut memory).expect("written");
        });
    });
    group.bench_function("load", |b| b.iter(|| Mlp::load(black_box(&path)).expect("loaded")));
    group.bench_function("peer: read bytes of a file", |b| {
        b.iter(|| fs::read(black_box(&path)).expect("read"));
    });
    group.bench_function("read from memory", |b| {
        b.iter(|| Mlp::read_from(black_box(&whole[..])).expect("read"));
    });
    group.finish();
    fs::remove_dir_all(&folder).expect("removed");
}

/// The medium network on as many samples as MNIST has, random ones: seconds of three epochs with
/// and without a checkpoint after each, twice in turn.
fn checkpoint(_: &mut Criterion) {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let n = if is_test { 1000 } else { 60_000 };
    let pixel = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8;
    let labels = (0..n as u32).map(|i| i % 10).collect();
    let targets = Targets::Classes { labels, n_classes: 10 };
    let data = Dataset::from_u8((0..n * 784).map(pixel).collect(), 784, targets).expect("a set");
    let path = std::env::temp_dir().join(format!("deltarule-bench-{}.run", std::process::id()));
    let epochs = 3;
    let run = |save: bool| {
        let net = Mlp::builder(784).dense(512, Activation::Relu).dense(512, Activation::Relu);
        let mut net = net.dense(10, Activation::Softmax).build().expect("a network");
        let mut trainer = Trainer::new(Adam::new(1e-4)).batch_size(128).epochs(epochs);
        if save {
            trainer = trainer.checkpoint(&path, CheckpointInterval::Epochs(1));
        }
        let start = Instant::now();
        trainer.fit(&mut net, &data).expect("a run");
        start.elapsed()
    };
    let mut best = [Duration::MAX; 2];
    for round in 0..if is_test { 2 } else { 4 } {
        let i = round % 2;
        best[i] = best[i].min(run(i == 1));
    }
    let size = fs::metadata(&path).expect("a checkpoint").len();
    fs::remove_file(&path).expect("removed");
    let [without, with] = best.map(|time| time.as_secs_f64() / epochs as f64);
    println!(
        "checkpoint of {size} bytes each epoch: {:.1} ms of {:.1} ms, {:.2} %",
        (with - without) * 1e3,
        without * 1e3,
        (with / without - 1.0) * 100.0
    );
}

criterion_group!(benches, models, checkpoint);
criterion_main!(benches);
