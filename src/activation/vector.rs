//! The public functions of a [`Level`] over slices: eˣ, ln x and softmax.

use super::apply::{Map, map_slice};
use super::softmax::softmax_groups;
use crate::math::{exp, ln};
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};

#[derive(Clone, Copy)]
struct Exp;

impl Map for Exp {
    #[inline(always)]
    fn map<S: Simd>(self, s: S, x: S::V) -> S::V {
        exp(s, x)
    }
}

#[derive(Clone, Copy)]
struct Ln;

impl Map for Ln {
    #[inline(always)]
    fn map<S: Simd>(self, s: S, x: S::V) -> S::V {
        ln(s, x)
    }
}

struct Softmax<'a>(&'a mut [f32]);

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (full, tail) = self.0.as_chunks_mut::<LINE>();
        let mut last = [0.0; LINE];
        last[..tail.len()].copy_from_slice(tail);
        softmax_groups(s, full, &mut last, tail.len());
        tail.copy_from_slice(&last[..tail.len()]);
    }
}

impl Level {
    /// Replaces each x by eˣ, with an error of at most 1 ULP.
    pub fn exp(self, x: &mut [f32]) {
        map_slice(self, Exp, x);
    }

    /// Replaces each x by its natural logarithm, with an error of at most 1 ULP; −∞ for ±0, NaN for
    /// negative numbers.
    pub fn ln(self, x: &mut [f32]) {
        map_slice(self, Ln, x);
    }

    /// Replaces a row of logits z by their softmax, e^(z − max) / Σ e^(z − max).
    ///
    /// Large logits do not overflow, and −∞ gives 0. In random rows of up to 1000 logits the error of a
    /// probability is at most 5 + |z − max| ULP. A row with NaN or +∞, or with −∞ only, becomes NaN.
    pub fn softmax(self, row: &mut [f32]) {
        dispatch(self, Softmax(row));
    }
}
