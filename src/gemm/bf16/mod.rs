//! Products of f32 matrices by bf16 multiplication with f32 sums, on AMX tiles where the CPU has
//! them.
//!
//! An f32 is the exact sum of three bf16: 24 bits of mantissa are 8 + 8 + 8. A product of two
//! matrices is then nine products of parts, of which the six largest are as exact as an f32 chain
//! and the three largest leave an error of some 2⁻¹⁷ of the
//! factors (Henry, Tang and Heinecke 2019, "Leveraging
//! the bfloat16 artificial intelligence datatype for higher-precision computations"). A tile unit
//! multiplies bf16 16 times as fast as f32 units multiply f32, so six products still win.
//!
//! Operands are split where they are made (`fill`), into tiles of 1 KiB in the order in which the
//! products read them (`operand`); `amx` and `fma` multiply tiles, with the same bits; `blocks` makes
//! blocks of them, and `product` has what happens to their sums. A data set's `bytes` are not split:
//! they are exact as they are.

#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), path = "no_amx.rs")]
mod amx;
mod bare;
mod blocks;
mod bytes;
mod fill;
mod fma;
mod operand;
mod precision;
mod product;
#[cfg(test)]
mod tests;
mod tile;

pub use bare::SplitProduct;
pub(crate) use bytes::Scaling;
pub(crate) use fill::SplitPart;
pub(crate) use operand::{Along, Role, Split};
pub use precision::{Hardware, Precision};
pub(crate) use precision::{ROWS, SplitBy};
pub(crate) use product::{Backward, Forward, Gradient, backward_input, forward, update_weights};
