//! The only `#[target_feature]` functions of the crate.
//!
//! Parallelism outside, dispatch inside: a task enters its level itself.

use super::Simd;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
use super::avx512::Avx512;
use super::level::{Kind, Level};
use super::portable::Portable;

/// A piece of work that is generic over the level. `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// Does the work at one level.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Runs a kernel at a level.
#[inline]
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` of this kind exists only if `Level::avx512` found the features.
        Kind::Avx512 => unsafe { avx512_enter(Avx512::assume_supported(), kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` of this kind exists only if `Level::avx2` found the features.
        Kind::Avx2 => unsafe { avx2_enter(Avx2::assume_supported(), kernel) },
        Kind::Portable => kernel.run(Portable),
    }
}

/// The bodies of [`dispatch`] and [`Simd::enter`] at AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn avx512_enter<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
    kernel.run(token)
}

/// The bodies of [`dispatch`] and [`Simd::enter`] at AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2_enter<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    kernel.run(token)
}
