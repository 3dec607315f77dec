//! Networks to and from files.

use super::layer::{Layer, inputs};
use super::layer_names::{given_layers, numbered_layers};
use super::pipeline::refuse_standardized;
use crate::error::{Error, Result};
use crate::format::{
    Contents, Stored, Target, Values, read_file, read_stream, write, write_atomically, write_file,
};
use crate::network::{Builder, Dense, Mlp};
use std::io::{Read, Write};
use std::path::Path;

/// Metadata keys.
pub(crate) const FORMAT: &str = "deltarule.format";
const VERSION: &str = "deltarule.version";
const ARCHITECTURE: &str = "deltarule.architecture";
/// What [`FORMAT`] says of a model.
pub(super) const MODEL: &str = "model 1";
/// What [`FORMAT`] says of a checkpoint, which is a model and more.
pub(crate) const CHECKPOINT: &str = "checkpoint 1";
/// What the names of a checkpoint's other tensors begin with.
pub(crate) const STATE: &str = "training.";

impl Mlp {
    /// Saves the network as a safetensors file, which PyTorch can load: for each layer
    /// `layers.0.weight` (n_out x n_in, row-major) and `layers.0.bias`, with the architecture,
    /// this crate's version and a checksum in the metadata.
    ///
    /// The file is written beside the old one, synced, and renamed: after a crash at any moment
    /// there is the old file or the new one.
    ///
    /// # Errors
    /// [`Error::Io`] when writing fails, and [`Error::Value`] when a parameter is not finite; the
    /// old file is then as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check_finite()?;
        let metadata = self.metadata(MODEL);
        write_atomically(path.as_ref(), &mut |file| write_file(file, &metadata, &self.stored()))
    }

    /// Writes the network as [`Mlp::save`] does, to anything.
    ///
    /// # Errors
    /// As [`Mlp::save`].
    pub fn write_to(&self, mut writer: impl Write) -> Result<()> {
        self.check_finite()?;
        write(&mut writer, &self.metadata(MODEL), &self.stored())?;
        Ok(writer.flush()?)
    }

    /// Loads a network that [`Mlp::save`] wrote, or the network of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Format`], [`Error::Shape`] or
    /// [`Error::Value`] when it is damaged in any way, not from this crate, or of a version that
    /// does not exist yet. Files of others load with [`Mlp::load_weights`].
    pub fn load(path: impl AsRef<Path>) -> Result<Mlp> {
        read_file(path.as_ref(), read_model)
    }

    /// Reads a network as [`Mlp::load`] does, from anything. Reads to the end.
    ///
    /// # Errors
    /// As [`Mlp::load`].
    pub fn read_from(reader: impl Read) -> Result<Mlp> {
        read_stream(reader, read_model)
    }

    /// Replaces all parameters by those of a safetensors file, for example a `state_dict` that
    /// PyTorch's safetensors package saved. It needs no metadata.
    ///
    /// Every layer must have a tensor of F32 `….weight` (n_out x n_in) and `….bias`; what stands
    /// before the last dot gives the order of the layers by a number in it: `0, 2, 10` of
    /// `nn.Sequential`, `layers.0, layers.1`, `fc1, fc2`. Names without such numbers (`hidden,
    /// output`) are refused: [`Mlp::load_weights_in_order`] takes their order. Tensors that belong
    /// to no layer may stand beside them; running statistics of a norm, and other floats of a
    /// layer, are refused, since without them the outputs would be others.
    ///
    /// ```no_run
    /// use deltarule::{Activation, Mlp};
    /// let mut net =
    ///     Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax).build()?;
    /// net.load_weights("from_pytorch.safetensors")?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Format`], [`Error::Shape`] or
    /// [`Error::Value`] when it is damaged or does not fit the network. Nothing is changed then.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        read_file(path.as_ref(), |file| self.replace_parameters(file, None))
    }

    /// Replaces all parameters as [`Mlp::load_weights`] does, from anything. Reads to the end.
    ///
    /// # Errors
    /// As [`Mlp::load_weights`].
    pub fn read_weights(&mut self, reader: impl Read) -> Result<()> {
        read_stream(reader, |file| self.replace_parameters(file, None))
    }

    /// Replaces all parameters as [`Mlp::load_weights`] does, from the layers with these names, in
    /// this order: layer i takes `NAME.weight` and `NAME.bias` of the i-th name. Nothing else in the
    /// file is looked at.
    ///
    /// ```no_run
    /// use deltarule::{Activation, Mlp};
    /// let mut net =
    ///     Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax).build()?;
    /// net.load_weights_in_order("from_pytorch.safetensors", &["hidden", "output"])?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Mlp::load_weights`]; [`Error::Config`] when there is not one name a layer, or a name
    /// comes twice.
    pub fn load_weights_in_order(&mut self, path: impl AsRef<Path>, layers: &[&str]) -> Result<()> {
        read_file(path.as_ref(), |file| self.replace_parameters(file, Some(layers)))
    }

    /// Replaces all parameters as [`Mlp::load_weights_in_order`] does, from anything. Reads to the
    /// end.
    ///
    /// # Errors
    /// As [`Mlp::load_weights_in_order`].
    pub fn read_weights_in_order(&mut self, reader: impl Read, layers: &[&str]) -> Result<()> {
        read_stream(reader, |file| self.replace_parameters(file, Some(layers)))
    }

    /// The layers in words: `784 dropout:0.2, 128 relu batch-norm, 10 softmax`. Whatever a network
    /// is made of has to be here or among the tensors of [`Mlp::stored`]; therefore every field by
    /// name.
    pub(crate) fn architecture(&self) -> String {
        let Mlp { layers, input_dropout, level: _ } = self;
        let mut text = self.n_in().to_string();
        if *input_dropout > 0.0 {
            text.push_str(&format!(" dropout:{input_dropout}"));
        }
        for layer in layers {
            text.push_str(", ");
            text.push_str(&layer.words());
        }
        text
    }

    /// The metadata of a file that holds this network.
    pub(crate) fn metadata(&self, format: &str) -> [(&'static str, String); 3] {
        let version = format!("deltarule {}", env!("CARGO_PKG_VERSION"));
        [(FORMAT, format.into()), (VERSION, version), (ARCHITECTURE, self.architecture())]
    }

    /// The tensors of a file that holds this network.
    pub(crate) fn stored(&self) -> Vec<Stored<'_>> {
        let mut stored = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            for (what, tensor) in layer.tensors() {
                let values = if what == "weight" { Values::Matrix } else { Values::Row };
                stored.push(Stored { name: format!("layers.{i}.{what}"), values: values(tensor) });
            }
        }
        stored
    }

    pub(super) fn check_finite(&self) -> Result<()> {
        for (i, l) in self.layers.iter().enumerate() {
            for (what, tensor) in l.tensors() {
                if !tensor.is_finite() {
                    let place = format!("layer {i}: {what}");
                    return Err(Error::value(place, "finite numbers", "others"));
                }
            }
        }
        Ok(())
    }

    fn replace_parameters(&mut self, file: Contents, order: Option<&[&str]>) -> Result<()> {
        let is_plain = |l: &Dense| l.norm.is_none() && l.activation.pieces() == 1;
        if let Some(i) = self.layers.iter().position(|l| !is_plain(l)) {
            let reason = "weights alone are read for plain layers, not for norms and maxout";
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
        let builder =
            self.layers().fold(Mlp::builder(self.n_in()), |b, l| b.dense(l.n_out, l.activation));
        let mut read = builder.level(self.level).zeros()?;
        let parameters = read.layers.iter_mut().map(|l| [&mut l.w, &mut l.b]);
        let mut all: Vec<_> = names.iter().flatten().zip(parameters.flatten()).collect();
        file.read(|name| {
            let found = all.iter().position(|(n, _)| *n == name)?;
            Some(all.swap_remove(found).1)
        })?;
        for (to, from) in self.layers.iter_mut().zip(read.layers) {
            (to.w, to.b) = (from.w, from.b);
        }
        Ok(())
    }
}

impl Builder {
    /// Builds the network with the parameters of a safetensors file, from the layers with these
    /// names; see [`Mlp::load_weights_in_order`].
    ///
    /// # Errors
    /// As [`Builder::build`] and [`Mlp::load_weights_in_order`].
    pub fn load_weights_in_order(self, path: impl AsRef<Path>, layers: &[&str]) -> Result<Mlp> {
        let mut net = self.zeros()?;
        net.load_weights_in_order(path, layers)?;
        Ok(net)
    }

    /// Builds the network with the parameters of a safetensors file; see [`Mlp::load_weights`].
    ///
    /// # Errors
    /// As [`Builder::build`] and [`Mlp::load_weights`].
    pub fn load_weights(self, path: impl AsRef<Path>) -> Result<Mlp> {
        let mut net = self.zeros()?;
        net.load_weights(path)?;
        Ok(net)
    }
}

fn read_model(file: Contents) -> Result<Mlp> {
    file.check_finite()?;
    refuse_standardized(&file)?;
    let net = empty_model(&file)?;
    read_parameters(file, net)
}

/// The network that a file describes, with all parameters zero, after all checks.
pub(crate) fn empty_model(file: &Contents) -> Result<Mlp> {
    let Some(architecture) = file.metadata(ARCHITECTURE) else {
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
    let refuse = |what: &str| file.refuse(format!("architecture {architecture:?}: {what}"));
    let mut layers = architecture.split(", ");
    let (n_in, input_dropout) =
        inputs(layers.next().unwrap_or_default()).map_err(|e| refuse(&e))?;
    let mut builder = Mlp::builder(n_in);
    if let Some(rate) = input_dropout {
        builder = builder.dropout(rate);
    }
    // Every size is compared with a tensor of the file before anything of that size is made.
    let mut matrices = file.matrices().filter(|(name, ..)| !name.starts_with(STATE));
    let mut below = n_in;
    for (i, layer) in layers.enumerate() {
        let layer = Layer::parse(layer).map_err(|e| refuse(&e))?;
        for (what, rows, cols) in layer.tensors(below).ok_or_else(|| refuse("too large"))? {
            let name = format!("layers.{i}.{what}");
            if matrices.next() != Some((&name, rows, cols)) {
                return Err(refuse(&format!("expected next {name:?} of {rows} x {cols}")));
            }
        }
        below = layer.n_out;
        builder = layer.add_to(builder);
    }
    if let Some((name, ..)) = matrices.next() {
        return Err(refuse(&format!("does not have {name:?}")));
    }
    builder.zeros().map_err(|e| refuse(&e.to_string()))
}

/// Fills the network with the file's parameters.
pub(crate) fn read_parameters(file: Contents, mut net: Mlp) -> Result<Mlp> {
    // They come in order: `empty_model` compared their names.
    let mut parameters = net.layers.iter_mut().flat_map(Dense::tensors_mut).map(|(_, t)| t);
    file.read(|name| if name.starts_with(STATE) { None } else { parameters.next() })?;
    drop(parameters);
    Ok(net)
}
