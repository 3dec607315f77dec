//! What a user chooses, and what runs of it on this machine.

use super::amx;
use crate::error::{Error, Result};
use crate::simd::Level;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::OnceLock;

/// How exact the products of a network are.
///
/// Weights, activations, sums and the optimiser are f32 at every precision; what changes is how two
/// factors are multiplied. Layers with fewer than 64 inputs or 64 outputs always use f32. Within a
/// precision the results are the same bits for any number of threads and any batch split.
///
/// Where a network is trained on a data set of bytes, its first layer takes them as they are, exact in
/// bf16: half the products at `F32x6`, two thirds at `High`, and at `Bf16` only the other factor is
/// rounded. The same values as f32 give other bits then. (Not with dropout of the inputs or a
/// residual connection from them, which need the values.)
///
/// Text form: `f32`, `f32x6`, `high` or `bf16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Precision {
    /// f32 multiplication, the default: the numeric contract of the crate.
    #[default]
    F32,
    /// Six products of bf16 parts: as exact as f32. Without AMX this is [`Precision::F32`].
    F32x6,
    /// Three products of bf16 parts: relative errors of a few 10⁻⁶. Without AMX this is
    /// [`Precision::F32`].
    High,
    /// Both factors rounded to bf16: relative errors of a few 10⁻³. Without AMX the rounded factors
    /// are multiplied by f32 units: no faster than f32, but the same bits as with AMX (except where
    /// a sum is below 2⁻¹²⁶, which AMX takes for zero).
    Bf16,
}

/// What multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Hardware {
    /// f32 factors in vector units.
    #[default]
    F32,
    /// bf16 factors in AMX tiles.
    Amx,
    /// bf16 factors in f32 vector units.
    #[cfg_attr(feature = "serde", serde(rename = "bf16-in-f32"))]
    Bf16InF32,
}

/// What multiplies tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Amx(amx::Token),
    Fma,
}

/// How operands are split and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SplitBy {
    pub(super) unit: Unit,
    /// bf16 numbers for an f32: 1 to 3.
    pub(super) parts: usize,
}

/// Inputs and outputs from which a layer uses tiles: two tiles deep, and two stripes wide. Below
/// that, padding to whole tiles and the way through them cost more than they save.
const MIN_LAYER: usize = 64;

/// Rows of a batch that a thread's block must begin at a multiple of: a tile is 32 deep, and the
/// gradient's depth runs over the batch.
pub(crate) const ROWS: usize = 32;

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 4] =
        [Precision::F32, Precision::F32x6, Precision::High, Precision::Bf16];

    /// `f32`, `f32x6`, `high` or `bf16`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F32x6 => "f32x6",
            Precision::High => "high",
            Precision::Bf16 => "bf16",
        }
    }

    /// What multiplies in networks of this level. AMX needs the CPU, the system's permission and the
    /// level [`avx512`](Level::avx512).
    ///
    /// The environment variable `DELTARULE_AMX` is for tests: `off` does without AMX, and `f32`
    /// multiplies the parts of every precision by f32 units, several times slower than f32 itself, to
    /// the bits of AMX. It is read once.
    #[must_use]
    pub fn hardware(self, level: Level) -> Hardware {
        match self.split(level) {
            None => Hardware::F32,
            Some(SplitBy { unit: Unit::Amx(_), .. }) => Hardware::Amx,
            Some(SplitBy { unit: Unit::Fma, .. }) => Hardware::Bf16InF32,
        }
    }

    /// How operands are split at a level; `None` where products are f32.
    pub(crate) fn split(self, level: Level) -> Option<SplitBy> {
        self.split_by(|| Units::of(level))
    }

    /// `units` asks the system for AMX, for the whole process and for good: f32 does not call it.
    fn split_by(self, units: impl FnOnce() -> Units) -> Option<SplitBy> {
        let parts = match self {
            Precision::F32 => return None,
            Precision::Bf16 => 1,
            Precision::High => 2,
            Precision::F32x6 => 3,
        };
        let unit = match units() {
            Units::Amx(token) => Unit::Amx(token),
            Units::Usual if parts > 1 => return None,
            Units::Usual | Units::Forced => Unit::Fma,
        };
        Some(SplitBy { unit, parts })
    }
}

/// What there is to multiply parts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Units {
    Amx(amx::Token),
    /// f32 units, where that is as fast as f32.
    Usual,
    /// f32 units at every precision, by `DELTARULE_AMX=f32`.
    Forced,
}

impl Units {
    fn of(level: Level) -> Units {
        static WISH: OnceLock<Option<Units>> = OnceLock::new();
        let wish = WISH.get_or_init(|| match std::env::var_os("DELTARULE_AMX")?.to_str()? {
            "off" => Some(Units::Usual),
            "f32" => Some(Units::Forced),
            _ => None,
        });
        let amx = || match Some(level) == Level::avx512() {
            true => amx::available(),
            false => None,
        };
        wish.unwrap_or_else(|| amx().map_or(Units::Usual, Units::Amx))
    }
}

impl SplitBy {
    /// The same for a layer, if it is large enough: a rule of its shape alone, so that bits do not
    /// depend on a batch.
    pub(crate) fn of_layer(self, n_in: usize, columns: usize) -> Option<SplitBy> {
        (n_in >= MIN_LAYER && columns >= MIN_LAYER).then_some(self)
    }
}

impl Display for Precision {
    /// The [`name`](Precision::name).
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// Reads what `Display` writes: `f32`, `f32x6`, `high` or `bf16`.
    ///
    /// ```
    /// use deltarule::Precision;
    ///
    /// assert_eq!("bf16".parse::<Precision>()?, Precision::Bf16);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for another text.
    fn from_str(name: &str) -> Result<Self> {
        let named = Precision::ALL.into_iter().find(|p| p.name() == name);
        named.ok_or_else(|| {
            let names = Precision::ALL.map(Precision::name).join(", ");
            Error::config("precision", format!("expected one of {names}; got {name:?}"))
        })
    }
}

impl Display for Hardware {
    /// `f32`, `amx` or `bf16-in-f32`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Hardware::F32 => "f32",
            Hardware::Amx => "amx",
            Hardware::Bf16InF32 => "bf16-in-f32",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        assert!("f16".parse::<Precision>().is_err());
    }

    #[test]
    fn without_tiles_only_bf16_is_not_f32() {
        let parts = |units| Precision::ALL.map(|p| p.split_by(|| units).map_or(0, |by| by.parts));
        assert_eq!(parts(Units::Usual), [0, 0, 0, 1]);
        assert_eq!(parts(Units::Forced), [0, 3, 2, 1]);
        if let Some(token) = amx::available() {
            assert_eq!(parts(Units::Amx(token)), [0, 3, 2, 1]);
            let by = Precision::High.split_by(|| Units::Amx(token));
            assert!(by.is_some_and(|by| by.unit == Unit::Amx(token)));
        }
        let by = Precision::High.split_by(|| Units::Forced);
        assert!(by.is_some_and(|by| by.unit == Unit::Fma));
    }

    /// The request is for the whole process and cannot be taken back.
    #[test]
    fn only_f32_does_not_ask_the_system_for_tiles() {
        for precision in Precision::ALL {
            let asked = std::cell::Cell::new(false);
            precision.split_by(|| {
                asked.set(true);
                Units::Usual
            });
            assert_eq!(asked.get(), precision != Precision::F32, "{precision}");
        }
    }
}
