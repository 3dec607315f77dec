//! Activation functions.
//!
//! Each file of functions has their formulas, derivatives, error bounds, and polynomials with their
//! origin. Every function is one sequence of operations of `Simd`, so the bits of a result depend neither
//! on the level nor on the position in a slice.
//!
//! A new activation is a file with an implementation of `Elementwise`, and a variant of [`Activation`]
//! with its lines in `table`.

mod apply;
mod elementwise;
mod elu;
mod gelu;
mod hard;
mod relu;
mod sigmoid;
mod silu;
mod softmax;
mod softplus;
mod softsign;
mod table;
mod tanh;
#[cfg(test)]
mod tests;
mod vector;

pub(crate) use elementwise::Keeps;
pub(crate) use softmax::{softmax_backward, softmax_panels};
pub use table::Activation;
