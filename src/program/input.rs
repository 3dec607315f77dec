//! A batch of bytes that the first layer's products take as they are.

use super::batch::{Batch, ByteRows};
use super::compile::Program;
use super::ops::{INPUTS, Op};
use super::state::LayerState;
use crate::gemm::bf16::Scaling;

/// Rows of bytes, and what they stand for.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub(crate) rows: ByteRows<'a>,
    pub(crate) scaling: Scaling,
}

impl<'a> Bytes<'a> {
    /// The bytes of a batch, where it has them and nobody needs their values in f32: a product of bf16
    /// alone reads the inputs.
    pub(crate) fn new(program: &Program, states: &[LayerState], batch: Batch<'a>) -> Option<Self> {
        let mut readers = program.ops.iter().filter(|op| op.reads().contains(&Some(INPUTS)));
        let is_product =
            |op: &Op| op.product().is_some_and(|product| states[product.layer].parts.is_some());
        let alone = readers.all(is_product);
        let (rows, scale, shift) = batch.bytes().filter(|_| alone)?;
        Some(Bytes { rows, scaling: Scaling::new(scale, shift) })
    }
}
