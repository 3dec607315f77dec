//! Scales and shifts, and the running statistics of norms: copies, replacements, and folding them into
//! the weights.

use super::layer::{Layer, NormKind};
use super::mlp::Mlp;
use super::parameters::LayerParameters;
use crate::error::{Error, Result};
use crate::passes::EPSILON;
use crate::simd::{LINE, Line};

/// The parameters of a layer's norm, or of an affine layer; one value per neuron.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormParameters {
    /// The scale γ.
    pub gamma: Vec<f32>,
    /// The shift β.
    pub beta: Vec<f32>,
    /// Running means of batch normalisation; empty without it.
    pub mean: Vec<f32>,
    /// Running variances of batch normalisation; empty without it.
    pub variance: Vec<f32>,
}

impl NormParameters {
    /// A copy of those of a layer; none where it has neither a norm nor a scale.
    pub(crate) fn of(layer: &LayerParameters) -> Option<Self> {
        let [gamma, beta] = layer.scale_and_shift()?.map(|v| layer.vector(v));
        let [mean, variance] = layer.running();
        let vectors = [gamma, beta, mean, variance];
        let [gamma, beta, mean, variance] = vectors.map(|lines| layer.unpadded(lines).collect());
        Some(NormParameters { gamma, beta, mean, variance })
    }

    pub(crate) fn vectors(&self) -> [(&'static str, &[f32]); 4] {
        let NormParameters { gamma, beta, mean, variance } = self;
        [("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)]
    }
}

impl Mlp {
    /// A copy of the parameters of layer `layer`'s norm, or of an affine layer; `None` for other layers.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer.
    pub fn norm_parameters(&self, layer: usize) -> Result<Option<NormParameters>> {
        Ok(NormParameters::of(self.layer(layer)?))
    }

    /// Replaces the parameters of layer `layer`'s norm, or of an affine layer.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer or it has no such parameters, [`Error::Shape`] when a
    /// vector has another length than now, [`Error::Value`] when a value is not finite or a variance
    /// negative; then nothing is changed.
    pub fn set_norm_parameters(&mut self, layer: usize, new: &NormParameters) -> Result<()> {
        let Some(now) = self.norm_parameters(layer)? else {
            return Err(Error::config(format!("layer {layer}"), "has no norm, and is not affine"));
        };
        for ((name, new), (_, now)) in new.vectors().into_iter().zip(now.vectors()) {
            let place = format!("layer {layer}: {name}");
            if new.len() != now.len() {
                return Err(Error::shape(place, now.len(), new.len()));
            }
            let allowed = |x: f32| x.is_finite() && (name != "variance" || x >= 0.0);
            if let Some(value) = new.iter().find(|x| !allowed(**x)) {
                return Err(Error::value(place, "finite numbers, variances of at least 0", value));
            }
        }
        let parameters = &mut self.layers[layer];
        let vectors = parameters.scale_and_shift().into_iter().flatten();
        for (vector, values) in vectors.zip([&new.gamma, &new.beta]) {
            for (c, value) in values.iter().enumerate() {
                *parameters.vector_mut(vector, c) = *value;
            }
        }
        for (lines, values) in parameters.running_mut().into_iter().zip([&new.mean, &new.variance])
        {
            for (c, value) in values.iter().enumerate() {
                lines[c / LINE].0[c % LINE] = *value;
            }
        }
        Ok(())
    }

    /// The same function without batch normalisation and dropout, for serving and export: with
    /// s = γ/√(running variance + 1e-5), W becomes W·s and b becomes (b − running mean)·s + β. Layer
    /// normalisation cannot be folded and stays.
    ///
    /// # Errors
    /// [`Error::Memory`] when there is no memory for the copy.
    pub fn folded(&self) -> Result<Mlp> {
        let mut net = self.clone();
        net.input_dropout = 0.0;
        for layer in &mut net.layers {
            layer.spec.dropout = 0.0;
            if layer.spec.norm == Some(NormKind::Batch) {
                *layer = without_batch_norm(layer)?;
            }
        }
        Ok(net)
    }
}

/// The same layer with its running statistics folded into weights and biases.
fn without_batch_norm(layer: &LayerParameters) -> Result<LayerParameters> {
    let mut shape = layer.shape();
    shape.layer = Layer { norm: None, ..layer.spec };
    let mut folded = LayerParameters::zeros(shape)?;
    let [mean, variance] = layer.running();
    for c in 0..layer.n_out() {
        let value = |lines: &[Line]| f64::from(lines[c / LINE].0[c % LINE]);
        let scale = value(layer.vector(1)) / (value(variance) + f64::from(EPSILON)).sqrt();
        let bias = (value(layer.bias()) - value(mean)) * scale;
        *folded.bias_mut(c) = (bias + value(layer.vector(2))) as f32;
        for r in 0..layer.n_in() {
            *folded.weight_mut(r, c) = (f64::from(layer.w.at(r, c)) * scale) as f32;
        }
    }
    Ok(folded)
}
