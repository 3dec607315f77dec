//! No public function panics, whatever it is given.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Init, Level, Loss, MatMut, MatRef, Matrix, Mlp, Momentum,
    Optimizer, Predictor, Result, Sgd, Threads, Trainer,
};
use proptest::prelude::*;

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
                true => trainer.start_regression(&mut net),
                false => trainer.start(&mut net),
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
            let fitted = trainer.epochs(2).validate(&data).fit(&mut net, &data);
            if fitted.is_ok() {
                prop_assert!(net.evaluate(&data).is_ok());
            }
        }
    }
}
