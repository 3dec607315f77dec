//! One training step of the five networks: every level on one thread, the best on two, and the
//! naive path for the small ones; and what dropout, maxout, norms and the like cost beside their
//! FLOPs. `cargo bench --bench train_step`.

mod common;

use common::{Numbers, WORKLOADS, Workload, flops};
use criterion::{Criterion, Throughput};
use deltarule::{
    Activation, Adam, BatchTargets, Level, MatRef, Mlp, MlpBuilder, Threads, Trainer, reference,
};

/// FLOPs a step above which the naive path takes too long to be worth a bench.
const NAIVE_UP_TO: u64 = 200_000_000;

fn bench(c: &mut Criterion<flops::Flops>, w: &Workload) {
    let mut group = c.benchmark_group(format!("train_step/{}", w.name));
    let flops = w.train_flops() * w.batch as u64;
    group.throughput(Throughput::Elements(flops));
    if flops > 10_000_000_000 {
        group.sample_size(10);
    }
    let mut numbers = Numbers(5);
    let features = numbers.uniform(w.batch * w.n_in());
    let x = MatRef::new(&features, w.batch, w.n_in()).expect("a batch");
    let labels = numbers.labels(w.batch, w.n_out());
    let targets = BatchTargets::Classes(&labels);

    let mut first_losses = Vec::new();
    let one = Level::available().map(|level| (level, Threads::One, 1, level.name().to_string()));
    let best = Level::best();
    let two = (best, Threads::N(2), 2, format!("{}-2-threads", best.name()));
    for (level, threads, n, name) in one.chain(common::two_cores().then_some(two)) {
        let mut net = w.net(level);
        let trainer = Trainer::new((w.optimizer)()).batch_size(w.batch).threads(threads);
        let mut training = trainer.session(&mut net).expect("options that fit");
        let mut step = || training.step(x, targets).expect("a step");
        let first = step();
        first_losses.push(first);
        let later = (0..4).map(|_| step()).last().expect("four steps");
        assert!(later < first, "{} {name}: the loss went from {first} to {later}", w.name);
        flops::against(level, n);
        group.bench_function(name, |bench| bench.iter(&mut step));
    }

    let want = first_losses[0];
    if flops <= NAIVE_UP_TO {
        let mut net = common::naive(&w.net(best));
        let classes: Vec<usize> = labels.iter().map(|&l| l as usize).collect();
        let batch = reference::Batch::new(&features, reference::Target::Labels(&classes));
        let rule = match (w.optimizer)() {
            deltarule::Optimizer::Adam(_) => reference::Rule::adam(),
            _ => reference::Rule::Sgd,
        };
        let rate = f64::from((w.optimizer)().learning_rate());
        let mut optimizer = reference::Optimizer::new(rule, rate);
        let loss = reference::Loss::cross_entropy();
        let mut step = || net.step(&batch, &loss, &mut optimizer).expect("a step");
        first_losses.push(step());
        flops::against(best, 1);
        group.bench_function("naive", |bench| bench.iter(&mut step));
    }
    let agree = first_losses.iter().all(|loss| (loss / want - 1.0).abs() < 1e-4);
    assert!(agree, "{}: the first losses differ: {first_losses:?}", w.name);
    group.finish();
}

/// A kind of hidden layer, with its name.
type Kind = (&'static str, fn(MlpBuilder) -> MlpBuilder);

/// The hidden layers of 784-512-512-10 of other kinds, at batch 128 on one thread: a step's
/// GFLOP/s, maxout's with the FLOPs of its units, beside those of ReLU.
fn bench_kinds(c: &mut Criterion<flops::Flops>) {
    const BATCH: usize = 128;
    let relu = |b: MlpBuilder| b.dense(512, Activation::Relu);
    let kinds: [Kind; 8] = [
        ("relu", relu),
        ("leaky-relu", |b| b.dense(512, Activation::leaky_relu())),
        ("elu", |b| b.dense(512, Activation::elu())),
        ("dropout", |b| b.dense(512, Activation::Relu).dropout(0.5)),
        ("maxout-2", |b| b.maxout(512, 2)),
        ("maxout-5", |b| b.maxout(512, 5)),
        ("layer-norm", |b| b.dense(512, Activation::Relu).layer_norm()),
        ("batch-norm", |b| b.dense(512, Activation::Relu).batch_norm()),
    ];
    let last = |b: MlpBuilder| b.dense(10, Activation::Softmax).seed(1).build().expect("a network");
    let mut nets: Vec<(&str, Mlp)> =
        kinds.map(|(name, kind)| (name, last(kind(kind(Mlp::builder(784)))))).into();
    nets.push(("residual", last(relu(relu(Mlp::builder(784))).residual(1))));
    let mut numbers = Numbers(5);
    let (features, labels) = (numbers.uniform(BATCH * 784), numbers.labels(BATCH, 10));
    let x = MatRef::new(&features, BATCH, 784).expect("a batch");
    let mut group = c.benchmark_group("train_step/kinds");
    flops::against(Level::best(), 1);
    for (name, mut net) in nets {
        let products: Vec<usize> = (0..net.layers().len())
            .map(|i| net.weights(i).map_or(0, |w| w.rows() * w.cols()))
            .collect();
        let flops = 6 * products.iter().sum::<usize>() - 2 * products[0];
        group.throughput(Throughput::Elements((flops * BATCH) as u64));
        let trainer = Trainer::new(Adam::new(1e-5)).batch_size(BATCH).threads(Threads::One);
        let mut training = trainer.session(&mut net).expect("options that fit");
        let mut step = || training.step(x, BatchTargets::Classes(&labels)).expect("a step");
        group.bench_function(name, |bench| bench.iter(&mut step));
    }
    group.finish();
}

/// Steps of 784-512-512-10 with ReLU at batch 128 on one thread, with layers that are frozen or have a
/// rate of their own, or with norms that are recorded, with the FLOPs that are left: those of the forward pass, of the gradients of trained
/// weights, and of the gradients that go down to the lowest of them.
fn bench_options(c: &mut Criterion<flops::Flops>) {
    const BATCH: usize = 128;
    const SIZES: [usize; 4] = [784, 512, 512, 10];
    let builder = Mlp::builder(SIZES[0]).dense(SIZES[1], Activation::Relu);
    let builder = builder.dense(SIZES[2], Activation::Relu).dense(SIZES[3], Activation::Softmax);
    let net = builder.seed(1).build().expect("a network");
    let mut numbers = Numbers(5);
    let (features, labels) = (numbers.uniform(BATCH * 784), numbers.labels(BATCH, 10));
    let x = MatRef::new(&features, BATCH, 784).expect("a batch");
    let mut group = c.benchmark_group("train_step/options");
    flops::against(Level::best(), 1);
    type Set = fn(Trainer<'static>) -> Trainer<'static>;
    let cases: [(&str, &[usize], Set); 6] = [
        ("all", &[], |t| t),
        ("factor", &[], |t| t.learning_rate_factor(0, 0.1)),
        ("norms", &[], |t| t.record_gradient_norms()),
        ("frozen-0", &[0], |t| t),
        ("frozen-1", &[1], |t| t),
        ("frozen-0-1", &[0, 1], |t| t),
    ];
    for (name, frozen, option) in cases {
        let lowest = (0..3).find(|layer| !frozen.contains(layer)).unwrap_or(0);
        let products = |layer: usize| match layer {
            _ if layer < lowest => 1,
            _ => 1 + usize::from(!frozen.contains(&layer)) + usize::from(layer > lowest),
        };
        let flops = |layer: usize| 2 * BATCH * SIZES[layer] * SIZES[layer + 1] * products(layer);
        group.throughput(Throughput::Elements((0..3).map(flops).sum::<usize>() as u64));
        let trainer = Trainer::new(Adam::new(1e-5)).batch_size(BATCH).threads(Threads::One);
        let trainer = frozen.iter().fold(trainer, |trainer, layer| trainer.freeze(*layer));
        let mut training = option(trainer).session(net.clone()).expect("options that fit");
        let mut step = || training.step(x, BatchTargets::Classes(&labels)).expect("a step");
        group.bench_function(name, |bench| bench.iter(&mut step));
    }
    group.finish();
}

fn main() {
    let mut c = flops::criterion().configure_from_args();
    WORKLOADS.iter().for_each(|w| bench(&mut c, w));
    bench_kinds(&mut c);
    bench_options(&mut c);
    c.final_summary();
}
