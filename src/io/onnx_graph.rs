//! The messages of an ONNX model that a network needs: nodes, tensors, inputs and outputs.

use crate::format::{Message, Values};
use std::mem::take;

/// `FLOAT` among the data types and among the types of an attribute, where `INT` is 2.
pub(super) const FLOAT: u64 = 1;
const INT: u64 = 2;

pub(super) enum Number {
    Float(f32),
    Int(u64),
}

/// A graph: its nodes and its tensors.
#[derive(Default)]
pub(super) struct Graph<'a> {
    nodes: Message<'a>,
    tensors: Message<'a>,
    /// The parameters of the current layer, which follow the constants of its activation.
    parameters: Message<'a>,
}

fn message<'a>(fill: impl FnOnce(&mut Message<'a>)) -> Message<'a> {
    let mut message = Message::default();
    fill(&mut message);
    message
}

/// A TensorProto of floats, whose values `fill` writes.
fn tensor<'a>(name: &str, shape: &[usize], fill: impl FnOnce(&mut Message<'a>)) -> Message<'a> {
    message(|tensor| {
        shape.iter().for_each(|&n| tensor.number(1, n as u64));
        tensor.number(2, FLOAT);
        tensor.text(8, name);
        fill(tensor);
    })
}

/// The ValueInfoProto of rows of `width` floats.
fn value(name: &str, width: usize) -> Message<'static> {
    let rows = message(|dimension| dimension.text(2, "rows"));
    let columns = message(|dimension| dimension.number(1, width as u64));
    let shape = message(|shape| [rows, columns].into_iter().for_each(|d| shape.message(1, d)));
    let tensor = message(|tensor| {
        tensor.number(1, FLOAT);
        tensor.message(2, shape);
    });
    let kind = message(|kind| kind.message(1, tensor));
    message(|value| {
        value.text(1, name);
        value.message(2, kind);
    })
}

impl<'a> Graph<'a> {
    /// Adds a NodeProto; its name is that of its output.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Number)],
    ) {
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, output);
        node.text(3, output);
        node.text(4, operator);
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
            node.message(5, attribute);
        }
        self.nodes.message(1, node);
    }

    /// Adds a constant of no dimension. Returns its name.
    pub(super) fn constant(&mut self, name: String, value: f32) -> String {
        let constant = tensor(&name, &[], |tensor| tensor.bytes(9, &value.to_le_bytes()));
        self.tensors.message(5, constant);
        name
    }

    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2], values: Values<'a>) {
        self.parameters.message(5, tensor(name, &shape, |tensor| tensor.values(9, values)));
    }

    pub(super) fn vector(&mut self, name: &str, values: impl IntoIterator<Item = f32>) {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        let vector = tensor(name, &[bytes.len() / 4], |tensor| tensor.bytes(9, &bytes));
        self.parameters.message(5, vector);
    }

    pub(super) fn end_layer(&mut self) {
        self.tensors.append(take(&mut self.parameters));
    }

    /// The ModelProto with this opset and version of the format, and the names and widths of the input
    /// and the output.
    pub(super) fn into_model(
        self,
        (opset, format): (u64, u64),
        [input, output]: [(&str, usize); 2],
    ) -> Message<'a> {
        let mut graph = self.nodes;
        graph.text(2, "deltarule");
        graph.append(self.tensors);
        graph.message(11, value(input.0, input.1));
        graph.message(12, value(output.0, output.1));
        let opset = message(|operators| {
            operators.text(1, "");
            operators.number(2, opset);
        });
        message(|model| {
            model.number(1, format);
            model.text(2, "deltarule");
            model.message(7, graph);
            model.message(8, opset);
        })
    }
}
