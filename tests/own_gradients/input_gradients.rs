//! Gradients with respect to the inputs, against PyTorch's and against differences in f64.

use crate::support::fixtures::Fixtures;
use crate::support::{Data, assert_close, assert_same_bits, widen};
use crate::{BODIES, Body, N_IN, build, matrix};
use deltarule::gradient::reference_network;
use deltarule::{Activation, Level, MatRef, Matrix, Mlp, Predictor, Threads};

/// The activation of a name in the file.
fn activation(name: &str) -> Activation {
    name.replace('_', "-").parse().unwrap()
}

/// ∂L/∂outputs in f64, from the frozen outputs, for losses whose formula is short.
fn output_gradient(loss: &str, output: &[f64], y: &[f64], rows: usize) -> Option<Vec<f64>> {
    let (m, n) = (rows as f64, (output.len() / rows) as f64);
    let pairs = || output.iter().zip(y);
    match loss {
        "cross_entropy" => Some(pairs().map(|(p, y)| -y / p / m).collect()),
        "mean_squared_error" => Some(pairs().map(|(p, y)| 2.0 * (p - y) / n / m).collect()),
        "quadratic" => Some(pairs().map(|(p, y)| (p - y) / m).collect()),
        _ => None,
    }
}

#[test]
fn input_gradients_are_those_of_pytorch() {
    let fixtures = Fixtures::load();
    let x = fixtures.data("x");
    let rows = x.len() / 5;
    let mut seen = 0;
    for case in fixtures.cases() {
        let plain = ["label_smoothing", "class_weights", "sample_weights"];
        // GELU's tanh form is not in the crate; maxout's Jacobian is checked below.
        let others = ["gelu_tanh", "maxout"];
        let has_option = plain.iter().any(|option| case.loss.has(option));
        if has_option || others.contains(&case.hidden.name()) {
            continue;
        }
        let output = case.expected.f64("output");
        let y = match case.target {
            "labels" => {
                let one_hot = |l: usize| (0..4).map(move |c| f64::from(u8::from(c == l)));
                fixtures.labels().into_iter().flat_map(one_hot).collect()
            }
            name => widen(&fixtures.data(name)),
        };
        let Some(dy) = output_gradient(case.loss.name(), &output, &y, rows) else { continue };
        let dy: Vec<f32> = dy.iter().map(|d| *d as f32).collect();
        for level in Level::available() {
            let hidden = case.hidden;
            let layer = match hidden.name() {
                "elu" => Activation::Elu { alpha: hidden.number("alpha") as f32 },
                "leaky_relu" => Activation::LeakyRelu { slope: hidden.number("slope") as f32 },
                name => activation(name),
            };
            let builder = Mlp::builder(5).level(level).dense(7, layer);
            let mut net = builder.dense(4, activation(case.output.name())).build().unwrap();
            fixtures.set_parameters(case.net, &mut net);
            let mut dx = Matrix::zeros(rows, 5);
            let [x, dy] = [MatRef::new(&x, rows, 5), MatRef::new(&dy, rows, 4)].map(Result::unwrap);
            net.predictor(rows).unwrap().input_gradient(x, dy, &mut dx).unwrap();
            let want = case.expected.f64("dx");
            // Cross-entropy: dy of −y/p, whose roundings softmax's Jacobian partly cancels.
            assert_close(format!("{} {}", case.name, level.name()), dx.as_slice(), &want, 3e-5);
        }
        seen += 1;
    }
    assert!(seen > 15, "{seen} cases");
}

/// The Jacobian of a network in f64, by central differences.
fn differences(net: &Mlp, x: &[f32]) -> Vec<f64> {
    let reference = reference_network(net).unwrap();
    let n_out = net.n_out();
    let mut jacobian = vec![0.0; n_out * x.len()];
    // Errors of 1e-16/h and h²: 1e-10 both.
    let h = 1e-5;
    for j in 0..x.len() {
        let outputs = |sign: f64| {
            let mut x = widen(x);
            x[j] += sign * h;
            reference.forward(&x).unwrap()
        };
        let (high, low) = (outputs(1.0), outputs(-1.0));
        (0..n_out).for_each(|i| jacobian[i * x.len() + j] = (high[i] - low[i]) / (2.0 * h));
    }
    jacobian
}

/// The same network with running statistics that are not those of its beginning.
fn with_statistics(mut net: Mlp) -> Mlp {
    let mut data = Data::new(21);
    let layers = net.layers().len();
    for layer in 0..layers {
        let Some(mut norm) = net.norm_parameters(layer).unwrap() else { continue };
        let mut random = |to: &mut Vec<f32>, low, high| {
            to.iter_mut().for_each(|x| *x = data.uniform(low, high) as f32);
        };
        random(&mut norm.gamma, 0.5, 1.5);
        random(&mut norm.beta, -0.5, 0.5);
        random(&mut norm.mean, -0.5, 0.5);
        random(&mut norm.variance, 0.5, 2.0);
        net.set_norm_parameters(layer, &norm).unwrap();
    }
    net
}

fn check_jacobian(place: &str, body: Body, output: Activation, level: Level) {
    // More outputs than rows of the predictor, and more than a panel.
    let net = with_statistics(build(body, 21, output, level));
    let mut predictor = net.predictor(5).unwrap();
    let mut data = Data::new(4);
    let (x, dy) = (matrix(&mut data, 5, N_IN), matrix(&mut data, 5, 21));
    let mut dx = Matrix::zeros(5, N_IN);
    predictor.input_gradient(&x, &dy, &mut dx).unwrap();
    for r in 0..5 {
        let mut jacobian = Matrix::zeros(21, N_IN);
        predictor.jacobian(x.row(r), &mut jacobian).unwrap();
        let want = differences(&net.folded().unwrap(), x.row(r));
        assert_close(format!("{place}, row {r}"), jacobian.as_slice(), &want, 2e-5);
        let product: Vec<f64> = (0..N_IN)
            .map(|j| (0..21).map(|i| f64::from(dy.row(r)[i]) * want[i * N_IN + j]).sum())
            .collect();
        assert_close(format!("{place}, product {r}"), dx.row(r), &product, 2e-5);
    }
    // The predictions in between are what they were.
    let mut out = Matrix::zeros(5, 21);
    predictor.predict_into(&x, &mut out).unwrap();
    assert_same_bits(place, out.as_slice(), net.predict(&x).unwrap().as_slice());
}

#[test]
fn jacobians_are_those_of_differences_in_f64() {
    for level in Level::available() {
        for (name, body) in BODIES {
            for output in [Activation::Softmax, Activation::Tanh, Activation::Gelu] {
                check_jacobian(&format!("{name} {output} {}", level.name()), body, output, level);
            }
        }
    }
}

#[test]
fn the_bits_depend_on_neither_threads_nor_batch_nor_level() {
    for (name, body) in BODIES {
        let rows = 250;
        let mut data = Data::new(8);
        let (x, dy) = (matrix(&mut data, rows, N_IN), matrix(&mut data, rows, 10));
        let of = |level: Level, threads: Threads, block: usize| {
            let net = build(body, 10, Activation::Softmax, level);
            let mut predictor = Predictor::new(net, block, threads).unwrap();
            let mut dx = Vec::new();
            for first in (0..rows).step_by(block) {
                let end = rows.min(first + block);
                let mut part = Matrix::zeros(end - first, N_IN);
                let [x, dy] = [&x, &dy].map(|m| m.view().row_range(first, end));
                predictor.input_gradient(x, dy, &mut part).unwrap();
                dx.extend_from_slice(part.as_slice());
            }
            dx
        };
        let want = of(Level::best(), Threads::One, rows);
        for threads in [Threads::N(2), Threads::N(3), Threads::One] {
            for block in [1, 7, 250] {
                let got = of(Level::best(), threads, block);
                assert_same_bits(format!("{name} {threads:?} {block}"), &got, &want);
            }
        }
        if let (Some(avx2), true) = (Level::avx2(), Level::best() != Level::portable()) {
            assert_same_bits(name, &of(avx2, Threads::One, rows), &want);
        }
    }
}
