//! ONNX export: a network as a graph of Gemm and activations that any runtime can serve.
//!
//! The few protobuf messages are written by hand (no compiler, no crate): a message is fields, a
//! field is a key and a number, four bytes, or a length and bytes. Weights are streamed, so the
//! export never holds a second copy of them. Opset 13, which every runtime knows; GELU and SiLU
//! are therefore written out in the operations that opset has.

use super::writer::{Buffers, Values};
use crate::activation::Activation;
use crate::nn::{Dense, Mlp};
use crate::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Bytes of a protobuf message at most, by its specification.
const MOST: usize = (1 << 31) - 1;
/// The version of the operators.
const OPSET: u64 = 13;
/// The version of the file format that came with that opset.
const IR: u64 = 7;
/// `FLOAT` among the data types and among the types of an attribute, where `INT` is 2.
const FLOAT: u64 = 1;
const INT: u64 = 2;
/// The names of the graph's ends.
const NAME_IN: &str = "input";
const NAME_OUT: &str = "output";

impl Mlp {
    /// Writes the network as an ONNX model: input `input` (rows x n_in, any number of rows),
    /// output `output` (rows x n_out; probabilities where the output layer is softmax), as
    /// [`Mlp::predict`] gives them up to rounding. Opset 13.
    ///
    /// # Errors
    /// [`Error::Io`] when writing fails, [`Error::Value`] when a parameter is not finite,
    /// [`Error::Config`] when the model would have more than 2 GiB, ONNX's limit, or has norms,
    /// maxout or residual connections; an old file is then as it was.
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        let model = self.onnx()?;
        super::atomic::write_atomically(path.as_ref(), &mut |file| model.write(file))
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
        let is_plain =
            |l: &Dense| l.norm.is_none() && l.residual == 0 && l.activation.pieces() == 1;
        if let Some(i) = self.layers.iter().position(|l| !is_plain(l)) {
            let reason =
                format!("layer {i}: norms, maxout and residual connections have no export");
            return Err(Error::config("ONNX", reason));
        }
        let mut graph = Message::default();
        let mut from = String::from(NAME_IN);
        let mut tensors = Message::default();
        let last = self.layers.len().saturating_sub(1);
        for (i, Dense { w, b, activation, .. }) in self.layers.iter().enumerate() {
            let (weight, bias) = (format!("layers.{i}.weight"), format!("layers.{i}.bias"));
            let to = if i == last { NAME_OUT.into() } else { format!("layers.{i}") };
            let z = match activation {
                Activation::Identity => to.clone(),
                _ => format!("layers.{i}.z"),
            };
            node(&mut graph, "Gemm", &[&from, &weight, &bias], &z, &[("transB", Number::Int(1))]);
            activate(&mut graph, &mut tensors, *activation, (&z, &to));
            let mut message = Message::default();
            [w.cols(), w.rows()].iter().for_each(|&n| message.number(1, n as u64));
            tensor(&mut tensors, message, &weight, Values::Matrix(w));
            let mut message = Message::default();
            message.number(1, b.cols() as u64);
            tensor(&mut tensors, message, &bias, Values::Row(b));
            from = to;
        }
        graph.text(2, "deltarule");
        graph.append(tensors);
        graph.message(11, value(NAME_IN, self.n_in()));
        graph.message(12, value(NAME_OUT, self.n_out()));
        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, OPSET);
        let mut model = Message::default();
        model.number(1, IR);
        model.text(2, "deltarule");
        model.message(7, graph);
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

/// Adds an activation from `z` to `to`; constants go to `tensors`.
fn activate<'a>(
    graph: &mut Message<'a>,
    tensors: &mut Message<'a>,
    activation: Activation,
    (z, to): (&str, &str),
) {
    let mut constant = |what: &str, value: f32| {
        let name = format!("{to}.{what}");
        let mut message = Message::default();
        message.number(2, FLOAT);
        message.text(8, &name);
        message.bytes(9, &value.to_le_bytes());
        tensors.message(5, message);
        name
    };
    let alpha = |value| [("alpha", Number::Float(value))];
    match activation {
        // The caller refused maxout.
        Activation::Identity | Activation::Maxout { .. } => {}
        Activation::Sigmoid => node(graph, "Sigmoid", &[z], to, &[]),
        Activation::Tanh => node(graph, "Tanh", &[z], to, &[]),
        Activation::Relu => node(graph, "Relu", &[z], to, &[]),
        Activation::LeakyRelu { slope } => node(graph, "LeakyRelu", &[z], to, &alpha(slope)),
        Activation::Elu { alpha: a } => node(graph, "Elu", &[z], to, &alpha(a)),
        Activation::Selu => node(graph, "Selu", &[z], to, &[]),
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

/// The value of an attribute.
enum Number {
    Float(f32),
    Int(u64),
}

/// Adds a NodeProto; its name is that of its output.
fn node(
    graph: &mut Message,
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Number)],
) {
    let mut message = Message::default();
    inputs.iter().for_each(|input| message.text(1, input));
    message.text(2, output);
    message.text(3, output);
    message.text(4, operator);
    for (name, value) in attributes {
        let mut attribute = Message::default();
        attribute.text(1, name);
        match value {
            Number::Float(x) => {
                attribute.four_bytes(2, x.to_le_bytes());
                attribute.number(20, FLOAT);
            }
            Number::Int(n) => {
                attribute.number(3, *n);
                attribute.number(20, INT);
            }
        }
        message.message(5, attribute);
    }
    graph.message(1, message);
}

/// Adds a TensorProto of floats whose dimensions are in `message`.
fn tensor<'a>(graph: &mut Message<'a>, mut message: Message<'a>, name: &str, values: Values<'a>) {
    message.number(2, FLOAT);
    message.text(8, name);
    message.values(9, values);
    graph.message(5, message);
}

/// The ValueInfoProto of rows of `width` floats.
fn value(name: &str, width: usize) -> Message<'static> {
    let mut rows = Message::default();
    rows.text(2, "rows");
    let mut cols = Message::default();
    cols.number(1, width as u64);
    let mut shape = Message::default();
    shape.message(1, rows);
    shape.message(1, cols);
    let mut tensor = Message::default();
    tensor.number(1, FLOAT);
    tensor.message(2, shape);
    let mut kind = Message::default();
    kind.message(1, tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, kind);
    value
}

/// A protobuf message: its bytes in pieces, of which the large ones stay where they are.
#[derive(Default)]
struct Message<'a> {
    pieces: Vec<Piece<'a>>,
    length: usize,
}

enum Piece<'a> {
    Bytes(Vec<u8>),
    Values(Values<'a>),
}

impl<'a> Message<'a> {
    fn push(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.push(&[(n & 0x7f) as u8 | 0x80]);
            n >>= 7;
        }
        self.push(&[n as u8]);
    }

    /// Wire types: 0 is a number, 2 a length and bytes, 5 four bytes.
    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn number(&mut self, field: u64, n: u64) {
        self.key(field, 0);
        self.varint(n);
    }

    fn four_bytes(&mut self, field: u64, bytes: [u8; 4]) {
        self.key(field, 5);
        self.push(&bytes);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.push(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn values(&mut self, field: u64, values: Values<'a>) {
        self.key(field, 2);
        self.varint(values.n_bytes() as u64);
        self.push_values(values);
    }

    fn message(&mut self, field: u64, message: Message<'a>) {
        self.key(field, 2);
        self.varint(message.length as u64);
        self.append(message);
    }

    /// Adds the fields of another message.
    fn append(&mut self, message: Message<'a>) {
        for piece in message.pieces {
            match piece {
                Piece::Bytes(bytes) => self.push(&bytes),
                Piece::Values(values) => self.push_values(values),
            }
        }
    }

    fn push_values(&mut self, values: Values<'a>) {
        self.length = self.length.saturating_add(values.n_bytes());
        self.pieces.push(Piece::Values(values));
    }

    fn write(&self, writer: &mut dyn Write) -> Result<()> {
        let mut buffers = Buffers::default();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => writer.write_all(bytes)?,
                Piece::Values(values) => {
                    values.pieces(&mut buffers, |part| writer.write_all(part))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the protobuf encoding's documentation.
    #[test]
    fn messages_are_encoded_as_protobuf_says() {
        let bytes = |message: Message| {
            let mut bytes = Vec::new();
            message.write(&mut bytes).unwrap();
            assert_eq!(bytes.len(), message.length);
            bytes
        };
        let mut a = Message::default();
        a.number(1, 150);
        let mut b = Message::default();
        b.text(2, "testing");
        let mut c = Message::default();
        let mut inner = Message::default();
        inner.number(1, 150);
        c.message(3, inner);
        assert_eq!(bytes(a), [0x08, 0x96, 0x01]);
        assert_eq!(bytes(b), b"\x12\x07testing");
        assert_eq!(bytes(c), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }
}
