//! Conversion of a network and its loss to the types of [`reference`](mod@crate::reference).

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::network::{LayerKind, Mlp, NormKind, NormParameters};
use crate::passes::DropoutMask;
use crate::reference;
use crate::storage::{MatRef, PanelMatrix};

/// The reference network, in f64, for predictions: without dropout.
///
/// # Errors
/// [`Error::Config`] if a layer has batch normalisation, which uses running statistics in predictions.
/// Fold it with [`Mlp::folded`] first.
pub fn reference_network(net: &Mlp) -> Result<reference::Network<f64>> {
    if let Some(layer) = net.layers().position(|layer| layer.layer.norm == Some(NormKind::Batch)) {
        let reason =
            "a reference network has no running statistics; fold batch normalisation first";
        return Err(Error::config(format!("layer {layer}"), reason));
    }
    network(net, None)
}

/// The reference network, in f64; with a number of rows, for the first training step with seed 0 on a
/// batch of that size, with dropout.
pub(super) fn network(net: &Mlp, rows: Option<usize>) -> Result<reference::Network<f64>> {
    let layers = net.layers().enumerate().map(|(i, shape)| {
        let norm = net.norm_parameters(i)?;
        let mut layer = match shape.layer.kind {
            LayerKind::Dense { n_out, activation } => {
                let (weights, biases) = (wide(net.weights(i)?.as_slice()), wide(&net.biases(i)?));
                let activation = reference_activation(activation);
                reference::Layer::new(shape.n_in, n_out, activation, weights, biases)?
            }
            LayerKind::Affine => {
                let NormParameters { gamma, beta, .. } = norm.clone().unwrap_or_default();
                reference::Layer::affine(wide(&gamma), wide(&beta))?
            }
        };
        layer.norm = norm.zip(shape.layer.norm).map(|(norm, kind)| reference::Norm {
            kind: match kind {
                NormKind::Layer => reference::NormKind::Layer,
                NormKind::Batch => reference::NormKind::Batch,
            },
            gamma: wide(&norm.gamma),
            beta: wide(&norm.beta),
        });
        if let Some(rows) = rows {
            layer.mask = mask(net, shape.layer.dropout, i + 1, (rows, shape.n_out))?;
        }
        layer.residual = shape.layer.residual;
        Ok(layer)
    });
    reference::Network::new(layers.collect::<Result<_>>()?)
}

/// The factors of dropout in the first step of a session with seed 0; none for a rate of 0. Layer 0 is the
/// inputs.
pub(super) fn mask(
    net: &Mlp,
    rate: f32,
    layer: usize,
    (rows, cols): (usize, usize),
) -> Result<Option<Vec<f64>>> {
    if rate == 0.0 {
        return Ok(None);
    }
    let ones = vec![1.0; rows * cols];
    let mut values = PanelMatrix::from_rows(MatRef::new(&ones, rows, cols)?)?;
    DropoutMask::new(rate, 0, 1, layer).apply(net.level, 0, values.view_mut());
    Ok(Some(wide(values.to_rows().as_slice())))
}

pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

pub(crate) fn reference_activation(activation: Activation) -> reference::Activation {
    use reference::Activation as Plain;
    match activation {
        Activation::Identity => Plain::Identity,
        Activation::Sigmoid => Plain::Sigmoid,
        Activation::Tanh => Plain::Tanh,
        Activation::Relu => Plain::Relu,
        Activation::LeakyRelu { slope } => Plain::LeakyRelu { slope: slope.into() },
        Activation::Elu { alpha } => Plain::Elu { alpha: alpha.into() },
        Activation::Gelu => Plain::Gelu,
        Activation::Silu => Plain::Silu,
        Activation::Selu => Plain::Selu,
        Activation::Softplus => Plain::Softplus,
        Activation::Softsign => Plain::Softsign,
        Activation::HardTanh => Plain::HardTanh,
        Activation::Step => Plain::Step,
        Activation::Softmax => Plain::Softmax,
        Activation::Maxout { units } => Plain::Maxout { units },
    }
}

/// The same loss of the reference.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) for a function of the caller's, which is f32's only.
pub(super) fn reference_loss(loss: &Loss) -> Result<reference::Loss> {
    Ok(match loss {
        Loss::CrossEntropy => reference::Loss::cross_entropy(),
        Loss::MeanSquared => reference::Loss::MeanSquaredError,
        Loss::Quadratic => reference::Loss::Quadratic,
        Loss::BinaryCrossEntropy => reference::Loss::binary_cross_entropy(),
        Loss::MeanAbsolute => reference::Loss::MeanAbsoluteError,
        Loss::Huber { delta } => reference::Loss::Huber { delta: f64::from(*delta) },
        Loss::Quantile { quantiles } => {
            reference::Loss::Quantile { quantiles: quantiles.iter().map(|&q| q.into()).collect() }
        }
        Loss::PoissonNll => reference::Loss::PoissonNll,
        Loss::GaussianNll => reference::Loss::GaussianNll,
        Loss::Hinge => reference::Loss::Hinge,
        Loss::Custom(_) => {
            let reason = format!("{loss} is a function of f32, which cannot be checked in f64");
            return Err(Error::config("loss", reason));
        }
    })
}
