//! The messages of an ONNX model that a network needs: nodes, tensors, and what goes in and out.

use crate::format::Message;

/// `FLOAT` among the data types and among the types of an attribute, where `INT` is 2.
pub(super) const FLOAT: u64 = 1;
const INT: u64 = 2;

/// The value of an attribute.
pub(super) enum Number {
    Float(f32),
    Int(u64),
}

/// Adds a NodeProto; its name is that of its output.
pub(super) fn node(
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

/// Adds a TensorProto of floats, whose values `fill` writes.
pub(super) fn tensor<'a>(
    tensors: &mut Message<'a>,
    shape: &[usize],
    name: &str,
    fill: impl FnOnce(&mut Message<'a>),
) {
    let mut message = Message::default();
    shape.iter().for_each(|&n| message.number(1, n as u64));
    message.number(2, FLOAT);
    message.text(8, name);
    fill(&mut message);
    tensors.message(5, message);
}

/// Adds a TensorProto of one dimension.
pub(super) fn vector(tensors: &mut Message, name: &str, values: impl IntoIterator<Item = f32>) {
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    let n = bytes.len() / 4;
    tensor(tensors, &[n], name, |message| message.bytes(9, &bytes));
}

/// The ValueInfoProto of rows of `width` floats.
pub(super) fn value(name: &str, width: usize) -> Message<'static> {
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
