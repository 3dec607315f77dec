//! The interface of element-wise activations.

use crate::gemm::FusedOp;
use crate::simd::Simd;

/// The value that the backward pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The output a = σ(z), which is stored anyway.
    Output,
    /// The input z, if σ′ is not a function of a.
    Input,
}

/// One element-wise activation, generic over the level.
pub(crate) trait Elementwise: Copy + Send + Sync {
    /// The argument of `derivative`.
    const KEEPS: Keeps = Keeps::Output;
    /// The operation, if the stores of products apply it.
    const FUSED: Option<FusedOp> = None;
    /// σ(z)
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V;
    /// σ′(z), from the kept value.
    fn derivative<S: Simd>(self, s: S, kept: S::V) -> S::V;
}

/// A function that is generic over the activation. `visit` must be `#[inline(always)]` if it is called
/// inside of a kernel.
pub(crate) trait Visit {
    type Output;
    fn visit<E: Elementwise>(self, e: E) -> Self::Output;
}
