//! Maxout, norms, dropout and residual connections: against PyTorch's frozen training
//! (layers.json), and what each of them promises.

mod building;
mod dropout;
mod gradients;
mod norms;
mod pytorch;
#[path = "../support/mod.rs"]
mod support;

use deltarule::{Activation, BatchTargets, Level, MatRef, Mlp, Momentum, Sgd, Threads, Trainer};
use support::{Data, assert_same_bits};

/// A network with everything, wide and deep enough to be shared among threads.
fn everything(level: Level) -> Mlp {
    Mlp::builder(100)
        .dropout(0.1)
        .affine()
        .maxout(130, 3)
        .dropout(0.5)
        .dense(100, Activation::Relu)
        .batch_norm()
        .dropout(0.2)
        .residual(2)
        .affine()
        .residual(1)
        .dense(100, Activation::Gelu)
        .layer_norm()
        .residual(1)
        .dense(100, Activation::Tanh)
        .batch_norm()
        .dropout(0.3)
        .residual(1)
        .dense(10, Activation::Softmax)
        .seed(3)
        .level(level)
        .build()
        .unwrap()
}

struct Batch {
    x: Vec<f32>,
    labels: Vec<u32>,
}

fn batch(rows: usize, n_in: usize) -> Batch {
    let mut data = Data::new(5);
    let x = data.f32s(rows * n_in);
    Batch { x, labels: data.labels(rows, 10).iter().map(|&l| l as u32).collect() }
}

fn train(mut net: Mlp, trainer: Trainer, rows: usize, steps: usize) -> Mlp {
    let b = batch(rows, net.n_in());
    let x = MatRef::new(&b.x, rows, net.n_in()).unwrap();
    let mut training = trainer.batch_size(rows).session(&mut net).unwrap();
    for _ in 0..steps {
        training.step(x, BatchTargets::Classes(&b.labels)).unwrap();
    }
    drop(training);
    net
}

#[test]
fn the_bits_do_not_depend_on_threads_or_level() {
    let run = |level, threads, limit: f32| {
        let trainer = Trainer::new(Momentum::new(0.05, 0.9)).threads(threads).seed(4);
        let trainer = if limit > 0.0 { trainer.clip_norm(limit) } else { trainer };
        let net = train(everything(level), trainer, 600, 3);
        let b = batch(150, 100);
        (net.digest(), net.predict(MatRef::new(&b.x, 150, 100).unwrap()).unwrap())
    };
    for limit in [0.0, 0.5] {
        for level in Level::available() {
            let (digest, outputs) = run(level, Threads::One, limit);
            for n in [2, 3, 5] {
                let other = run(level, Threads::N(n), limit);
                assert_eq!(other.0, digest, "{level:?} on {n} threads");
                assert_same_bits("outputs", other.1.as_slice(), outputs.as_slice());
            }
        }
        if let (Some(a), Some(b)) = (Level::avx2(), Level::avx512()) {
            assert_eq!(run(a, Threads::One, limit), run(b, Threads::One, limit));
        }
    }
}

/// Row by row the same bits as all at once: nothing of a batch is left when predicting.
#[test]
fn a_row_alone_is_a_row_in_a_batch() {
    for level in Level::available() {
        let net = train(everything(level), Trainer::new(Sgd::new(0.05)), 40, 2);
        let b = batch(130, 100);
        let all = net.predict(MatRef::new(&b.x, 130, 100).unwrap()).unwrap();
        for r in [0, 57, 129] {
            let row = &b.x[r * 100..][..100];
            let alone = net.predict(MatRef::new(row, 1, 100).unwrap()).unwrap();
            assert_same_bits(format!("row {r}"), alone.as_slice(), all.row(r));
        }
    }
}

/// As the last batch of an epoch may be.
#[test]
fn a_batch_of_one_row_trains() {
    let mut net = everything(Level::best());
    let b = batch(1, 100);
    let x = MatRef::new(&b.x, 1, 100).unwrap();
    let mut training = Trainer::new(Sgd::new(0.1)).batch_size(4).session(&mut net).unwrap();
    for _ in 0..3 {
        assert!(training.step(x, BatchTargets::Classes(&b.labels)).unwrap().is_finite());
    }
}
