//! The gradients through every kind of layer against differences of the loss.

use crate::batch;
use crate::support::Data;
use deltarule::{Activation, BatchTargets, MatRef, Mlp, NormParameters, Sgd, Trainer};

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
        let mut training = trainer.session(net).unwrap();
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
