//! No tile unit on this target.

use super::tile::{Pairs, Sums};

/// Never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {}

pub(super) fn available() -> Option<Token> {
    None
}

/// Never made.
pub(super) enum Tiles {}

impl Tiles {
    pub(super) fn configure(token: Token) -> Self {
        match token {}
    }

    /// # Safety
    /// None: it is never called.
    pub(super) unsafe fn block(&self, _: &Pairs, _: &mut Sums) {
        match *self {}
    }
}
