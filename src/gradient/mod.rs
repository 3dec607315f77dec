//! Gradients of a network, and their comparison with central differences.
//!
//! Training does not store gradients: it updates weights in the store of the product. So [`gradients`]
//! makes one step of gradient descent with a copy of the network and divides the changes by the learning
//! rate; the result is the gradient of the code that trains. [`check_gradients`] compares it, parameter by
//! parameter, with differences of the loss of the same network in f64, computed by
//! [`reference`](mod@crate::reference), which shares no code with training.

mod check;
mod convert;
mod gradients;
mod kinks;
mod rounding;

pub use check::{Difference, GradientCheck, Parameter, check_gradients};
#[cfg(test)]
pub(crate) use convert::reference_activation;
pub use convert::reference_network;
pub use gradients::{Gradients, LayerGradients, gradients};
