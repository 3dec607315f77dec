//! The tensors of a checkpoint: which there are, in which order, and under which names.

use super::training::Training;
use crate::error::{Error, Result};
use crate::format::{Contents, Stored, Values, encode};
use crate::io::{CHECKPOINT, STATE};
use crate::network::Mlp;
use crate::program::Slot;
use crate::storage::PanelMatrix;

/// Name of the text.
pub(super) const TEXT: &str = "training.state";

/// A tensor of a checkpoint that belongs to a layer.
pub(super) struct Part<T> {
    name: String,
    tensor: T,
    is_row: bool,
}

/// Tensors of layer `layer`, with their names, as parts of the kind `kind`.
pub(super) fn parts<T>(
    kind: &str,
    layer: usize,
    tensors: impl IntoIterator<Item = (&'static str, T)>,
) -> impl Iterator<Item = Part<T>> {
    let prefix = match kind {
        "" => format!("layers.{layer}"),
        _ => format!("{STATE}{kind}.{layer}"),
    };
    tensors.into_iter().map(move |(what, tensor)| Part {
        name: format!("{prefix}.{what}"),
        tensor,
        is_row: what != "weight",
    })
}

/// The tensors of what is shaped like the parameters, without those that have no values.
fn of_slot(slot: &Slot) -> impl Iterator<Item = (&'static str, &PanelMatrix)> {
    let all = [("weight", &slot.w), ("bias", &slot.b)];
    all.into_iter().filter(|(_, tensor)| !tensor.is_empty())
}

/// As [`of_slot`].
fn of_slot_mut(slot: &mut Slot) -> impl Iterator<Item = (&'static str, &mut PanelMatrix)> {
    let all = [("weight", &mut slot.w), ("bias", &mut slot.b)];
    all.into_iter().filter(|(_, tensor)| !tensor.is_empty())
}

impl Training<'_> {
    /// What a checkpoint holds of a session: the network, the optimiser's state, and gradients that
    /// wait for an update.
    pub(super) fn tensors(&self) -> Vec<Part<&PanelMatrix>> {
        let workspace = &self.workspace;
        let mut all = Vec::new();
        for (i, layer) in self.network().layers.iter().enumerate() {
            all.extend(parts("", i, layer.tensors()));
        }
        for (i, layer) in workspace.states.iter().enumerate() {
            for (n, slot) in layer.slots.iter().enumerate() {
                all.extend(parts(&format!("slot{n}"), i, of_slot(slot)));
            }
        }
        let waiting = workspace.deferred.iter().filter(|d| d.waiting());
        for (i, gradient) in waiting.flat_map(|d| d.gradients()).enumerate() {
            all.extend(parts("gradient", i, of_slot(gradient)));
        }
        all
    }

    /// As [`Training::tensors`], for a checkpoint in which gradients wait or do not.
    pub(super) fn tensors_mut(&mut self, waiting: bool) -> Vec<Part<&mut PanelMatrix>> {
        let (net, workspace) = (&mut *self.net, &mut self.workspace);
        let mut all = Vec::new();
        for (i, layer) in net.layers.iter_mut().enumerate() {
            all.extend(parts("", i, layer.tensors_mut()));
        }
        for (i, layer) in workspace.states.iter_mut().enumerate() {
            for (n, slot) in layer.slots.iter_mut().enumerate() {
                all.extend(parts(&format!("slot{n}"), i, of_slot_mut(slot)));
            }
        }
        let waiting = workspace.deferred.iter_mut().filter(|_| waiting);
        for (i, gradient) in waiting.flat_map(|d| d.gradients_mut()).enumerate() {
            all.extend(parts("gradient", i, of_slot_mut(gradient)));
        }
        all
    }
}

/// The bytes of a checkpoint of `net`.
///
/// # Errors
/// [`Error::Value`] when a value is not finite: no reader would take the file, and it would replace
/// one that can be read.
pub(super) fn encode_checkpoint(
    net: &Mlp,
    text: &str,
    all: Vec<Part<&PanelMatrix>>,
) -> Result<Vec<u8>> {
    if let Some(part) = all.iter().find(|part| !part.tensor.is_finite()) {
        return Err(Error::value(format!("checkpoint: {}", part.name), "finite numbers", "others"));
    }
    let stored = |part: Part<_>| Stored {
        values: if part.is_row { Values::Row } else { Values::Matrix }(part.tensor),
        name: part.name,
    };
    let text = Stored { name: TEXT.into(), values: Values::Bytes(text.as_bytes()) };
    let stored: Vec<_> = [text].into_iter().chain(all.into_iter().map(stored)).collect();
    encode(&net.metadata(CHECKPOINT), &stored)
}

/// Fills all of these from a checkpoint, which has to have them and no others.
pub(super) fn fill(file: Contents, all: Vec<Part<&mut PanelMatrix>>) -> Result<()> {
    let fits = |part: &Part<&mut PanelMatrix>, (name, rows, cols): (&str, usize, usize)| {
        let t = &*part.tensor;
        let shape = if part.is_row { (1, t.cols()) } else { (t.cols(), t.rows()) };
        part.name == name && shape == (rows, cols)
    };
    let found: Vec<_> = file.matrices().collect();
    if found.len() != all.len() || !all.iter().zip(found).all(|(part, f)| fits(part, f)) {
        return Err(file.refuse("its tensors are not those of its options"));
    }
    let mut targets = all.into_iter().map(|part| part.tensor);
    file.read(|name| if name == TEXT { None } else { targets.next() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::optim::Adam;
    use crate::run::trainer::Trainer;

    #[test]
    fn what_is_not_finite_is_not_encoded() {
        let mut net = Mlp::builder(3).dense(2, Activation::Identity).build().unwrap();
        let mut training = Trainer::new(Adam::new(0.1)).session_values(&mut net).unwrap();
        assert!(training.write_checkpoint(std::io::sink()).is_ok());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for i in 0..training.tensors().len() {
                let good = *training.tensors_mut(false)[i].tensor.at_mut(0, 1);
                *training.tensors_mut(false)[i].tensor.at_mut(0, 1) = bad;
                let error = training.write_checkpoint(std::io::sink()).unwrap_err();
                let name = training.tensors()[i].name.clone();
                assert!(error.to_string().contains(&name), "{error}");
                *training.tensors_mut(false)[i].tensor.at_mut(0, 1) = good;
            }
        }
        assert!(training.write_checkpoint(std::io::sink()).is_ok());
    }
}
