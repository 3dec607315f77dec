//! After an `Err` everything is as if the batch had never been: trials that were once wrong at `avx2`,
//! where the right half of a panel with up to eight columns is not written. (`src/run/tests` has
//! the same over random networks and options.)

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, BatchTargets, CheckpointInterval, Error, Level, Loss, MatRef, Mlp, Sgd, Threads,
    Trainer, Training,
};

fn values(training: &mut Training, x: &[f32], y: &[f32]) -> Result<f32, Error> {
    let (n_in, n_out) = (training.network().n_in(), training.network().n_out());
    let x = MatRef::new(x, x.len() / n_in, n_in).unwrap();
    training.step(x, BatchTargets::Values(MatRef::new(y, x.rows(), n_out).unwrap()))
}

#[test]
fn layer_norm_after_a_row_of_nan() {
    for level in Level::available() {
        for width in 1..=17 {
            let run = |refused: bool| {
                let net = Mlp::builder(1).dense(width, Activation::Tanh).layer_norm();
                let net = net.dense(1, Activation::Identity).level(level).seed(2);
                let mut net = net.build().unwrap();
                let mut training = Trainer::new(Sgd::new(0.1)).session_values(&mut net).unwrap();
                if refused {
                    let error = values(&mut training, &[f32::NAN], &[1.0]).unwrap_err();
                    assert!(matches!(error, Error::Value { .. }), "{error}");
                }
                let loss = values(&mut training, &[0.5], &[1.0]).unwrap();
                drop(training);
                assert!(net.weights(0).unwrap().as_slice().iter().all(|w| w.is_finite()));
                (loss.to_bits(), net.digest())
            };
            assert_eq!(run(true), run(false), "{} {width}", level.name());
        }
    }
}

/// The same after a loss that is not finite: 1e20 squared.
#[test]
fn clipping_after_a_refused_batch() {
    for level in Level::available() {
        for spoiled in [f32::NAN, 1e30] {
            let run = |refused: bool| {
                let net = Mlp::builder(3).maxout(3, 3).dense(3, Activation::Tanh).residual(1);
                let net = net.dense(1, Activation::Identity).level(level).seed(5);
                let mut net = net.build().unwrap();
                let trainer = Trainer::new(Sgd::new(0.1)).clip_norm(0.01);
                let mut training = trainer.session_values(&mut net).unwrap();
                if refused {
                    values(&mut training, &[1.0, spoiled, 2.0], &[1.0]).unwrap_err();
                }
                [(); 3].map(|()| values(&mut training, &[1.0, 0.5, 2.0], &[4.0]).unwrap())
            };
            let [clean, after] = [false, true].map(run);
            assert_eq!(after, clean, "{} {spoiled}", level.name());
            // Each update is 0.001 long, and the slope of the loss is some 20: it changes little.
            assert!(
                clean[0] > 1.0 && clean[2] < clean[0] && clean[2] > 0.97 * clean[0],
                "{clean:?}"
            );
        }
    }
}

#[test]
fn a_network_is_saved_after_a_refused_batch() {
    for level in Level::available() {
        for threads in [Threads::One, Threads::N(2)] {
            let run = |refused: bool| {
                let net = Mlp::builder(300).dense(49, Activation::Identity).batch_norm();
                let net = net.dense(40, Activation::Softmax).level(level).seed(1);
                let mut net = net.build().unwrap();
                let trainer = Trainer::new(Sgd::new(0.1)).batch_size(7).threads(threads);
                let mut training = trainer.session(&mut net).unwrap();
                let good: Vec<f32> = (0..7 * 300).map(|i| (i as f32 * 0.37).sin()).collect();
                let labels = [3, 39, 0, 7, 8, 21, 30];
                let mut step = |x: &[f32]| {
                    let x = MatRef::new(x, 7, 300).unwrap();
                    training.step(x, BatchTargets::Classes(&labels))
                };
                step(&good).unwrap();
                if refused {
                    let mut bad = good.clone();
                    bad[4 * 300 + 17] = f32::NAN;
                    step(&bad).unwrap_err();
                }
                step(&good).unwrap();
                let mut checkpoint = Vec::new();
                training.write_checkpoint(&mut checkpoint).unwrap();
                drop(training);
                let mut file = Vec::new();
                net.write_to(&mut file).unwrap();
                (net.digest(), file, checkpoint)
            };
            assert!(run(true) == run(false), "{} {threads:?}", level.name());
        }
    }
}

/// Large inputs make the first layer's outputs infinite and the third one's −1, whose slope is 0: the
/// loss is finite, and so the gradients of the second and third layer are ∞ · 0 = NaN, at padding
/// too, where a delta is 0 as well.
fn small(level: Level) -> Mlp {
    let net = Mlp::builder(3).dense(3, Activation::Relu).maxout(3, 3).dense(3, Activation::Tanh);
    let mut net = net.dense(1, Activation::Identity).level(level).seed(9).build().unwrap();
    for (layer, sign) in [(0, 10.0), (1, -0.5), (2, 1.0)] {
        let columns = net.biases(layer).unwrap().len();
        let weight = |i: usize| sign * (1.0 + 0.1 * (i as f32).sin());
        let w: Vec<f32> = (0..3 * columns).map(weight).collect();
        let w = MatRef::new(&w, 3, columns).unwrap();
        net.set_parameters(layer, w, &vec![0.0; columns]).unwrap();
    }
    net
}

const X: [f32; 6] = [0.02, 0.01, 0.03, 0.05, 0.04, 0.0];
const Y: [f32; 2] = [4.0, -1.0];

/// A step in which weights overflow, whether it is accepted or not, and what follows.
fn overflow(training: &mut Training) {
    _ = values(training, &[3e38; 6], &Y);
    _ = values(training, &X, &Y);
}

#[test]
fn parameters_can_be_set_after_an_overflow() {
    let plain = || Trainer::new(Sgd::new(0.1)).batch_size(2);
    let trainer = || plain().clip_norm(0.01).max_norm(3.0);
    for level in Level::available() {
        let good = small(level);
        let mut net = small(level);
        overflow(&mut plain().session_values(&mut net).unwrap());
        for i in 0..4 {
            let (w, b) = (good.weights(i).unwrap(), good.biases(i).unwrap());
            net.set_parameters(i, w.view(), &b).unwrap();
        }
        assert_eq!(net.digest(), good.digest());
        let mut file = Vec::new();
        net.write_to(&mut file).unwrap();
        let steps = |mut net: Mlp| {
            let mut training = trainer().session_values(&mut net).unwrap();
            [(); 3].map(|()| values(&mut training, &X, &Y).unwrap().to_bits())
        };
        assert_eq!(steps(net), steps(good), "{}", level.name());
    }
}

#[test]
fn checkpoints_can_be_loaded_after_an_overflow() {
    let trainer = || Trainer::new(Sgd::new(0.1)).batch_size(2).max_norm(30.0);
    for level in Level::available() {
        let run = |overflows: bool| {
            let mut net = small(level);
            let mut training = trainer().session_values(&mut net).unwrap();
            values(&mut training, &X, &Y).unwrap();
            if overflows {
                let mut checkpoint = Vec::new();
                training.write_checkpoint(&mut checkpoint).unwrap();
                overflow(&mut training);
                training.read_checkpoint(&checkpoint[..]).unwrap();
            }
            let loss = values(&mut training, &X, &Y).unwrap();
            (loss.to_bits(), training.network().digest())
        };
        assert_eq!(run(true), run(false), "{}", level.name());
    }
}

#[test]
fn a_run_is_resumed_with_a_network_that_overflowed() {
    let folder = super::folder::Folder::new("resume-after-overflow");
    let targets = Targets::Values { values: Y.to_vec(), n_outputs: 1 };
    let data = Dataset::from_f32(X.to_vec(), 3, targets).unwrap();
    let trainer = |epochs| Trainer::new(Sgd::new(0.1)).batch_size(2).clip_norm(0.01).epochs(epochs);
    for level in Level::available() {
        let path = folder.0.join(level.name());
        let mut whole = small(level);
        trainer(4).fit(&mut whole, &data).unwrap();
        let first = trainer(4).checkpoint(&path, CheckpointInterval::Epochs(1));
        let stop = |epoch: &deltarule::Epoch| match epoch.epoch {
            2 => std::ops::ControlFlow::Break(()),
            _ => std::ops::ControlFlow::Continue(()),
        };
        first.on_epoch(stop).fit(&mut small(level), &data).unwrap();
        let mut net = small(level);
        let overflowing = Trainer::new(Sgd::new(0.1)).batch_size(2);
        overflow(&mut overflowing.session_values(&mut net).unwrap());
        trainer(4).resume(&path).fit(&mut net, &data).unwrap();
        assert_eq!(net.digest(), whole.digest(), "{}", level.name());
        net.save(folder.0.join("saved")).unwrap();
    }
}

/// 1 → 1, w = b = 0: the gradients of (w·x + b − y)² are −2·y·(x, 1).
fn zero(level: Level) -> Mlp {
    let mut net = Mlp::builder(1).dense(1, Activation::Identity).level(level).build().unwrap();
    net.set_parameters(0, MatRef::new(&[0.0], 1, 1).unwrap(), &[0.0]).unwrap();
    net
}

/// A gradient whose squares overflow f32 is clipped to its direction: w = lr·limit·x/√(x² + 1).
#[test]
fn large_gradients_are_clipped() {
    for level in Level::available() {
        for x in [1.0, 1e10, -1e25, 1e37] {
            let mut net = zero(level);
            let trainer = Trainer::new(Sgd::new(0.5)).clip_norm(0.25);
            values(&mut trainer.session_values(&mut net).unwrap(), &[x], &[1.0]).unwrap();
            let norm = f64::from(x).hypot(1.0);
            let want = [f64::from(x) / norm, 1.0 / norm].map(|g| 0.5 * 0.25 * g);
            let got = [net.weights(0).unwrap().as_slice()[0], net.biases(0).unwrap()[0]];
            for (got, want) in got.into_iter().zip(want) {
                assert!((f64::from(got) - want).abs() < 1e-6, "{} {x}: {got}", level.name());
            }
        }
    }
}

/// A gradient without a norm is an error and no update, not one that is not clipped: 2e10 · 3e38. (Good
/// steps leave w = 0, so that the loss of that batch is finite.)
#[test]
fn gradients_without_a_norm_are_refused() {
    for level in Level::available() {
        for accumulate in [1, 2] {
            let trainer = Trainer::new(Sgd::new(0.5)).clip_norm(0.25).accumulate(accumulate);
            let run = |refused: bool| {
                let mut net = zero(level);
                let mut training = trainer.session_values(&mut net).unwrap();
                let mut good = |times| {
                    (0..times).for_each(|_| _ = values(&mut training, &[0.0], &[1.0]).unwrap());
                };
                // Of an update of two batches the first one waits on.
                good(1 + accumulate);
                if refused {
                    let steps = training.steps();
                    let error = values(&mut training, &[3e38], &[-1e10]).unwrap_err();
                    let want = steps + 1;
                    assert!(
                        matches!(error, Error::NonFinite { step, layer: 0, .. } if step == want),
                        "{error:?}"
                    );
                    assert_eq!(training.steps(), steps);
                }
                let mut good = |times| {
                    (0..times).for_each(|_| _ = values(&mut training, &[0.0], &[1.0]).unwrap());
                };
                good(2);
                training.flush().unwrap();
                training.network().digest()
            };
            assert_eq!(run(true), run(false), "{} {accumulate}", level.name());
        }
    }
}

/// What waited before it goes on to wait, and is updated at the end of an epoch.
#[test]
fn what_waits_outlives_a_batch_without_a_norm() {
    for level in Level::available() {
        let run = |refused: bool| {
            let mut net = zero(level);
            let trainer = Trainer::new(Sgd::new(0.5)).clip_norm(0.25).accumulate(3);
            let mut training = trainer.session_values(&mut net).unwrap();
            values(&mut training, &[0.0], &[1.0]).unwrap();
            if refused {
                let error = values(&mut training, &[3e38], &[-1e10]).unwrap_err();
                assert!(matches!(error, Error::NonFinite { step: 2, layer: 0, .. }), "{error:?}");
            }
            training.flush().unwrap();
            training.network().digest()
        };
        assert_eq!(run(true), run(false), "{}", level.name());
        assert_ne!(run(true), zero(level).digest());
    }
    let targets = Targets::Values { values: vec![-1e10; 2], n_outputs: 1 };
    let data = Dataset::from_f32(vec![3e38; 2], 1, targets).unwrap();
    let mut net = zero(Level::best());
    let mut trainer = Trainer::new(Sgd::new(0.5)).clip_norm(0.25).accumulate(3).batch_size(1);
    let error = trainer.fit(&mut net, &data).unwrap_err();
    assert!(matches!(error, Error::NonFinite { epoch: 1, step: 1, layer: 0 }), "{error:?}");
}

/// Nor have running statistics moved: the deltas of the norm, 3e38 / √(1e-5), overflow.
#[test]
fn statistics_do_not_move_for_gradients_without_a_norm() {
    for level in Level::available() {
        let net = Mlp::builder(1).dense(1, Activation::Identity).batch_norm();
        let mut net = net.dense(1, Activation::Identity).level(level).build().unwrap();
        net.set_parameters(0, MatRef::new(&[0.0], 1, 1).unwrap(), &[0.5]).unwrap();
        net.set_parameters(1, MatRef::new(&[3e38], 1, 1).unwrap(), &[0.0]).unwrap();
        let trainer = Trainer::new(Sgd::new(0.5)).loss(Loss::MeanAbsolute).batch_size(2);
        let before = net.digest();
        let mut training = trainer.clip_norm(1.0).session_values(&mut net).unwrap();
        let error = values(&mut training, &[1.0, 2.0], &[1.0, -1.0]).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
        assert_eq!(training.network().digest(), before, "{}", level.name());
    }
}
