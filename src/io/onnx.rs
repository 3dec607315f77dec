//! ONNX export: a network as a graph of Gemm and activations.
//!
//! Weights are streamed: the export holds no second copy of them. Opset 13, which every runtime has;
//! GELU and SiLU are therefore composed of its operations. Layer normalisation needs opset 17;
//! composed, it would be five operations that a runtime has to recognise.

use super::onnx_proto::{FLOAT, Number, node, tensor, value, vector};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::format::{Message, Values};
use crate::network::{LayerKind, LayerParameters, Mlp, NormKind};
use crate::passes::EPSILON;
use std::io::Write;
use std::path::Path;

/// The limit of a protobuf message in bytes, by its specification.
const MAX_BYTES: usize = (1 << 31) - 1;
/// The version of the operators, and of the file format that came with it.
const OPSET: (u64, u64) = (13, 7);
/// The first versions with layer normalisation.
const LAYER_NORM_OPSET: (u64, u64) = (17, 8);
/// The names of the graph's input and output.
const NAME_IN: &str = "input";
const NAME_OUT: &str = "output";

impl Mlp {
    /// Writes the network as an ONNX model: input `input` (rows x n_in, any number of rows), output
    /// `output` (rows x n_out; probabilities where the output layer is softmax). Opset 13, with layer
    /// normalisation 17. Dropout is left out.
    ///
    /// A runtime returns what [`Mlp::predict`] returns, up to rounding. The rounding is that of the
    /// terms of each sum: of an output that is small because large terms cancel, more than the last
    /// digits may differ.
    ///
    /// # Errors
    /// [`Error::Io`] when writing fails, [`Error::Value`] when a parameter is not finite,
    /// [`Error::Config`] when the model would have more than 2 GiB, ONNX's limit; then an old
    /// file is unchanged.
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        let model = self.onnx()?;
        crate::format::write_atomically(path.as_ref(), &mut |file| model.write(file))
    }

    /// Writes the network as [`Mlp::save_onnx`] does, to a writer.
    ///
    /// # Errors
    /// As [`Mlp::save_onnx`].
    pub fn write_onnx(&self, mut writer: impl Write) -> Result<()> {
        self.onnx()?.write(&mut writer)?;
        Ok(writer.flush()?)
    }

    fn onnx(&self) -> Result<Message<'_>> {
        self.check_finite()?;
        let mut graph = Graph::default();
        // The values from layer to layer, from the network's input to its output.
        let mut names = vec![String::from(NAME_IN)];
        let last = self.layers.len().saturating_sub(1);
        for (i, layer) in self.layers.iter().enumerate() {
            let to = if i == last { NAME_OUT.into() } else { format!("layers.{i}") };
            graph.layer(i, layer, &names, &to);
            names.push(to);
        }
        let mut message = graph.nodes;
        message.text(2, "deltarule");
        message.append(graph.tensors);
        message.message(11, value(NAME_IN, self.n_in()));
        message.message(12, value(NAME_OUT, self.n_out()));
        let has_layer_norm = self.layers.iter().any(|l| l.spec.norm == Some(NormKind::Layer));
        let (version, ir) = if has_layer_norm { LAYER_NORM_OPSET } else { OPSET };
        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, version);
        let mut model = Message::default();
        model.number(1, ir);
        model.text(2, "deltarule");
        model.message(7, message);
        model.message(8, opset);
        match model.length {
            0..=MAX_BYTES => Ok(model),
            n => {
                let reason = format!("{n} bytes, more than the {MAX_BYTES} of an ONNX model");
                Err(Error::config("ONNX", reason))
            }
        }
    }
}

/// A step of a layer. The value of the last step has the layer's name, the others add the step's.
enum Step<'a> {
    Product {
        units: usize,
    },
    Norm(NormKind),
    Activation(Activation),
    /// The sum with the input of a residual block.
    Sum(&'a str),
}

impl Step<'_> {
    fn name(&self) -> &'static str {
        match self {
            Step::Product { .. } => "z",
            Step::Norm(_) => "norm",
            Step::Activation(_) => "a",
            Step::Sum(_) => "sum",
        }
    }
}

/// A graph's nodes and its constant tensors.
#[derive(Default)]
struct Graph<'a> {
    nodes: Message<'a>,
    tensors: Message<'a>,
}

impl<'a> Graph<'a> {
    /// Adds layer `i`, from the last of `names` to `to`. `names` are the inputs of this layer and of
    /// those below.
    fn layer(&mut self, i: usize, layer: &'a LayerParameters, names: &[String], to: &str) {
        let mut steps = Vec::new();
        match layer.spec.kind {
            LayerKind::Dense { activation, .. } => {
                steps.push(Step::Product { units: activation.units() });
                steps.extend(layer.spec.norm.map(Step::Norm));
                if !matches!(activation, Activation::Identity | Activation::Maxout { .. }) {
                    steps.push(Step::Activation(activation));
                }
            }
        }
        let back = layer.spec.residual.checked_sub(1);
        let source = back.and_then(|layers| names.iter().rev().nth(layers));
        steps.extend(source.map(|name| Step::Sum(name)));
        let mut from = names.last().cloned().unwrap_or_default();
        // The parameters stand behind the constants of the activation.
        let mut parameters = Message::default();
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            let out = match steps.peek() {
                Some(_) => format!("layers.{i}.{}", step.name()),
                None => to.into(),
            };
            let Graph { nodes, tensors } = self;
            let (ends, layer) = ((from.as_str(), out.as_str()), (i, layer));
            match step {
                Step::Product { units } => product(nodes, &mut parameters, layer, units, ends),
                Step::Norm(norm) => normalise(nodes, &mut parameters, layer, norm, ends),
                Step::Activation(activation) => activate(nodes, tensors, activation, ends),
                Step::Sum(source) => node(nodes, "Add", &[source, &from], &out, &[]),
            }
            from = out;
        }
        self.tensors.append(parameters);
    }
}

/// Adds x·W + b of layer `i`; for maxout one product per unit, and the largest of them.
fn product<'a>(
    graph: &mut Message<'a>,
    tensors: &mut Message<'a>,
    (i, layer): (usize, &'a LayerParameters),
    units: usize,
    (from, to): (&str, &str),
) {
    let (n_out, biases) = (layer.n_out(), layer.biases());
    let mut outputs = Vec::new();
    for unit in 0..units {
        let name = |what: &str| match units {
            1 => format!("layers.{i}.{what}"),
            _ => format!("layers.{i}.piece.{unit}.{what}"),
        };
        let (weight, bias) = (name("weight"), name("bias"));
        let out = if units == 1 { to.into() } else { name("z") };
        node(graph, "Gemm", &[from, &weight, &bias], &out, &[("transB", Number::Int(1))]);
        let first_panel = layer.first_panel(unit);
        let columns = Values::Columns { tensor: &layer.w, first_panel, n_cols: n_out };
        tensor(tensors, &[n_out, layer.n_in()], &weight, |message| message.values(9, columns));
        // The biases of a neuron's units are side by side.
        vector(tensors, &bias, biases.iter().copied().skip(unit).step_by(units));
        outputs.push(out);
    }
    if units > 1 {
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        node(graph, "Max", &outputs, to, &[]);
    }
}

/// Adds the norm of layer `i`.
fn normalise(
    graph: &mut Message,
    tensors: &mut Message,
    (i, layer): (usize, &LayerParameters),
    norm: NormKind,
    (from, to): (&str, &str),
) {
    let name = |what: &str| format!("layers.{i}.{what}");
    let [gamma, beta, mean, variance] = ["gamma", "beta", "mean", "variance"].map(name);
    let (operator, inputs) = match norm {
        NormKind::Layer => ("LayerNormalization", vec![from, &gamma, &beta]),
        NormKind::Batch => ("BatchNormalization", vec![from, &gamma, &beta, &mean, &variance]),
    };
    node(graph, operator, &inputs, to, &[("epsilon", Number::Float(EPSILON))]);
    vector(tensors, &gamma, layer.norm_vector(1));
    vector(tensors, &beta, layer.norm_vector(2));
    for (lines, name) in layer.running().into_iter().zip([&mean, &variance]) {
        if !lines.is_empty() {
            let values = lines.iter().flat_map(|line| line.0);
            vector(tensors, name, values.take(layer.n_out()));
        }
    }
}

/// Adds an activation from `z` to `to`; constants go to `tensors`.
fn activate<'a>(
    graph: &mut Message<'a>,
    tensors: &mut Message<'a>,
    activation: Activation,
    (z, to): (&str, &str),
) {
    let mut constant = |what: &str, value: f32| {
        let name = format!("{to}.{what}");
        tensor(tensors, &[], &name, |message| message.bytes(9, &value.to_le_bytes()));
        name
    };
    // An operation of the opset, or several nodes, which return.
    let (operator, attribute) = match activation {
        // No step of their own.
        Activation::Identity | Activation::Maxout { .. } => return,
        Activation::Sigmoid => ("Sigmoid", None),
        Activation::Tanh => ("Tanh", None),
        Activation::Relu => ("Relu", None),
        Activation::LeakyRelu { slope } => ("LeakyRelu", Some(("alpha", Number::Float(slope)))),
        Activation::Elu { alpha } => ("Elu", Some(("alpha", Number::Float(alpha)))),
        Activation::Softplus => ("Softplus", None),
        Activation::Softsign => ("Softsign", None),
        Activation::Softmax => ("Softmax", Some(("axis", Number::Int(1)))),
        Activation::Selu => {
            // ONNX's defaults, written because tract rounds them to six digits.
            let constants = [("alpha", 1.673_263_2), ("gamma", 1.050_701)];
            let constants = constants.map(|(name, value)| (name, Number::Float(value)));
            return node(graph, "Selu", &[z], to, &constants);
        }
        Activation::HardTanh => {
            let (low, high) = (constant("low", -1.0), constant("high", 1.0));
            return node(graph, "Clip", &[z, &low, &high], to, &[]);
        }
        Activation::Silu => {
            let sigmoid = format!("{to}.sigmoid");
            node(graph, "Sigmoid", &[z], &sigmoid, &[]);
            return node(graph, "Mul", &[z, &sigmoid], to, &[]);
        }
        Activation::Gelu => {
            // z · ½ · (1 + erf(z / √2))
            let (root, half) = (constant("root", std::f32::consts::SQRT_2), constant("half", 0.5));
            let one = constant("one", 1.0);
            let [scaled, erf, sum, product] =
                ["scaled", "erf", "sum", "product"].map(|step| format!("{to}.{step}"));
            node(graph, "Div", &[z, &root], &scaled, &[]);
            node(graph, "Erf", &[&scaled], &erf, &[]);
            node(graph, "Add", &[&erf, &one], &sum, &[]);
            node(graph, "Mul", &[z, &sum], &product, &[]);
            return node(graph, "Mul", &[&product, &half], to, &[]);
        }
        Activation::Step => {
            let (zero, reached) = (constant("zero", 0.0), format!("{to}.reached"));
            node(graph, "GreaterOrEqual", &[z, &zero], &reached, &[]);
            return node(graph, "Cast", &[&reached], to, &[("to", Number::Int(FLOAT))]);
        }
    };
    node(graph, operator, &[z], to, attribute.as_slice());
}
