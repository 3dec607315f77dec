//! The gradients against differences of the loss itself, and that these can tell a wrong gradient.

use crate::Fast;
use crate::support::{Data, assert_close, relative_error, widen};
use deltarule::data::{Dataset, Targets};
use deltarule::gradient::reference_network;
use deltarule::{Activation, Level, Loss, MatRef, Matrix, Mlp};

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
        let outputs =
            reference_network(&fast.net).unwrap().layer_outputs(&widen(fast.x.as_slice())).unwrap();
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
