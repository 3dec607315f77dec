//! Which vector instructions to use: a capability token.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A SIMD level that this CPU has. A value exists only if it can run here, so everything that
/// takes one is safe.
///
/// AVX2 and AVX-512 give the same bits; `portable` gives the same bits for any threads and batch
/// split, but not the bits of the other two.
///
/// Text form: `avx512`, `avx2` or `portable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(pub(super) Kind);

/// Private, so that nobody can make a level the CPU lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
    #[cfg(test)]
    Software,
}

/// The environment variable that forces a level.
const VARIABLE: &str = "DELTARULE_SIMD";

impl Level {
    /// AVX-512 F, BW, DQ and VL, if the CPU and the system have them.
    #[must_use]
    pub fn avx512() -> Option<Level> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && Level::avx2().is_some()
        {
            return Some(Level(Kind::Avx512));
        }
        None
    }

    /// AVX2 and FMA, if the CPU has them.
    #[must_use]
    pub fn avx2() -> Option<Level> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Some(Level(Kind::Avx2));
        }
        None
    }

    /// The level of every other CPU: element-wise kernels on `wide`, products on
    /// `matrixmultiply`.
    #[must_use]
    pub fn portable() -> Level {
        Level(Kind::Portable)
    }

    /// Every level this CPU has, fastest first.
    pub fn available() -> impl Iterator<Item = Level> {
        let levels = [Level::avx512(), Level::avx2(), Some(Level::portable())];
        #[cfg(test)]
        let levels = levels.into_iter().chain([Some(Level::software())]);
        levels.into_iter().flatten()
    }

    /// AVX-512's code and bits in software.
    #[cfg(test)]
    pub(crate) fn software() -> Level {
        Level(Kind::Software)
    }

    /// The fastest level this CPU has.
    #[must_use]
    pub fn best() -> Level {
        Level::avx512().or_else(Level::avx2).unwrap_or(Level::portable())
    }

    /// The level that the environment variable `DELTARULE_SIMD` (`avx512`, `avx2` or `portable`)
    /// forces, else [`Level::best`]. This is what a network or trainer uses unless told otherwise.
    ///
    /// # Errors
    /// [`Error::Level`] when the variable names a level that does not exist or that this CPU
    /// lacks.
    pub fn from_env() -> Result<Level> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Level::best()),
            Some(name) => Level::from_name(&name.to_string_lossy()),
        }
    }

    /// The level of this name: `avx512`, `avx2` or `portable`.
    ///
    /// # Errors
    /// [`Error::Level`] when there is no such level, or this CPU lacks it.
    pub fn from_name(name: &str) -> Result<Level> {
        if let Some(level) = Level::available().find(|level| level.name() == name) {
            return Ok(level);
        }
        let reason = match name {
            "avx512" | "avx2" => {
                format!("this CPU lacks it; the best level here is {}", Level::best().name())
            }
            _ => "expected avx512, avx2 or portable".to_string(),
        };
        Err(Error::Level { requested: name.to_string(), reason })
    }

    /// `avx512`, `avx2` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Portable => "portable",
            #[cfg(test)]
            Kind::Software => "software",
        }
    }
}

impl fmt::Display for Level {
    /// The [`name`](Level::name).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = Error;

    /// As [`Level::from_name`]: `avx512`, `avx2` or `portable`.
    ///
    /// ```
    /// use deltarule::Level;
    ///
    /// assert_eq!("portable".parse::<Level>()?, Level::portable());
    /// assert_eq!(Level::portable().to_string(), "portable");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Level`] when there is no such level, or this CPU lacks it.
    fn from_str(name: &str) -> Result<Level> {
        Level::from_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_names_are_errors() {
        for level in Level::available() {
            assert_eq!(Level::from_name(level.name()).unwrap(), level);
        }
        let text = Level::from_name("neon").unwrap_err().to_string();
        assert!(text.contains("neon") && text.contains("avx2"), "{text}");
        if Level::avx512().is_none() {
            let text = Level::from_name("avx512").unwrap_err().to_string();
            assert!(text.contains("lacks"), "{text}");
        }
    }

    #[test]
    fn best_is_the_first_available() {
        assert_eq!(Level::available().next(), Some(Level::best()));
    }
}
