//! Whether one thread or the team makes a step or a prediction is decided by timing, and changes in the
//! middle of a run: no bit may show it, and a step that fails changes nothing either way.

mod support;

use deltarule::{
    Activation, Adam, BatchTargets, Error, Level, MatMut, MatRef, Mlp, Predictor, Sgd, Threads,
    Trainer,
};
use support::Data;

/// Steps that hold a trial of both ways: the first one begins with the fifth step, and each of its halves
/// takes less than 2 ms.
const STEPS: usize = 1500;

fn small(level: Level) -> Mlp {
    let builder = Mlp::builder(784).dense(30, Activation::Sigmoid).level(level).seed(3);
    builder.dense(10, Activation::Softmax).build().unwrap()
}

fn with_passes(level: Level) -> Mlp {
    let builder = Mlp::builder(20).dense(40, Activation::Relu).batch_norm().level(level).seed(4);
    let builder = builder.dense(33, Activation::Tanh).dropout(0.2);
    builder.dense(5, Activation::Softmax).build().unwrap()
}

/// The digest after many steps, some of which are refused.
fn trained(mut net: Mlp, rows: usize, threads: Threads) -> u64 {
    let (n_in, classes) = (net.n_in(), net.n_out() as u32);
    let mut data = Data::new(5);
    let x: Vec<f32> = data.f32s(rows * n_in);
    let mut bad = x.clone();
    bad[rows * n_in - 1] = f32::NAN;
    let labels: Vec<u32> = (0..rows as u32).map(|i| i % classes).collect();
    let trainer = Trainer::new(Adam::new(1e-3)).batch_size(rows).threads(threads);
    let mut training = trainer.session(&mut net).unwrap();
    for step in 0..STEPS {
        let targets = BatchTargets::Classes(&labels);
        if step % 50 == 49 {
            let bad = MatRef::new(&bad, rows, n_in).unwrap();
            assert!(training.step(bad, targets).is_err());
        }
        // The last batch of an epoch is smaller.
        let n = if step % 20 == 19 { rows / 2 } else { rows };
        let x = MatRef::new(&x[..n * n_in], n, n_in).unwrap();
        training.step(x, BatchTargets::Classes(&labels[..n])).unwrap();
    }
    drop(training);
    net.digest()
}

#[test]
fn a_run_that_changes_its_threads_keeps_its_bits() {
    for level in Level::available() {
        for (net, rows) in [(small as fn(Level) -> Mlp, 10), (with_passes, 32)] {
            let want = trained(net(level), rows, Threads::One);
            for threads in [2, 3] {
                let got = trained(net(level), rows, Threads::N(threads));
                assert_eq!(got, want, "{} {threads} threads, {rows} rows", level.name());
            }
        }
    }
}

#[test]
fn a_predictor_that_changes_its_threads_keeps_its_bits() {
    for level in Level::available() {
        let net = small(level);
        let mut data = Data::new(6);
        let x: Vec<f32> = data.f32s(64 * 784);
        let by = |threads| {
            let mut predictor = Predictor::new(&net, 64, threads).unwrap();
            let mut out = vec![0.0; 64 * 10];
            let mut call = |rows: usize| {
                let x = MatRef::new(&x[..rows * 784], rows, 784).unwrap();
                predictor.predict_into(x, MatMut::new(&mut out[..rows * 10], rows, 10).unwrap())?;
                Ok::<_, Error>(out[..rows * 10].iter().map(|p| p.to_bits()).collect::<Vec<_>>())
            };
            (0..STEPS).map(|i| call([64, 1, 9, 33][i % 4]).unwrap()).collect::<Vec<_>>()
        };
        let want = by(Threads::One);
        assert!(by(Threads::N(2)) == want, "{}", level.name());
    }
}

/// By columns and by rows: a first layer of 24,000 weights whose gradient is 10³⁸ times 10¹⁰.
#[test]
fn an_update_that_overflows_is_refused_either_way() {
    for threads in [Threads::One, Threads::N(2)] {
        for rows in [4, 600] {
            let builder = Mlp::builder(784).dense(30, Activation::Identity);
            let mut net = builder.dense(1, Activation::Identity).build().unwrap();
            let before = net.digest();
            let trainer = Trainer::new(Sgd::new(1e10)).batch_size(rows).threads(threads);
            let mut training = trainer.session_values(&mut net).unwrap();
            let (x, y) = (vec![1e30; rows * 784], vec![1e15; rows]);
            let x = MatRef::new(&x, rows, 784).unwrap();
            for _ in 0..3 {
                let y = MatRef::new(&y, rows, 1).unwrap();
                let error = training.step(x, BatchTargets::Values(y)).unwrap_err();
                assert!(matches!(error, Error::NonFinite { .. }), "{error}");
            }
            drop(training);
            assert_eq!(net.digest(), before, "{threads:?}, {rows} rows");
        }
    }
}
