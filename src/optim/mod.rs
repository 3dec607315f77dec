//! Optimisers: how a gradient changes a weight.
//!
//! A [`Rule`] is one optimiser's arithmetic with the step's numbers (learning rate, bias
//! corrections) filled in; it runs inside the store of the gradient's product. An [`Optimizer`] is
//! what users choose; it makes the rule of each step.

use crate::simd::Simd;

/// One optimiser's arithmetic on a vector of weights.
pub(crate) trait Rule: Copy + Send + Sync {
    /// State values a weight needs: the first so many of `slots`.
    const SLOTS: usize;
    /// The new weight from the weight and its gradient; updates the state.
    fn update<S: Simd>(self, s: S, weight: S::V, gradient: S::V, slots: &mut [S::V; 2]) -> S::V;
}

/// Keeps the gradient itself: for products alone, and for steps that need the whole gradient first.
#[derive(Clone, Copy)]
pub(crate) struct Keep;

impl Rule for Keep {
    const SLOTS: usize = 0;
    #[inline(always)]
    fn update<S: Simd>(self, _: S, _: S::V, gradient: S::V, _: &mut [S::V; 2]) -> S::V {
        gradient
    }
}
