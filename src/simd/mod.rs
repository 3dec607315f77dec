//! The vector operations that every kernel is written in, once, and the levels that run them.
//!
//! A kernel is a function generic over [`Simd`]; [`dispatch`] enters it at a [`Level`]. Every
//! operation is one IEEE operation (or pure bit work), so the same sequence of operations gives the
//! same bits at AVX2 and AVX-512. `Portable` differs in one thing: without a fused multiply-add
//! instruction, `mul_add` rounds twice. `Software` has AVX-512's lanes and tiles in scalar code, so
//! that the tests run the code of 16 lanes, with its bits, on any CPU.
//!
//! The inlining rule: every function generic over `Simd` is `#[inline(always)]`, because a vector
//! instruction is only legal inside the `#[target_feature]` functions of the levels' files, and
//! inlining is what puts it there.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod env;
mod level;
mod line;
mod operations;
mod portable;
#[cfg(test)]
mod software;
mod tile_shapes;
mod tiles;

pub(crate) use dispatch::dispatch;
pub(crate) use env::check_float_environment;
pub use level::Level;
pub(crate) use line::{LINE, Line};
pub(crate) use operations::{Kernel, Simd};
pub(crate) use tiles::{next_gradient_rows, next_row_panels, with_const};

#[cfg(test)]
mod tests;
