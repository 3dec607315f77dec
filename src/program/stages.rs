//! How phase 1 of a training step is cut where all rows of a batch must have met.
//!
//! Batch normalisation needs sums over the whole batch, so each such operation cuts phase 1 twice.
//! With n of them there are 2n + 1 stages with a join between each two:
//!
//! ```text
//! stage 0      gather, forward to the first z that is normalised
//! join         its mean and variance
//! stage 1      forward from there to the next one's z …
//! stage n      … forward to the end; loss; backward to ∂L/∂y of the last one
//! join         the sums that its ∂L/∂z needs
//! stage n + 1  backward from there to ∂L/∂y of the one before …
//! stage 2n     … backward to the first layer
//! ```

use super::ops::{Norm, Op};
use std::ops::Range;

/// The work between two joins.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Operations that run forwards.
    pub(crate) forward: Range<usize>,
    /// Whether the loss is in between.
    pub(crate) loss: bool,
    /// Operations that are walked in reverse.
    pub(crate) backward: Range<usize>,
    /// The batch normalisation that follows, and in which direction.
    pub(crate) join: Option<Join>,
}

/// Sums over the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Join {
    /// Of z.
    Forward(Norm),
    /// Of g and g ⊙ ẑ.
    Backward(Norm),
}

/// The stages of a program.
pub(crate) fn stages(ops: &[Op]) -> Vec<Stage> {
    let norms = ops.iter().enumerate().filter_map(|(at, op)| Some((at, *op.batch_norm()?)));
    let joins: Vec<(usize, Norm)> = norms.collect();
    let (mut stages, mut from) = (Vec::new(), 0);
    for &(at, norm) in &joins {
        let join = Some(Join::Forward(norm));
        stages.push(Stage { forward: from..at, loss: false, backward: 0..0, join });
        from = at;
    }
    let (mut forward, mut loss, mut end) = (from..ops.len(), true, ops.len());
    for &(at, norm) in joins.iter().rev() {
        let join = Some(Join::Backward(norm));
        stages.push(Stage { forward, loss, backward: at + 1..end, join });
        (forward, loss, end) = (0..0, false, at + 1);
    }
    stages.push(Stage { forward, loss, backward: 0..end, join: None });
    stages
}
