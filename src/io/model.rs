//! Networks to and from files.

use super::layer_names::{given_layers, numbered_layers};
use super::metadata::{ARCHITECTURE, CHECKPOINT, FORMAT, MODEL, STATE, refuse_standardized};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::format::{
    Contents, Stored, Target, Values, read_file, read_stream, write, write_atomically, write_file,
};
use crate::network::{Architecture, LayerKind, LayerParameters, Mlp, MlpBuilder};
use crate::simd::Level;
use crate::storage::PanelMatrix;
use std::fmt::Display;
use std::io::{Read, Write};
use std::path::Path;

impl Mlp {
    /// Saves the network as a safetensors file, which PyTorch can load: for each layer
    /// `layers.0.weight` (n_out x n_in, row-major) and `layers.0.bias`, with the architecture,
    /// this crate's version and a checksum in the metadata.
    ///
    /// The file is written beside the old one, synced, and renamed: after a crash at any moment
    /// there is the old file or the new one.
    ///
    /// # Errors
    /// [`Error::Io`] when writing fails, and [`Error::Value`] when a parameter is not finite; then an
    /// old file is unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(self, &self.metadata(MODEL), path.as_ref())
    }

    /// Writes the network as [`Mlp::save`] does, to a writer.
    ///
    /// # Errors
    /// As [`Mlp::save`].
    pub fn write_to(&self, mut writer: impl Write) -> Result<()> {
        write_to(self, &self.metadata(MODEL), &mut writer)
    }

    /// Loads a network that [`Mlp::save`] wrote, or the network of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Format`], [`Error::Shape`] or
    /// [`Error::Value`] when it is damaged in any way, not from this crate, or of a version that
    /// does not exist yet. [`Mlp::load_weights`] loads other files.
    pub fn load(path: impl AsRef<Path>) -> Result<Mlp> {
        read_file(path.as_ref(), read_model)
    }

    /// Reads a network as [`Mlp::load`] does, from a reader, to its end.
    ///
    /// # Errors
    /// As [`Mlp::load`].
    pub fn read_from(reader: impl Read) -> Result<Mlp> {
        read_stream(reader, read_model)
    }

    /// Replaces all parameters by those of a safetensors file, for example a `state_dict` that
    /// PyTorch's safetensors package saved. It needs no metadata.
    ///
    /// Every layer needs two F32 tensors, `NAME.weight` (n_out x n_in) and `NAME.bias`. A number in
    /// the names gives the order of the layers: `0, 2, 10` of `nn.Sequential`, `layers.0, layers.1`,
    /// `fc1, fc2`. Names without numbers (`hidden, output`) are refused:
    /// [`Mlp::load_weights_in_order`] takes their order. Tensors that belong to no layer are ignored.
    /// The running statistics of a norm, and other floats of a layer, are refused: without them the
    /// outputs would differ.
    ///
    /// ```no_run
    /// use deltarule::{Activation, Mlp};
    /// let mut net =
    ///     Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax).build()?;
    /// net.load_weights("fc1_and_fc2.safetensors")?;
    /// net.load_weights_in_order("others.safetensors", &["hidden", "output"])?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Format`], [`Error::Shape`] or
    /// [`Error::Value`] when it is damaged or does not fit the network. Nothing is changed then.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        read_file(path.as_ref(), |file| self.replace_parameters(file, None))
    }

    /// Replaces all parameters as [`Mlp::load_weights`] does, from a reader, to its end.
    ///
    /// # Errors
    /// As [`Mlp::load_weights`].
    pub fn read_weights(&mut self, reader: impl Read) -> Result<()> {
        read_stream(reader, |file| self.replace_parameters(file, None))
    }

    /// Replaces all parameters as [`Mlp::load_weights`] does, from the layers with these names, in
    /// this order: layer i takes `NAME.weight` and `NAME.bias` of the i-th name. Other tensors are
    /// ignored.
    ///
    /// # Errors
    /// As [`Mlp::load_weights`]; [`Error::Config`] when there is not one name per layer, or a name
    /// is repeated.
    pub fn load_weights_in_order(&mut self, path: impl AsRef<Path>, layers: &[&str]) -> Result<()> {
        read_file(path.as_ref(), |file| self.replace_parameters(file, Some(layers)))
    }

    /// Replaces all parameters as [`Mlp::load_weights_in_order`] does, from a reader, to its end.
    ///
    /// # Errors
    /// As [`Mlp::load_weights_in_order`].
    pub fn read_weights_in_order(&mut self, reader: impl Read, layers: &[&str]) -> Result<()> {
        read_stream(reader, |file| self.replace_parameters(file, Some(layers)))
    }

    /// The tensors of a file that holds this network.
    pub(crate) fn stored(&self) -> Vec<Stored<'_>> {
        let stored = self.tensors().map(|(i, what, tensor)| {
            let values = if what == "weight" { Values::Matrix } else { Values::Row };
            Stored { name: format!("layers.{i}.{what}"), values: values(tensor) }
        });
        stored.collect()
    }

    fn tensors(&self) -> impl Iterator<Item = (usize, &'static str, &PanelMatrix)> {
        let layers = self.layers.iter().enumerate();
        layers.flat_map(|(i, layer)| layer.tensors().map(move |(what, tensor)| (i, what, tensor)))
    }

    pub(super) fn check_finite(&self) -> Result<()> {
        match self.tensors().find(|(.., tensor)| !tensor.is_finite()) {
            None => Ok(()),
            Some((i, what, _)) => {
                Err(Error::value(format!("layer {i}: {what}"), "finite numbers", "others"))
            }
        }
    }

    fn replace_parameters(&mut self, file: Contents, order: Option<&[&str]>) -> Result<()> {
        let is_plain = |layer: &LayerParameters| match layer.spec.kind {
            LayerKind::Dense { activation, .. } => {
                layer.spec.norm.is_none() && !matches!(activation, Activation::Maxout { .. })
            }
            LayerKind::Affine => false,
        };
        if let Some(i) = self.layers.iter().position(|layer| !is_plain(layer)) {
            let reason = "weights alone are read for dense layers without norms and maxout";
            return Err(Error::config(format!("layer {i}"), reason));
        }
        let names = match order {
            Some(order) => given_layers(order, self.layers.len())?,
            None => numbered_layers(&file, self.layers.len())?,
        };
        let name = |layer: &str, what| match layer {
            "" => String::from(what),
            _ => format!("{layer}.{what}"),
        };
        let names: Vec<[String; 2]> =
            names.iter().map(|layer| [name(layer, "weight"), name(layer, "bias")]).collect();
        for ([weight, bias], layer) in names.iter().zip(&self.layers) {
            file.check_shape(weight, Target::Matrix(&layer.w))?;
            file.check_shape(bias, Target::Row(&layer.b))?;
        }
        let mut read = Mlp::zeros(&self.architecture(), self.level)?;
        let parameters = read.layers.iter_mut().map(|l| [&mut l.w, &mut l.b]);
        let mut all: Vec<_> = names.iter().flatten().zip(parameters.flatten()).collect();
        file.read(|name| {
            let found = all.iter().position(|(n, _)| *n == name)?;
            Some(all.swap_remove(found).1)
        })?;
        drop(all);
        *self = read;
        Ok(())
    }
}

impl MlpBuilder {
    /// Builds the network with the parameters of a safetensors file, from the layers with these
    /// names; see [`Mlp::load_weights_in_order`].
    ///
    /// # Errors
    /// As [`MlpBuilder::build`] and [`Mlp::load_weights_in_order`].
    pub fn load_weights_in_order(self, path: impl AsRef<Path>, layers: &[&str]) -> Result<Mlp> {
        let mut net = self.zeros()?;
        net.load_weights_in_order(path, layers)?;
        Ok(net)
    }

    /// Builds the network with the parameters of a safetensors file; see [`Mlp::load_weights`].
    ///
    /// # Errors
    /// As [`MlpBuilder::build`] and [`Mlp::load_weights`].
    pub fn load_weights(self, path: impl AsRef<Path>) -> Result<Mlp> {
        let mut net = self.zeros()?;
        net.load_weights(path)?;
        Ok(net)
    }
}

pub(super) fn save(net: &Mlp, metadata: &[(&str, String)], path: &Path) -> Result<()> {
    net.check_finite()?;
    write_atomically(path, &mut |file| write_file(file, metadata, &net.stored()))
}

pub(super) fn write_to(
    net: &Mlp,
    metadata: &[(&str, String)],
    writer: &mut dyn Write,
) -> Result<()> {
    net.check_finite()?;
    write(writer, metadata, &net.stored())?;
    Ok(writer.flush()?)
}

fn read_model(file: Contents) -> Result<Mlp> {
    file.check_finite()?;
    refuse_standardized(&file)?;
    let net = empty_model(&file)?;
    read_parameters(file, net)
}

/// The network that a file describes, with all parameters zero, after all checks.
pub(crate) fn empty_model(file: &Contents) -> Result<Mlp> {
    let Some(words) = file.metadata(ARCHITECTURE) else {
        let reason = format!("no {ARCHITECTURE:?} in the metadata: not a model of this crate");
        return Err(file.refuse(reason));
    };
    match file.metadata(FORMAT) {
        Some(MODEL | CHECKPOINT) => {}
        other => {
            let got = other.unwrap_or_default();
            let reason = format!("format: expected {MODEL:?} or {CHECKPOINT:?}, got {got:?}");
            return Err(file.refuse(reason));
        }
    }
    let refuse = |what: &dyn Display| file.refuse(format!("architecture {words:?}: {what}"));
    let architecture: Architecture = words.parse().map_err(|e: Error| refuse(&e))?;
    // Every size is compared with a tensor of the file before anything of that size is allocated.
    let mut matrices = file.matrices().filter(|(name, ..)| !name.starts_with(STATE));
    for (i, shape) in architecture.shapes().enumerate() {
        for tensor in shape.tensors().iter().filter(|tensor| !tensor.is_empty()) {
            let (name, cols) = (format!("layers.{i}.{}", tensor.name), tensor.cols());
            let (rows, cols) =
                if tensor.name == "weight" { (cols, tensor.rows) } else { (1, cols) };
            if matrices.next() != Some((&name, rows, cols)) {
                let expected = format!("expected next {name:?} of {rows} x {cols}");
                return Err(refuse(&expected));
            }
        }
    }
    if let Some((name, ..)) = matrices.next() {
        return Err(refuse(&format!("does not have {name:?}")));
    }
    Mlp::zeros(&architecture, Level::from_env()?).map_err(|e| refuse(&e))
}

/// Fills the network with the file's parameters.
pub(super) fn read_parameters(file: Contents, mut net: Mlp) -> Result<Mlp> {
    // They come in order: `empty_model` compared their names.
    let tensors = net.layers.iter_mut().flat_map(LayerParameters::tensors_mut);
    let mut parameters = tensors.map(|(_, tensor)| tensor);
    file.read(|name| if name.starts_with(STATE) { None } else { parameters.next() })?;
    drop(parameters);
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MatRef;

    #[test]
    fn every_kind_of_layer_survives_its_file() {
        let layers = [
            "20 relu batch-norm dropout:0.5",
            "20 tanh layer-norm residual:1",
            "affine residual:1",
            "7 maxout:3",
            "affine",
            "3 softmax",
        ];
        let inputs = Mlp::builder(5).dropout(0.25).seed(4);
        let net = layers.iter().fold(inputs, |net, layer| net.layer(layer.parse().unwrap()));
        let net = net.build().unwrap();
        let mut bytes = Vec::new();
        net.write_to(&mut bytes).unwrap();
        let back = Mlp::read_from(&bytes[..]).unwrap();
        assert_eq!((back.architecture(), back.digest()), (net.architecture(), net.digest()));
        let x = MatRef::new(&[0.1, -0.2, 0.3, 0.4, -0.5], 1, 5).unwrap();
        assert_eq!(back.predict(x).unwrap(), net.predict(x).unwrap());
        assert!(back.clone().read_weights(&bytes[..]).is_err());
    }
}
