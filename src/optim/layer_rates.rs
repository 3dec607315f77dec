//! Layers that are not trained, and factors of the learning rate per layer.

use crate::error::{Error, Result, check_range};
use std::collections::{BTreeMap, BTreeSet};

/// How fast each layer learns; every layer at the rate of the step by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LayerRates {
    /// Layers whose parameters stay as they are.
    pub(crate) frozen: BTreeSet<usize>,
    /// Factors of the learning rate; 1 for layers that have none.
    pub(crate) factors: BTreeMap<usize, f32>,
}

impl LayerRates {
    /// Checks layers and factors for a network of `layers` layers.
    ///
    /// # Errors
    /// [`Error::Config`] that names the layer.
    pub(crate) fn validate(&self, layers: usize) -> Result<()> {
        for (option, mut named) in [
            ("frozen layers", self.frozen.iter().collect::<Vec<_>>().into_iter()),
            ("learning-rate factors", self.factors.keys().collect::<Vec<_>>().into_iter()),
        ] {
            if let Some(layer) = named.find(|layer| **layer >= layers) {
                let reason = format!("expected a layer below {layers}, got layer {layer}");
                return Err(Error::config(option, reason));
            }
        }
        if self.frozen.len() == layers {
            return Err(Error::config("frozen layers", "no layer is left to train"));
        }
        for (layer, factor) in &self.factors {
            let name = format!("learning-rate factor of layer {layer}");
            check_range(&name, *factor, 0.0..f32::INFINITY)?;
            if self.frozen.contains(layer) {
                return Err(Error::config(name, "the layer is frozen; choose one"));
            }
        }
        Ok(())
    }

    /// Whether the parameters of a layer stay as they are.
    pub(crate) fn is_frozen(&self, layer: usize) -> bool {
        self.frozen.contains(&layer)
    }

    /// The lowest layer that is trained.
    pub(crate) fn lowest(&self) -> usize {
        // Frozen layers are in order: the first that is not its own number has a gap below it.
        let is_next = |(i, layer): &(usize, &usize)| i == *layer;
        self.frozen.iter().enumerate().take_while(is_next).count()
    }

    /// The factor of a layer.
    pub(crate) fn factor(&self, layer: usize) -> f32 {
        self.factors.get(&layer).copied().unwrap_or(1.0)
    }

    /// The largest factor, or 1 if that is larger.
    pub(crate) fn largest(&self) -> f32 {
        self.factors.values().copied().fold(1.0, f32::max)
    }

    /// Whether all layers that are trained have one rate.
    pub(crate) fn are_equal(&self) -> bool {
        self.factors.values().all(|factor| *factor == 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_layer_that_is_trained() {
        for (frozen, lowest) in [
            (&[][..], 0),
            (&[0], 1),
            (&[1, 2], 0),
            (&[0, 1, 3], 2),
            (&[0, 1, 2], 3),
            (&[0, 2, 3], 1),
        ] {
            let frozen = frozen.iter().copied().collect();
            let rates = LayerRates { frozen, ..LayerRates::default() };
            assert_eq!(rates.lowest(), lowest, "{rates:?}");
        }
    }
}
