//! Values in `Debug` texts.

use std::fmt;

/// Most values that a text lists: about ten lines of a terminal.
const MAX_LISTED: usize = 100;

/// A slice whose `Debug` text lists up to 100 values, and else has their number alone.
pub(crate) struct Values<'a, T>(pub(crate) &'a [T]);

/// Whether a text lists the values of `rows` rows of `cols`.
pub(crate) fn are_listed(rows: usize, cols: usize) -> bool {
    // A row without values is two brackets.
    rows.saturating_mul(cols.max(1)) <= MAX_LISTED
}

impl<T: fmt::Debug> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.len();
        if are_listed(1, n) { self.0.fmt(f) } else { write!(f, "[{n} values]") }
    }
}
