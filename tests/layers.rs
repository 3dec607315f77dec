//! Maxout, norms and residual connections against PyTorch's frozen training (layers.json), and
//! what each of them promises.

mod support;

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, BatchTargets, EarlyStopping, Error, Init, Level, MatRef, Mlp, Momentum, NormKind,
    NormParameters, Sgd, Threads, Trainer,
};
use serde_json::Value;
use support::{Data, assert_close, assert_same_bits};

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/layers.json")).unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn narrow(v: &Value) -> Vec<f32> {
    numbers(v).into_iter().map(|x| x as f32).collect()
}

const N_IN: usize = 6;

/// The network of a case, before training.
fn net(case: &Value, level: Level) -> Mlp {
    let mut builder = Mlp::builder(N_IN).level(level);
    let layers = case["layers"].as_array().unwrap();
    for l in layers {
        let n_out = l["n_out"].as_u64().unwrap() as usize;
        builder = match l["pieces"].as_u64().unwrap() {
            1 => {
                let name = l["activation"].as_str().unwrap();
                builder.dense(n_out, name.parse::<Activation>().unwrap())
            }
            pieces => builder.maxout(n_out, pieces as usize),
        };
        builder = match l["norm"].as_str() {
            Some("layer") => builder.layer_norm(),
            Some(_) => builder.batch_norm(),
            None => builder,
        };
        if let residual @ 1.. = l["residual"].as_u64().unwrap() {
            builder = builder.residual(residual as usize);
        }
    }
    let mut net = builder.build().unwrap();
    for (i, p) in case["before"].as_array().unwrap().iter().enumerate() {
        let (w, b) = (narrow(&p["w"]), narrow(&p["b"]));
        let w = MatRef::new(&w, w.len() / b.len(), b.len()).unwrap();
        net.set_parameters(i, w, &b).unwrap();
        if let Some(mut norm) = net.norm_parameters(i).unwrap() {
            (norm.gamma, norm.beta) = (narrow(&p["gamma"]), narrow(&p["beta"]));
            net.set_norm_parameters(i, &norm).unwrap();
        }
    }
    net
}

#[test]
fn training_follows_pytorch() {
    for (name, case) in fixtures().as_object().unwrap() {
        let x = narrow(&case["x"]);
        let x = MatRef::new(&x, x.len() / N_IN, N_IN).unwrap();
        let labels: Vec<u32> = numbers(&case["labels"]).iter().map(|&l| l as u32).collect();
        for level in Level::available() {
            // As it is, and through kept gradients (a limit that is never reached).
            for limit in [None, Some(1e30)] {
                let place = |what: &str| format!("{name}, {level:?}, limit {limit:?}: {what}");
                let mut net = net(case, level);
                let mut trainer = Trainer::new(Momentum::new(0.1, 0.9)).batch_size(16);
                if let Some(limit) = limit {
                    trainer = trainer.clip_norm(limit);
                }
                let mut training = trainer.threads(Threads::One).start(&mut net).unwrap();
                for (step, want) in numbers(&case["losses"]).into_iter().enumerate() {
                    let loss = training.step(x, BatchTargets::Classes(&labels)).unwrap();
                    assert_close(place(&format!("loss {step}")), &[loss], &[want], 3e-6);
                }
                drop(training);
                for (i, p) in case["after"].as_array().unwrap().iter().enumerate() {
                    let place = |what: &str| place(&format!("layer {i}: {what}"));
                    let w = net.weights(i).unwrap();
                    assert_close(place("w"), w.as_slice(), &numbers(&p["w"]), 1e-5);
                    // Before batch normalisation the true gradient of a bias is zero.
                    let b = net.biases(i).unwrap();
                    assert_close(place("b"), &b, &numbers(&p["b"]), 1e-5);
                    let Some(norm) = net.norm_parameters(i).unwrap() else { continue };
                    assert_close(place("gamma"), &norm.gamma, &numbers(&p["gamma"]), 1e-5);
                    assert_close(place("beta"), &norm.beta, &numbers(&p["beta"]), 1e-5);
                    if !norm.mean.is_empty() {
                        assert_close(place("mean"), &norm.mean, &numbers(&p["mean"]), 1e-5);
                        let want = numbers(&p["variance"]);
                        assert_close(place("variance"), &norm.variance, &want, 1e-5);
                    }
                }
                let got = net.predict(x).unwrap();
                assert_close(place("outputs"), got.as_slice(), &numbers(&case["outputs"]), 1e-5);
                // Folding changes no output beyond rounding.
                let folded = net.folded().unwrap();
                assert!(folded.layers().all(|l| l.norm != Some(NormKind::Batch)));
                let got = folded.predict(x).unwrap();
                assert_close(place("folded"), got.as_slice(), &numbers(&case["outputs"]), 1e-5);
            }
        }
    }
}

/// A network with everything, wide and deep enough to be shared among threads.
fn everything(level: Level) -> Mlp {
    Mlp::builder(100)
        .dropout(0.1)
        .maxout(130, 3)
        .dropout(0.5)
        .dense(100, Activation::Relu)
        .batch_norm()
        .dropout(0.2)
        .residual(2)
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
    let mut training = trainer.batch_size(rows).start(&mut net).unwrap();
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

/// Dropout's own definition, read off from one step of gradient descent: with hidden values
/// h = x (identity weights) the gradient of the output weights is hᵀ·d, so a row of it is zero
/// where the value was dropped, and 1/(1 − p) times the undropped gradient where it was not.
#[test]
fn dropout_drops_scales_and_depends_on_seed_step_and_row() {
    let n = 200;
    let identity: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
    let weights = Data::new(1).f32s(n * 10);
    let build = |rate: f32| {
        let mut net = Mlp::builder(n)
            .dense(n, Activation::Identity)
            .dropout(rate)
            .dense(10, Activation::Identity)
            .build()
            .unwrap();
        net.set_parameters(0, MatRef::new(&identity, n, n).unwrap(), &vec![0.0; n]).unwrap();
        net.set_parameters(1, MatRef::new(&weights, n, 10).unwrap(), &[0.0; 10]).unwrap();
        net
    };
    // Which values were dropped in a step: those whose output weights did not move.
    let dropped = |rate: f32, seed: u64, steps: u64| -> Vec<bool> {
        let mut net = build(rate);
        let trainer = Trainer::new(Sgd::new(0.0)).seed(seed).batch_size(1);
        let mut training = trainer.start_regression(&mut net).unwrap();
        let x = vec![1.0; n];
        let (x, y) = (MatRef::new(&x, 1, n).unwrap(), [5.0; 10]);
        let y = BatchTargets::Values(MatRef::new(&y, 1, 10).unwrap());
        for _ in 1..steps {
            training.step(x, y).unwrap();
        }
        training.set_learning_rate(1.0).unwrap();
        training.step(x, y).unwrap();
        drop(training);
        let (now, before) = (net.weights(1).unwrap(), build(rate).weights(1).unwrap());
        (0..n).map(|r| now.row(r) == before.row(r)).collect()
    };
    let first = dropped(0.4, 1, 1);
    let share = first.iter().filter(|d| **d).count() as f64 / n as f64;
    assert!((share - 0.4).abs() < 5.0 * (0.24 / n as f64).sqrt(), "{share}");
    assert_eq!(dropped(0.4, 1, 1), first);
    assert_ne!(dropped(0.4, 2, 1), first);
    assert_ne!(dropped(0.4, 1, 2), first);
    assert!(dropped(0.0, 1, 1).iter().all(|d| !d));
}

/// The gradient that training takes is that of the loss that it reports, with dropout's masks,
/// which depend on seed and step alone: along random directions, central differences of the first
/// step's loss against the update that a step of gradient descent makes.
#[test]
fn the_update_is_the_gradient_of_the_reported_loss() {
    let nets: [fn() -> Mlp; 3] = [
        || {
            let net = Mlp::builder(20).dropout(0.2).dense(24, Activation::Tanh).dropout(0.5);
            net.dense(10, Activation::Softmax).seed(1).build().unwrap()
        },
        || {
            let net = Mlp::builder(20).maxout(24, 3).dropout(0.3).dense(24, Activation::Sigmoid);
            let net = net.dropout(0.4).residual(1).dense(10, Activation::Softmax);
            net.seed(2).build().unwrap()
        },
        || {
            let net = Mlp::builder(20).dense(24, Activation::Silu).batch_norm().dropout(0.3);
            let net = net.dense(24, Activation::Tanh).layer_norm().dropout(0.2).residual(1);
            net.dense(10, Activation::Softmax).seed(3).build().unwrap()
        },
    ];
    let rows = 32;
    let b = batch(rows, 20);
    let x = MatRef::new(&b.x, rows, 20).unwrap();
    let first_loss = |net: &mut Mlp, lr: f32| -> f64 {
        let trainer = Trainer::new(Sgd::new(lr)).batch_size(rows).seed(9);
        let mut training = trainer.start(net).unwrap();
        f64::from(training.step(x, BatchTargets::Classes(&b.labels)).unwrap())
    };
    let parameters = |net: &Mlp| -> Vec<Vec<f32>> {
        let layers = net.layers().len();
        let of = |i| {
            let mut values = net.weights(i).unwrap().as_slice().to_vec();
            values.extend(net.biases(i).unwrap());
            let norm = net.norm_parameters(i).unwrap().unwrap_or_default();
            values.extend(norm.gamma.iter().chain(&norm.beta));
            values
        };
        (0..layers).map(of).collect()
    };
    let set = |net: &mut Mlp, layer: usize, values: &[f32]| {
        let (rows, cols) = (net.weights(layer).unwrap().rows(), net.biases(layer).unwrap().len());
        let (w, rest) = values.split_at(rows * cols);
        let (biases, norm) = rest.split_at(cols);
        net.set_parameters(layer, MatRef::new(w, rows, cols).unwrap(), biases).unwrap();
        if let Some(old) = net.norm_parameters(layer).unwrap() {
            let (gamma, beta) = norm.split_at(norm.len() / 2);
            let new = NormParameters { gamma: gamma.into(), beta: beta.into(), ..old };
            net.set_norm_parameters(layer, &new).unwrap();
        }
    };
    for (which, build) in nets.into_iter().enumerate() {
        let before = parameters(&build());
        let mut stepped = build();
        first_loss(&mut stepped, 1.0);
        let after = parameters(&stepped);
        for layer in 0..before.len() {
            let mut data = Data::new(100 + layer as u64);
            let direction: Vec<f64> = data.f64s(before[layer].len());
            let updates = before[layer].iter().zip(&after[layer]);
            let gradient = updates.map(|(b, a)| f64::from(*b) - f64::from(*a));
            let slope: f64 = gradient.zip(&direction).map(|(g, d)| g * d).sum();
            let step = 1e-3;
            let loss = |sign: f64| {
                let moved = before[layer].iter().zip(&direction);
                let moved: Vec<f32> =
                    moved.map(|(v, d)| (f64::from(*v) + sign * step * d) as f32).collect();
                let mut net = build();
                set(&mut net, layer, &moved);
                first_loss(&mut net, 0.0)
            };
            let difference = (loss(1.0) - loss(-1.0)) / (2.0 * step);
            // The losses are f32: 1e-7 over 2e-3, and the third derivative.
            let error = (slope - difference).abs();
            assert!(
                error < 2e-3 * (1.0 + slope.abs()),
                "net {which}, layer {layer}: {slope} {difference}"
            );
        }
    }
}

/// Running statistics belong to the weights: a step whose loss overflows leaves them, and early
/// stopping brings back those of the best epoch.
#[test]
fn running_statistics_go_with_the_weights() {
    let build = || {
        let net = Mlp::builder(100).dense(30, Activation::Relu).batch_norm();
        net.dense(10, Activation::Identity).seed(1).build().unwrap()
    };
    let mut net = build();
    let b = batch(8, 100);
    let x = MatRef::new(&b.x, 8, 100).unwrap();
    let good = net.digest();
    let mut training =
        Trainer::new(Sgd::new(0.1)).batch_size(8).start_regression(&mut net).unwrap();
    let huge = [3e38; 80];
    let y = BatchTargets::Values(MatRef::new(&huge, 8, 10).unwrap());
    assert!(matches!(training.step(x, y), Err(Error::NonFinite { .. })));
    drop(training);
    assert_eq!(net.digest(), good);

    let labels = Targets::Classes { labels: b.labels.clone(), n_classes: 10 };
    let data = Dataset::from_f32(b.x.clone(), 100, labels).unwrap();
    let build = || {
        let net = Mlp::builder(100).dense(30, Activation::Relu).batch_norm().dropout(0.2);
        net.dense(10, Activation::Softmax).seed(1).build().unwrap()
    };
    let trainer = || Trainer::new(Sgd::new(0.1)).batch_size(4).seed(3);
    let best = EarlyStopping::on_largest(|e| if e.epoch == 3 { 1.0 } else { 0.0 }).patience(4);
    let (mut stopped, mut short) = (build(), build());
    let history = trainer().epochs(20).early_stopping(best).fit(&mut stopped, &data).unwrap();
    trainer().epochs(3).fit(&mut short, &data).unwrap();
    assert_eq!((history.best_epoch, stopped.digest()), (Some(3), short.digest()));
}

/// As the last batch of an epoch may be.
#[test]
fn a_batch_of_one_row_trains() {
    let mut net = everything(Level::best());
    let b = batch(1, 100);
    let x = MatRef::new(&b.x, 1, 100).unwrap();
    let mut training = Trainer::new(Sgd::new(0.1)).batch_size(4).start(&mut net).unwrap();
    for _ in 0..3 {
        assert!(training.step(x, BatchTargets::Classes(&b.labels)).unwrap().is_finite());
    }
}

#[test]
fn weights_begin_as_a_function_says() {
    let build = |builder: deltarule::Builder| builder.dense(2, Activation::Softmax).build();
    let weight = |layer: usize, row: usize, column: usize| (100 * layer + 10 * row + column) as f32;
    let net = build(Mlp::builder(3).maxout(2, 2).init_with(weight)).unwrap();
    assert_eq!(net.weights(0).unwrap().row(2), [20.0, 21.0, 22.0, 23.0]);
    assert_eq!(net.weights(1).unwrap().row(1), [110.0, 111.0]);
    assert_eq!(net.biases(0).unwrap(), [0.0; 4]);
    let nan = |_, row, _| if row == 1 { f32::NAN } else { 0.0 };
    assert!(matches!(build(Mlp::builder(3).init_with(nan)), Err(Error::Value { .. })));
    let both = Mlp::builder(3).init(Init::He).init_with(weight);
    assert!(matches!(build(both), Err(Error::Config { .. })));
}

#[test]
fn norm_parameters_are_checked() {
    let mut net = everything(Level::best());
    let good = net.norm_parameters(1).unwrap().unwrap();
    assert_eq!((good.gamma.len(), good.mean.len(), good.variance[0]), (100, 100, 1.0));
    assert_eq!(net.norm_parameters(2).unwrap().unwrap().mean.len(), 0);
    assert_eq!(net.norm_parameters(0).unwrap(), None);
    assert!(net.norm_parameters(9).is_err());
    let before = net.digest();
    let short = NormParameters { beta: vec![0.0; 99], ..good.clone() };
    assert!(matches!(net.set_norm_parameters(1, &short), Err(Error::Shape { .. })));
    let negative = NormParameters { variance: vec![-1.0; 100], ..good.clone() };
    assert!(matches!(net.set_norm_parameters(1, &negative), Err(Error::Value { .. })));
    assert!(matches!(net.set_norm_parameters(0, &good), Err(Error::Config { .. })));
    assert_eq!(net.digest(), before);
}

/// Input times a maxout layer with two pieces w and −w is |wᵀx|.
#[test]
fn two_opposite_pieces_are_an_absolute_value() {
    let mut net = Mlp::builder(1).maxout(1, 2).dense(1, Activation::Identity).build().unwrap();
    net.set_parameters(0, MatRef::new(&[3.0, -3.0], 1, 2).unwrap(), &[0.0; 2]).unwrap();
    net.set_parameters(1, MatRef::new(&[1.0], 1, 1).unwrap(), &[0.5]).unwrap();
    assert_eq!(net.n_parameters(), 4 + 2);
    let y = net.predict(MatRef::new(&[-2.0, 0.0, 1.5], 3, 1).unwrap()).unwrap();
    assert_eq!(y.as_slice(), [6.5, 0.5, 5.0]);
    assert_eq!(net.weights(0).unwrap().as_slice(), [3.0, -3.0]);
}

#[test]
fn layers_that_make_no_sense_are_refused() {
    let b = || Mlp::builder(4);
    let out = Activation::Softmax;
    for builder in [
        b().maxout(5, 1).dense(2, out),
        b().maxout(5, 0).dense(2, out),
        b().maxout(5, 2),
        b().maxout(usize::MAX / 8, 5).dense(2, out),
        b().maxout(usize::MAX, 2).dense(2, out),
        b().dense(usize::MAX, Activation::Relu).batch_norm().dense(2, out),
        b().maxout(5, 2).batch_norm().dense(2, out),
        b().dense(5, Activation::Relu).dropout(1.0).dense(2, out),
        b().dense(5, Activation::Relu).dropout(-0.1).dense(2, out),
        b().dropout(f32::NAN).dense(2, out),
        b().dense(2, out).dropout(0.5),
        b().dense(2, out).batch_norm(),
        b().dense(4, Activation::Identity).residual(1),
        b().dense(5, Activation::Relu).residual(1).dense(2, out),
        b().dense(4, Activation::Relu).residual(2).dense(2, out),
        b().dense(4, Activation::Relu).residual(0).dense(2, out),
        b().layer_norm().dense(2, out),
        b().residual(1).dense(2, out),
    ] {
        match builder.clone().build() {
            Err(Error::Config { option, reason }) => {
                assert!(!option.is_empty() && !reason.is_empty())
            }
            other => panic!("{builder:?} was not refused: {other:?}"),
        }
    }
    let text = format!("{:?}", everything(Level::best()));
    assert!(text.starts_with("Mlp { 100 dropout:0.1 -> 130 maxout:3 dropout:0.5 -> 100 relu"));
    assert!(text.contains("100 relu batch-norm dropout:0.2 residual:2 -> 100 gelu layer-norm"));
    assert!("maxout".parse::<Activation>().is_err() && "maxout:1".parse::<Activation>().is_err());
    let maxout = Activation::Maxout { pieces: 5 };
    assert_eq!(maxout.to_string().parse::<Activation>().unwrap(), maxout);
}
