//! Protobuf messages, written by hand (no compiler, no crate): a message is fields, a field is a key
//! and a number, four bytes, or a length and bytes.

use super::writer::{Buffers, Values};
use crate::error::Result;
use std::io::Write;

/// A protobuf message: its bytes in segments; tensors are not copied.
#[derive(Default)]
pub(crate) struct Message<'a> {
    segments: Vec<Segment<'a>>,
    pub(crate) length: usize,
}

enum Segment<'a> {
    Bytes(Vec<u8>),
    Values(Values<'a>),
}

impl<'a> Message<'a> {
    fn push(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
        match self.segments.last_mut() {
            Some(Segment::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.segments.push(Segment::Bytes(bytes.to_vec())),
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

    pub(crate) fn number(&mut self, field: u64, n: u64) {
        self.key(field, 0);
        self.varint(n);
    }

    pub(crate) fn four_bytes(&mut self, field: u64, bytes: [u8; 4]) {
        self.key(field, 5);
        self.push(&bytes);
    }

    pub(crate) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.push(bytes);
    }

    pub(crate) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    pub(crate) fn values(&mut self, field: u64, values: Values<'a>) {
        self.key(field, 2);
        self.varint(values.n_bytes() as u64);
        self.push_values(values);
    }

    pub(crate) fn message(&mut self, field: u64, message: Message<'a>) {
        self.key(field, 2);
        self.varint(message.length as u64);
        self.append(message);
    }

    /// Adds the fields of another message.
    pub(crate) fn append(&mut self, message: Message<'a>) {
        for segment in message.segments {
            match segment {
                Segment::Bytes(bytes) => self.push(&bytes),
                Segment::Values(values) => self.push_values(values),
            }
        }
    }

    fn push_values(&mut self, values: Values<'a>) {
        self.length = self.length.saturating_add(values.n_bytes());
        self.segments.push(Segment::Values(values));
    }

    pub(crate) fn write(&self, writer: &mut dyn Write) -> Result<()> {
        let mut buffers = Buffers::default();
        for segment in &self.segments {
            match segment {
                Segment::Bytes(bytes) => writer.write_all(bytes)?,
                Segment::Values(values) => {
                    values.for_each_chunk(&mut buffers, |chunk| writer.write_all(chunk))?;
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
