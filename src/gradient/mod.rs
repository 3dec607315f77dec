//! Gradients to look at, and the check of them against central differences.
//!
//! Training never stores a gradient: the update happens inside the store of the product. So
//! [`gradients`] takes one step of gradient descent with a copy of the network and divides what
//! moved by the learning rate: it is the gradient of the very path that trains.
//! [`check_gradients`] compares it, parameter by parameter, with the change of the loss of the
//! same network in plain loops in f64 ([`reference`](mod@crate::reference)), which shares no code
//! with that path.

mod check;
mod convert;
mod gradients;
mod kinks;
mod sizes;

pub use check::{Difference, GradientCheck, Parameter, check_gradients};
#[cfg(test)]
pub(crate) use convert::reference_activation;
pub use convert::reference_network;
pub use gradients::{Gradients, LayerGradients, gradients};
