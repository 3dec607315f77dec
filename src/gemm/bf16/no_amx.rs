//! No tile unit on this target.

use super::operand::{Pairs, Sums};

pub(super) fn available() -> bool {
    false
}

/// Never made.
pub(super) enum Tiles {}

impl Tiles {
    pub(super) fn configure() -> Self {
        unreachable!("there are no tiles")
    }

    /// # Safety
    /// None: it is never called.
    pub(super) unsafe fn block(&self, _: &Pairs, _: &mut Sums) {
        match *self {}
    }
}
