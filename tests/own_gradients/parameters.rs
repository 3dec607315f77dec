//! A predictor whose network gets new parameters is one that was made with them.

use super::support::Data;
use super::{BODIES, Body, N_IN, ROWS};
use deltarule::{Activation, Level, Matrix, Mlp, Precision, Predictor, Threads};
use std::sync::Arc;

fn net(body: Body, level: Level, seed: u64) -> Mlp {
    let builder = body(Mlp::builder(N_IN)).dense(3, Activation::Softmax);
    builder.seed(seed).level(level).build().unwrap()
}

/// Outputs and gradients of the inputs, as bits.
fn results(predictor: &mut Predictor, precision: Precision) -> Vec<u32> {
    let mut data = Data::new(7);
    let x = Matrix::from_vec(ROWS, N_IN, data.f32s(ROWS * N_IN)).unwrap();
    let dy = Matrix::from_vec(ROWS, 3, data.f32s(ROWS * 3)).unwrap();
    let (mut y, mut dx) = (Matrix::zeros(ROWS, 3), Matrix::zeros(ROWS, N_IN));
    let mut row = [0.0; 3];
    predictor.predict_into(&x, &mut y).unwrap();
    predictor
        .predict_into(x.view().row_range(0, 1), deltarule::MatMut::new(&mut row, 1, 3).unwrap())
        .unwrap();
    if precision == Precision::F32 {
        predictor.input_gradient(&x, &dy, &mut dx).unwrap();
    }
    let all = y.as_slice().iter().chain(&row).chain(dx.as_slice());
    all.map(|value| value.to_bits()).collect()
}

#[test]
fn new_parameters_are_those_of_a_new_predictor() {
    // Wide enough for products of bf16.
    let wide: Body = |b| b.dense(160, Activation::Relu).dense(160, Activation::Tanh);
    for (name, body) in BODIES.into_iter().chain([("wide", wide)]) {
        for level in Level::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                let (first, second) = (net(body, level, 1), net(body, level, 2));
                let new = |net: Mlp| {
                    let predictor = Predictor::new(net, ROWS, Threads::One).unwrap();
                    predictor.precision(precision).unwrap()
                };
                let mut predictor = new(first.clone());
                let before = results(&mut predictor, precision);
                predictor.copy_from(&second).unwrap();
                let copied = results(&mut predictor, precision);
                assert_ne!(before, copied);
                assert_eq!(copied, results(&mut new(second.clone()), precision), "{name}");
                predictor.blend(&first, 0.25).unwrap();
                let mut blended = second.clone();
                blended.blend(&first, 0.25).unwrap();
                assert_eq!(predictor.network().digest(), blended.digest());
                let fresh = results(&mut new(blended), precision);
                assert_eq!(results(&mut predictor, precision), fresh, "{name}");
            }
        }
    }
}

#[test]
fn a_network_that_is_shared_keeps_its_own_parameters() {
    let level = Level::best();
    let (first, second) = (net(BODIES[0].1, level, 1), net(BODIES[0].1, level, 2));
    let (shared, digest) = (Arc::new(first.clone()), first.digest());
    let borrowing = Predictor::new(&first, ROWS, Threads::One).unwrap();
    let sharing = Predictor::new(Arc::clone(&shared), ROWS, Threads::One).unwrap();
    for mut predictor in [borrowing, sharing] {
        predictor.copy_from(&second).unwrap();
        assert_eq!(predictor.network().digest(), second.digest());
        // Refused, and as before.
        let other = Mlp::builder(N_IN).dense(3, Activation::Softmax).build().unwrap();
        assert!(predictor.copy_from(&other).is_err() && predictor.blend(&second, 1.5).is_err());
        assert_eq!(predictor.network().digest(), second.digest());
    }
    assert_eq!([first.digest(), shared.digest()], [digest; 2]);
}
