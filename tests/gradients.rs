//! The public gradient checker: every activation with every loss passes, and a planted error of a
//! thousandth of one element is found at its place.

mod support;

use deltarule::gradient::{GradientCheck, Parameter, gradients, reference_network};
use deltarule::{
    Activation, BatchTargets, Init, Level, Loss, MatRef, Mlp, Sgd, Trainer, check_gradients,
};
use support::{Data, relative_error};

const ROWS: usize = 5;

const LOSSES: [Loss; 6] = [
    Loss::CrossEntropy,
    Loss::MeanSquared,
    Loss::Quadratic,
    Loss::BinaryCrossEntropy,
    Loss::MeanAbsolute,
    Loss::Huber { delta: 0.3 },
];

fn network(hidden: Activation, output: Activation, level: Level) -> Mlp {
    Mlp::builder(4)
        .dense(6, hidden)
        .dense(5, hidden)
        .dense(3, output)
        .init(Init::Normal(0.7))
        .seed(3)
        .level(level)
        .build()
        .unwrap()
}

/// The outputs a loss can follow.
fn outputs(loss: Loss) -> Vec<Activation> {
    let all = Activation::ALL.into_iter();
    all.filter(|&output| loss.check_output(output, 2).is_ok()).collect()
}

#[test]
fn every_activation_with_every_loss_at_every_level() {
    let mut data = Data::new(21);
    let x = data.f32s(ROWS * 4);
    // Some losses take probabilities only.
    let y: Vec<f32> = (0..ROWS * 3).map(|_| data.uniform(0.0, 1.0) as f32).collect();
    let x = MatRef::new(&x, ROWS, 4).unwrap();
    let values = BatchTargets::Values(MatRef::new(&y, ROWS, 3).unwrap());
    let labels = BatchTargets::Classes(&[0, 2, 1, 2, 0]);
    let hidden = Activation::ALL.into_iter();
    let mut checks = 0;
    for hidden in hidden.filter(|&a| a != Activation::Softmax && a != Activation::Step) {
        for loss in LOSSES {
            for output in outputs(loss.clone()) {
                for targets in [values, labels] {
                    if loss == Loss::CrossEntropy && matches!(targets, BatchTargets::Values(_)) {
                        continue;
                    }
                    for level in Level::available() {
                        let net = network(hidden, output, level);
                        let check = check_gradients(&net, x, targets, loss.clone()).unwrap();
                        let place = format!("{hidden}, {output}, {loss}, {}", level.name());
                        assert!(check.passed(), "{place}: {check}");
                        assert_eq!(check.compared + check.at_kinks, net.n_parameters(), "{place}");
                        assert!(check.at_kinks <= 5, "{place}: {check}");
                        checks += 1;
                    }
                }
            }
        }
    }
    assert!(checks > 500, "{checks}");
}

#[test]
fn a_planted_error_is_found_at_its_place() {
    let net = network(Activation::Tanh, Activation::Softmax, Level::best());
    let x = Data::new(22).f32s(ROWS * 4);
    let x = MatRef::new(&x, ROWS, 4).unwrap();
    let (targets, loss) = (BatchTargets::Classes(&[0, 1, 2, 1, 0]), Loss::CrossEntropy);
    let good = gradients(&net, x, targets, loss.clone()).unwrap();
    assert!(good.check(&net, x, targets, loss.clone()).unwrap().passed());
    for layer in 0..3 {
        let largest = |g: &[f32]| g.iter().fold(0.0, |m: f32, g| m.max(g.abs()));
        let columns = good.layers[layer].biases.len();

        let mut bad = good.clone();
        let error = 1e-3 * largest(good.layers[layer].weights.as_slice());
        bad.layers[layer].weights.as_mut_slice()[2 * columns + 1] += error;
        let check = bad.check(&net, x, targets, loss.clone()).unwrap();
        assert!(!check.passed(), "{check}");
        let worst = check.worst.unwrap();
        assert_eq!((worst.layer, worst.parameter), (layer, Parameter::Weight(2, 1)));
        assert!(worst.error < 1.1e-3, "{check}");

        let mut bad = good.clone();
        bad.layers[layer].biases[2] -= error;
        let worst = bad.check(&net, x, targets, loss.clone()).unwrap().worst.unwrap();
        assert_eq!((worst.layer, worst.parameter), (layer, Parameter::Bias(2)));
        assert!(worst.error > GradientCheck::TOLERANCE);
    }
    let mut bad = good.clone();
    bad.layers[1].biases[0] = f32::NAN;
    assert_eq!(bad.check(&net, x, targets, loss).unwrap().error(), f64::INFINITY);
}

/// Everything that can stand around a layer: norms, dropout, residual connections, maxout, scales.
#[test]
fn layers_with_more_than_an_activation() {
    let net = |level: Level| {
        let base = || Mlp::builder(4).init(Init::Normal(0.7)).seed(5).level(level);
        let (tanh, relu) = (Activation::Tanh, Activation::Relu);
        let top = |b: deltarule::MlpBuilder| b.dense(3, Activation::Softmax).build().unwrap();
        [
            ("maxout", top(base().maxout(6, 3).maxout(5, 2))),
            ("dropout", top(base().dropout(0.2).dense(20, tanh).dropout(0.5).dense(6, relu))),
            ("layer norm", top(base().dense(6, tanh).layer_norm().dense(5, relu).layer_norm())),
            ("batch norm", top(base().dense(6, tanh).batch_norm().dense(5, relu).batch_norm())),
            ("residual", top(base().dense(6, tanh).dense(5, tanh).dense(6, tanh).residual(2))),
            ("affine", top(base().dense(6, relu).affine().dense(5, tanh))),
            ("affine inputs", top(base().dropout(0.2).affine().dense(6, tanh))),
            (
                "affine with branches",
                top(base()
                    .affine()
                    .dropout(0.2)
                    .affine()
                    .residual(2)
                    .dense(4, Activation::Silu)
                    .affine()
                    .dropout(0.3)
                    .residual(3)),
            ),
            ("affine output", base().dense(3, tanh).affine().build().unwrap()),
            (
                "all at once",
                top(base()
                    .dropout(0.1)
                    .maxout(20, 2)
                    .dropout(0.3)
                    .dense(20, tanh)
                    .batch_norm()
                    .dropout(0.3)
                    .residual(1)
                    .dense(20, Activation::Gelu)
                    .layer_norm()
                    .dropout(0.2)
                    .affine()
                    .dense(20, relu)
                    .residual(3)),
            ),
        ]
    };
    let mut data = Data::new(24);
    let x = data.f32s(8 * 4);
    let x = MatRef::new(&x, 8, 4).unwrap();
    let classes = BatchTargets::Classes(&[0, 2, 1, 2, 0, 1, 1, 0]);
    let y = data.f32s(8 * 3);
    let values = BatchTargets::Values(MatRef::new(&y, 8, 3).unwrap());
    for (name, mut net) in Level::available().flat_map(net) {
        // Norms begin at γ = 1, β = 0; elsewhere a mistake would show more.
        let layers = net.layers().len();
        for layer in 0..layers {
            if let Some(mut norm) = net.norm_parameters(layer).unwrap() {
                norm.gamma.iter_mut().for_each(|g| *g = data.uniform(0.5, 1.5) as f32);
                norm.beta.iter_mut().for_each(|b| *b = data.uniform(-0.5, 0.5) as f32);
                net.set_norm_parameters(layer, &norm).unwrap();
            }
        }
        let is_softmax = net.layers().last().unwrap().layer.activation() == Activation::Softmax;
        let (loss, targets) = match is_softmax {
            true => (Loss::CrossEntropy, classes),
            false => (Loss::MeanSquared, values),
        };
        let found = gradients(&net, x, targets, loss.clone()).unwrap();
        let check = found.check(&net, x, targets, loss.clone()).unwrap();
        assert!(check.passed(), "{name}, {}: {check}", net.level().name());
        assert_eq!(check.compared + check.at_kinks, net.n_parameters(), "{name}");
        assert!(10 * check.at_kinks < check.compared, "{name}: {check}");
        // A planted error in a norm's parameters.
        let normalised = found.layers.iter().position(|layer| !layer.gamma.is_empty());
        if let Some(layer) = normalised {
            let mut bad = found.clone();
            bad.layers[layer].gamma[1] += 0.01;
            let worst = bad.check(&net, x, targets, loss.clone()).unwrap().worst.unwrap();
            assert_eq!((worst.layer, worst.parameter), (layer, Parameter::Scale(1)), "{name}");
            let mut bad = found.clone();
            bad.layers[layer].beta.pop();
            assert!(bad.check(&net, x, targets, loss).is_err());
        }
    }
}

/// The gradient is the one that plain backpropagation finds, and descent uses: W − η·∂L/∂W.
#[test]
fn gradients_are_those_of_the_reference_and_of_training() {
    let mut net = network(Activation::Sigmoid, Activation::Softmax, Level::best());
    let x = Data::new(23).f32s(ROWS * 4);
    let labels = [2, 1, 0, 1, 1];
    let rows = MatRef::new(&x, ROWS, 4).unwrap();
    let targets = BatchTargets::Classes(&labels);
    let found = gradients(&net, rows, targets, Loss::CrossEntropy).unwrap();
    let labels = labels.map(|l| l as usize);
    let (wide, target) = (support::widen(&x), deltarule::reference::Target::Labels(&labels));
    let batch = deltarule::reference::Batch::new(&wide, target);
    let (loss, want) = reference_network(&net)
        .unwrap()
        .gradients(&batch, &deltarule::reference::Loss::cross_entropy())
        .unwrap();
    assert!((f64::from(found.loss) - loss).abs() < 1e-6);
    for (found, want) in found.layers.iter().zip(&want) {
        assert!(relative_error(found.weights.as_slice(), &want.weight) < 1e-5);
        assert!(relative_error(&found.biases, &want.bias) < 1e-5);
        let square = |g: &Vec<f64>| g.iter().map(|g| g * g).sum::<f64>();
        let norm = (square(&want.weight) + square(&want.bias)).sqrt();
        assert!((found.norm() / norm - 1.0).abs() < 1e-5);
    }
    let before = net.clone();
    let trainer = Trainer::new(Sgd::new(0.5)).batch_size(ROWS);
    trainer.session(&mut net).unwrap().step(rows, targets).unwrap();
    for (layer, found) in found.layers.iter().enumerate() {
        let [old, new] = [&before, &net].map(|net| net.weights(layer).unwrap());
        for ((old, new), g) in
            old.as_slice().iter().zip(new.as_slice()).zip(found.weights.as_slice())
        {
            assert!((old - 0.5 * g - new).abs() < 1e-7);
        }
    }
}

/// One output for two classes should be the class: label 0 is a target of 0, label 1 of 1.
#[test]
fn one_output_is_the_class_itself() {
    for (output, loss) in [
        (Activation::Sigmoid, Loss::BinaryCrossEntropy),
        (Activation::Sigmoid, Loss::MeanSquared),
        (Activation::Tanh, Loss::Quadratic),
        (Activation::Identity, Loss::MeanAbsolute),
    ] {
        let net = Mlp::builder(2).dense(3, Activation::Tanh).dense(1, output).seed(4);
        let net = net.build().unwrap();
        let x = MatRef::new(&[0.5, -1.0, 0.25, 2.0, -1.5, 0.5], 3, 2).unwrap();
        let labels = BatchTargets::Classes(&[0, 1, 0]);
        let values = BatchTargets::Values(MatRef::new(&[0.0, 1.0, 0.0], 3, 1).unwrap());
        let check = check_gradients(&net, x, labels, loss.clone()).unwrap();
        assert!(check.passed(), "{loss}: {check}");
        assert_eq!(check, check_gradients(&net, x, values, loss.clone()).unwrap());
        let refused = check_gradients(&net, x, BatchTargets::Classes(&[0, 2, 1]), loss.clone());
        assert!(refused.is_err());
        let found = gradients(&net, x, values, loss.clone()).unwrap();
        assert!(found.check(&net, x, BatchTargets::Classes(&[0, 2, 1]), loss.clone()).is_err());
        // Label 1 for 0 is another gradient.
        let swapped =
            found.check(&net, x, BatchTargets::Classes(&[1, 0, 1]), loss.clone()).unwrap();
        // |ŷ − y| has one slope on the same side of both.
        assert!(!swapped.passed() || loss == Loss::MeanAbsolute, "{loss}: {swapped}");
    }
}

/// Right gradients that cancelled are right, and wrong ones are found: below batch normalisation
/// over two rows, whose gradients nearly cancel, and over more.
#[test]
fn gradients_that_cancel_are_right() {
    let mut found_wrong = 0;
    for seed in 0..200 {
        let mut data = Data::new(seed);
        let rows = 2 + data.below(2) * data.below(5);
        let n_in = 1 + data.below(6);
        let hidden = [Activation::Tanh, Activation::Sigmoid, Activation::Identity][data.below(3)];
        let mut builder = Mlp::builder(n_in);
        for _ in 0..1 + data.below(3) {
            let width = 2 + data.below(8);
            builder = builder.dense(width, hidden);
            builder = match data.below(3) {
                0 => builder.layer_norm(),
                _ => builder.batch_norm(),
            };
        }
        let net = builder.dense(3, Activation::Softmax).seed(seed).build().unwrap();
        let x = data.f32s(rows * n_in);
        let labels: Vec<u32> = data.labels(rows, 3).iter().map(|l| *l as u32).collect();
        let x = MatRef::new(&x, rows, n_in).unwrap();
        let targets = BatchTargets::Classes(&labels);
        let found = gradients(&net, x, targets, Loss::CrossEntropy).unwrap();
        let check = found.check(&net, x, targets, Loss::CrossEntropy).unwrap();
        assert!(check.passed(), "seed {seed}, {rows} rows, {net:?}: {check}");
        // The largest gradient of a layer above the norms, off by a hundredth.
        let mut wrong = found.clone();
        let top = wrong.layers.len() - 1;
        let largest = wrong.layers[top].weights.as_mut_slice().iter_mut();
        let largest = largest.max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        *largest *= 1.01;
        let check = wrong.check(&net, x, targets, Loss::CrossEntropy).unwrap();
        found_wrong += usize::from(!check.passed());
    }
    // In two of them rounding may take more than that hundredth.
    assert!(found_wrong >= 195, "{found_wrong}");
}

/// A loss of 0 is a minimum: gradients of 0 are right there, and others are not.
#[test]
fn a_loss_of_zero() {
    let mut net = Mlp::builder(2).dense(1, Activation::Identity).build().unwrap();
    for w in [[0.0, 0.0], [0.5, -2.0]] {
        net.set_parameters(0, MatRef::new(&w, 2, 1).unwrap(), &[0.0]).unwrap();
        let x = [1.0, 0.5, -3.0, 2.0];
        let y = [w[0] + 0.5 * w[1], -3.0 * w[0] + 2.0 * w[1]];
        let (x, y) = (MatRef::new(&x, 2, 2).unwrap(), MatRef::new(&y, 2, 1).unwrap());
        for loss in [Loss::MeanSquared, Loss::Quadratic, Loss::Huber { delta: 1.0 }] {
            let targets = BatchTargets::Values(y);
            let mut found = gradients(&net, x, targets, loss.clone()).unwrap();
            let check = found.check(&net, x, targets, loss.clone()).unwrap();
            assert!(check.passed() && check.error().is_finite() && check.loss == 0.0, "{check}");
            found.layers[0].biases[0] = 1e-3;
            assert!(!found.check(&net, x, targets, loss).unwrap().passed());
        }
    }
}

/// A network that is sure and right: p − y is the difference of two numbers of about 1.
#[test]
fn gradients_of_confident_predictions() {
    for size in [1.0f32, 6.0, 12.0, 20.0] {
        let mut net = network(Activation::Tanh, Activation::Softmax, Level::best());
        let w = net.weights(2).unwrap();
        let mut larger = w.clone();
        larger.as_mut_slice().iter_mut().for_each(|w| *w *= size);
        net.set_parameters(2, larger.view(), &[size, 0.0, -size]).unwrap();
        let x = Data::new(3).f32s(ROWS * 4);
        let x = MatRef::new(&x, ROWS, 4).unwrap();
        let out = net.predict(x).unwrap();
        let sure = |r: usize| (0..3).max_by(|a, b| out.row(r)[*a].total_cmp(&out.row(r)[*b]));
        let labels: Vec<u32> = (0..ROWS).map(|r| sure(r).unwrap() as u32).collect();
        let targets = BatchTargets::Classes(&labels);
        let check = check_gradients(&net, x, targets, Loss::CrossEntropy).unwrap();
        assert!(check.passed(), "{size}: {check}");
    }
}

#[test]
fn at_a_kink_nothing_is_compared() {
    // z = 0 exactly: a difference would say 1/2 where ReLU′(0) is 0.
    let mut net =
        Mlp::builder(1).dense(1, Activation::Relu).dense(1, Activation::Identity).build().unwrap();
    let one = MatRef::new(&[1.0], 1, 1).unwrap();
    net.set_parameters(0, MatRef::new(&[0.5], 1, 1).unwrap(), &[-0.5]).unwrap();
    net.set_parameters(1, one, &[0.0]).unwrap();
    let check = check_gradients(&net, one, BatchTargets::Values(one), Loss::Quadratic).unwrap();
    assert_eq!((check.compared, check.at_kinks), (2, 2));
    assert!(check.passed(), "{check}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let net = network(Activation::Tanh, Activation::Softmax, Level::best());
    let x = [0.5; 8];
    let rows = |cols| MatRef::new(&x[..2 * cols], 2, cols).unwrap();
    let labels = BatchTargets::Classes(&[0, 2]);
    let ce = Loss::CrossEntropy;
    assert!(check_gradients(&net, rows(4), labels, ce.clone()).is_ok());
    assert!(check_gradients(&net, rows(3), labels, ce.clone()).is_err());
    assert!(check_gradients(&net, rows(4), BatchTargets::Classes(&[0, 3]), ce.clone()).is_err());
    assert!(check_gradients(&net, rows(4), BatchTargets::Classes(&[0]), ce.clone()).is_err());
    assert!(check_gradients(&net, rows(4), labels, Loss::Quadratic).is_err());
    assert!(check_gradients(&net, MatRef::new(&[], 0, 4).unwrap(), labels, ce.clone()).is_err());
    let step = network(Activation::Step, Activation::Softmax, Level::best());
    assert!(check_gradients(&step, rows(4), labels, ce.clone()).is_err());

    let found = gradients(&net, rows(4), labels, ce.clone()).unwrap();
    assert!(found.check(&net, rows(3), labels, ce.clone()).is_err());
    assert!(found.check(&net, rows(4), BatchTargets::Classes(&[0, 3]), ce.clone()).is_err());
    let smaller =
        Mlp::builder(4).dense(2, Activation::Tanh).dense(3, Activation::Softmax).build().unwrap();
    let text = found.check(&smaller, rows(4), labels, ce).unwrap_err().to_string();
    assert!(text.contains("expected 2, got 3"), "{text}");
}
