//! Activation functions: the table, and what the rest of the crate needs of each.
//!
//! One file a function: its formula, its derivative, where its polynomials come from, its error
//! bound. Every function is one sequence of the operations of `Simd`, so that AVX2 and AVX-512
//! give the same bits, whatever the position in a vector or a tail.
//!
//! A new activation is a new file with its [`Elementwise`], and a variant of [`Activation`] with
//! its lines in `ALL`, `name` and `with` here.

mod apply;
mod elu;
mod gelu;
mod hard;
mod relu;
mod sigmoid;
mod silu;
mod softmax;
mod softplus;
mod softsign;
mod tanh;
mod vector;

pub(crate) use softmax::softmax_panels;

use crate::error::{Error, Result};
use crate::gemm::FusedOp;
use crate::simd::{Level, Simd};
use std::fmt;
use std::str::FromStr;

/// An activation function σ.
///
/// Text form: [`name`](Activation::name), with the parameter of those that have one after a colon:
/// `relu`, `leaky-relu:0.1`, `elu:1`, `maxout:2`.
///
/// Where a variant names no error of its own, [`forward`](Activation::forward) errs by at most 1 ULP
/// (unit in the last place) at every level, over all 2³² inputs; NaN, ±∞, ±0 and subnormals give
/// what C99 asks of the functions it has, and else the limit.
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
    /// z above 0, α (eᶻ − 1) below; see [`Activation::elu`]. Its derivative below 0 is a + α of the
    /// output a, good to 2⁻²⁴ α: where αeᶻ is of that size (z below about −14), it is a multiple of
    /// that and no more
    Elu {
        /// Minus the limit at −∞; not negative.
        alpha: f32,
    },
    /// z Φ(z), Φ the normal distribution (the erf form, not tanh's approximation); at most 7 ULP
    Gelu,
    /// z / (1 + e⁻ᶻ), also called swish; at most 2 ULP
    Silu,
    /// λ z above 0, λ α (eᶻ − 1) below, with λ = 1.0507 and α = 1.6733; its derivative as ELU's
    Selu,
    /// ln(1 + eᶻ); at most 1.8 ULP
    Softplus,
    /// z / (1 + |z|); at most 1.5 ULP
    Softsign,
    /// z kept within −1..=1
    HardTanh,
    /// 1 where z ≥ 0, else 0: the McCulloch–Pitts neuron. Forward only; its derivative is 0.
    Step,
    /// eᶻ / Σ eᶻ over a row, for the output layer. It is not a function of one element: the
    /// element-wise methods here treat it as the identity and leave the row's work to the loss
    /// and to [`Level::softmax`].
    Softmax,
    /// The largest of a neuron's `units` linear functions, max_k (wₖᵀx + bₖ) (Goodfellow et al.
    /// 2013), for hidden layers: a layer of n neurons has n · units columns of weights. Like
    /// softmax not a function of one element: the element-wise methods here treat it as the
    /// identity, and [`Activation::ALL`] leaves it out.
    Maxout {
        /// Linear functions per neuron; at least 2.
        units: usize,
    },
}

/// The value that backward needs of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The output a = σ(z): nothing has to be stored beside it.
    Output,
    /// The input z, of functions that are not invertible.
    Input,
}

/// One element-wise activation, generic over the level.
pub(crate) trait Elementwise: Copy + Send + Sync {
    /// What `derivative` takes.
    const KEEPS: Keeps;
    /// The function, if the stores of products apply it.
    const FUSED: Option<FusedOp> = None;
    /// σ(z)
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V;
    /// σ′ from what is kept.
    fn derivative<S: Simd>(self, s: S, kept: S::V) -> S::V;
}

/// Work that is generic over the activation; [`Activation::with`] gives it the concrete one.
/// `visit` must be `#[inline(always)]` if it is called inside a level.
pub(crate) trait Visit {
    /// What it returns.
    type Output;
    /// Does the work with one activation.
    fn visit<E: Elementwise>(self, e: E) -> Self::Output;
}

impl Activation {
    /// Every activation but maxout, with the usual parameters.
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

    /// Leaky ReLU with the usual slope of 0.1: max(0.1 z, z).
    pub fn leaky_relu() -> Activation {
        Activation::LeakyRelu { slope: 0.1 }
    }

    /// ELU with the usual α of 1.
    pub fn elu() -> Activation {
        Activation::Elu { alpha: 1.0 }
    }

    /// The name, without the parameter.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky-relu",
            Activation::Elu { .. } => "elu",
            Activation::Gelu => "gelu",
            Activation::Silu => "silu",
            Activation::Selu => "selu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::HardTanh => "hard-tanh",
            Activation::Step => "step",
            Activation::Softmax => "softmax",
            Activation::Maxout { .. } => "maxout",
        }
    }

    /// Linear functions per neuron: 1, for maxout its units.
    pub(crate) fn units(self) -> usize {
        match self {
            Activation::Maxout { units } => units,
            _ => 1,
        }
    }

    /// Gives `v` the concrete function. Softmax and maxout are the identity here.
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

    /// Whether every output is in −1..=1.
    pub(crate) fn is_within_one(self) -> bool {
        match self {
            Activation::Sigmoid
            | Activation::Tanh
            | Activation::HardTanh
            | Activation::Softsign
            | Activation::Step
            | Activation::Softmax => true,
            Activation::Identity
            | Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Elu { .. }
            | Activation::Selu
            | Activation::Softplus
            | Activation::Silu
            | Activation::Gelu
            | Activation::Maxout { .. } => false,
        }
    }

    /// What backward needs of a layer with this activation.
    pub(crate) fn keeps(self) -> Keeps {
        struct Ask;
        impl Visit for Ask {
            type Output = Keeps;
            fn visit<E: Elementwise>(self, _: E) -> Keeps {
                E::KEEPS
            }
        }
        self.with(Ask)
    }

    /// The parameter of those that have one.
    fn parameter(&mut self) -> Option<(&'static str, &mut f32)> {
        match self {
            Activation::LeakyRelu { slope } => Some(("slope", slope)),
            Activation::Elu { alpha } => Some(("alpha", alpha)),
            _ => None,
        }
    }

    /// Checks the parameter.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not a finite number of at least 0, or for maxout below 2. A
    /// negative one would make the function fold over: the derivative could not be told from the
    /// output.
    pub fn validate(mut self) -> Result<()> {
        let place = self.name();
        if let Activation::Maxout { units: units @ 0..2 } = self {
            return Err(Error::config(
                "maxout: units",
                format!("expected at least 2, got {units}"),
            ));
        }
        match self.parameter() {
            Some((name, value)) if !(value.is_finite() && *value >= 0.0) => Err(Error::config(
                format!("{place}: {name}"),
                format!("expected a finite number of at least 0, got {value}"),
            )),
            _ => Ok(()),
        }
    }

    /// Replaces every z in `x` by σ(z).
    pub fn forward(self, level: Level, x: &mut [f32]) {
        apply::forward(self, level, x);
    }

    /// Multiplies every element of `d` by σ′ at that place. `kept` is what [`forward`] gave, or
    /// for [`Gelu`] and [`Silu`] what it was given.
    ///
    /// # Errors
    /// [`Error::Shape`] when the lengths differ.
    ///
    /// [`forward`]: Activation::forward
    /// [`Gelu`]: Activation::Gelu
    /// [`Silu`]: Activation::Silu
    pub fn backward(self, level: Level, kept: &[f32], d: &mut [f32]) -> Result<()> {
        if kept.len() != d.len() {
            let place = format!("{}: kept and d", self.name());
            return Err(Error::shape(place, format!("{} elements", kept.len()), d.len()));
        }
        apply::backward(self, level, kept, d);
        Ok(())
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        if let Activation::Maxout { units } = self {
            return write!(f, "maxout:{units}");
        }
        match copy.parameter() {
            Some((_, value)) => write!(f, "{}:{value}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// # Errors
    /// [`Error::Config`] for an unknown name, a parameter that is no number or out of range, or
    /// one where none belongs.
    fn from_str(text: &str) -> Result<Activation> {
        let refuse = |reason: String| Err(Error::config("activation", reason));
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let Some(mut found) = Activation::ALL.into_iter().find(|a| a.name() == name) else {
            if name == "maxout" {
                let Some(Ok(units)) = value.map(str::parse) else {
                    return refuse(format!("maxout needs a number of units; got {text:?}"));
                };
                let maxout = Activation::Maxout { units };
                return maxout.validate().map(|()| maxout);
            }
            let names = Activation::ALL.map(Activation::name).join(", ");
            return refuse(format!("expected one of {names}, maxout; got {text:?}"));
        };
        if let Some(value) = value {
            match (found.parameter(), value.parse()) {
                (Some((_, parameter)), Ok(value)) => *parameter = value,
                (Some(_), Err(_)) => return refuse(format!("{value:?} in {text:?} is no number")),
                (None, _) => return refuse(format!("{name} takes no parameter; got {text:?}")),
            }
        }
        found.validate()?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
