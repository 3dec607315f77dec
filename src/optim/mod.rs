//! Optimisers: how a gradient changes a weight.
//!
//! An [`UpdateRule`](crate::gemm::UpdateRule) is one optimiser's arithmetic with the step's numbers
//! (learning rate, bias corrections) filled in. An [`Optimizer`] is what users choose; it makes the
//! rule of each step. The formulas are PyTorch's.
//!
//! Every rule that runs in the store of the gradient's product costs an instance of every tile, so
//! only the usual ones do ([`FusedRule`]): SGD, momentum, Adam and AdamW. The others, and everything
//! in [`Adjustments`], keep the gradient of a tile and then run over it while it is in the cache.
//!
//! A new optimiser is a struct with its `Method`, a line in the list of `optimizer`, and a rule.

mod adam;
mod adjust;
mod growth;
mod lion;
mod method;
mod optimizer;
mod rules;
mod scaled;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamW};
pub(crate) use adjust::{Adjustments, Pass, apply, limiting_scales, sum_of_squares};
pub(crate) use growth::{LIMIT, Magnitude};
pub use lion::Lion;
pub use optimizer::Optimizer;
pub(crate) use rules::{VisitRule, add_to};
pub use scaled::{Adagrad, RmsProp};
pub use schedule::Schedule;
pub(crate) use schedule::{Rates, RatesState};
pub use sgd::{Momentum, Sgd};
