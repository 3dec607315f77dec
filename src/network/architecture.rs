//! The description of a network, without its parameters.

use super::layer::{Layer, LayerKind, LayerShape};
use crate::activation::Activation;
use crate::error::{Error, Result, check_range};
use std::fmt;
use std::str::FromStr;

/// The inputs and layers of a network. Text form, as in files:
/// `784 dropout:0.2, 128 relu batch-norm, 10 softmax`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(super) n_in: usize,
    /// Probability that an input is dropped in training.
    pub(super) input_dropout: f32,
    pub(super) layers: Vec<Layer>,
}

impl Architecture {
    /// The layers with their numbers of inputs and outputs.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = LayerShape> + '_ {
        self.layers.iter().scan(self.n_in, |width, &layer| {
            let (n_in, n_out) = (*width, layer.n_out(*width));
            *width = n_out;
            Some(LayerShape { n_in, n_out, layer })
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.n_in == 0 {
            return Err(Error::config("network", "expected at least one input, got 0"));
        }
        if self.layers.is_empty() {
            return Err(Error::config("network", "expected at least one layer, got none"));
        }
        check_dropout("dropout of the inputs", self.input_dropout)?;
        let shapes: Vec<LayerShape> = self.shapes().collect();
        (0..shapes.len()).try_for_each(|i| check_layer(&shapes, i))
    }
}

fn check_dropout(option: &str, rate: f32) -> Result<()> {
    // A higher rate drops all values: rates are multiples of 1/65536.
    check_range(option, rate, 0.0..1.0 - 1.0 / 65536.0)
}

fn check_layer(shapes: &[LayerShape], i: usize) -> Result<()> {
    let place = format!("layer {i}");
    let refuse = |reason: &str| Err(Error::config(&place, reason));
    let LayerShape { n_out, layer, .. } = shapes[i];
    let Layer { kind, norm, dropout, residual } = layer;
    let is_output = i + 1 == shapes.len();
    match kind {
        LayerKind::Dense { n_out, activation } => {
            let maxout = matches!(activation, Activation::Maxout { .. });
            if n_out == 0 {
                return refuse("expected at least one neuron, got 0");
            }
            activation.validate()?;
            if maxout && is_output {
                return refuse("maxout belongs below the output layer");
            }
            if maxout && norm.is_some() {
                return refuse("a maxout layer cannot be normalised");
            }
            if activation == Activation::Softmax && !is_output {
                return refuse("softmax belongs to the output layer");
            }
        }
        LayerKind::Affine if norm.is_some() => {
            return refuse("an affine layer cannot be normalised");
        }
        LayerKind::Affine => {}
    }
    check_dropout(&format!("{place}: dropout"), dropout)?;
    if is_output && (norm.is_some() || dropout > 0.0 || residual > 0) {
        return refuse("norms, dropout and residual connections belong below the output layer");
    }
    if residual > i + 1 {
        return refuse(&format!("expected a residual block of 1 to {} layers", i + 1));
    }
    let from = shapes[i + 1 - residual.max(1)].n_in;
    if residual > 0 && from != n_out {
        return refuse(&format!("a residual connection from {from} to {n_out} values"));
    }
    Ok(())
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field by name: what is neither here nor among the parameters is lost in a file.
        let Architecture { n_in, input_dropout, layers } = self;
        write!(f, "{n_in}")?;
        if *input_dropout > 0.0 {
            write!(f, " dropout:{input_dropout}")?;
        }
        layers.iter().try_for_each(|layer| write!(f, ", {layer}"))
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::config("inputs", reason);
        let (inputs, layers) = text.split_once(", ").map_or((text, None), |(a, b)| (a, Some(b)));
        let (n_in, rest) = inputs.split_once(' ').map_or((inputs, None), |(a, b)| (a, Some(b)));
        let n_in = n_in.parse().map_err(|_| refuse("expected a number"))?;
        let input_dropout = rest.map_or(Ok(0.0), |word| {
            let rate = word.strip_prefix("dropout:").and_then(|rate| rate.parse().ok());
            rate.ok_or_else(|| refuse(&format!("{word:?} is unknown")))
        })?;
        let layers = layers.into_iter().flat_map(|layers| layers.split(", "));
        let layers = layers.map(str::parse).collect::<Result<_>>()?;
        Ok(Architecture { n_in, input_dropout, layers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_and_read() {
        let words = "5 dropout:0.25, 20 relu batch-norm dropout:0.5, \
                     20 tanh layer-norm residual:1, affine dropout:0.125, 7 maxout:3, 3 softmax";
        let architecture = Architecture {
            n_in: 5,
            input_dropout: 0.25,
            layers: vec![
                Layer::dense(20, Activation::Relu).batch_norm().dropout(0.5),
                Layer::dense(20, Activation::Tanh).layer_norm().residual(1),
                Layer::affine().dropout(0.125),
                Layer::maxout(7, 3),
                Layer::dense(3, Activation::Softmax),
            ],
        };
        assert_eq!(architecture.to_string(), words);
        assert_eq!(words.parse::<Architecture>().unwrap(), architecture);
        architecture.check().unwrap();
        assert_eq!("4".parse::<Architecture>().unwrap().layers, []);
    }

    #[test]
    fn unknown_words_are_refused() {
        for text in [
            "",
            "x relu",
            "3",
            "3 relu ",
            "3 relu norm",
            "3 affine",
            "3 relu dropout:x",
            "3 relu a:1",
        ] {
            assert!(text.parse::<Layer>().is_err(), "{text}");
        }
        for text in ["", "3 dropout:x", "3 x", "3, ", "3,2 relu", "3, 2 relu,"] {
            assert!(text.parse::<Architecture>().is_err(), "{text}");
        }
    }
}
