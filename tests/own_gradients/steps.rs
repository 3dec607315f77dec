//! A step in three calls.

use crate::support::kinds::optimizers;
use crate::support::{Data, assert_close, widen};
use crate::{BODIES, Body, N_IN, ROWS, build, matrix};
use deltarule::{
    Activation, Adam, BatchTargets, Level, Loss, Matrix, Mlp, Momentum, Optimizer, Precision, Sgd,
    Threads, Trainer, Training,
};

const LOSSES: [(Loss, Activation); 7] = [
    (Loss::CrossEntropy, Activation::Softmax),
    (Loss::BinaryCrossEntropy, Activation::Sigmoid),
    (Loss::MeanSquared, Activation::Identity),
    (Loss::MeanSquared, Activation::Gelu),
    (Loss::Quadratic, Activation::Sigmoid),
    (Loss::MeanAbsolute, Activation::Tanh),
    (Loss::Huber { delta: 0.3 }, Activation::Softplus),
];

/// The activation of the output layer.
fn output(net: &Mlp) -> Activation {
    net.layers().last().unwrap().layer.activation()
}

/// Three steps, each by one call or by three. Returns the losses' bits.
fn train(training: &mut Training, in_parts: bool) -> Vec<u32> {
    let (n_out, mut data) = (training.network().n_out(), Data::new(7));
    let is_classes = output(training.network()) == Activation::Softmax;
    let mut losses = Vec::new();
    // The last batch is smaller.
    for rows in [ROWS, ROWS, ROWS - 5] {
        let x = matrix(&mut data, rows, N_IN);
        let labels: Vec<u32> = data.labels(rows, n_out).iter().map(|l| *l as u32).collect();
        let y: Vec<f32> = data.f32s(rows * n_out).iter().map(|y| y.abs()).collect();
        let y = Matrix::from_vec(rows, n_out, y).unwrap();
        let targets = if is_classes { BatchTargets::from(&labels) } else { (&y).into() };
        let loss = if in_parts {
            let outputs = training.forward(&x).unwrap();
            assert_eq!((outputs.rows(), outputs.cols()), (rows, n_out));
            let mut dy = Matrix::zeros(rows, n_out);
            let loss = training.loss_gradient(targets, &mut dy).unwrap();
            assert_eq!(training.loss_gradient(targets, &mut dy).unwrap(), loss);
            training.backward(&dy).unwrap();
            training.update().unwrap();
            loss
        } else {
            training.step(&x, targets).unwrap()
        };
        losses.push(loss.to_bits());
    }
    losses
}

/// Trains both ways with a trainer, and compares everything.
fn compare(place: &str, trainer: &Trainer, net: &Mlp) {
    let session = |net: Mlp| match output(&net) {
        Activation::Softmax => trainer.session(net).unwrap(),
        _ => trainer.session_values(net).unwrap(),
    };
    let (mut whole, mut parts) = (session(net.clone()), session(net.clone()));
    assert_eq!(train(&mut whole, false), train(&mut parts, true), "{place}");
    assert_eq!(whole.steps(), parts.steps(), "{place}");
    assert_eq!(whole.network().digest(), parts.network().digest(), "{place}");
    assert_ne!(whole.network().digest(), net.digest(), "{place}");
    let checkpoint = |training: &Training| {
        let mut bytes = Vec::new();
        training.write_checkpoint(&mut bytes).unwrap();
        bytes
    };
    assert!(checkpoint(&whole) == checkpoint(&parts), "{place}: optimiser's state");
}

#[test]
fn three_calls_are_a_step_for_every_loss_and_layer() {
    for level in Level::available() {
        for (name, body) in BODIES {
            for (loss, output) in LOSSES {
                for threads in [Threads::One, Threads::N(2)] {
                    let net = build(body, 6, output, level);
                    let trainer = Trainer::new(Adam::new(0.01)).loss(loss.clone());
                    let trainer = trainer.batch_size(ROWS).threads(threads).seed(3);
                    compare(&format!("{name} {loss} {} {threads:?}", level.name()), &trainer, &net);
                }
            }
        }
    }
}

#[test]
fn three_calls_are_a_step_for_every_optimiser_and_option() {
    let options: [fn(Trainer<'static>) -> Trainer<'static>; 7] = [
        |t| t,
        |t| t.clip_norm(0.05),
        |t| t.clip_value(0.001),
        |t| t.l1(0.01),
        |t| t.max_norm(0.5),
        |t| t.label_smoothing(0.1),
        |t| t.precision(Precision::Bf16),
    ];
    let net = build(BODIES[1].1, 6, Activation::Softmax, Level::best());
    for optimizer in optimizers() {
        for (i, option) in options.into_iter().enumerate() {
            let trainer = option(Trainer::new(optimizer).batch_size(ROWS).seed(3));
            compare(&format!("{optimizer:?}, option {i}"), &trainer, &net);
        }
    }
}

/// Wide enough that threads share out the columns of the first layer, with inputs that are left out.
#[test]
fn three_calls_are_a_step_where_columns_are_shared_out() {
    for n in [1, 2, 3] {
        let net = Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax);
        let net = net.seed(2).build().unwrap();
        let trainer = Trainer::new(Adam::new(0.01)).batch_size(64).threads(Threads::N(n));
        let mut data = Data::new(1);
        let mut x = matrix(&mut data, 64, 784);
        x.as_mut_slice()
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| i % 784 > 300)
            .for_each(|(_, x)| *x = 0.0);
        let labels: Vec<u32> = data.labels(64, 10).iter().map(|l| *l as u32).collect();
        let (mut whole, mut parts) =
            (trainer.session(net.clone()).unwrap(), trainer.session(net).unwrap());
        let mut dy = Matrix::zeros(64, 10);
        for _ in 0..20 {
            let loss = whole.step(&x, &labels).unwrap();
            parts.forward(&x).unwrap();
            assert_eq!(parts.loss_gradient(&labels, &mut dy).unwrap().to_bits(), loss.to_bits());
            parts.backward(&dy).unwrap();
            parts.update().unwrap();
        }
        assert_eq!(whole.network().digest(), parts.network().digest());
    }
}

/// The sum of the gradients of two halves of a batch is that of the batch; as the gradient itself it is
/// that of differences in f64 (`tests/gradients.rs`), by way of the step.
#[test]
fn gradients_of_backward_passes_add_up() {
    for (name, body) in BODIES.into_iter().filter(|(name, _)| {
        !name.contains("batch norm") && *name != "dropout" && *name != "layer norm"
    }) {
        let net = build(body, 6, Activation::Identity, Level::best());
        for optimizer in [Optimizer::from(Sgd::new(0.05)), Momentum::new(0.01, 0.9).into()] {
            let trainer = Trainer::new(optimizer).batch_size(ROWS);
            let (mut whole, mut halves) = (
                trainer.session_values(net.clone()).unwrap(),
                trainer.session_values(net.clone()).unwrap(),
            );
            let mut data = Data::new(9);
            for _ in 0..3 {
                let (x, dy) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
                whole.forward(&x).unwrap();
                whole.backward(&dy).unwrap();
                whole.update().unwrap();
                for range in [0..7, 7..10, 10..ROWS] {
                    halves.forward(x.view().row_range(range.start, range.end)).unwrap();
                    halves.backward(dy.view().row_range(range.start, range.end)).unwrap();
                }
                halves.update().unwrap();
            }
            assert_eq!((whole.steps(), halves.steps()), (3, 9));
            for layer in 0..net.layers().len() {
                let [a, b] = [&whole, &halves].map(|t| t.network().weights(layer).unwrap());
                // Sums of 24 products in another order.
                assert_close(format!("{name} {layer}"), a.as_slice(), &widen(b.as_slice()), 1e-5);
                let [a, b] = [&whole, &halves].map(|t| t.network().biases(layer).unwrap());
                assert_close(format!("{name} {layer}"), &a, &widen(&b), 1e-5);
            }
        }
    }
}

/// L = Σ c ⊙ y with random c, of training's outputs: ∂L/∂x against differences of L, with the masks of
/// dropout and the statistics of the batch.
#[test]
fn gradients_of_inputs_in_training_are_those_of_differences() {
    for level in Level::available() {
        for (name, body) in BODIES {
            for output in [Activation::Softmax, Activation::Tanh] {
                check_inputs(&format!("{name} {output} {}", level.name()), body, output, level);
            }
        }
    }
}

fn check_inputs(place: &str, body: Body, output: Activation, level: Level) {
    let net = build(body, 6, output, level);
    let trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS).threads(Threads::N(2)).seed(3);
    let session = || match output {
        Activation::Softmax => trainer.session(net.clone()).unwrap(),
        _ => trainer.session_values(net.clone()).unwrap(),
    };
    let mut data = Data::new(11);
    let (x, c) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
    let loss = |direction: &Matrix, step: f32| -> f64 {
        let moved = x.as_slice().iter().zip(direction.as_slice());
        let moved = moved.map(|(x, d)| x + step * d).collect();
        let moved = Matrix::from_vec(ROWS, N_IN, moved).unwrap();
        let mut training = session();
        let y = training.forward(&moved).unwrap();
        let terms = (0..ROWS).flat_map(|r| y.row(r).iter().zip(c.row(r)));
        terms.map(|(y, c)| f64::from(*y) * f64::from(*c)).sum()
    };
    let (mut training, mut dx) = (session(), Matrix::zeros(ROWS, N_IN));
    training.forward(&x).unwrap();
    training.backward_to_inputs(&c, &mut dx).unwrap();
    let mut errors: Vec<f64> = (0..9)
        .map(|_| {
            let (direction, step) = (matrix(&mut data, ROWS, N_IN), 2e-3);
            let rise = loss(&direction, step) - loss(&direction, -step);
            let difference = rise / (2.0 * f64::from(step));
            let slope = dx.as_slice().iter().zip(direction.as_slice());
            let slope: f64 = slope.map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            (slope - difference).abs() / difference.abs().max(1.0)
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    // Outputs of about 1 in f32, 144 of them: 1e-6 over 4e-3 and more for larger logits. The median,
    // because some directions cross kinks of ReLU and maxout.
    assert!(errors[4] < 6e-3, "{place}: {errors:?}");
    // The update is that of a step without them.
    training.update().unwrap();
    let mut plain = session();
    plain.forward(&x).unwrap();
    plain.backward(&c).unwrap();
    plain.update().unwrap();
    assert_eq!(training.network().digest(), plain.network().digest(), "{place}");
}

/// An agent that owns its networks.
struct Agent {
    training: Training<'static>,
    losses: Vec<f32>,
}

fn is_send<T: Send>(_: &T) {}

#[test]
fn sessions_can_be_owned() {
    let net = build(BODIES[0].1, 6, Activation::Identity, Level::best());
    let trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS);
    let shared = std::sync::Arc::new(net.clone());
    let mut agents: Vec<Agent> = vec![
        trainer.session_values(net.clone()).unwrap(),
        trainer.session_values(Box::new(net.clone())).unwrap(),
        trainer.session_values(shared.clone()).unwrap(),
    ]
    .into_iter()
    .map(|training| Agent { training, losses: Vec::new() })
    .collect();
    is_send(&agents);
    let mut data = Data::new(1);
    let (x, y) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
    let mut borrowed = net.clone();
    let loss = trainer.session_values(&mut borrowed).unwrap().step(&x, &y).unwrap();
    for agent in &mut agents {
        agent.losses.push(agent.training.step(&x, &y).unwrap());
        assert_eq!(agent.losses, [loss]);
        assert_eq!(agent.training.network().digest(), borrowed.digest());
    }
    // Who shares the network still has the old one.
    assert_eq!(shared.digest(), net.digest());
    for agent in agents {
        assert_eq!(agent.training.into_network().digest(), borrowed.digest());
    }
}
