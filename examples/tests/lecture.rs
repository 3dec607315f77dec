//! The claims of the lecture's examples, each tested with the example's own functions against a
//! closed form, a hand calculation or another method.

#![allow(dead_code, reason = "of the examples, what they draw and print is not tested")]
#![allow(clippy::duplicate_mod, reason = "the examples draw with the same file")]

#[path = "../activations.rs"]
mod activations;
#[path = "../by_hand.rs"]
mod by_hand;
#[path = "../decision_regions.rs"]
mod decision_regions;
#[path = "../../tests/support/distances.rs"]
mod distances;
#[path = "../common/distorted.rs"]
mod distorted;
#[path = "../linear_collapse.rs"]
mod linear_collapse;
#[path = "../logistic.rs"]
mod logistic;
#[path = "../neuron.rs"]
mod neuron;
#[path = "../common/nielsen_networks.rs"]
mod nielsen_networks;
#[path = "../vanishing_gradient.rs"]
mod vanishing_gradient;

use deltarule::{Activation, Init, MatRef, Mlp, data};
use distances::assert_close;

#[test]
fn neurons_compute_the_gates() {
    let table = |gate| neuron::truth_table(&neuron::neuron(gate).unwrap()).unwrap();
    assert_eq!(table(&neuron::AND), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(table(&neuron::OR), [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(table(&neuron::NAND), [1.0, 1.0, 1.0, 0.0]);
    assert_eq!(table(&neuron::NOT), [1.0, 0.0]);
    assert_eq!(neuron::truth_table(&neuron::xor().unwrap()).unwrap(), [0.0, 1.0, 1.0, 0.0]);
}

/// The 14 functions of two inputs that a single neuron can compute are all but XOR and its
/// negation: every one is found on a grid of weights and thresholds, and these two are not.
#[test]
fn no_single_neuron_computes_xor() {
    let mut net = Mlp::builder(2).dense(1, Activation::Step).build().unwrap();
    let mut found = [false; 16];
    let grid = || (-4..=4).map(|i| i as f32 / 2.0);
    for (w1, w2) in grid().flat_map(|w1| grid().map(move |w2| (w1, w2))) {
        for b in (-9..=9).map(|i| i as f32 / 2.0) {
            net.set_parameters(0, MatRef::new(&[w1, w2], 2, 1).unwrap(), &[b]).unwrap();
            let table = neuron::truth_table(&net).unwrap();
            found[table.iter().fold(0, |number, &y| 2 * number + y as usize)] = true;
        }
    }
    let missing: Vec<usize> = (0..16).filter(|&i| !found[i]).collect();
    assert_eq!(missing, [0b0110, 0b1001]);
}

#[test]
fn training_through_a_step_is_a_clear_error() {
    let text = neuron::train_through_step().unwrap_err().to_string();
    assert!(text.contains("step") && text.contains("derivative"), "{text}");
}

#[test]
fn the_hand_calculation_is_what_the_crate_finds() {
    let net = by_hand::network().unwrap();
    let y = net.predict(MatRef::new(&by_hand::X, 1, 2).unwrap()).unwrap();
    assert_close("ŷ", y.as_slice(), &[0.75, 0.25], 1e-6);
    let rows = by_hand::derivatives().unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_close(row.name, &row.plain, &row.by_hand, 1e-6);
        assert_close(row.name, &row.differences, &row.by_hand, 1e-6);
        if row.name.contains("∂x") {
            assert!(row.by_crate.is_empty());
        } else {
            assert_close(row.name, &row.by_crate, &row.by_hand, 1e-6);
        }
    }
}

#[test]
fn derivatives_are_the_slopes_of_what_is_drawn() {
    for activation in activations::all() {
        // Around every tenth, but not at the kinks themselves.
        for i in -40..=40 {
            let z = i as f32 / 10.0 + 0.05;
            let h = 1.0 / 256.0;
            let (a, derivative) = activations::values(activation, &[z - h, z, z + h]).unwrap();
            let slope = (a[2] - a[0]) / (2.0 * h);
            // The formula errs by h²σ‴/6 and f32 by 2⁻²⁴·4/h.
            assert!((derivative[1] - slope).abs() < 1e-4, "{activation} at {z}: {slope}");
        }
    }
}

/// What the lecture says of the functions, in closed form.
#[test]
fn activations_are_what_the_lecture_says() {
    let z: Vec<f32> = (-80..=80).map(|i| i as f32 / 20.0).collect();
    let of = |a| activations::values(a, &z).unwrap();
    let (sigmoid, slope) = of(Activation::Sigmoid);
    let largest = slope.iter().copied().fold(0.0, f32::max);
    assert!((largest - 0.25).abs() < 1e-6 && slope[80] == largest);
    // tanh z = 2σ(2z) − 1
    let twice: Vec<f32> = z.iter().map(|z| 2.0 * z).collect();
    let (twice, _) = activations::values(Activation::Sigmoid, &twice).unwrap();
    let shifted: Vec<f32> = twice.iter().map(|s| 2.0 * s - 1.0).collect();
    assert_close("tanh", &of(Activation::Tanh).0, &shifted, 1e-6);
    // σ(−z) = 1 − σ(z)
    let mirrored: Vec<f32> = sigmoid.iter().rev().map(|s| 1.0 - s).collect();
    assert_close("sigmoid", &sigmoid, &mirrored, 1e-6);
    let leaky: Vec<f32> = z.iter().map(|&z| (0.1 * z).max(z)).collect();
    assert_close("leaky ReLU", &of(Activation::leaky_relu()).0, &leaky, 0.0);
    // Leaky ReLU and the absolute value are maxout of two units.
    let maxout = |a, b| activations::maxout(&[(a, 0.0), (b, 0.0)], &z).unwrap();
    assert_close("maxout", &maxout(0.1, 1.0), &leaky, 1e-6);
    let absolute: Vec<f32> = z.iter().map(|z| z.abs()).collect();
    assert_close("maxout", &maxout(-1.0, 1.0), &absolute, 0.0);
    let elu: Vec<f64> =
        z.iter().map(|&z| if z > 0.0 { z.into() } else { f64::from(z).exp_m1() }).collect();
    assert_close("ELU", &of(Activation::elu()).0, &elu, 1e-6);
}

#[test]
fn linear_layers_multiply_out_to_one() {
    let (train, test) = data::digits().split_at(1400).unwrap();
    let x = test.matrix();
    for seed in 1..=3 {
        let net = linear_collapse::deep(Activation::Identity, &train, seed).unwrap();
        assert!(net.evaluate(&test).unwrap().accuracy.unwrap() > 0.85);
        let one = linear_collapse::multiplied_out(&net).unwrap();
        let (difference, _) = linear_collapse::compared(&net, &one, &x).unwrap();
        assert!(difference < 2e-5, "{difference}");
    }
    let net = linear_collapse::deep(Activation::Tanh, &train, 1).unwrap();
    let one = linear_collapse::multiplied_out(&net).unwrap();
    let (difference, agree) = linear_collapse::compared(&net, &one, &x).unwrap();
    assert!(difference > 0.5 && agree < 1.0, "{difference}, {agree}");
}

#[test]
fn hidden_layers_bend_what_a_linear_model_parts_straight() {
    let accuracy = |hidden, set: &data::Dataset| {
        let net = decision_regions::trained(hidden, set, 1).unwrap();
        net.evaluate(set).unwrap().accuracy.unwrap()
    };
    let [_, _, (_, largest)] = decision_regions::MODELS;
    // No straight line gets more of a ring and its circle than this, of moons, of three spirals.
    for ((name, set), limit) in decision_regions::problems().unwrap().iter().zip([0.75, 0.95, 0.7])
    {
        let (linear, network) = (accuracy(&[], set), accuracy(largest, set));
        assert!(linear < limit && network > 0.97, "{name}: {linear}, {network}");
    }
}

#[test]
fn the_gradient_vanishes_through_sigmoids_and_not_through_relu() {
    let digits = data::digits();
    for seed in 1..=3 {
        let ratio = |hidden, init| {
            let net = vanishing_gradient::network(hidden, init, seed).unwrap();
            let norms = vanishing_gradient::norms(&net, &digits).unwrap();
            assert_eq!(norms.len(), vanishing_gradient::DEPTH + 1);
            norms[0] / norms[norms.len() - 1]
        };
        let sigmoid = ratio(Activation::Sigmoid, Init::LeCun);
        assert!(sigmoid < 1e-3, "{sigmoid:e}");
        let relu = ratio(Activation::Relu, Init::He);
        assert!((0.1..10.0).contains(&relu), "{relu}");
    }
}

/// Newton's method on the mean cross-entropy of ŷ = σ(w₁x₁ + w₂x₂ + b), in f64.
fn newton(x: &[f32], labels: &[u32]) -> [f64; 3] {
    let mut w = [0.0; 3];
    for _ in 0..20 {
        let (mut gradient, mut hessian) = ([0.0; 3], [[0.0; 3]; 3]);
        for (point, &label) in x.chunks(2).zip(labels) {
            let x = [f64::from(point[0]), f64::from(point[1]), 1.0];
            let z: f64 = x.iter().zip(&w).map(|(x, w)| x * w).sum();
            let y = 1.0 / (1.0 + (-z).exp());
            for i in 0..3 {
                gradient[i] += (y - f64::from(label)) * x[i];
                (0..3).for_each(|j| hessian[i][j] += y * (1.0 - y) * x[i] * x[j]);
            }
        }
        // H·step = gradient, by Cramer's rule.
        let determinant = |m: [[f64; 3]; 3]| {
            m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
                - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
                + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
        };
        for i in 0..3 {
            let mut replaced = hessian;
            (0..3).for_each(|row| replaced[row][i] = gradient[row]);
            w[i] -= determinant(replaced) / determinant(hessian);
        }
    }
    w
}

#[test]
fn the_logistic_neuron_finds_what_newton_and_bayes_find() {
    let samples = logistic::samples(4000).unwrap();
    let net = logistic::trained(&samples).unwrap();
    let (w, b) = (net.weights(0).unwrap(), net.biases(0).unwrap());
    let found = [w.row(0)[0], w.row(1)[0], b[0]];
    let data::Targets::Classes { labels, .. } = samples.targets() else { panic!("no classes") };
    let want = newton(samples.matrix().as_slice(), labels);
    assert_close("Newton", &found, &want, 1e-3);
    // Bayes' weights, to five of the estimate's standard errors of about 0.1, 0.06 and 0.06.
    let bayes = [-2.0 / (logistic::NOISE * logistic::NOISE), 0.0, 0.0];
    for ((found, bayes), limit) in want.iter().zip(bayes).zip([0.5, 0.3, 0.3]) {
        assert!((found - bayes).abs() < limit, "{want:?}");
    }
    // As often as it says: the shares in each interval to five standard errors of theirs.
    for (i, (n, share)) in logistic::shares(&samples, 12).into_iter().enumerate() {
        let p = logistic::truth(-2.75 + 0.5 * i as f64);
        let tolerance = 5.0 * (p * (1.0 - p) / n.max(1) as f64).sqrt() + 0.02;
        assert!((share - p).abs() < tolerance, "interval {i}: {share}, not {p}");
    }
}

/// The book's network and update, on the digits in the crate.
#[test]
fn nielsens_networks_learn_digits() {
    let digits = data::digits();
    let ([train, validation, test], n) = (digits.split([0.7, 0.1, 0.2], 1).unwrap(), 50_000);
    let set = nielsen_networks::Data { train, validation, test, n };
    let run =
        |i: usize| nielsen_networks::run(&nielsen_networks::EXPERIMENTS[i - 1], &set, 1).unwrap();
    // Cross-entropy with L2, with 100 hidden units; and early stopping, which stops early.
    assert!(run(6).last > 90.0);
    let stopped = run(8);
    assert!(stopped.last > 90.0 && stopped.epochs < 100, "{}, {}", stopped.last, stopped.epochs);
}

#[test]
fn expanded_images_are_moved_by_a_pixel() {
    let digits = data::digits();
    let expanded = nielsen_networks::expand(&digits).unwrap();
    assert_eq!((expanded.len(), expanded.n_features()), (5 * digits.len(), 64));
    let (x, moved) = (digits.matrix(), expanded.matrix());
    for i in [0, 77, 1796] {
        let ink = |row: usize, col: usize| x.row(i)[row * 8 + col];
        for (copy, down, right) in [(0, 0, 0), (1, -1, 0), (2, 1, 0), (3, 0, -1), (4, 0, 1)] {
            for (row, col) in (0..8).flat_map(|row| (0..8).map(move |col| (row, col))) {
                let from = (row as isize - down, col as isize - right);
                let inside = (0..8).contains(&from.0) && (0..8).contains(&from.1);
                let want = if inside { ink(from.0 as usize, from.1 as usize) } else { 0.0 };
                assert_eq!(moved.row(5 * i + copy)[row * 8 + col], want);
            }
        }
    }
}

/// Bending on a thread of its own changes nothing: the same seed gives the same bits; and digits
/// that were never seen unbent are read.
#[test]
fn bent_digits_are_learned_the_same_each_time() {
    let (train, test) = data::digits().split_at(1400).unwrap();
    let run = |seed| {
        let options = distorted::Options { hidden: 64, epochs: 30, lr: 0.003, seed, plain: false };
        let mut net = distorted::network(64, &options).unwrap();
        distorted::train(&mut net, &train, &options, |_, _| Ok(())).unwrap();
        net
    };
    let net = run(1);
    assert_eq!(net.digest(), run(1).digest());
    assert_ne!(net.digest(), run(2).digest());
    assert!(net.evaluate(&test).unwrap().accuracy.unwrap() > 0.85);
}
