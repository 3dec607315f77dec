//! When a prediction scans for inputs that are zero in all rows of a block.

use crate::gemm::{ActiveInputs, MIN_SCAN_INPUTS};
use crate::network::Mlp;
use crate::storage::RowsView;

/// Blocks that are not scanned after one without many zeros. A scan costs a 20th of a product with one
/// row, so that all scans cost half a percent.
const SCAN_AGAIN: usize = 10;

/// The zeros of one worker's blocks of rows.
pub(crate) struct Zeros {
    inputs: ActiveInputs,
    /// Blocks until the next scan.
    scan_in: usize,
    /// Whether the first layer's weights are finite, so that such inputs may be left out; measured
    /// when it first matters.
    finite: Option<bool>,
}

impl Zeros {
    pub(crate) fn new(net: &Mlp) -> Self {
        let scan_in = if net.n_in() < MIN_SCAN_INPUTS { usize::MAX } else { 0 };
        Zeros { inputs: ActiveInputs::new(net.n_in()), scan_in, finite: None }
    }

    /// Forgets what it knows of the weights, which have changed.
    pub(crate) fn forget_weights(&mut self) {
        if self.finite.take() == Some(false) {
            self.scan_in = 0;
        }
    }

    /// The inputs that are not zero in all of these rows, where it is faster to leave out the
    /// others. After rows where it was, the next ones are scanned too, else one block in ten.
    pub(crate) fn scan(&mut self, net: &Mlp, x: RowsView) -> Option<&ActiveInputs> {
        if self.scan_in > 0 {
            self.scan_in -= 1;
        } else if !self.inputs.scan_zeros(net.level, x) {
            self.scan_in = SCAN_AGAIN;
        } else if !*self.finite.get_or_insert_with(|| net.layers[0].w.is_finite()) {
            self.inputs.take_all();
            self.scan_in = usize::MAX;
        }
        self.inputs.is_sparse().then_some(&self.inputs)
    }
}
