//! The state of a step that is made by separate calls.

/// What waits for the next call.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) rows: usize,
    pub(crate) next: Next,
    /// The threads of all calls of the step.
    pub(crate) threads: usize,
    /// Whether the forward pass has scanned which inputs are zero.
    pub(crate) scan: bool,
}

/// What comes after a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// After a forward pass.
    Backward,
    /// After a backward pass.
    Update,
}
