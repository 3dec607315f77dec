//! Losses as text.

use super::Loss;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

impl Loss {
    /// The name, without parameters.
    pub(super) fn family(&self) -> &str {
        match self {
            Loss::CrossEntropy => "cross-entropy",
            Loss::MeanSquared => "mean squared error",
            Loss::Quadratic => "quadratic cost",
            Loss::BinaryCrossEntropy => "binary cross-entropy",
            Loss::MeanAbsolute => "mean absolute error",
            Loss::Huber { .. } => "huber",
            Loss::Quantile { .. } => "quantile",
            Loss::PoissonNll => "poisson nll",
            Loss::GaussianNll => "gaussian nll",
            Loss::Hinge => "hinge",
            Loss::Custom(custom) => custom.name(),
        }
    }
}

impl fmt::Display for Loss {
    /// `mean squared error`, `huber:1`, `quantile:0.1,0.9`; of a function of the caller's its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family())?;
        match self {
            Loss::Huber { delta } => write!(f, ":{delta}"),
            Loss::Quantile { quantiles } => {
                for (i, tau) in quantiles.iter().enumerate() {
                    write!(f, "{}{tau}", if i == 0 { ':' } else { ',' })?;
                }
                Ok(())
            }
            Loss::CrossEntropy
            | Loss::MeanSquared
            | Loss::Quadratic
            | Loss::BinaryCrossEntropy
            | Loss::MeanAbsolute
            | Loss::PoissonNll
            | Loss::GaussianNll
            | Loss::Hinge
            | Loss::Custom(_) => Ok(()),
        }
    }
}

impl FromStr for Loss {
    type Err = Error;

    /// Reads what `Display` writes, except a function of the caller's: `cross-entropy`,
    /// `binary cross-entropy`, `mean squared error`, `mean absolute error`, `quadratic cost`,
    /// `poisson nll`, `gaussian nll`, `hinge`; with a number `huber:1` (δ); with one number or several
    /// `quantile:0.1,0.9`.
    ///
    /// ```
    /// use deltarule::Loss;
    ///
    /// assert_eq!("cross-entropy".parse::<Loss>()?, Loss::CrossEntropy);
    /// assert_eq!("quantile:0.1,0.9".parse::<Loss>()?, Loss::quantile(&[0.1, 0.9]));
    /// assert_eq!(Loss::Huber { delta: 0.5 }.to_string(), "huber:0.5");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for another text. Ranges are checked where the loss is used.
    fn from_str(text: &str) -> Result<Loss> {
        let (name, parameters) = match text.split_once(':') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (text, None),
        };
        let refuse = |reason: String| Err(Error::config("loss", reason));
        let number = |text: &str| {
            let reason = || Error::config("loss", format!("expected a number, got {text:?}"));
            text.parse::<f32>().map_err(|_| reason())
        };
        match (name, parameters) {
            ("huber", Some(delta)) => return Ok(Loss::Huber { delta: number(delta)? }),
            ("quantile", Some(list)) => {
                let quantiles = list.split(',').map(number).collect::<Result<Vec<_>>>()?;
                return Ok(Loss::quantile(&quantiles));
            }
            ("huber" | "quantile", None) => {
                return refuse(format!(
                    "{name} needs a parameter, as in huber:1 or quantile:0.1,0.9"
                ));
            }
            _ => {}
        }
        const WITHOUT_PARAMETERS: [Loss; 8] = [
            Loss::CrossEntropy,
            Loss::BinaryCrossEntropy,
            Loss::MeanSquared,
            Loss::MeanAbsolute,
            Loss::Quadratic,
            Loss::PoissonNll,
            Loss::GaussianNll,
            Loss::Hinge,
        ];
        match WITHOUT_PARAMETERS.into_iter().find(|loss| loss.family() == text) {
            Some(loss) => Ok(loss),
            None => {
                let names = WITHOUT_PARAMETERS.map(|loss| loss.family().to_string()).join(", ");
                refuse(format!("expected one of {names}, huber:δ, quantile:τ,…; got {text:?}"))
            }
        }
    }
}

/// As its text; a function of the caller's has none.
#[cfg(feature = "serde")]
impl serde::Serialize for Loss {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Loss::Custom(custom) => {
                let reason = format!("loss {:?} is a function, which has no text", custom.name());
                Err(serde::ser::Error::custom(reason))
            }
            Loss::CrossEntropy
            | Loss::BinaryCrossEntropy
            | Loss::MeanSquared
            | Loss::Quadratic
            | Loss::MeanAbsolute
            | Loss::Huber { .. }
            | Loss::Quantile { .. }
            | Loss::PoissonNll
            | Loss::GaussianNll
            | Loss::Hinge => s.collect_str(self),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Loss {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for loss in [
            Loss::CrossEntropy,
            Loss::BinaryCrossEntropy,
            Loss::MeanSquared,
            Loss::MeanAbsolute,
            Loss::Quadratic,
            Loss::Huber { delta: 0.25 },
            Loss::quantile(&[0.1, 0.5, 0.9]),
            Loss::PoissonNll,
            Loss::GaussianNll,
            Loss::Hinge,
        ] {
            assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
        }
        for text in ["", "huber", "huber:", "quantile", "quantile:0.1,", "hinge:1", "l2"] {
            assert!(text.parse::<Loss>().is_err(), "{text:?}");
        }
    }
}
