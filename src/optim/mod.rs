//! Optimisers, with the formulas of PyTorch.
//!
//! An [`Optimizer`] has an optimiser's hyper-parameters and makes the rule of each step. An
//! [`UpdateRule`](crate::gemm::UpdateRule) is the arithmetic of one update, with the numbers of the step
//! (learning rate, bias corrections).
//!
//! A rule that runs in the store of the gradient's product needs an instance of every tile, so only the
//! common ones do (`FusedRule`): SGD, momentum, Adam and AdamW. For the others, and for everything in
//! [`Adjustments`], the product stores the gradient of a tile, and a second pass updates the weights
//! while the tile is in the cache.
//!
//! A new optimiser is a struct that implements `Method`, a line in the list of `optimizer`, and a rule.

mod adam;
mod adjust;
mod growth;
mod layer_rates;
mod lion;
mod method;
mod optimizer;
mod rules;
mod scaled;
mod schedule;
mod sgd;
mod text;

pub use adam::{Adam, AdamW};
pub(crate) use adjust::{Adjustments, StepAdjustments, apply, limiting_scales, sum_of_squares};
pub(crate) use growth::{LIMIT, Magnitude};
pub(crate) use layer_rates::LayerRates;
pub use lion::Lion;
pub use optimizer::Optimizer;
pub(crate) use rules::{VisitRule, add_to};
pub use scaled::{Adagrad, RmsProp};
pub use schedule::Schedule;
pub(crate) use schedule::{Rates, RatesState};
pub use sgd::{Momentum, Sgd};
