//! What a step is about to change: gradients that wait for an update, and parameters; and whether it
//! may.

use crate::optim::Adjustments;

/// What was summed up since the last update: Σ Sᵦ gᵦ over the batches, with gᵦ the gradient of a
/// batch's mean loss and Sᵦ the sum of what its rows weigh, so that the sum divided by Σ Sᵦ is the
/// gradient of one batch of all the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) batches: usize,
    /// Σ Sᵦ, in units: rows where nothing is weighted.
    pub(crate) weight: f64,
    /// What the weights are divided by: 1, or a power of two near the first weighted batch's sum,
    /// so that weights of any size neither overflow nor vanish in the sum.
    pub(crate) unit: f64,
}

impl Waiting {
    /// One more gradient waits in a plain sum.
    pub(crate) fn with_gradient(self) -> Waiting {
        Waiting { batches: self.batches + 1, weight: 1.0, unit: 1.0 }
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting { batches: 0, weight: 0.0, unit: 1.0 }
    }
}

/// What the rows of a batch weigh together.
#[derive(Clone, Copy)]
pub(crate) enum BatchWeight {
    /// One each.
    Rows(usize),
    /// The sum of their weights.
    Sum(f64),
}

impl BatchWeight {
    pub(crate) fn sum(self) -> f64 {
        match self {
            BatchWeight::Rows(rows) => rows as f64,
            BatchWeight::Sum(sum) => sum,
        }
    }
}

/// What a batch, or the end of an epoch, does to the gradients that wait and to the parameters.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    /// Rows whose activations and deltas make a gradient; 0 for none.
    pub(crate) rows: usize,
    /// What their mean gradient counts in the sum.
    pub(crate) weight: f32,
    /// Σ of these over the batches of the update.
    pub(crate) total: f64,
    /// Whether gradients are summed up.
    pub(crate) accumulates: bool,
    /// Whether there is an update.
    pub(crate) updates: bool,
    /// What waits before it, once the batch is counted.
    pub(crate) waiting: Waiting,
}

impl Change {
    /// The change by a batch of which `rows` rows count, when this much waits.
    pub(crate) fn of_batch(
        mut waiting: Waiting,
        adjustments: &Adjustments,
        rows: usize,
        weight: BatchWeight,
    ) -> Change {
        if adjustments.accumulate <= 1 {
            let (updates, waiting) = (rows > 0, Waiting::default());
            return Change { rows, weight: 1.0, total: 1.0, accumulates: false, updates, waiting };
        }
        waiting.batches += 1;
        if let (true, BatchWeight::Sum(sum)) = (waiting.weight == 0.0, weight)
            && sum > 0.0
        {
            // The exponent's bits alone: a power of two.
            waiting.unit = f64::from_bits(sum.to_bits() & (0x7ff << 52));
        }
        let weight = weight.sum() / waiting.unit;
        waiting.weight += weight;
        let updates = waiting.batches >= adjustments.accumulate && waiting.weight > 0.0;
        let total = waiting.weight;
        Change { rows, weight: weight as f32, total, accumulates: true, updates, waiting }
    }

    /// The gradient of `rows` rows as it is: an update, or what is added to the sum for one.
    pub(crate) fn of_gradient(rows: usize, accumulates: bool) -> Change {
        let (updates, waiting) = (!accumulates, Waiting::default());
        Change { rows, weight: 1.0, total: 1.0, accumulates, updates, waiting }
    }

    /// The update from what waits, without another batch; none where nothing that counts does.
    pub(crate) fn of_rest(waiting: Waiting) -> Option<Change> {
        let (total, accumulates, updates) = (waiting.weight, true, true);
        let change = Change { rows: 0, weight: 0.0, total, accumulates, updates, waiting };
        (waiting.weight > 0.0).then_some(change)
    }

    /// What the kept gradient is multiplied by.
    pub(crate) fn scale(&self) -> f32 {
        if self.accumulates { 1.0 / self.total as f32 } else { 1.0 }
    }
}
