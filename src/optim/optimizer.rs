//! The closed list of optimisers.

use super::adam::{Adam, AdamW};
use super::lion::Lion;
use super::method::{Decay, Method};
use super::rules::{FusedRule, VisitRule};
use super::scaled::{Adagrad, RmsProp};
use super::sgd::{Momentum, Sgd};
use crate::error::{Result, check_range};
use crate::gemm::UpdateRule;

/// Defines the enum and the only matches over it.
macro_rules! optimizers {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// An optimiser with its hyper-parameters. Each struct becomes one by `into()`, which
        /// [`Trainer::new`](crate::Trainer::new) does.
        ///
        /// Text form: the name and the hyper-parameters, as in
        /// `adam:lr=0.001,beta1=0.9,beta2=0.999,epsilon=1e-8`; see
        /// [its `FromStr`](#impl-FromStr-for-Optimizer).
        // Its `Debug` text is part of checkpoints: the names of variants and fields are frozen.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(rename_all = "lowercase")
        )]
        #[non_exhaustive]
        pub enum Optimizer {
            $($(#[$doc])* $name($name),)*
        }

        impl Optimizer {
            pub(super) fn method(&self) -> &dyn Method {
                match self {
                    $(Optimizer::$name(o) => o,)*
                }
            }

            pub(super) fn method_mut(&mut self) -> &mut dyn Method {
                match self {
                    $(Optimizer::$name(o) => o,)*
                }
            }

            /// Every optimiser, with its default hyper-parameters and 0 for those without a default.
            pub(super) fn with_defaults() -> Vec<Optimizer> {
                vec![$($name::with_defaults().into(),)*]
            }
        }

        $(impl From<$name> for Optimizer {
            fn from(o: $name) -> Self {
                Optimizer::$name(o)
            }
        })*
    };
}

optimizers! {
    /// Gradient descent: [`Sgd`].
    Sgd,
    /// Gradient descent with momentum, plain or Nesterov's: [`Momentum`].
    Momentum,
    /// Adam: [`Adam`].
    Adam,
    /// Adam with decoupled weight decay: [`AdamW`].
    AdamW,
    /// RMSprop: [`RmsProp`].
    RmsProp,
    /// Adagrad: [`Adagrad`].
    Adagrad,
    /// Lion: [`Lion`].
    Lion,
}

impl Optimizer {
    /// The rule of update `step` (counted from 1) for the store of the gradient's product, or none if
    /// the optimiser's rule does not run there.
    pub(crate) fn fused_rule(&self, (step, lr): (u64, f32), biases: bool) -> Option<FusedRule> {
        self.method().rule(step, lr, Decay { lambda: self.decay(), biases }).fused()
    }

    /// Whether there is a [fused rule](Optimizer::fused_rule).
    pub(crate) fn fuses(&self) -> bool {
        self.fused_rule((1, self.learning_rate()), true).is_some()
    }

    /// Calls `visitor` with the rule of update `step` (counted from 1) for a separate pass, which applies
    /// [`Optimizer::decay`] before.
    pub(crate) fn with_rule<V: VisitRule>(&self, (step, lr): (u64, f32), visitor: V) -> V::Output {
        self.method().rule(step, lr, Decay { lambda: 0.0, biases: true }).visit(visitor)
    }

    /// λ of the optimiser's decoupled weight decay.
    pub(crate) fn decay(&self) -> f32 {
        self.method().decay()
    }

    /// State values per weight.
    pub(crate) fn slots(&self) -> usize {
        struct Slots;
        impl VisitRule for Slots {
            type Output = usize;
            fn visit<R: UpdateRule>(self, _: R) -> usize {
                R::SLOTS
            }
        }
        self.with_rule((1, self.learning_rate()), Slots)
    }

    /// The learning rate before a schedule.
    #[must_use]
    pub fn learning_rate(&self) -> f32 {
        self.method().learning_rate()
    }

    /// Checks the hyper-parameters.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) that names the number and its range.
    pub fn validate(&self) -> Result<()> {
        check_range("learning rate", self.learning_rate(), 0.0..f32::INFINITY)?;
        check_range("weight decay", self.decay(), 0.0..f32::INFINITY)?;
        self.method().check()
    }
}
