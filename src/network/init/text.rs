//! Initialisations as text.

use super::Init;
use crate::error::{Error, Result};
use crate::text::real;
use std::fmt;
use std::str::FromStr;

/// One of each, with 0 for the number of those that have one.
const ALL: [Init; 10] = [
    Init::He,
    Init::HeUniform,
    Init::Glorot,
    Init::GlorotUniform,
    Init::LeCun,
    Init::LeCunUniform,
    Init::Normal(0.0),
    Init::Uniform(0.0),
    Init::Constant(0.0),
    Init::Orthogonal(0.0),
];

impl Init {
    /// The name, without the number.
    fn name(&self) -> &'static str {
        match self {
            Init::He => "he",
            Init::HeUniform => "he-uniform",
            Init::Glorot => "glorot",
            Init::GlorotUniform => "glorot-uniform",
            Init::LeCun => "lecun",
            Init::LeCunUniform => "lecun-uniform",
            Init::Normal(_) => "normal",
            Init::Uniform(_) => "uniform",
            Init::Constant(_) => "constant",
            Init::Orthogonal(_) => "orthogonal",
        }
    }

    /// The number of those that have one.
    fn number(&mut self) -> Option<&mut f32> {
        match self {
            Init::Normal(x) | Init::Uniform(x) | Init::Constant(x) | Init::Orthogonal(x) => Some(x),
            Init::He
            | Init::HeUniform
            | Init::Glorot
            | Init::GlorotUniform
            | Init::LeCun
            | Init::LeCunUniform => None,
        }
    }
}

impl fmt::Display for Init {
    /// The name, and the number with the fewest digits that keep its bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        match copy.number() {
            None => f.pad(self.name()),
            Some(x) => f.pad(&format!("{}:{}", self.name(), real(*x))),
        }
    }
}

impl FromStr for Init {
    type Err = Error;

    /// Reads what `Display` writes: `he`, `he-uniform`, `glorot`, `glorot-uniform`, `lecun`,
    /// `lecun-uniform`, or with a number `normal:0.1` (standard deviation), `uniform:0.05` (limit),
    /// `constant:0` (value), `orthogonal:1` (gain).
    ///
    /// ```
    /// use deltarule::Init;
    ///
    /// assert_eq!("he".parse::<Init>()?, Init::He);
    /// assert_eq!("normal:0.1".parse::<Init>()?, Init::Normal(0.1));
    /// assert_eq!(Init::Normal(0.1).to_string(), "normal:0.1");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for another text. The range of the number is checked by
    /// [`Init::validate`], and when a network is built.
    fn from_str(text: &str) -> Result<Init> {
        let refuse = |reason: String| Error::config("initialisation", reason);
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let Some(mut found) = ALL.into_iter().find(|init| init.name() == name) else {
            let forms = ALL.map(|mut init| {
                let number = if init.number().is_some() { ":…" } else { "" };
                format!("{}{number}", init.name())
            });
            let forms = forms.join(", ");
            return Err(refuse(format!("expected one of {forms}; got {text:?}")));
        };
        match (found.number(), value) {
            (Some(number), Some(value)) => {
                let expected = |_| refuse(format!("{name}: expected a number, got {value:?}"));
                *number = value.parse().map_err(expected)?;
            }
            (Some(_), None) => {
                return Err(refuse(format!("{name} needs a number, as in {name}:0.5")));
            }
            (None, Some(_)) => return Err(refuse(format!("{name} has no number; got {text:?}"))),
            (None, None) => {}
        }
        Ok(found)
    }
}
