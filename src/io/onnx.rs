//! ONNX export: a network as a graph of Gemm and activations that any runtime can serve.
//!
//! Weights are streamed, so the export never holds a second copy of them. Opset 13, which every
//! runtime knows; GELU and SiLU are therefore written out in the operations that opset has. Layer
//! normalisation alone needs more: it came with opset 17, and written out it would be five
//! operations that a runtime has to recognise.

use super::onnx_proto::{FLOAT, Number, node, tensor, value, vector};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::format::{Message, Values};
use crate::network::{Dense, Mlp, Norm, NormKind};
use crate::passes::EPSILON;
use crate::simd::LINE;
use std::io::Write;
use std::path::Path;

/// Bytes of a protobuf message at most, by its specification.
const MOST: usize = (1 << 31) - 1;
/// The version of the operators, and of the file format that came with it.
const OPSET: (u64, u64) = (13, 7);
/// The first of them with layer normalisation.
const LAYER_NORM_OPSET: (u64, u64) = (17, 8);
/// The names of the graph's ends.
const NAME_IN: &str = "input";
const NAME_OUT: &str = "output";

impl Mlp {
    /// Writes the network as an ONNX model: input `input` (rows x n_in, any number of rows),
    /// output `output` (rows x n_out; probabilities where the output layer is softmax), as
    /// [`Mlp::predict`] gives them up to rounding (of the terms that are added: small outputs of
    /// large terms that cancel may differ in more than their last digits); dropout is not in it. Opset 13, with layer
    /// normalisation 17.
    ///
    /// # Errors
    /// [`Error::Io`] when writing fails, [`Error::Value`] when a parameter is not finite,
    /// [`Error::Config`] when the model would have more than 2 GiB, ONNX's limit; an old file is
    /// then as it was.
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        let model = self.onnx()?;
        crate::format::write_atomically(path.as_ref(), &mut |file| model.write(file))
    }

    /// Writes the network as [`Mlp::save_onnx`] does, to anything.
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
        // What goes into each layer, and what comes out of the last one.
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
        let is_layer = |l: &Dense| l.norm.as_ref().is_some_and(|n| n.kind == NormKind::Layer);
        let (version, ir) = if self.layers.iter().any(is_layer) { LAYER_NORM_OPSET } else { OPSET };
        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, version);
        let mut model = Message::default();
        model.number(1, ir);
        model.text(2, "deltarule");
        model.message(7, message);
        model.message(8, opset);
        match model.length {
            0..=MOST => Ok(model),
            n => {
                let reason = format!("{n} bytes, more than the {MOST} of an ONNX model");
                Err(Error::config("ONNX", reason))
            }
        }
    }
}

/// A step of a layer; what comes out of all but the last has the layer's name and the step's.
enum Step<'a> {
    Product,
    Norm(&'a Norm),
    Activation,
    /// The residual connection's.
    Sum(&'a str),
}

impl Step<'_> {
    fn name(&self) -> &'static str {
        match self {
            Step::Product => "z",
            Step::Norm(_) => "norm",
            Step::Activation => "a",
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
    /// Adds layer `i` from the last of `names` to `to`. `names` are what went into each layer.
    fn layer(&mut self, i: usize, layer: &'a Dense, names: &[String], to: &str) {
        let mut steps = vec![Step::Product];
        steps.extend(layer.norm.as_ref().map(Step::Norm));
        if !matches!(layer.activation, Activation::Identity | Activation::Maxout { .. }) {
            steps.push(Step::Activation);
        }
        let back = layer.residual.checked_sub(1);
        let source = back.and_then(|layers| names.iter().rev().nth(layers));
        steps.extend(source.map(|name| Step::Sum(name)));
        let mut from = names.last().cloned().unwrap_or_default();
        // The layer's own tensors stand behind the constants of its activation.
        let mut tensors = Message::default();
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            let out = match steps.peek() {
                Some(_) => format!("layers.{i}.{}", step.name()),
                None => to.into(),
            };
            match step {
                Step::Product => product(&mut self.nodes, &mut tensors, (i, layer), (&from, &out)),
                Step::Norm(norm) => {
                    normalise(&mut self.nodes, &mut tensors, (i, layer, norm), (&from, &out));
                }
                Step::Activation => {
                    activate(&mut self.nodes, &mut self.tensors, layer.activation, (&from, &out));
                }
                Step::Sum(source) => node(&mut self.nodes, "Add", &[source, &from], &out, &[]),
            }
            from = out;
        }
        self.tensors.append(tensors);
    }
}

/// Adds x·W + b of layer `i`; for maxout one product a piece, and the largest of them.
fn product<'a>(
    graph: &mut Message<'a>,
    tensors: &mut Message<'a>,
    (i, layer): (usize, &'a Dense),
    (from, to): (&str, &str),
) {
    let (n_out, pieces) = (layer.n_out(), layer.activation.pieces());
    let mut outputs = Vec::new();
    let biases = layer.biases();
    for piece in 0..pieces {
        let own = |what: &str| match pieces {
            1 => format!("layers.{i}.{what}"),
            _ => format!("layers.{i}.piece.{piece}.{what}"),
        };
        let (weight, bias) = (own("weight"), own("bias"));
        let out = if pieces == 1 { to.into() } else { own("z") };
        node(graph, "Gemm", &[from, &weight, &bias], &out, &[("transB", Number::Int(1))]);
        // Each piece begins at a panel of its own.
        let first_panel = piece.saturating_mul(n_out.div_ceil(LINE));
        let columns = Values::Columns { tensor: &layer.w, first_panel, n_cols: n_out };
        tensor(tensors, &[n_out, layer.n_in()], &weight, |message| message.values(9, columns));
        // Users see the pieces of a neuron side by side.
        vector(tensors, &bias, biases.iter().copied().skip(piece).step_by(pieces));
        outputs.push(out);
    }
    if pieces > 1 {
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        node(graph, "Max", &outputs, to, &[]);
    }
}

/// Adds the norm of layer `i`.
fn normalise<'a>(
    graph: &mut Message<'a>,
    tensors: &mut Message<'a>,
    (i, layer, norm): (usize, &Dense, &Norm),
    (from, to): (&str, &str),
) {
    let name = |what: &str| format!("layers.{i}.{what}");
    let [gamma, beta, mean, variance] = ["gamma", "beta", "mean", "variance"].map(name);
    let epsilon = [("epsilon", Number::Float(EPSILON))];
    match norm.kind {
        NormKind::Layer => {
            node(graph, "LayerNormalization", &[from, &gamma, &beta], to, &epsilon);
        }
        NormKind::Batch => {
            let inputs = [from, &gamma, &beta, &mean, &variance];
            node(graph, "BatchNormalization", &inputs, to, &epsilon);
        }
    }
    vector(tensors, &gamma, layer.norm_vector(1));
    vector(tensors, &beta, layer.norm_vector(2));
    if norm.kind == NormKind::Batch {
        for (which, name) in [(0, &mean), (1, &variance)] {
            let values = norm.running(which).iter().flat_map(|line| line.0);
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
    let alpha = |value| [("alpha", Number::Float(value))];
    match activation {
        // No step of their own.
        Activation::Identity | Activation::Maxout { .. } => {}
        Activation::Sigmoid => node(graph, "Sigmoid", &[z], to, &[]),
        Activation::Tanh => node(graph, "Tanh", &[z], to, &[]),
        Activation::Relu => node(graph, "Relu", &[z], to, &[]),
        Activation::LeakyRelu { slope } => node(graph, "LeakyRelu", &[z], to, &alpha(slope)),
        Activation::Elu { alpha: a } => node(graph, "Elu", &[z], to, &alpha(a)),
        Activation::Selu => {
            // ONNX's defaults, said because tract rounds them to six digits.
            let constants = [("alpha", 1.673_263_2), ("gamma", 1.050_701)];
            let constants = constants.map(|(name, value)| (name, Number::Float(value)));
            node(graph, "Selu", &[z], to, &constants);
        }
        Activation::Softplus => node(graph, "Softplus", &[z], to, &[]),
        Activation::Softsign => node(graph, "Softsign", &[z], to, &[]),
        Activation::Softmax => node(graph, "Softmax", &[z], to, &[("axis", Number::Int(1))]),
        Activation::HardTanh => {
            let (low, high) = (constant("low", -1.0), constant("high", 1.0));
            node(graph, "Clip", &[z, &low, &high], to, &[]);
        }
        Activation::Silu => {
            let sigmoid = format!("{to}.sigmoid");
            node(graph, "Sigmoid", &[z], &sigmoid, &[]);
            node(graph, "Mul", &[z, &sigmoid], to, &[]);
        }
        Activation::Gelu => {
            // z · ½ · (1 + erf(z / √2))
            let (root, half) = (constant("root", std::f32::consts::SQRT_2), constant("half", 0.5));
            let one = constant("one", 1.0);
            let step = |what: &str| format!("{to}.{what}");
            let (scaled, erf, sum, product) =
                (step("scaled"), step("erf"), step("sum"), step("product"));
            node(graph, "Div", &[z, &root], &scaled, &[]);
            node(graph, "Erf", &[&scaled], &erf, &[]);
            node(graph, "Add", &[&erf, &one], &sum, &[]);
            node(graph, "Mul", &[z, &sum], &product, &[]);
            node(graph, "Mul", &[&product, &half], to, &[]);
        }
        Activation::Step => {
            let (zero, reached) = (constant("zero", 0.0), format!("{to}.reached"));
            node(graph, "GreaterOrEqual", &[z, &zero], &reached, &[]);
            node(graph, "Cast", &[&reached], to, &[("to", Number::Int(FLOAT))]);
        }
    }
}
