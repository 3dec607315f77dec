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
    all.filter(|&output| loss.check_output(output).is_ok()).collect()
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
            for output in outputs(loss) {
                for targets in [values, labels] {
                    if loss == Loss::CrossEntropy && matches!(targets, BatchTargets::Values(_)) {
                        continue;
                    }
                    for level in Level::available() {
                        let net = network(hidden, output, level);
                        let check = check_gradients(&net, x, targets, loss).unwrap();
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
    let good = gradients(&net, x, targets, loss).unwrap();
    assert!(good.check(&net, x, targets, loss).unwrap().passed());
    for layer in 0..3 {
        let largest = |g: &[f32]| g.iter().fold(0.0, |m: f32, g| m.max(g.abs()));
        let columns = good.layers[layer].biases.len();

        let mut bad = good.clone();
        let error = 1e-3 * largest(good.layers[layer].weights.as_slice());
        bad.layers[layer].weights.as_mut_slice()[2 * columns + 1] += error;
        let check = bad.check(&net, x, targets, loss).unwrap();
        assert!(!check.passed(), "{check}");
        let worst = check.worst.unwrap();
        assert_eq!((worst.layer, worst.parameter), (layer, Parameter::Weight(2, 1)));
        assert!(worst.error < 1.1e-3, "{check}");

        let mut bad = good.clone();
        bad.layers[layer].biases[2] -= error;
        let worst = bad.check(&net, x, targets, loss).unwrap().worst.unwrap();
        assert_eq!((worst.layer, worst.parameter), (layer, Parameter::Bias(2)));
        assert!(worst.error > GradientCheck::TOLERANCE);
    }
    let mut bad = good.clone();
    bad.layers[1].biases[0] = f32::NAN;
    assert_eq!(bad.check(&net, x, targets, loss).unwrap().error(), f64::INFINITY);
}

/// Everything that can stand around a layer: norms, dropout, residual connections, maxout.
#[test]
fn layers_with_more_than_an_activation() {
    let net = |level: Level| {
        let base = || Mlp::builder(4).init(Init::Normal(0.7)).seed(5).level(level);
        let (tanh, relu) = (Activation::Tanh, Activation::Relu);
        let top = |b: deltarule::Builder| b.dense(3, Activation::Softmax).build().unwrap();
        [
            ("maxout", top(base().maxout(6, 3).maxout(5, 2))),
            ("dropout", top(base().dropout(0.2).dense(20, tanh).dropout(0.5).dense(6, relu))),
            ("layer norm", top(base().dense(6, tanh).layer_norm().dense(5, relu).layer_norm())),
            ("batch norm", top(base().dense(6, tanh).batch_norm().dense(5, relu).batch_norm())),
            ("residual", top(base().dense(6, tanh).dense(5, tanh).dense(6, tanh).residual(2))),
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
                    .dense(20, relu)
                    .residual(3)),
            ),
        ]
    };
    let mut data = Data::new(24);
    let x = data.f32s(8 * 4);
    let x = MatRef::new(&x, 8, 4).unwrap();
    let targets = BatchTargets::Classes(&[0, 2, 1, 2, 0, 1, 1, 0]);
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
        let loss = Loss::CrossEntropy;
        let found = gradients(&net, x, targets, loss).unwrap();
        let check = found.check(&net, x, targets, loss).unwrap();
        assert!(check.passed(), "{name}, {}: {check}", net.level().name());
        assert_eq!(check.compared + check.at_kinks, net.n_parameters(), "{name}");
        assert!(10 * check.at_kinks < check.compared, "{name}: {check}");
        // A planted error in a norm's parameters.
        let normalised = found.layers.iter().position(|layer| !layer.gamma.is_empty());
        if let Some(layer) = normalised {
            let mut bad = found.clone();
            bad.layers[layer].gamma[1] += 0.01;
            let worst = bad.check(&net, x, targets, loss).unwrap().worst.unwrap();
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
    trainer.start(&mut net).unwrap().step(rows, targets).unwrap();
    for (layer, found) in found.layers.iter().enumerate() {
        let [old, new] = [&before, &net].map(|net| net.weights(layer).unwrap());
        for ((old, new), g) in
            old.as_slice().iter().zip(new.as_slice()).zip(found.weights.as_slice())
        {
            assert!((old - 0.5 * g - new).abs() < 1e-7);
        }
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
    assert!(check_gradients(&net, rows(4), labels, ce).is_ok());
    assert!(check_gradients(&net, rows(3), labels, ce).is_err());
    assert!(check_gradients(&net, rows(4), BatchTargets::Classes(&[0, 3]), ce).is_err());
    assert!(check_gradients(&net, rows(4), BatchTargets::Classes(&[0]), ce).is_err());
    assert!(check_gradients(&net, rows(4), labels, Loss::Quadratic).is_err());
    assert!(check_gradients(&net, MatRef::new(&[], 0, 4).unwrap(), labels, ce).is_err());
    let step = network(Activation::Step, Activation::Softmax, Level::best());
    assert!(check_gradients(&step, rows(4), labels, ce).is_err());

    let found = gradients(&net, rows(4), labels, ce).unwrap();
    assert!(found.check(&net, rows(3), labels, ce).is_err());
    assert!(found.check(&net, rows(4), BatchTargets::Classes(&[0, 3]), ce).is_err());
    let smaller =
        Mlp::builder(4).dense(2, Activation::Tanh).dense(3, Activation::Softmax).build().unwrap();
    let text = found.check(&smaller, rows(4), labels, ce).unwrap_err().to_string();
    assert!(text.contains("expected 2, got 3"), "{text}");
}
