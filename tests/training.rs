//! The fast path learns what the formulas say: outputs, loss, every gradient and every optimiser
//! against frozen PyTorch values, against the naive reference in f64, and against differences of
//! its own loss; at every level this CPU has.

mod support;

use deltarule::data::{Dataset, Targets, shuffled};
use deltarule::reference::{self, Batch, Layer, Network, Target};
use deltarule::{
    Activation, Adam, BatchTargets, Level, Loss, MatRef, Matrix, Mlp, Momentum, Optimizer, Sgd,
    Threads, Trainer,
};
use support::fixtures::{Case, Fixtures, Spec};
use support::{Data, assert_close, relative_error, widen};

/// Against PyTorch and against `reference` in f64, for one forward and backward pass, as
/// max|error| / max|value| of a tensor. Measured: at most 4e-7 on the fixtures and 7e-7 on the
/// networks below, where sums of up to 784 terms round in f32 (2^-24 = 6e-8 an operation).
const TOLERANCE: f64 = 2e-6;

/// After 20 steps the roundings of each step have moved the next one. Measured: at most 2e-6,
/// with Adam, which divides small gradients by their own size.
const TOLERANCE_20_STEPS: f64 = 5e-6;

/// A learning rate that lets one step of gradient descent show the gradient: beside 2^20·g the
/// weight itself is lost in the rounding, so g = (w − w′)/2^20 is good to 2^-24 of the largest g.
const LARGE_RATE: f32 = (1 << 20) as f32;

/// A network and one batch, for the fast path.
struct Fast {
    net: Mlp,
    loss: Loss,
    x: Matrix,
    labels: Vec<u32>,
    /// Empty when the labels are the targets.
    values: Vec<f32>,
}

/// All parameters: weights and biases of each layer in turn.
fn parameters(net: &Mlp) -> Vec<Vec<f32>> {
    let layers = 0..net.layers().len();
    layers.flat_map(|l| [net.weights(l).unwrap().into_vec(), net.biases(l).unwrap()]).collect()
}

impl Fast {
    fn train(&mut self, optimizer: impl Into<Optimizer>, steps: usize) -> f32 {
        let regression = !self.values.is_empty();
        let trainer =
            Trainer::new(optimizer).batch_size(self.x.rows()).loss(self.loss).threads(Threads::One);
        let n_out = self.net.n_out();
        let mut training = match regression {
            true => trainer.start_regression(&mut self.net).unwrap(),
            false => trainer.start(&mut self.net).unwrap(),
        };
        let targets = match regression {
            true => BatchTargets::Values(MatRef::new(&self.values, self.x.rows(), n_out).unwrap()),
            false => BatchTargets::Classes(&self.labels),
        };
        (0..steps).map(|_| training.step(self.x.view(), targets).unwrap()).last().unwrap()
    }

    /// The loss, and the gradients in the order of [`parameters`].
    fn gradients(&self) -> (f32, Vec<Vec<f64>>) {
        let mut copy = Fast {
            net: self.net.clone(),
            x: self.x.clone(),
            labels: self.labels.clone(),
            values: self.values.clone(),
            ..*self
        };
        let loss = copy.train(Sgd::new(LARGE_RATE), 1);
        let (before, after) = (parameters(&self.net), parameters(&copy.net));
        let tensor = |(w, moved): (Vec<f32>, Vec<f32>)| -> Vec<f64> {
            let gradient = |(&w, &m)| (f64::from(w) - f64::from(m)) / f64::from(LARGE_RATE);
            w.iter().zip(&moved).map(gradient).collect()
        };
        (loss, before.into_iter().zip(after).map(tensor).collect())
    }
}

/// The activation of a fixture, where the fast path has it.
fn activation(spec: Spec) -> Option<Activation> {
    Some(match spec.name() {
        "leaky_relu" => Activation::LeakyRelu { slope: spec.number("slope") as f32 },
        "elu" => Activation::Elu { alpha: spec.number("alpha") as f32 },
        "hard_tanh" => Activation::HardTanh,
        name => name.parse().ok()?,
    })
}

/// The network and batch of a fixture, where the fast path has all of it.
fn fast(fixtures: &Fixtures, case: &Case, level: Level) -> Option<Fast> {
    let [rows, n_in, hidden, n_out] =
        ["rows", "n_in", "hidden", "n_out"].map(|name| fixtures.size(name));
    let options = ["label_smoothing", "class_weights", "sample_weights"];
    if options.into_iter().any(|option| case.loss.has(option)) {
        return None;
    }
    let loss = match (case.loss.name(), case.target) {
        ("cross_entropy", "labels") => Loss::CrossEntropy,
        ("mean_squared_error", _) => Loss::MeanSquared,
        ("quadratic", _) => Loss::Quadratic,
        _ => return None,
    };
    let output = activation(case.output)?;
    loss.check_output(output).ok()?;
    let builder = Mlp::builder(n_in).dense(hidden, activation(case.hidden)?).dense(n_out, output);
    let mut net = builder.level(level).build().unwrap();
    for (layer, [w, b], (rows, cols)) in
        [(0, ["w1", "b1"], (n_in, hidden)), (1, ["w2", "b2"], (hidden, n_out))]
    {
        let (w, b) = (fixtures.parameter(case.net, w), fixtures.parameter(case.net, b));
        net.set_parameters(layer, MatRef::new(&w, rows, cols).unwrap(), &b).unwrap();
    }
    Some(Fast {
        net,
        loss,
        x: Matrix::from_vec(rows, n_in, fixtures.data("x")).unwrap(),
        labels: fixtures.labels().into_iter().map(|l| l as u32).collect(),
        values: if case.target == "labels" { vec![] } else { fixtures.data(case.target) },
    })
}

#[test]
fn outputs_loss_and_gradients_are_pytorchs() {
    let fixtures = Fixtures::load();
    for level in Level::available() {
        let mut names = Vec::new();
        for case in fixtures.cases() {
            let Some(fast) = fast(&fixtures, &case, level) else { continue };
            names.push(case.name);
            let (loss, gradients) = fast.gradients();
            let output = fast.net.predict(fast.x.view()).unwrap();
            let mut found = vec![("output", widen(output.as_slice())), ("loss", vec![loss.into()])];
            found.extend(["dw1", "db1", "dw2", "db2"].into_iter().zip(gradients));
            for (name, got) in &found {
                let place = format!("{} {}: {name}", level.name(), case.name);
                assert_close(&place, got, &case.expected.f64(name), TOLERANCE);
                assert_close(&place, got, &case.expected.f32(name), TOLERANCE);
            }
        }
        // Every hidden activation but maxout and GELU's tanh form, and the two squared losses:
        // none may drop out in silence.
        assert_eq!(names.len(), 15, "{names:?}");
    }
}

#[test]
fn twenty_steps_of_every_optimiser_are_pytorchs() {
    let fixtures = Fixtures::load();
    for level in Level::available() {
        let mut count = 0;
        for entry in fixtures.optimizers() {
            let spec = entry.optimizer;
            let Some(start) = fast(&fixtures, &entry.case, level) else { continue };
            let number = |name| spec.number(name) as f32;
            let optimizer: Optimizer = match spec.name() {
                _ if spec.has("l2") => continue,
                "sgd" => Sgd::new(number("lr")).into(),
                "momentum" => Momentum::new(number("lr"), number("momentum")).into(),
                "nesterov" => Momentum::new(number("lr"), number("momentum")).nesterov().into(),
                "adam" => {
                    let betas = spec.numbers("betas").unwrap();
                    let adam = Adam::new(number("lr")).betas(betas[0] as f32, betas[1] as f32);
                    adam.epsilon(number("epsilon")).into()
                }
                _ => continue,
            };
            count += 1;
            for (steps, expected) in &entry.after {
                let mut fast = Fast {
                    net: start.net.clone(),
                    x: start.x.clone(),
                    labels: start.labels.clone(),
                    values: start.values.clone(),
                    ..start
                };
                let loss = fast.train(optimizer, *steps);
                let place = format!("{} {} after {steps}", level.name(), entry.case.name);
                let [w1, b1, w2, b2] = parameters(&fast.net).try_into().unwrap();
                for (name, got) in
                    [("loss", vec![loss]), ("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)]
                {
                    let place = format!("{place}: {name}");
                    assert_close(&place, &got, &expected.f64(name), TOLERANCE_20_STEPS);
                    assert_close(&place, &got, &expected.f32(name), TOLERANCE_20_STEPS);
                }
            }
        }
        assert_eq!(count, 4, "sgd, momentum, nesterov, adam");
    }
}

/// The comparison with PyTorch can fail: one weight changed by 1e-5 is found.
#[test]
fn a_small_error_is_found() {
    let fixtures = Fixtures::load();
    let case = &fixtures.cases()[2];
    let mut fast = fast(&fixtures, case, Level::best()).unwrap();
    let (mut w, b) = (fast.net.weights(0).unwrap(), fast.net.biases(0).unwrap());
    w.as_mut_slice()[11] += 1e-5;
    fast.net.set_parameters(0, w.view(), &b).unwrap();
    let (_, gradients) = fast.gradients();
    let error = relative_error(&gradients[2], &case.expected.f64("dw2"));
    assert!(error > TOLERANCE && error < 1e-4, "{error}");
}

/// The activation of the naive path.
fn naive(activation: Activation) -> reference::Activation {
    use reference::Activation as Naive;
    match activation {
        Activation::Identity => Naive::Identity,
        Activation::Sigmoid => Naive::Sigmoid,
        Activation::Tanh => Naive::Tanh,
        Activation::Relu => Naive::Relu,
        Activation::LeakyRelu { slope } => Naive::LeakyRelu { slope: slope.into() },
        Activation::Elu { alpha } => Naive::Elu { alpha: alpha.into() },
        Activation::Gelu => Naive::Gelu,
        Activation::Silu => Naive::Silu,
        Activation::Selu => Naive::Selu,
        Activation::Softplus => Naive::Softplus,
        Activation::Softsign => Naive::Softsign,
        Activation::HardTanh => Naive::HardTanh,
        Activation::Softmax => Naive::Softmax,
        other => panic!("{other} is not trained"),
    }
}

/// A copy of a network in f64.
fn oracle(net: &Mlp) -> Network<f64> {
    let layers = net.layers().enumerate().map(|(i, l)| {
        let (w, b) = (net.weights(i).unwrap(), net.biases(i).unwrap());
        Layer::new(l.n_in, l.n_out, naive(l.activation), widen(w.as_slice()), widen(&b)).unwrap()
    });
    Network::new(layers.collect()).unwrap()
}

fn naive_loss(loss: Loss) -> reference::Loss {
    match loss {
        Loss::CrossEntropy => reference::Loss::cross_entropy(),
        Loss::MeanSquared => reference::Loss::MeanSquaredError,
        Loss::Quadratic => reference::Loss::Quadratic,
        other => panic!("{other}"),
    }
}

/// A network with random biases (they begin at zero) and a random batch.
fn random(level: Level, layers: &[(usize, Activation)], rows: usize, loss: Loss) -> Fast {
    let (n_in, data) = (layers[0].0, &mut Data::new(rows as u64));
    let mut builder = Mlp::builder(n_in).level(level).seed(3);
    for &(n_out, activation) in &layers[1..] {
        builder = builder.dense(n_out, activation);
    }
    let mut net = builder.build().unwrap();
    for l in 0..layers.len() - 1 {
        let w = net.weights(l).unwrap();
        let biases = data.f32s(w.cols());
        net.set_parameters(l, w.view(), &biases).unwrap();
    }
    let n_out = net.n_out();
    let values = if loss == Loss::MeanSquared { data.f32s(rows * n_out) } else { vec![] };
    Fast {
        net,
        loss,
        x: Matrix::from_vec(rows, n_in, data.f32s(rows * n_in)).unwrap(),
        labels: data.labels(rows, n_out).into_iter().map(|l| l as u32).collect(),
        values,
    }
}

/// Outputs, loss and gradients of the fast path against the naive one in f64; the largest error.
fn check_against_oracle(place: &str, fast: &Fast) {
    let labels: Vec<usize> = fast.labels.iter().map(|&l| l as usize).collect();
    let (x, values) = (widen(fast.x.as_slice()), widen(&fast.values));
    let target = if values.is_empty() { Target::Labels(&labels) } else { Target::Values(&values) };
    let network = oracle(&fast.net);
    let (loss, want) = network.gradients(&Batch::new(&x, target), &naive_loss(fast.loss)).unwrap();
    let place = format!("{} {place}", fast.net.level().name());
    let output = fast.net.predict(fast.x.view()).unwrap();
    assert_close(
        format!("{place}: output"),
        output.as_slice(),
        &network.forward(&x).unwrap(),
        TOLERANCE,
    );
    let (got_loss, got) = fast.gradients();
    assert_close(format!("{place}: loss"), &[got_loss], &[loss], TOLERANCE);
    let want = want.into_iter().flat_map(|g| [g.weight, g.bias]);
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_close(format!("{place}: gradient {i}"), got, &want, TOLERANCE);
    }
}

#[test]
fn gradients_of_every_shape_are_the_references() {
    use Activation::{Gelu, Identity, Relu, Sigmoid, Softmax, Tanh};
    let elu = Activation::elu();
    for level in Level::available() {
        let check = |place: &str, layers: &[(usize, Activation)], rows, loss| {
            check_against_oracle(place, &random(level, layers, rows, loss));
        };
        let input = |n| (n, Identity);
        // One of everything; one neuron beyond a vector, a panel, a tile.
        check("ones", &[input(1), (1, Tanh), (1, Identity)], 1, Loss::MeanSquared);
        check("9-17-33", &[input(9), (17, elu), (33, Softmax)], 7, Loss::CrossEntropy);
        check("no hidden layer", &[input(65), (5, Softmax)], 33, Loss::CrossEntropy);
        // Several blocks of 256 inputs, and of 256 rows.
        check("784-30-10", &[input(784), (30, Sigmoid), (10, Sigmoid)], 10, Loss::Quadratic);
        check("600-33-10", &[input(600), (33, Relu), (10, Softmax)], 300, Loss::CrossEntropy);
        check("7-5-3", &[input(7), (5, Tanh), (3, Identity)], 777, Loss::MeanSquared);
        // Several blocks of 256 outputs on the way back.
        check(
            "20-300-270-7",
            &[input(20), (300, Gelu), (270, Tanh), (7, Softmax)],
            19,
            Loss::CrossEntropy,
        );
        // Deep and uneven.
        let sizes = [13, 31, 16, 47, 8, 1, 24, 11].map(|n| (n, Tanh));
        let deep = [&[input(13)], &sizes[..], &[(4, Softmax)]].concat();
        check("deep", &deep, 50, Loss::CrossEntropy);
    }
}

#[test]
fn epochs_over_byte_and_float_data_sets_are_the_references() {
    let (rows, n_in, batch_size, seed) = (70, 300, 32, 9);
    let data = &mut Data::new(1);
    let bytes: Vec<u8> = (0..rows * n_in).map(|_| data.bits() as u8).collect();
    let labels = data.labels(rows, 4);
    let targets =
        || Targets::Classes { labels: labels.iter().map(|&l| l as u32).collect(), n_classes: 4 };
    let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
    for level in Level::available() {
        let sets = [
            Dataset::from_u8(bytes.clone(), n_in, targets()).unwrap(),
            Dataset::from_f32(floats.clone(), n_in, targets()).unwrap(),
        ];
        for set in sets {
            let start = Mlp::builder(n_in)
                .dense(20, Activation::Tanh)
                .dense(4, Activation::Softmax)
                .level(level)
                .build()
                .unwrap();
            let mut net = start.clone();
            let mut trainer =
                Trainer::new(Momentum::new(0.1, 0.9)).batch_size(batch_size).epochs(2).seed(seed);
            let history = trainer.fit(&mut net, &set).unwrap();
            assert_eq!(history.steps, 6);

            let mut naive = oracle(&start);
            let mut momentum =
                reference::Optimizer::new(reference::Rule::Momentum { momentum: 0.9 }, 0.1);
            let mut order = vec![0; rows];
            for epoch in 1..=2 {
                shuffled(seed, epoch, &mut order);
                let mut loss = 0.0;
                for batch in order.chunks(batch_size) {
                    let rows = batch.iter().map(|&i| &floats[i as usize * n_in..][..n_in]);
                    let x = widen(&rows.collect::<Vec<_>>().concat());
                    let y: Vec<usize> = batch.iter().map(|&i| labels[i as usize]).collect();
                    let batch = Batch::new(&x, Target::Labels(&y));
                    let mean = naive.step(&batch, &reference::Loss::cross_entropy(), &mut momentum);
                    loss += mean.unwrap() * y.len() as f64;
                }
                let got = history.epochs[epoch as usize - 1].loss;
                assert_close("loss", &[got], &[loss / rows as f64], TOLERANCE);
            }
            let want = naive.layers.iter().flat_map(|l| [&l.weight, &l.bias]);
            for (i, (got, want)) in parameters(&net).iter().zip(want).enumerate() {
                let place = format!("{} parameter {i}", level.name());
                assert_close(place, got, want, TOLERANCE_20_STEPS);
            }
        }
    }
}

/// Steps of a central difference. The loss comes out of f32 arithmetic, good to about 1e-7, so
/// the slope is good to 1e-7/2^-6 = 6e-6 beside the truncation, 2^-12/6 of the third derivative.
const EPSILON: f32 = 1.0 / 64.0;

/// Limit of |difference − gradient| / max|gradient|. Measured: at most 7e-4 (truncation).
const TOLERANCE_OF_DIFFERENCES: f64 = 2e-3;

/// A network 4-5-3 whose hidden z keep away from the kinks of the activations, 0 and ±1.
fn away_from_kinks(level: Level, activation: Activation) -> Fast {
    for seed in 0.. {
        let data = &mut Data::new(seed);
        let mut fast = Fast {
            net: Mlp::builder(4)
                .dense(5, activation)
                .dense(3, Activation::Softmax)
                .level(level)
                .build()
                .unwrap(),
            loss: Loss::CrossEntropy,
            x: Matrix::from_vec(3, 4, data.f32s(12)).unwrap(),
            labels: vec![0, 1, 2],
            values: vec![],
        };
        for (l, n_in, n_out) in [(0, 4, 5), (1, 5, 3)] {
            let (w, b) = (data.f32s(n_in * n_out), data.f32s(n_out));
            fast.net.set_parameters(l, MatRef::new(&w, n_in, n_out).unwrap(), &b).unwrap();
        }
        let outputs = oracle(&fast.net).layer_outputs(&widen(fast.x.as_slice())).unwrap();
        let distance = |z: &f64| z.abs().min((z.abs() - 1.0).abs());
        let nearest = outputs[0].z.iter().map(distance).fold(1.0, f64::min);
        // A weight moves z by at most ε|x| < ε.
        if nearest > 1.5 * f64::from(EPSILON) {
            return fast;
        }
    }
    unreachable!()
}

/// dL/dw of every parameter by differences of the loss on the batch.
fn differences(fast: &Fast) -> Vec<Vec<f64>> {
    let labels = Targets::Classes { labels: fast.labels.clone(), n_classes: 3 };
    let set = Dataset::from_f32(fast.x.as_slice().to_vec(), 4, labels).unwrap();
    let mut net = fast.net.clone();
    let mut all = Vec::new();
    for layer in 0..2 {
        let (w, b) = (net.weights(layer).unwrap(), net.biases(layer).unwrap());
        let slopes = (0..w.as_slice().len() + b.len()).map(|i| {
            let mut at = |step: f32| {
                let (mut w, mut b) = (w.clone(), b.clone());
                let n = w.as_slice().len();
                let place = if i < n { &mut w.as_mut_slice()[i] } else { &mut b[i - n] };
                *place += step;
                let moved = f64::from(*place);
                net.set_parameters(layer, w.view(), &b).unwrap();
                (moved, net.evaluate(&set).unwrap().loss)
            };
            let ((w1, loss1), (w0, loss0)) = (at(EPSILON), at(-EPSILON));
            (loss1 - loss0) / (w1 - w0)
        });
        let slopes: Vec<f64> = slopes.collect();
        net.set_parameters(layer, w.view(), &b).unwrap();
        let (dw, db) = slopes.split_at(w.as_slice().len());
        all.extend([dw.to_vec(), db.to_vec()]);
    }
    all
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for level in Level::available() {
        for activation in Activation::ALL {
            if matches!(activation, Activation::Softmax | Activation::Step) {
                continue;
            }
            let fast = away_from_kinks(level, activation);
            let (_, gradients) = fast.gradients();
            for (i, (got, want)) in gradients.iter().zip(differences(&fast)).enumerate() {
                let place = format!("{} {activation}: gradient {i}", level.name());
                assert_close(place, got, &want, TOLERANCE_OF_DIFFERENCES);
            }
        }
    }
}

/// The differences can tell a wrong gradient: one element off by a hundredth is found.
#[test]
fn differences_find_a_planted_error() {
    let fast = away_from_kinks(Level::best(), Activation::Tanh);
    let (_, mut gradients) = fast.gradients();
    let slopes = differences(&fast);
    let largest = |g: &[f64]| g.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (gradient, slopes) in gradients.iter_mut().zip(&slopes) {
        gradient[0] += 0.01 * largest(gradient);
        assert!(relative_error(gradient, slopes) > TOLERANCE_OF_DIFFERENCES);
    }
}

#[test]
fn layers_that_cannot_learn_are_refused() {
    let net = |hidden, output| Mlp::builder(2).dense(2, hidden).dense(2, output).build().unwrap();
    let start = |mut net: Mlp, loss| Trainer::new(Sgd::new(0.1)).loss(loss).start(&mut net).err();
    use Activation::{Relu, Softmax, Step};
    assert!(start(net(Step, Softmax), Loss::CrossEntropy).is_some());
    assert!(start(net(Relu, Step), Loss::Quadratic).is_some());
    assert!(start(net(Relu, Relu), Loss::CrossEntropy).is_some());
    assert!(start(net(Relu, Softmax), Loss::MeanSquared).is_some());
    assert!(start(net(Relu, Softmax), Loss::CrossEntropy).is_none());
}
