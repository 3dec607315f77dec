//! No public function panics, whatever it is given.

use deltarule::data::{Dataset, Targets, one_hot};
use deltarule::gemm::PanelMatrix;
use deltarule::metrics::ConfusionMatrix;
use deltarule::{
    Activation, Adam, BatchTargets, CheckpointInterval, EarlyStopping, Init, Level, Loss, MatMut,
    MatRef, Matrix, Mlp, Momentum, Optimizer, Precision, Predictor, Result, Schedule, Sgd, Threads,
    Trainer,
};
use proptest::prelude::*;
use std::ops::ControlFlow;

/// Sizes as users get them wrong.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0usize..20,
        2 => 20usize..300,
        1 => prop::sample::select(vec![usize::MAX, usize::MAX / 2, 1 << 62, (1 << 61) + 7, 1 << 60]),
    ]
}

/// Numbers as users get them wrong.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![8 => -1.0f32..1.0, 1 => any::<f32>(), 1 => prop::sample::select(vec![
        f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 0.0, -0.0, 1.0])]
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        8 => prop::sample::select(Activation::ALL.to_vec()),
        1 => number().prop_map(|slope| Activation::LeakyRelu { slope }),
        1 => number().prop_map(|alpha| Activation::Elu { alpha }),
    ]
}

fn init() -> impl Strategy<Value = Option<Init>> {
    prop_oneof![
        Just(None),
        Just(Some(Init::Glorot)),
        Just(Some(Init::HeUniform)),
        number().prop_map(|x| Some(Init::Normal(x))),
        number().prop_map(|x| Some(Init::Constant(x))),
    ]
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    prop_oneof![
        number().prop_map(|lr| Sgd::new(lr).into()),
        (number(), number()).prop_map(|(lr, m)| Momentum::new(lr, m).into()),
        (number(), number()).prop_map(|(lr, m)| Momentum::new(lr, m).nesterov().into()),
        (number(), number(), number(), number())
            .prop_map(|(lr, a, b, e)| Adam::new(lr).betas(a, b).epsilon(e).into()),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let shape = prop_oneof![
        Just(Schedule::constant()),
        (size(), number()).prop_map(|(n, f)| Schedule::step(n as u64, f)),
        number().prop_map(Schedule::exponential),
        number().prop_map(Schedule::cosine),
        Just(Schedule::one_cycle()),
        (number(), number(), number()).prop_map(|(a, b, c)| Schedule::one_cycle_with(a, b, c)),
        (number(), size()).prop_map(|(f, n)| Schedule::plateau(f, n)),
    ];
    let ticks = (size(), size(), number(), any::<[bool; 3]>());
    (shape, ticks).prop_map(|(mut schedule, (over, warm_up, from, [a, b, c]))| {
        if a {
            schedule = schedule.over(over as u64);
        }
        if b {
            schedule = schedule.warm_up(warm_up as u64, from);
        }
        if c { schedule.each_step() } else { schedule.each_epoch() }
    })
}

fn loss() -> impl Strategy<Value = Option<Loss>> {
    prop::sample::select(vec![
        None,
        None,
        Some(Loss::CrossEntropy),
        Some(Loss::MeanSquared),
        Some(Loss::Quadratic),
    ])
}

fn threads() -> impl Strategy<Value = Threads> {
    prop::sample::select(vec![
        Threads::One,
        Threads::Current,
        Threads::N(2),
        Threads::N(0),
        Threads::N(usize::MAX),
    ])
}

/// A network of wild layers, where there is one.
fn wild_net() -> impl Strategy<Value = Result<Mlp>> {
    let layers = prop::collection::vec((size(), activation()), 0..4);
    let level = prop::sample::select(Level::available().collect::<Vec<_>>());
    (size(), layers, init(), any::<u64>(), level).prop_map(|(n_in, layers, init, seed, level)| {
        let mut builder = Mlp::builder(n_in).seed(seed).level(level);
        for (n_out, activation) in layers {
            builder = builder.dense(n_out, activation);
        }
        if let Some(init) = init {
            builder = builder.init(init);
        }
        builder.build()
    })
}

/// A few more than are needed, so that views of all shapes can be cut from them.
fn numbers() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(number(), 0..1200)
}

/// `exact`, or any other size.
fn near(exact: usize, wild: usize, use_exact: bool) -> usize {
    if use_exact { exact } else { wild }
}

/// 200 cases a property; each is a few microseconds to milliseconds.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever a view is made of, it is refused or every one of its rows can be read.
    #[test]
    fn views_never_panic(mut data in numbers(), rows in size(), cols in size(), stride in size()) {
        if let Ok(m) = MatRef::with_stride(&data, rows, cols, stride) {
            for r in (0..rows).take(400) {
                prop_assert_eq!(m.row(r).len(), cols);
            }
            if rows > 0 {
                prop_assert_eq!(m.row(rows - 1).len(), cols);
                prop_assert_eq!(m.row_range(rows - 1, rows).rows(), 1);
            }
            prop_assert_eq!(m.row_range(rows, rows).rows(), 0);
        }
        if let Ok(mut m) = MatMut::with_stride(&mut data, rows, cols, stride) {
            for r in (0..rows).take(400) {
                prop_assert_eq!(m.row_mut(r).len(), cols);
            }
        }
        let made = Matrix::from_vec(rows, cols, data.clone());
        prop_assert_eq!(made.is_ok(), rows.checked_mul(cols) == Some(data.len()));
        prop_assert_eq!(MatRef::new(&data, rows, cols).is_ok(), made.is_ok());
    }

    #[test]
    fn predicting_never_panics(
        net in wild_net(),
        data in numbers(),
        (rows, cols, fits) in (size(), size(), prop::bool::weighted(0.8)),
        (room, threads) in (size(), threads()),
    ) {
        let Ok(net) = net else { return Ok(()) };
        let cols = near(net.n_in(), cols, fits);
        let Ok(x) = MatRef::with_stride(&data, rows, cols, cols) else { return Ok(()) };
        let answer = net.predict(x);
        prop_assert_eq!(answer.is_ok(), rows > 0 && cols == net.n_in());
        if let Ok(answer) = answer {
            prop_assert_eq!((answer.rows(), answer.cols()), (rows, net.n_out()));
        }
        if let Ok(mut predictor) = Predictor::new(&net, room, threads) {
            let mut out = vec![0.0; 1000];
            if let Ok(out) = MatMut::with_stride(&mut out, rows, net.n_out(), net.n_out() + 1) {
                let made = predictor.predict_into(x, out);
                prop_assert_eq!(made.is_ok(), rows > 0 && rows <= room && cols == net.n_in());
            }
        }
    }

    #[test]
    fn setting_parameters_never_panics(
        net in wild_net(),
        (w, b) in (numbers(), numbers()),
        (layer, rows, cols, n) in (0usize..4, size(), size(), size()),
        (fits, stride) in (prop::bool::weighted(0.8), 0usize..3),
    ) {
        let Ok(mut net) = net else { return Ok(()) };
        let Some(shape) = net.layers().nth(layer.min(net.layers().len() - 1)) else { return Ok(()) };
        let (rows, cols) = (near(shape.n_in, rows, fits), near(shape.n_out, cols, fits));
        let Ok(weights) = MatRef::with_stride(&w, rows, cols, cols.saturating_add(stride)) else {
            return Ok(());
        };
        let b = &b[..near(shape.n_out, n, fits).min(b.len())];
        let before = net.digest();
        match net.set_parameters(layer, weights, b) {
            Ok(()) => prop_assert_eq!(net.biases(layer).unwrap(), b),
            Err(_) => prop_assert_eq!(net.digest(), before),
        }
    }

    #[test]
    fn training_never_panics(
        net in wild_net(),
        (x, y) in (numbers(), numbers()),
        labels in prop::collection::vec(prop_oneof![6 => 0u32..3, 1 => any::<u32>()], 0..40),
        (optimizer, loss, threads) in (optimizer(), loss(), threads()),
        (batch, rows, cols) in (size(), 0usize..40, size()),
        (fits, regression) in (prop::bool::weighted(0.8), any::<bool>()),
    ) {
        let Ok(mut net) = net else { return Ok(()) };
        let (n_in, n_out) = (near(net.n_in(), cols, fits), near(net.n_out(), cols, fits));
        let mut trainer = Trainer::new(optimizer).batch_size(batch).threads(threads);
        if let Some(loss) = loss {
            trainer = trainer.loss(loss);
        }
        if let Ok(x) = MatRef::with_stride(&x, rows, n_in, n_in)
            && let Ok(y) = MatRef::with_stride(&y, rows, n_out, n_out)
        {
            let training = match regression {
                true => trainer.session_values(&mut net),
                false => trainer.session(&mut net),
            };
            if let Ok(mut training) = training {
                let labels = &labels[..rows.min(labels.len())];
                for targets in [BatchTargets::Values(y), BatchTargets::Classes(labels)] {
                    for _ in 0..2 {
                        let before = training.network().digest();
                        match training.step(x, targets) {
                            Ok(loss) => prop_assert!(!loss.is_nan()),
                            Err(_) => prop_assert_eq!(training.network().digest(), before),
                        }
                    }
                }
            }
        }
        let targets = match regression {
            true => Targets::Values { values: y, n_outputs: n_out },
            false => Targets::Classes { labels, n_classes: n_out },
        };
        let x = x[..x.len() - x.len().checked_rem(n_in).unwrap_or(0)].to_vec();
        if let Ok(data) = Dataset::from_f32(x, n_in, targets) {
            let fitted = trainer.epochs(2).validation(&data).fit(&mut net, &data);
            if fitted.is_ok() {
                prop_assert!(net.evaluate(&data).is_ok());
            }
        }
    }

    /// What is made from sizes alone is whole, or an error.
    #[test]
    fn sizes_never_panic(rows in size(), cols in size(), n in size(), data in numbers()) {
        let product = rows.checked_mul(cols);
        if let Ok(zeros) = Matrix::try_zeros(rows, cols) {
            prop_assert_eq!(Some(zeros.as_slice().len()), product);
            prop_assert_eq!((zeros.rows(), zeros.cols()), (rows, cols));
            let (first, last) = (rows.min(1), rows.min(n));
            let part = zeros.view().row_range(first.min(last), last);
            prop_assert!((0..part.rows()).take(400).all(|r| part.row(r).len() == cols));
        } else {
            prop_assert!(product.is_none_or(|n| n > 1 << 40), "{} x {}", rows, cols);
            // The same as a panic, which is documented, and no abort.
            prop_assert!(std::panic::catch_unwind(|| Matrix::zeros(rows, cols)).is_err());
        }
        if let Ok(zeros) = PanelMatrix::zeros(rows, cols) {
            prop_assert_eq!(zeros.to_rows().as_slice().len(), rows * cols);
        }
        if let Ok(x) = MatRef::with_stride(&data, rows, cols, cols) {
            prop_assert_eq!(PanelMatrix::from_rows(x).is_ok(), rows > 0 && cols > 0);
        }
        let labels: Vec<u32> = (0..rows.min(20) as u32).collect();
        if let Ok(one) = one_hot(&labels, n) {
            prop_assert_eq!((one.rows(), one.cols()), (labels.len(), n));
        }
        let _ = ConfusionMatrix::new(n);
        // A network of these, with all that may stand around a layer.
        let builder = Mlp::builder(rows).dense(cols, Activation::Relu).maxout(n, rows).residual(cols);
        let _ = builder.dense(cols, Activation::Softmax).build();
        let builder = Mlp::builder(cols).affine().maxout(n, 2).affine().residual(rows);
        let _ = builder.affine().build();
        let builder = Mlp::builder(3).maxout(2, n).batch_norm().dense(cols, Activation::Tanh);
        let _ = builder.residual(n).build();
    }

    /// A data set may claim any number of classes and outputs; what is cut from it is whole.
    #[test]
    fn cutting_a_data_set_never_panics(
        labels in prop::collection::vec(prop_oneof![6 => 0u32..3, 1 => any::<u32>()], 1..40),
        (n_classes, k, seed) in (size(), size(), any::<u64>()),
        (a, b) in (any::<f64>(), 0.0f64..1.0),
    ) {
        let rows = labels.len();
        let targets = Targets::Classes { labels, n_classes };
        let Ok(data) = Dataset::from_u8(vec![7; rows * 2], 2, targets) else { return Ok(()) };
        for shares in [[a, b], [b, 1.0 - b]] {
            for parts in [data.split(shares, seed), data.split_stratified(shares, seed)] {
                let Ok([first, second]) = parts else { continue };
                prop_assert_eq!(first.len() + second.len(), rows);
            }
        }
        for folds in [data.k_fold(k, seed), data.k_fold_stratified(k, seed)] {
            let Ok(folds) = folds else { continue };
            prop_assert_eq!(folds.map(|f| f.map_or(0, |(_, held)| held.len())).sum::<usize>(), rows);
        }
        if let Ok((first, second)) = data.split_at(k) {
            prop_assert_eq!(first.len() + second.len(), rows);
        }
        let mut net = Mlp::builder(2).dense(3, Activation::Softmax).build().unwrap();
        let fitted = Trainer::new(Sgd::new(0.1)).fit(&mut net, &data);
        prop_assert_eq!(fitted.is_ok(), n_classes <= 3);
    }

    /// Options of a run as users get them wrong, all at once.
    #[test]
    fn options_never_panic(
        (optimizer, schedule) in (optimizer(), schedule()),
        (l1, l2, decay, norm, clip) in (number(), number(), number(), number(), number()),
        (smoothing, weights) in (number(), prop::collection::vec(number(), 0..5)),
        (batch, epochs, accumulate, patience, every) in (size(), size(), size(), size(), size()),
        (delta, set, threads) in (any::<f64>(), any::<[bool; 10]>(), threads()),
        precision in prop::sample::select(Precision::ALL.to_vec()),
    ) {
        let value = |i: usize| (i * 37 % 19) as f32 / 19.0;
        let targets = Targets::Classes { labels: (0..20).map(|i| i % 3).collect(), n_classes: 3 };
        let data = Dataset::from_f32((0..80).map(value).collect(), 4, targets).unwrap();
        let net = Mlp::builder(4).dense(70, Activation::Tanh).dense(70, Activation::Relu);
        let mut net = net.dense(3, Activation::Softmax).build().unwrap();
        let mut trainer = Trainer::new(optimizer).batch_size(batch).threads(threads);
        let option = |i: usize| set.get(i).copied().unwrap_or(true);
        if option(0) { trainer = trainer.l1(l1) }
        if option(1) { trainer = trainer.l2(l2) }
        if option(2) { trainer = trainer.weight_decay(decay) }
        if option(3) { trainer = trainer.max_norm(norm) }
        if option(4) { trainer = trainer.clip_norm(clip).clip_value(norm) }
        if option(5) { trainer = trainer.label_smoothing(smoothing) }
        if option(6) { trainer = trainer.class_weights(weights) }
        if option(7) { trainer = trainer.accumulate(accumulate) }
        if option(8) { trainer = trainer.precision(precision) }
        let x = data.matrix();
        if let Ok(mut training) = trainer.session(&mut net) {
            let targets = BatchTargets::Classes(&[0; 20]);
            let rows = x.view().row_range(0, batch.min(20));
            let _ = training.step(rows, targets);
            let _ = training.flush();
            let _ = training.set_learning_rate(l1);
        }
        let stop = |e: &deltarule::Epoch| if e.epoch < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let mut trainer = trainer
            .epochs(epochs)
            .schedule(schedule)
            .validation(&data)
            .early_stopping(EarlyStopping::on_validation_loss().patience(patience).min_delta(delta))
            .on_epoch(stop);
        if every == 0 {
            // Refused, so that no file is written.
            trainer = trainer.checkpoint("nowhere", CheckpointInterval::Steps(0));
        }
        let ran = trainer.fit(&mut net, &data);
        prop_assert!(ran.is_err() || trainer.history().epochs.len() <= 2);
    }
}
