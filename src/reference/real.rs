//! The operations on real numbers that the formulas use, for `f32` and `f64`.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A real number: `f32` or `f64`.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The nearest number of this type.
    #[must_use]
    fn from_f64(x: f64) -> Self;
    /// The same number as `f64`.
    #[must_use]
    fn to_f64(self) -> f64;
    /// eˣ
    #[must_use]
    fn exp(self) -> Self;
    /// eˣ − 1, accurate near 0.
    #[must_use]
    fn exp_m1(self) -> Self;
    /// ln x
    #[must_use]
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0.
    #[must_use]
    fn ln_1p(self) -> Self;
    /// √x
    #[must_use]
    fn sqrt(self) -> Self;
    /// tanh x
    #[must_use]
    fn tanh(self) -> Self;
    /// |x|
    #[must_use]
    fn abs(self) -> Self;
    /// Whether this is NaN.
    #[must_use]
    fn is_nan(self) -> bool;
    /// −1, 0 or 1, and NaN for NaN. (Unlike this, the standard library's `signum(0.0)` is 1.)
    #[must_use]
    fn sign(self) -> Self {
        if self > Self::ZERO {
            Self::ONE
        } else if self < Self::ZERO {
            -Self::ONE
        } else {
            self
        }
    }
}

/// Σ of the terms, in their order.
pub(super) fn sum<T: Real>(terms: impl IntoIterator<Item = T>) -> T {
    terms.into_iter().fold(T::ZERO, |sum, term| sum + term)
}

/// The mean of the terms.
pub(super) fn mean<T: Real>(terms: impl ExactSizeIterator<Item = T>) -> T {
    let n = T::from_f64(terms.len() as f64);
    sum(terms) / n
}

macro_rules! real {
    ($float:ty: $($function:ident),*) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn from_f64(x: f64) -> Self {
                x as $float
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            $(fn $function(self) -> Self {
                self.$function()
            })*
        }
    };
}

real!(f32: exp, exp_m1, ln, ln_1p, sqrt, tanh, abs);
real!(f64: exp, exp_m1, ln, ln_1p, sqrt, tanh, abs);
