//! One of each kind: bodies of networks, and optimisers.

use deltarule::{
    Activation, Adagrad, Adam, AdamW, Lion, MlpBuilder, Momentum, Optimizer, RmsProp, Sgd,
};

/// Inputs of the networks.
pub const N_IN: usize = 20;
/// A network below its output layer.
pub type Body = fn(MlpBuilder) -> MlpBuilder;

/// Every kind of layer: what lies below the output layer.
pub const BODIES: [(&str, Body); 7] = [
    ("dense", |b| b.dense(24, Activation::Tanh).dense(17, Activation::Gelu)),
    ("dropout", |b| b.dropout(0.125).dense(24, Activation::Sigmoid).dropout(0.5)),
    ("batch norm", |b| {
        b.dense(24, Activation::Silu).batch_norm().dense(9, Activation::Relu).batch_norm()
    }),
    ("layer norm", |b| b.dense(24, Activation::Tanh).layer_norm().dropout(0.25)),
    ("maxout", |b| b.maxout(20, 3).dense(20, Activation::Softplus).residual(1)),
    ("affine", |b| {
        b.affine()
            .dense(20, Activation::Tanh)
            .affine()
            .dense(20, Activation::Elu { alpha: 0.5 })
            .residual(3)
    }),
    ("residual from the inputs", |b| {
        b.dense(20, Activation::Tanh).residual(1).dense(20, Activation::Softsign).residual(2)
    }),
];

/// Every optimiser.
pub fn optimizers() -> [Optimizer; 8] {
    [
        Sgd::new(0.05).into(),
        Momentum::new(0.02, 0.9).into(),
        Momentum::new(0.02, 0.9).nesterov().into(),
        Adam::new(0.01).into(),
        AdamW::new(0.01).into(),
        RmsProp::new(0.01).into(),
        Adagrad::new(0.05).into(),
        Lion::new(0.001).into(),
    ]
}
