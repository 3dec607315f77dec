//! What the stores of the products call: an element-wise function of the result, or the update of
//! the weight whose gradient the result is. Activations and optimisers implement them.

use crate::simd::{Level, Line, Simd};

/// An element-wise function that a product applies to its result, or by whose derivative it
/// multiplies it.
pub(crate) trait ElementwiseOp: Copy {
    /// The function, if a store applies it to sums in registers; others run over stored lines.
    fn fused(self) -> Option<FusedOp>;
    /// x = f(x)
    fn forward_lines(self, level: Level, x: &mut [Line]);
    /// d = d · f′(kept)
    ///
    /// # Panics
    /// If the lengths differ.
    fn backward_lines(self, level: Level, kept: &[Line], d: &mut [Line]);
}

/// A function that every store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FusedOp {
    /// x
    Identity,
    /// max(0, x)
    Relu,
}

impl FusedOp {
    /// The function is max(floor, x), and NaN where x is NaN.
    pub(super) fn floor(self) -> f32 {
        match self {
            FusedOp::Identity => f32::NEG_INFINITY,
            FusedOp::Relu => 0.0,
        }
    }
}

/// A product without a function.
#[derive(Clone, Copy)]
pub(super) struct Identity;

impl ElementwiseOp for Identity {
    fn fused(self) -> Option<FusedOp> {
        Some(FusedOp::Identity)
    }
    fn forward_lines(self, _: Level, _: &mut [Line]) {}
    fn backward_lines(self, _: Level, _: &[Line], _: &mut [Line]) {}
}

/// An optimiser's arithmetic on a vector of weights.
pub(crate) trait UpdateRule: Copy + Send + Sync {
    /// State values per weight: the first `SLOTS` of `slots`, at most two.
    const SLOTS: usize;
    /// The rule for biases, which weight decay may leave out.
    fn for_biases(self) -> Self {
        self
    }
    /// Returns the new weight; updates the state.
    fn update<S: Simd>(self, s: S, weight: S::V, gradient: S::V, slots: &mut [S::V; 2]) -> S::V;
}

/// Stores the gradient itself: for products alone, and for steps that need the whole gradient first.
#[derive(Clone, Copy)]
pub(crate) struct StoreGradient;

impl UpdateRule for StoreGradient {
    const SLOTS: usize = 0;
    #[inline(always)]
    fn update<S: Simd>(self, _: S, _: S::V, gradient: S::V, _: &mut [S::V; 2]) -> S::V {
        gradient
    }
}
