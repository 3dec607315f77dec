//! ONNX export: a network as a graph of Gemm and activations.
//!
//! Weights are streamed: the export holds no second copy of them. Opset 13, which every runtime has;
//! GELU and SiLU are therefore composed of its operations. Layer normalisation needs opset 17;
//! composed, it would be five operations that a runtime has to recognise.

use super::onnx_graph::{FLOAT, Graph, Number};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::format::{Message, Values, write_atomically};
use crate::network::{LayerKind, LayerParameters, Mlp, NormKind, NormParameters};
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
        write_atomically(path.as_ref(), &mut |file| model.write(file))
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
            add_layer(&mut graph, (i, layer), &names, &to);
            names.push(to);
        }
        let has_layer_norm = self.layers.iter().any(|l| l.spec.norm == Some(NormKind::Layer));
        let versions = if has_layer_norm { LAYER_NORM_OPSET } else { OPSET };
        let model = graph.into_model(versions, [(NAME_IN, self.n_in()), (NAME_OUT, self.n_out())]);
        match model.length {
            0..=MAX_BYTES => Ok(model),
            n => {
                let reason = format!("{n} bytes, more than the {MAX_BYTES} of an ONNX model");
                Err(Error::config("ONNX", reason))
            }
        }
    }
}

/// A step of a layer: the suffix of its value's name, and what adds it from one value to another.
type Step<'s, 'a> = (&'static str, Box<dyn FnOnce(&mut Graph<'a>, &str, &str) + 's>);

/// Adds layer `i`, from the last of `names` to `to`. `names` are the inputs of this layer and of those
/// below. The value of the last step has the layer's name, the others add the step's.
fn add_layer<'a>(
    graph: &mut Graph<'a>,
    (i, layer): (usize, &'a LayerParameters),
    names: &[String],
    to: &str,
) {
    let mut steps: Vec<Step> = Vec::new();
    match layer.spec.kind {
        LayerKind::Dense { activation, .. } => {
            let units = activation.units();
            steps.push(("z", Box::new(move |g, x, z| product(g, (i, layer), units, (x, z)))));
            if let Some(norm) = layer.spec.norm {
                steps.push((
                    "norm",
                    Box::new(move |g, z, y| normalise(g, (i, layer), norm, (z, y))),
                ));
            }
            if !matches!(activation, Activation::Identity | Activation::Maxout { .. }) {
                steps.push(("a", Box::new(move |g, z, a| activate(g, activation, (z, a)))));
            }
        }
        LayerKind::Affine => {
            let operators = [("scaled", "Mul"), ("shifted", "Add")];
            for ((step, operator), name) in operators.into_iter().zip(vectors(graph, (i, layer))) {
                steps.push((step, Box::new(move |g, x, y| g.node(operator, &[x, &name], y, &[]))));
            }
        }
    }
    let back = layer.spec.residual.checked_sub(1);
    if let Some(source) = back.and_then(|layers| names.iter().rev().nth(layers)) {
        steps.push(("sum", Box::new(|g, a, sum| g.node("Add", &[source, a], sum, &[]))));
    }
    let mut from = names.last().cloned().unwrap_or_default();
    let mut steps = steps.into_iter().peekable();
    while let Some((name, add)) = steps.next() {
        let out =
            if steps.peek().is_some() { format!("layers.{i}.{name}") } else { to.to_string() };
        add(graph, &from, &out);
        from = out;
    }
    graph.end_layer();
}

/// Adds x·W + b of layer `i`; for maxout one product per unit, and the largest of them.
fn product<'a>(
    graph: &mut Graph<'a>,
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
        graph.node("Gemm", &[from, &weight, &bias], &out, &[("transB", Number::Int(1))]);
        let first_panel = layer.first_panel(unit);
        let columns = Values::Columns { tensor: &layer.w, first_panel, n_cols: n_out };
        graph.matrix(&weight, [n_out, layer.n_in()], columns);
        // The biases of a neuron's units are side by side.
        graph.vector(&bias, biases.iter().copied().skip(unit).step_by(units));
        outputs.push(out);
    }
    if units > 1 {
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        graph.node("Max", &outputs, to, &[]);
    }
}

fn normalise(
    graph: &mut Graph,
    (i, layer): (usize, &LayerParameters),
    norm: NormKind,
    (from, to): (&str, &str),
) {
    let operator = match norm {
        NormKind::Layer => "LayerNormalization",
        NormKind::Batch => "BatchNormalization",
    };
    let names = vectors(graph, (i, layer));
    let inputs: Vec<&str> = [from].into_iter().chain(names.iter().map(String::as_str)).collect();
    graph.node(operator, &inputs, to, &[("epsilon", Number::Float(EPSILON))]);
}

/// Adds the vectors of layer `i`'s norm, or of an affine layer. Returns their names.
fn vectors(graph: &mut Graph, (i, layer): (usize, &LayerParameters)) -> Vec<String> {
    let parameters = NormParameters::of(layer).unwrap_or_default();
    let vectors = parameters.vectors().into_iter().filter(|(_, values)| !values.is_empty());
    let names = vectors.map(|(what, values)| {
        let name = format!("layers.{i}.{what}");
        graph.vector(&name, values.iter().copied());
        name
    });
    names.collect()
}

/// Adds an activation from `z` to `to`.
fn activate(graph: &mut Graph, activation: Activation, (z, to): (&str, &str)) {
    let inner = |what: &str| format!("{to}.{what}");
    // The operation and its attribute. Activations of several nodes or attributes return.
    let (operator, attribute) = match activation {
        // `add_layer` has no step for them.
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
            return graph.node("Selu", &[z], to, &constants);
        }
        Activation::HardTanh => {
            let low = graph.constant(inner("low"), -1.0);
            let high = graph.constant(inner("high"), 1.0);
            return graph.node("Clip", &[z, &low, &high], to, &[]);
        }
        Activation::Silu => {
            let sigmoid = inner("sigmoid");
            graph.node("Sigmoid", &[z], &sigmoid, &[]);
            return graph.node("Mul", &[z, &sigmoid], to, &[]);
        }
        Activation::Gelu => {
            // z · ½ · (1 + erf(z / √2))
            let constants = [("root", std::f32::consts::SQRT_2), ("half", 0.5), ("one", 1.0)];
            let [root, half, one] = constants.map(|(name, x)| graph.constant(inner(name), x));
            let [scaled, erf, sum, product] = ["scaled", "erf", "sum", "product"].map(inner);
            graph.node("Div", &[z, &root], &scaled, &[]);
            graph.node("Erf", &[&scaled], &erf, &[]);
            graph.node("Add", &[&erf, &one], &sum, &[]);
            graph.node("Mul", &[z, &sum], &product, &[]);
            return graph.node("Mul", &[&product, &half], to, &[]);
        }
        Activation::Step => {
            let (zero, reached) = (graph.constant(inner("zero"), 0.0), inner("reached"));
            graph.node("GreaterOrEqual", &[z, &zero], &reached, &[]);
            return graph.node("Cast", &[&reached], to, &[("to", Number::Int(FLOAT))]);
        }
    };
    graph.node(operator, &[z], to, attribute.as_slice());
}
