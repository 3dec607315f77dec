//! What the builder makes of layers, and which of them it refuses.

use crate::everything;
use deltarule::{Activation, Error, Init, Level, MatRef, Mlp};

#[test]
fn weights_begin_as_a_function_says() {
    let build = |builder: deltarule::MlpBuilder| builder.dense(2, Activation::Softmax).build();
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

/// Input times a maxout layer of two units w and −w is |wᵀx|.
#[test]
fn two_opposite_units_are_an_absolute_value() {
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
        b().maxout(5, 2).batch_norm().dense(2, out),
        b().affine().layer_norm().dense(2, out),
        b().dense(2, out).affine().dropout(0.5),
        b().dense(2, out).affine(),
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
    for builder in [
        b().maxout(usize::MAX / 8, 5).dense(2, out),
        b().maxout(usize::MAX, 2).dense(2, out),
        b().dense(usize::MAX, Activation::Relu).batch_norm().dense(2, out),
        b().dense(usize::MAX / 8, Activation::Relu).dense(2, out),
    ] {
        let built = builder.clone().build();
        assert!(matches!(built, Err(Error::Memory { .. })), "{builder:?}: {built:?}");
    }
    let text = format!("{:?}", everything(Level::best()));
    assert!(
        text.starts_with("Mlp { 100 dropout:0.1 -> affine -> 130 maxout:3 dropout:0.5 -> 100 relu")
    );
    assert!(text.contains(
        "100 relu batch-norm dropout:0.2 residual:2 -> affine residual:1 -> 100 gelu layer-norm"
    ));
    assert!("maxout".parse::<Activation>().is_err() && "maxout:1".parse::<Activation>().is_err());
    let maxout = Activation::Maxout { units: 5 };
    assert_eq!(maxout.to_string().parse::<Activation>().unwrap(), maxout);
}
