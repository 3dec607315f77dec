//! ELU: z above 0, α (eᶻ − 1) below. SELU: λ times ELU, with the α and λ that keep mean 0 and
//! variance 1 from layer to layer (Klambauer et al. 2017). Derivatives from the output a: 1 (λ)
//! above 0, else a + α (a + λα).
//!
//! Error: ELU with α = 1 at most 1 ULP at every level, over all 2³² inputs; other α add the
//! rounding of one product, SELU that of its constant as well (`tests/activations/ulp.rs`).

use super::exp::expm1_negative;
use super::{Elementwise, Keeps};
use crate::simd::Simd;

/// λ above 0, lower · (eᶻ − 1) below: ELU has (1, α), SELU (λ, λα).
#[derive(Clone, Copy)]
pub(super) struct Elu {
    upper: f32,
    lower: f32,
}

impl Elu {
    /// ELU, α ≥ 0
    pub(super) fn new(alpha: f32) -> Elu {
        Elu { upper: 1.0, lower: alpha }
    }

    /// SELU: λ = 1.0507009873554805, α = 1.6732632423543772
    pub(super) fn selu() -> Elu {
        Elu { upper: 1.050_701, lower: 1.758_099_3 }
    }
}

impl Elementwise for Elu {
    const KEEPS: Keeps = Keeps::Output;

    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let below = s.mul(s.splat(self.lower), expm1_negative(s, z));
        // `z < 0` and not `0 < z` sends -0 and NaN through the product, which keeps them.
        s.select(s.lt(z, s.splat(0.0)), below, s.mul(s.splat(self.upper), z))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        let lower = s.splat(self.lower);
        s.select(s.lt(s.splat(0.0), a), s.splat(self.upper), s.add(a, lower))
    }
}
