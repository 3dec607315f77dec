//! Activation functions: the table, and what the rest of the crate needs of each.
//!
//! Each file of functions has their formulas, derivatives, polynomials with their origin, and error
//! bounds. Every function is one sequence of the operations of `Simd`, so all levels give the same
//! bits, whatever the position in a vector or a tail.
//!
//! A new activation is a new file with its `Elementwise`, and a variant of [`Activation`] with its
//! lines in `table`.

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
pub(crate) use softmax::softmax_panels;
pub use table::Activation;
