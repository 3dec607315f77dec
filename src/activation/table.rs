//! The closed list of activations, and their text form.

use super::elementwise::Visit;
use super::{elu, gelu, hard, relu, sigmoid, silu, softplus, softsign, tanh};
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// An activation function σ.
///
/// Text form: the [`name`](Activation::name), and the parameter after a colon: `relu`,
/// `leaky-relu:0.1`, `elu:1`, `maxout:2`.
///
/// Unless a variant states another bound, the error of [`forward`](Activation::forward) is at most 1 ULP
/// (unit in the last place) at every level, over all 2³² inputs. Results for NaN, ±∞, ±0 and subnormals
/// are those of C99, or the limits for functions that C99 does not have.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// z
    Identity,
    /// 1 / (1 + e⁻ᶻ)
    Sigmoid,
    /// tanh z
    Tanh,
    /// max(0, z)
    Relu,
    /// z above 0, slope · z below; see [`Activation::leaky_relu`]
    LeakyRelu {
        /// The slope below 0; not negative.
        slope: f32,
    },
    /// z above 0, α (eᶻ − 1) below; see [`Activation::elu`]. The derivative below 0 is computed as a + α
    /// from the output a, with an absolute error of at most 2⁻²⁴ α; it has no correct digit where αeᶻ is
    /// that small (z below about −14)
    Elu {
        /// Minus the limit at −∞; not negative.
        alpha: f32,
    },
    /// z Φ(z), with Φ the normal distribution function (the erf form, not the tanh approximation); at most
    /// 7 ULP
    Gelu,
    /// z / (1 + e⁻ᶻ), also called swish; at most 2 ULP
    Silu,
    /// λ z above 0, λ α (eᶻ − 1) below, with λ = 1.0507 and α = 1.6733; derivative as for ELU
    Selu,
    /// ln(1 + eᶻ); at most 1.8 ULP
    Softplus,
    /// z / (1 + |z|); at most 1.5 ULP
    Softsign,
    /// z clamped to −1..=1
    HardTanh,
    /// 1 for z ≥ 0, else 0: the McCulloch–Pitts neuron. For predictions only; the derivative is 0
    Step,
    /// eᶻ / Σ eᶻ over a row, for the output layer. It is not element-wise: [`Activation::forward`] treats
    /// it as the identity; it is computed by the loss and by [`Level::softmax`](crate::Level::softmax).
    Softmax,
    /// The largest of a neuron's `units` linear functions, max_k (wₖᵀx + bₖ) (Goodfellow et al.
    /// 2013), for hidden layers: a layer of n neurons has n · units columns of weights. It is not
    /// element-wise: [`Activation::forward`] treats it as the identity, and [`Activation::ALL`] does not
    /// include it
    Maxout {
        /// Linear functions per neuron; at least 2.
        units: usize,
    },
}

pub(crate) struct Properties {
    name: &'static str,
    /// The function is one of single elements.
    pub(crate) is_elementwise: bool,
    /// All outputs are in −1..=1.
    pub(crate) is_within_one: bool,
}

/// The parameter of an activation.
enum Parameter<'a> {
    /// A number of at least 0, with its name.
    Number(&'static str, &'a mut f32),
    /// The number of linear functions per neuron.
    Units(&'a mut usize),
}

impl Activation {
    /// All activations except maxout, with the default parameters.
    pub const ALL: [Activation; 14] = [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Elu { alpha: 1.0 },
        Activation::Gelu,
        Activation::Silu,
        Activation::Selu,
        Activation::Softplus,
        Activation::Softsign,
        Activation::HardTanh,
        Activation::Step,
        Activation::Softmax,
    ];

    /// Leaky ReLU with a slope of 0.1: max(0.1 z, z).
    #[must_use]
    pub fn leaky_relu() -> Activation {
        Activation::LeakyRelu { slope: 0.1 }
    }

    /// ELU with α = 1.
    #[must_use]
    pub fn elu() -> Activation {
        Activation::Elu { alpha: 1.0 }
    }

    /// The name, without the parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.properties().name
    }

    /// Linear functions per neuron: 1, for maxout its units.
    pub(crate) fn units(mut self) -> usize {
        match self.parameter() {
            Some(Parameter::Units(units)) => *units,
            Some(Parameter::Number(..)) | None => 1,
        }
    }

    pub(crate) fn properties(self) -> Properties {
        let (name, is_elementwise, is_within_one) = match self {
            Activation::Identity => ("identity", true, false),
            Activation::Sigmoid => ("sigmoid", true, true),
            Activation::Tanh => ("tanh", true, true),
            Activation::Relu => ("relu", true, false),
            Activation::LeakyRelu { .. } => ("leaky-relu", true, false),
            Activation::Elu { .. } => ("elu", true, false),
            Activation::Gelu => ("gelu", true, false),
            Activation::Silu => ("silu", true, false),
            Activation::Selu => ("selu", true, false),
            Activation::Softplus => ("softplus", true, false),
            Activation::Softsign => ("softsign", true, true),
            Activation::HardTanh => ("hard-tanh", true, true),
            Activation::Step => ("step", true, true),
            Activation::Softmax => ("softmax", false, true),
            Activation::Maxout { .. } => ("maxout", false, false),
        };
        Properties { name, is_elementwise, is_within_one }
    }

    /// Calls `v` with the concrete function; with the identity for softmax and maxout.
    #[inline(always)]
    pub(crate) fn with<V: Visit>(self, v: V) -> V::Output {
        match self {
            Activation::Identity | Activation::Softmax | Activation::Maxout { .. } => {
                v.visit(hard::Identity)
            }
            Activation::Sigmoid => v.visit(sigmoid::Sigmoid),
            Activation::Tanh => v.visit(tanh::Tanh),
            Activation::Relu => v.visit(relu::Relu),
            Activation::LeakyRelu { slope } => v.visit(relu::LeakyRelu { slope }),
            Activation::Elu { alpha } => v.visit(elu::Elu { alpha }),
            Activation::Gelu => v.visit(gelu::Gelu),
            Activation::Silu => v.visit(silu::Silu),
            Activation::Selu => v.visit(elu::Selu),
            Activation::Softplus => v.visit(softplus::Softplus),
            Activation::Softsign => v.visit(softsign::Softsign),
            Activation::HardTanh => v.visit(hard::HardTanh),
            Activation::Step => v.visit(hard::Step),
        }
    }

    /// The parameter of those that have one.
    fn parameter(&mut self) -> Option<Parameter<'_>> {
        match self {
            Activation::LeakyRelu { slope } => Some(Parameter::Number("slope", slope)),
            Activation::Elu { alpha } => Some(Parameter::Number("alpha", alpha)),
            Activation::Maxout { units } => Some(Parameter::Units(units)),
            Activation::Identity
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Relu
            | Activation::Gelu
            | Activation::Silu
            | Activation::Selu
            | Activation::Softplus
            | Activation::Softsign
            | Activation::HardTanh
            | Activation::Step
            | Activation::Softmax => None,
        }
    }

    /// Checks the parameter.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is a finite number of at least 0, or for maxout at least 2. With a
    /// negative slope or α the derivative would not be a function of the output.
    pub fn validate(self) -> Result<()> {
        let refuse = |name: &str, expected: &str, got: String| {
            let option = format!("{}: {name}", self.name());
            Err(Error::config(option, format!("expected {expected}, got {got}")))
        };
        let mut copy = self;
        match copy.parameter() {
            Some(Parameter::Units(units @ 0..2)) => {
                refuse("units", "at least 2", units.to_string())
            }
            Some(Parameter::Number(name, value)) if !(value.is_finite() && *value >= 0.0) => {
                refuse(name, "a finite number of at least 0", value.to_string())
            }
            Some(Parameter::Units(_) | Parameter::Number(..)) | None => Ok(()),
        }
    }
}

impl fmt::Display for Activation {
    /// The name, and the parameter with the digits that keep its bits. Model files contain it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        match copy.parameter() {
            None => f.pad(self.name()),
            Some(Parameter::Number(_, value)) => f.pad(&format!("{}:{value}", self.name())),
            Some(Parameter::Units(units)) => f.pad(&format!("{}:{units}", self.name())),
        }
    }
}

/// Its text form.
#[cfg(feature = "serde")]
impl serde::Serialize for Activation {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// From its text form, which is checked.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Activation {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// Reads what `Display` writes: the name of one of [`Activation::ALL`]; `leaky-relu:0.2` (slope)
    /// and `elu:0.5` (α), whose parameter may be left out; and `maxout:2` (units), whose may not.
    ///
    /// ```
    /// use deltarule::Activation;
    ///
    /// assert_eq!("relu".parse::<Activation>()?, Activation::Relu);
    /// assert_eq!("elu".parse::<Activation>()?, Activation::Elu { alpha: 1.0 });
    /// assert_eq!("maxout:2".parse::<Activation>()?, Activation::Maxout { units: 2 });
    /// assert_eq!(Activation::leaky_relu().to_string(), "leaky-relu:0.1");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name, a parameter that is not a number or out of range, a
    /// missing number of units, or a parameter of a function that has none.
    fn from_str(text: &str) -> Result<Activation> {
        let refuse = |reason: String| Err(Error::config("activation", reason));
        let (name, value) = text.split_once(':').map_or((text, None), |(n, v)| (n, Some(v)));
        let mut all = Activation::ALL.into_iter().chain([Activation::Maxout { units: 0 }]);
        let Some(mut found) = all.find(|a| a.name() == name) else {
            let names = Activation::ALL.map(Activation::name).join(", ");
            return refuse(format!("expected one of {names}, maxout; got {text:?}"));
        };
        match (found.parameter(), value) {
            (Some(Parameter::Units(units)), value) => match value.map(str::parse) {
                Some(Ok(value)) => *units = value,
                Some(Err(_)) | None => {
                    return refuse(format!("maxout needs a number of units; got {text:?}"));
                }
            },
            (Some(Parameter::Number(_, number)), Some(value)) => match value.parse() {
                Ok(value) => *number = value,
                Err(_) => return refuse(format!("{value:?} in {text:?} is not a number")),
            },
            (None, Some(_)) => return refuse(format!("{name} takes no parameter; got {text:?}")),
            (Some(Parameter::Number(..)) | None, None) => {}
        }
        found.validate()?;
        Ok(found)
    }
}
