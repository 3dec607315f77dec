//! A layer in the words of a file's architecture.

use crate::activation::Activation;
use crate::network::{Builder, NormKind};
use crate::simd::LINE;

/// Why words are refused.
type Reason<T> = Result<T, String>;

/// `784` or `784 dropout:0.2`: inputs, and the probability that one is dropped.
pub(super) fn inputs(text: &str) -> Reason<(usize, Option<f32>)> {
    let (n_in, rest) = text.split_once(' ').map_or((text, None), |(n, rest)| (n, Some(rest)));
    let n_in = n_in.parse().map_err(|_| "expected a number of inputs")?;
    let Some(rest) = rest else { return Ok((n_in, None)) };
    let rate = rest.strip_prefix("dropout:").and_then(|rate| rate.parse().ok());
    Ok((n_in, Some(rate.ok_or_else(|| format!("{rest:?} is unknown"))?)))
}

/// What a layer's words say: `128 relu batch-norm dropout:0.5 residual:2`.
pub(super) struct Layer {
    pub(super) n_out: usize,
    activation: Activation,
    norm: Option<NormKind>,
    dropout: f32,
    residual: usize,
}

impl Layer {
    pub(super) fn parse(text: &str) -> Reason<Layer> {
        let mut words = text.split(' ');
        let n_out = words.next().and_then(|n| n.parse().ok());
        let n_out = n_out.ok_or("expected a number of neurons")?;
        let activation = words.next().ok_or("expected an activation")?;
        let activation = activation.parse().map_err(|e: crate::Error| e.to_string())?;
        let mut layer = Layer { n_out, activation, norm: None, dropout: 0.0, residual: 0 };
        for word in words {
            let unknown = || format!("{word:?} is unknown");
            match word.split_once(':') {
                None if word == "layer-norm" => layer.norm = Some(NormKind::Layer),
                None if word == "batch-norm" => layer.norm = Some(NormKind::Batch),
                Some(("dropout", rate)) => layer.dropout = rate.parse().map_err(|_| unknown())?,
                Some(("residual", n)) => layer.residual = n.parse().map_err(|_| unknown())?,
                _ => return Err(unknown()),
            }
        }
        Ok(layer)
    }

    /// Names, rows and columns of the layer's tensors in a file, with `n_in` inputs: as they are
    /// in memory, where the pieces of maxout and the vectors of a norm fill whole panels.
    pub(super) fn tensors(&self, n_in: usize) -> Option<Vec<(&'static str, usize, usize)>> {
        let padded = |n: usize| n.checked_next_multiple_of(LINE);
        let columns = match self.activation.pieces() {
            1 => self.n_out,
            pieces => padded(self.n_out)?.checked_mul(pieces)?,
        };
        let biases = match self.norm {
            None => columns,
            Some(_) => padded(columns)?.checked_mul(3)?,
        };
        let mut tensors = vec![("weight", columns, n_in), ("bias", 1, biases)];
        if self.norm == Some(NormKind::Batch) {
            tensors.push(("running", 1, padded(self.n_out)?.checked_mul(2)?));
        }
        Some(tensors)
    }

    pub(super) fn add_to(&self, builder: Builder) -> Builder {
        let mut builder = builder.dense(self.n_out, self.activation);
        builder = match self.norm {
            Some(NormKind::Layer) => builder.layer_norm(),
            Some(NormKind::Batch) => builder.batch_norm(),
            None => builder,
        };
        if self.dropout != 0.0 {
            builder = builder.dropout(self.dropout);
        }
        if self.residual > 0 {
            builder = builder.residual(self.residual);
        }
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Mlp;

    #[test]
    fn every_kind_of_layer_survives_its_file() {
        let net = Mlp::builder(5)
            .dropout(0.25)
            .dense(20, Activation::Relu)
            .batch_norm()
            .dropout(0.5)
            .dense(20, Activation::Tanh)
            .layer_norm()
            .residual(1)
            .maxout(7, 3)
            .dense(3, Activation::Softmax)
            .seed(4)
            .build()
            .unwrap();
        let words = "5 dropout:0.25, 20 relu batch-norm dropout:0.5, \
                     20 tanh layer-norm residual:1, 7 maxout:3, 3 softmax";
        assert_eq!(net.architecture(), words);
        let mut bytes = Vec::new();
        net.write_to(&mut bytes).unwrap();
        let back = Mlp::read_from(&bytes[..]).unwrap();
        assert_eq!((back.architecture(), back.digest()), (words.into(), net.digest()));
        let x = crate::MatRef::new(&[0.1, -0.2, 0.3, 0.4, -0.5], 1, 5).unwrap();
        assert_eq!(back.predict(x).unwrap(), net.predict(x).unwrap());
        assert!(back.clone().read_weights(&bytes[..]).is_err());
    }

    #[test]
    fn unknown_words_are_refused() {
        for text in ["", "x relu", "3", "3 relu ", "3 relu norm", "3 relu dropout:x", "3 relu a:1"]
        {
            assert!(Layer::parse(text).is_err(), "{text}");
        }
        assert!(inputs("3 dropout:x").is_err() && inputs("").is_err() && inputs("3 x").is_err());
    }
}
