//! What a prediction does: a program without what only training needs, its buffers in as few matrices
//! as possible.

use super::compile::Program;
use super::memory::Place;
use super::ops::{Buffer, INPUTS, Op, Outputs, Product};
use crate::network::Mlp;

/// The operations of a prediction, and where their buffers lie.
pub(crate) struct Plan {
    pub(crate) ops: Vec<Op>,
    pub(crate) places: Vec<Place>,
    /// Columns of each matrix.
    pub(crate) widths: Vec<usize>,
    /// The outputs of the network.
    pub(crate) output: Buffer,
    /// A buffer like the outputs, which no operation uses.
    pub(crate) spare: Buffer,
    /// Whether something but a product reads the inputs, which then must lie in panels.
    pub(crate) gathers_inputs: bool,
    /// Whether a product reads the inputs.
    pub(crate) product_reads_inputs: bool,
}

impl Plan {
    pub(crate) fn new(net: &Mlp, outputs: Outputs) -> Plan {
        let program = Program::new(net, outputs);
        let ops: Vec<Op> = program.ops.iter().copied().filter(Op::is_in_predictions).collect();
        let output = program.output.a;
        let spare = Buffer(program.shapes.len());
        // The operation that reads a buffer last; a matrix is free for the next one after that.
        let mut last_use = vec![0; program.shapes.len()];
        for (at, op) in ops.iter().enumerate() {
            let used = op.reads().into_iter().chain(op.makes());
            used.flatten().for_each(|buffer| last_use[buffer.0] = at);
        }
        (last_use[INPUTS.0], last_use[output.0]) = (usize::MAX, usize::MAX);
        let mut places = Place::of_each(&program.shapes);
        let mut widths = vec![net.n_in()];
        let mut free: Vec<usize> = Vec::new();
        let mut live: Vec<Buffer> = Vec::new();
        let take = |free: &mut Vec<usize>, widths: &mut Vec<usize>, cols: usize| {
            let matrix = free.pop().unwrap_or_else(|| {
                widths.push(0);
                widths.len() - 1
            });
            widths[matrix] = widths[matrix].max(cols);
            Place { matrix, cols }
        };
        for (at, op) in ops.iter().enumerate() {
            for buffer in op.makes().into_iter().flatten() {
                let cols = program.shapes[buffer.0].cols();
                places[buffer.0] = take(&mut free, &mut widths, cols);
                live.push(buffer);
            }
            live.retain(|buffer| {
                let is_live = last_use[buffer.0] > at;
                free.extend((!is_live).then_some(places[buffer.0].matrix));
                is_live
            });
        }
        places.push(take(&mut free, &mut widths, net.n_out()));
        let mut readers = ops.iter().filter(|op| op.reads().contains(&Some(INPUTS)));
        let gathers_inputs = readers.clone().any(|op| op.product().is_none());
        let product_reads_inputs = readers.any(|op| op.product().is_some());
        Plan { ops, places, widths, output, spare, gathers_inputs, product_reads_inputs }
    }

    /// Its operations, if they are products only.
    pub(crate) fn products(&self) -> Option<Vec<Product>> {
        self.ops.iter().map(|op| op.product().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    /// Three matrices besides the inputs suffice for any depth: operand, result, and one per residual
    /// connection that is open.
    #[test]
    fn a_prediction_needs_few_matrices() {
        let hidden = |b: crate::network::MlpBuilder| b.dense(20, Activation::Relu);
        let mut builder = Mlp::builder(5);
        for _ in 0..10 {
            builder = hidden(builder).batch_norm();
        }
        let plain = builder.clone().dense(2, Activation::Softmax).build().unwrap();
        assert_eq!(Plan::new(&plain, Outputs::OfLayer).widths, [5, 20, 20]);
        let residual = hidden(hidden(builder)).residual(2).dense(2, Activation::Softmax);
        assert_eq!(Plan::new(&residual.build().unwrap(), Outputs::OfLayer).widths, [5, 20, 20, 20]);
    }
}
