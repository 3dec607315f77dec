//! Steps and predictions allocate nothing after the first, counted over all threads.
//!
//! Not at the level `portable`: `matrixmultiply` allocates its packing buffers in every product.

#[path = "support/alloc.rs"]
mod alloc;

use alloc::Region;
use deltarule::{
    Activation, Adam, BatchTargets, Level, Loss, MatRef, Matrix, Mlp, Momentum, Optimizer,
    Precision, Predictor, RmsProp, Sgd, Threads, Trainer,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

fn levels() -> impl Iterator<Item = Level> {
    [Level::avx2(), Level::avx512()].into_iter().flatten()
}

/// Inputs, hidden and outputs: the first step is too small to share, the second is not.
const SIZES: [[usize; 3]; 2] = [[20, 12, 5], [300, 128, 10]];

const ROWS: usize = 100;

/// A network; GELU keeps its z beside its output.
fn net(level: Level, [n_in, hidden, n_out]: [usize; 3], output: Activation) -> Mlp {
    let builder =
        Mlp::builder(n_in).dense(hidden, Activation::Gelu).dense(hidden, Activation::Relu);
    builder.dense(n_out, output).level(level).build().unwrap()
}

/// Values in [−0.5, 0.5] from a formula.
fn values(rows: usize, cols: usize) -> Matrix {
    let data = (0..rows * cols).map(|i| (i * 37 % 101) as f32 / 100.0 - 0.5).collect();
    Matrix::from_vec(rows, cols, data).unwrap()
}

/// Held by the test that runs: what one test sets up would count in another's region.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fewest allocations of three runs: the test harness allocates too, when the test beside this
/// one ends.
fn fewest(mut run: impl FnMut()) -> u64 {
    let count = |_| {
        let region = Region::start();
        run();
        region.end().allocations
    };
    (0..3).map(count).min().unwrap_or(0)
}

/// Rows `..n`, because the last batch of an epoch is shorter.
fn first(x: &Matrix, n: usize) -> MatRef<'_> {
    x.view().row_range(0, n)
}

#[test]
fn steps_allocate_nothing_after_the_first() {
    let _alone = alone();
    let optimizers: [Optimizer; 4] = [
        Sgd::new(0.01).into(),
        Momentum::new(0.01, 0.9).into(),
        Momentum::new(0.01, 0.9).nesterov().into(),
        Adam::new(0.001).into(),
    ];
    for level in levels() {
        for sizes in SIZES {
            for optimizer in optimizers {
                for threads in [Threads::One, Threads::N(2)] {
                    let (x, y) = (values(ROWS, sizes[0]), values(ROWS, sizes[2]));
                    let labels: Vec<u32> = (0..ROWS as u32).map(|i| i % 5).collect();
                    let trainer = Trainer::new(optimizer).batch_size(ROWS).threads(threads);
                    let place = format!("{} {sizes:?} {optimizer:?} {threads:?}", level.name());

                    let mut net_a = net(level, sizes, Activation::Softmax);
                    let mut training = trainer.session(&mut net_a).unwrap();
                    let mut step = |n| {
                        let targets = BatchTargets::Classes(&labels[..n]);
                        training.step(first(&x, n), targets).unwrap()
                    };
                    step(ROWS);
                    let allocations = fewest(|| (0..20).for_each(|i| _ = step(ROWS - i % 3)));
                    assert_eq!(allocations, 0, "{place}");

                    let mut net_b = net(level, sizes, Activation::Identity);
                    let mut training = trainer.session_values(&mut net_b).unwrap();
                    let mut step = |n| {
                        let targets = BatchTargets::Values(first(&y, n));
                        training.step(first(&x, n), targets).unwrap()
                    };
                    step(ROWS);
                    let allocations = fewest(|| (0..20).for_each(|i| _ = step(ROWS - i % 3)));
                    assert_eq!(allocations, 0, "{place}, regression");
                }
            }
        }
    }
}

#[test]
fn steps_with_a_loss_of_the_callers_allocate_nothing() {
    let _alone = alone();
    for (level, threads) in levels().flat_map(|l| [(l, Threads::One), (l, Threads::N(2))]) {
        let sizes = SIZES[1];
        let (x, y) = (values(ROWS, sizes[0]), values(ROWS, sizes[2]));
        let squared = Loss::custom("squared", |y, t, dy| {
            dy.iter_mut().zip(y).zip(t).for_each(|((dy, y), t)| *dy = y - t);
            0.5 * dy.iter().map(|e| e * e).sum::<f32>()
        });
        let trainer = Trainer::new(Adam::new(0.001)).batch_size(ROWS).threads(threads);
        let trainer = trainer.loss(squared);
        let mut net = net(level, sizes, Activation::Identity);
        let mut training = trainer.session_values(&mut net).unwrap();
        let mut step = |n| training.step(first(&x, n), BatchTargets::Values(first(&y, n))).unwrap();
        step(ROWS);
        let allocations = fewest(|| (0..20).for_each(|i| _ = step(ROWS - i % 3)));
        assert_eq!(allocations, 0, "{} {threads:?}", level.name());
    }
}

/// A target network, a network that acts, and a schedule of the caller's, in every step.
#[test]
fn new_parameters_and_rates_allocate_nothing() {
    let _alone = alone();
    for (level, precision) in levels().flat_map(|l| [(l, Precision::F32), (l, Precision::Bf16)]) {
        let sizes = SIZES[1];
        let (x, dy) = (values(ROWS, sizes[0]), values(ROWS, sizes[2]));
        let mut dx = Matrix::zeros(ROWS, sizes[0]);
        let online = net(level, sizes, Activation::Identity);
        let mut target = online.clone();
        let acting = Predictor::new(online.clone(), ROWS, Threads::One).unwrap();
        let mut acting = acting.precision(precision).unwrap();
        // So that it has transposed weights to replace.
        acting.input_gradient(&x, &dy, &mut dx).unwrap();
        let trainer = Trainer::new(Sgd::new(0.1)).precision(precision);
        let mut training = trainer.session_values(online.clone()).unwrap();
        let allocations = fewest(|| {
            for _ in 0..3 {
                target.blend(&online, 0.1).unwrap();
                target.copy_from(&online).unwrap();
                acting.blend(&target, 0.1).unwrap();
                acting.copy_from(&target).unwrap();
                training.copy_from(&target).unwrap();
                training.set_learning_rate(0.05).unwrap();
            }
        });
        assert_eq!(allocations, 0, "{} {precision}", level.name());
    }
}

/// Operands in bf16 parts are made in memory that is there from the start.
#[test]
fn no_precision_allocates_after_the_first_step() {
    let _alone = alone();
    for (level, precision) in levels().flat_map(|l| Precision::ALL.map(|p| (l, p))) {
        for threads in [Threads::One, Threads::N(2)] {
            let place = format!("{} {precision} {threads:?}", level.name());
            let sizes = SIZES[1];
            let (x, labels) = (values(ROWS, sizes[0]), vec![1; ROWS]);
            let mut net = net(level, sizes, Activation::Softmax);
            let trainer = Trainer::new(Adam::new(0.001)).precision(precision);
            let trainer = trainer.batch_size(ROWS).threads(threads);
            let mut training = trainer.session(&mut net).unwrap();
            let mut step =
                |n| training.step(first(&x, n), BatchTargets::Classes(&labels[..n])).unwrap();
            step(ROWS);
            let allocations = fewest(|| (0..20).for_each(|i| _ = step(ROWS - i % 3)));
            assert_eq!(allocations, 0, "{place}");
            drop(training);

            let mut out = Matrix::zeros(ROWS, sizes[2]);
            let predictor = Predictor::new(&net, ROWS, threads).unwrap();
            let mut predictor = predictor.precision(precision).unwrap();
            let mut predict = || predictor.predict_into(x.view(), out.view_mut()).unwrap();
            predict();
            assert_eq!(fewest(predict), 0, "{place}, prediction");
        }
    }
}

/// Layers with passes of their own, kept gradients, weights: none of them allocates either.
#[test]
fn steps_with_every_option_allocate_nothing_after_the_first() {
    let _alone = alone();
    for level in levels() {
        let mut net = Mlp::builder(64)
            .dropout(0.1)
            .affine()
            .maxout(100, 3)
            .dropout(0.5)
            .dense(64, Activation::Tanh)
            .batch_norm()
            .residual(2)
            .dense(64, Activation::Gelu)
            .layer_norm()
            .residual(1)
            .dense(5, Activation::Softmax)
            .level(level)
            .build()
            .unwrap();
        let (x, predicted) = (values(ROWS, 64), net.clone());
        let labels: Vec<u32> = (0..ROWS as u32).map(|i| i % 5).collect();
        for threads in [Threads::One, Threads::N(2)] {
            let trainer = Trainer::new(RmsProp::new(0.001)).batch_size(ROWS).threads(threads);
            let trainer = trainer.clip_norm(1.0).max_norm(2.0).l1(1e-4).accumulate(2);
            let trainer = trainer.class_weights([1.0, 2.0, 1.0, 1.0, 0.5]).label_smoothing(0.1);
            let trainer = trainer.freeze(1).learning_rate_factor(0, 0.5).record_gradient_norms();
            let mut training = trainer.session(&mut net).unwrap();
            let mut step = |n| {
                let targets = BatchTargets::Classes(&labels[..n]);
                training.step(first(&x, n), targets).unwrap();
                assert_eq!(training.row_losses().len(), n);
                training.gradient_norms().len()
            };
            step(ROWS);
            let allocations = fewest(|| (0..20).for_each(|i| _ = step(ROWS - i % 3)));
            assert_eq!(allocations, 0, "{} {threads:?}", level.name());
            // Rows of weight 0 are left out, and batches of nothing but them.
            let mut weighted = |scale: f32| {
                let weights: [f32; ROWS] = std::array::from_fn(|i| (i % 3) as f32 * scale);
                let targets = BatchTargets::Classes(&labels);
                training.step_weighted(x.view(), targets, &weights).unwrap()
            };
            weighted(1.0);
            let allocations = fewest(|| (0..20).for_each(|i| _ = weighted((i % 3) as f32)));
            assert_eq!(allocations, 0, "{} {threads:?}, weighted", level.name());

            let mut predictor = Predictor::new(&predicted, ROWS, threads).unwrap();
            let mut out = Matrix::zeros(ROWS, 5);
            let mut predict = || predictor.predict_into(x.view(), out.view_mut()).unwrap();
            predict();
            assert_eq!(fewest(predict), 0, "{} {threads:?}, predicting", level.name());
        }
    }
}

/// Where weights come near the end of f32's range, an update is tried out first: on the stack.
#[test]
fn a_step_that_is_tried_out_allocates_nothing() {
    let _alone = alone();
    for level in levels() {
        for accumulate in [1, 2] {
            let mut net = Mlp::builder(40).dense(37, Activation::Identity).level(level);
            net = net.init(deltarule::Init::Constant(2e38));
            let mut net = net.dense(1, Activation::Tanh).build().unwrap();
            let before = net.digest();
            let trainer = Trainer::new(Adam::new(0.001)).batch_size(ROWS).accumulate(accumulate);
            let mut training = trainer.threads(Threads::One).session_values(&mut net).unwrap();
            let (x, y) = (Matrix::zeros(ROWS, 40), Matrix::zeros(ROWS, 1));
            let mut step = || training.step(x.view(), BatchTargets::Values(y.view())).unwrap();
            step();
            assert_eq!(fewest(|| (0..6).for_each(|_| _ = step())), 0, "{}", level.name());
            drop(training);
            assert_eq!(net.digest(), before);
        }
    }
}

/// An epoch costs what it reports, whatever the number of its steps: the same for 1 and for 16.
#[test]
fn an_epoch_allocates_the_same_for_any_number_of_steps() {
    let _alone = alone();
    use deltarule::data::{Dataset, Targets};
    let level = Level::best();
    if level == Level::portable() {
        return;
    }
    let allocations = |data: Dataset, sizes, precision| {
        let mut net = net(level, sizes, Activation::Softmax);
        let mut trainer = Trainer::new(Adam::new(0.001)).batch_size(10).epochs(3);
        trainer = trainer.threads(Threads::One).loss(Loss::CrossEntropy).precision(precision);
        fewest(|| _ = trainer.fit(&mut net, &data).unwrap())
    };
    let targets = |rows: usize| {
        let labels = (0..rows as u32).map(|i| i % 5).collect();
        Targets::Classes { labels, n_classes: 5 }
    };
    let [few, many] = [10, 160].map(|rows| {
        let data = Dataset::from_f32(values(rows, 20).into_vec(), 20, targets(rows)).unwrap();
        allocations(data, SIZES[0], Precision::F32)
    });
    assert_eq!(few, many);
    // With an average of the weights after each step.
    let [few, many] = [10, 160].map(|rows| {
        let data = Dataset::from_f32(values(rows, 20).into_vec(), 20, targets(rows)).unwrap();
        let mut net = net(level, SIZES[0], Activation::Softmax);
        let mut trainer = Trainer::new(Adam::new(0.001)).batch_size(10).epochs(3);
        trainer = trainer.threads(Threads::One).exponential_average(0.9);
        fewest(|| _ = trainer.fit(&mut net, &data).unwrap())
    });
    assert_eq!(few, many);
    // Bytes with a shift, which needs sums besides.
    for precision in Precision::ALL {
        let [few, many] = [10, 160].map(|rows| {
            let bytes = (0..rows * 300).map(|i| (i * 37) as u8).collect();
            let data = Dataset::from_u8(bytes, 300, targets(rows)).unwrap();
            allocations(data.with_scale(0.01, -0.7).unwrap(), SIZES[1], precision)
        });
        assert_eq!(few, many, "{precision}");
    }
}

#[test]
fn predictions_allocate_nothing_after_the_first() {
    let _alone = alone();
    for level in levels() {
        for sizes in SIZES {
            let net = net(level, sizes, Activation::Softmax);
            let x = values(ROWS, sizes[0]);
            for threads in [Threads::One, Threads::N(2)] {
                let mut predictor = Predictor::new(&net, ROWS, threads).unwrap();
                let mut out = Matrix::zeros(ROWS, sizes[2]);
                let mut predict = |n| {
                    let view = deltarule::MatMut::new(
                        &mut out.as_mut_slice()[..n * sizes[2]],
                        n,
                        sizes[2],
                    );
                    predictor.predict_into(first(&x, n), view.unwrap()).unwrap();
                };
                predict(ROWS);
                let allocations = fewest(|| (0..20).for_each(|i| predict(ROWS - 7 * (i % 5))));
                assert_eq!(allocations, 0, "{} {threads:?}", level.name());
            }
        }
    }
}

/// A loop's own gradients: forward, loss, backward with and without ∂L/∂x, sums, updates; predictions
/// between them.
#[test]
fn separate_calls_allocate_nothing_after_the_first() {
    let _alone = alone();
    for (level, sizes) in levels().flat_map(|level| SIZES.map(|sizes| (level, sizes))) {
        for threads in [Threads::One, Threads::N(2)] {
            let (x, y) = (values(ROWS, sizes[0]), values(ROWS, sizes[2]));
            let trainer = Trainer::new(Adam::new(0.001)).batch_size(ROWS).threads(threads);
            let net = net(level, sizes, Activation::Identity);
            let mut training = trainer.session_values(net.clone()).unwrap();
            let (mut dy, mut dx) = (values(ROWS, sizes[2]), Matrix::zeros(ROWS, sizes[0]));
            let (mut out, mut row) = (Matrix::zeros(ROWS, sizes[2]), Matrix::zeros(1, sizes[2]));
            let mut step = || {
                for _ in 0..2 {
                    training.forward(&x).unwrap();
                    training.loss_gradient(&y, &mut dy).unwrap();
                    training.backward_to_inputs(&dy, &mut dx).unwrap();
                }
                training.update().unwrap();
                training.forward(&x).unwrap();
                training.backward(&dy).unwrap();
                training.update().unwrap();
                training.predict_into(&x, &mut out).unwrap();
                training.predict_into(first(&x, 1), &mut row).unwrap();
            };
            step();
            let place = format!("{} {sizes:?} {threads:?}", level.name());
            assert_eq!(fewest(|| (0..10).for_each(|_| step())), 0, "{place}");

            let mut predictor = Predictor::new(&net, ROWS, threads).unwrap();
            let mut jacobian = Matrix::zeros(sizes[2], sizes[0]);
            let mut gradients = || {
                predictor.input_gradient(&x, &dy, &mut dx).unwrap();
                predictor.jacobian(x.row(1), &mut jacobian).unwrap();
            };
            gradients();
            assert_eq!(fewest(|| (0..10).for_each(|_| gradients())), 0, "{place}, prediction");
        }
    }
}

/// Workers of a rayon pool come by a job of the pool, which the pool allocates; they stay while
/// one step follows the other closely. So steps in a tight loop allocate for workers that had
/// left, a few times at most, and not for each step.
#[cfg(feature = "rayon")]
#[test]
fn steps_in_a_pool_allocate_only_to_call_workers_back() {
    let _alone = alone();
    const STEPS: u64 = 200;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for level in levels() {
        let sizes = SIZES[1];
        let x = values(ROWS, sizes[0]);
        let labels: Vec<u32> = (0..ROWS as u32).map(|i| i % 5).collect();
        let mut net = net(level, sizes, Activation::Softmax);
        let allocations = pool.install(|| {
            let trainer = Trainer::new(Adam::new(0.001)).batch_size(ROWS);
            let mut training = trainer.session(&mut net).unwrap();
            let mut step = || training.step(x.view(), BatchTargets::Classes(&labels)).unwrap();
            step();
            let region = Region::start();
            (0..STEPS).for_each(|_| _ = step());
            region.end().allocations
        });
        // Each call of a worker allocates its job, sometimes a block of the pool's queue; a step
        // has two phases that call. On a busy machine the worker may lose its processor for longer
        // than it waits, so the bound is what calls alone can cost, not zero.
        assert!(allocations <= 2 * 2 * STEPS, "{allocations} at {}", level.name());
    }
}

/// The counter sees what it is there to see.
#[test]
fn the_counter_counts() {
    let _alone = alone();
    assert_eq!(fewest(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10)))), 1);
}
