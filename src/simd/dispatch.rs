//! Entering a level. Parallelism outside, dispatch inside: a task enters its level itself.

use super::level::{Kind, Level};
use super::operations::Kernel;
use super::portable::portable_enter;
#[cfg(test)]
use super::software::software_enter;
#[cfg(target_arch = "x86_64")]
use super::{
    avx2::{Avx2, avx2_enter},
    avx512::{Avx512, avx512_enter},
};

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
        Kind::Portable => portable_enter(kernel),
        #[cfg(test)]
        Kind::Software => software_enter(kernel),
    }
}
