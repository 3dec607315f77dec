//! What an element-wise activation is.

use crate::gemm::FusedOp;
use crate::simd::Simd;

/// The value that backward needs of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The output a = σ(z): nothing has to be stored beside it.
    Output,
    /// The input z, of functions that are not invertible.
    Input,
}

/// One element-wise activation, generic over the level.
pub(crate) trait Elementwise: Copy + Send + Sync {
    /// What `derivative` takes.
    const KEEPS: Keeps;
    /// The function, if the stores of products apply it.
    const FUSED: Option<FusedOp> = None;
    /// σ(z)
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V;
    /// σ′ from what is kept.
    fn derivative<S: Simd>(self, s: S, kept: S::V) -> S::V;
}

/// Work that is generic over the activation. `visit` must be `#[inline(always)]` if it is called
/// inside a level.
pub(crate) trait Visit {
    /// What it returns.
    type Output;
    /// Does the work with one activation.
    fn visit<E: Elementwise>(self, e: E) -> Self::Output;
}
