//! The vector operations that every kernel is written in, once, and the three levels that run them.
//!
//! A kernel is a function generic over [`Simd`]; [`dispatch`] enters it at a [`Level`]. Every
//! operation here is one IEEE operation (or pure bit work), so the same sequence of operations
//! gives the same bits at AVX2 and AVX-512. `Portable` differs in one thing: without a fused
//! multiply-add instruction, `mul_add` rounds twice.
//!
//! The inlining rule: every function generic over `Simd` is `#[inline(always)]`, because a vector
//! instruction is only legal inside the `#[target_feature]` functions of `dispatch`, and inlining
//! is what puts it there.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod env;
mod level;
mod portable;

pub(crate) use dispatch::{Kernel, dispatch};
pub(crate) use env::check_float_environment;
pub use level::Level;

/// Floats in a [`Line`], and the width of a panel: one AVX-512 register, two AVX2 registers.
pub(crate) const LINE: usize = 16;

/// Sixteen floats in one cache line: the unit of all storage. A panel is a run of lines.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LINE]);

impl Line {
    pub(crate) const ZERO: Line = Line([0.0; LINE]);

    /// The same floats without the alignment, as slices of a caller have them.
    pub(crate) fn groups(lines: &[Line]) -> &[[f32; LINE]] {
        // SAFETY: a line is its array: same size, no padding, a stronger alignment.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len()) }
    }

    /// The same floats without the alignment, as slices of a caller have them.
    pub(crate) fn groups_mut(lines: &mut [Line]) -> &mut [[f32; LINE]] {
        // SAFETY: a line is its array: same size, no padding, a stronger alignment.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len()) }
    }
}

/// The operations of one level. A value of an implementing type is a token: it exists only if the
/// CPU has the level, which is why calling the operations is safe.
#[allow(clippy::wrong_self_convention, reason = "self is the level's token, not a value")]
#[allow(dead_code, reason = "a level's vocabulary is whole: each operation is checked by its test")]
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] f32.
    type V: Copy;
    /// The same register as i32 lanes.
    type I: Copy;
    /// A truth value a lane.
    type M: Copy;
    /// Lanes in a vector; divides [`LINE`].
    const LANES: usize;
    /// Whether products run on this crate's own micro-kernels (else on `matrixmultiply`).
    const MICROKERNEL: bool;

    /// Runs a part of a kernel as a function of its own at this level: a call costs little where
    /// there is a loop inside, and the compiler sees many small functions instead of one that
    /// grows with every tile.
    fn enter<K: Kernel>(self, kernel: K) -> K::Output;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// The first `LANES` values of `x`, which must have them.
    fn load(self, x: &[f32]) -> Self::V;
    /// Writes all lanes to the front of `out`, which must have room.
    fn store(self, v: Self::V, out: &mut [f32]);
    /// The first `LANES` bytes of `x`, which must have them, as floats 0..=255.
    fn load_u8(self, x: &[u8]) -> Self::V;
    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// `x` is valid for reading `LANES` floats.
    unsafe fn load_ptr(self, x: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// `out` is valid for writing `LANES` floats.
    unsafe fn store_ptr(self, v: Self::V, out: *mut f32);

    /// The same address, which the compiler no longer relates to the one it was computed from.
    fn opaque(self, x: *const f32) -> *const f32;

    /// Asks for the line at `x` to come near; any address is fine.
    fn prefetch(self, x: *const f32);

    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The correctly rounded square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// a < b ? a : b (so b where either is NaN)
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// a > b ? a : b (so b where either is NaN)
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, one rounding (two at `Portable`)
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c - a * b, one rounding (two at `Portable`)
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a * b + c with one rounding at every level, for what is computed outside of kernels too: dear
    /// at `Portable`
    #[inline(always)]
    fn fused(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add(a, b, c)
    }
    /// c - a * b with one rounding at every level, for the remainder of a product or quotient: dear
    /// at `Portable`
    #[inline(always)]
    fn residual(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.neg_mul_add(a, b, c)
    }
    /// The nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;

    /// a < b, false where either is NaN
    fn lt(self, a: Self::V, b: Self::V) -> Self::M;
    /// a <= b, false where either is NaN
    fn le(self, a: Self::V, b: Self::V) -> Self::M;
    /// NaN lanes
    fn is_nan(self, a: Self::V) -> Self::M;
    /// Per lane: m ? yes : no
    fn select(self, m: Self::M, yes: Self::V, no: Self::V) -> Self::V;
    /// Whether any lane is true.
    fn any(self, m: Self::M) -> bool;

    /// The bits of each lane.
    fn to_bits(self, a: Self::V) -> Self::I;
    /// The float with these bits.
    fn from_bits(self, a: Self::I) -> Self::V;
    /// `x` in every lane.
    fn int_splat(self, x: i32) -> Self::I;
    /// a + b, wrapping
    fn int_add(self, a: Self::I, b: Self::I) -> Self::I;
    /// a - b, wrapping
    fn int_sub(self, a: Self::I, b: Self::I) -> Self::I;
    /// a & b
    fn int_and(self, a: Self::I, b: Self::I) -> Self::I;
    /// a | b
    fn int_or(self, a: Self::I, b: Self::I) -> Self::I;
    /// a ^ b
    fn int_xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// a << n
    fn int_shl(self, a: Self::I, n: u32) -> Self::I;
    /// a >> n, arithmetic (copies the sign bit)
    fn int_shr(self, a: Self::I, n: u32) -> Self::I;
    /// The nearest i32 of each lane, which must fit.
    fn to_int(self, a: Self::V) -> Self::I;
    /// Each i32 as a float, rounded to nearest.
    fn from_int(self, a: Self::I) -> Self::V;

    /// The sum of sixteen values in one order: i with i + 8, then i + 4, i + 2 and i + 1.
    fn sum_line(self, x: &[f32; LINE]) -> f32;
    /// The largest of sixteen values in the same order, a > b ? a : b of each two.
    fn max_line(self, x: &[f32; LINE]) -> f32;

    /// Transposes a 16 x 16 block: `out[c * out_stride + r] = block[r * 16 + c]`.
    ///
    /// # Safety
    /// `block` is valid for reading 16 lines; `out` is valid for writing 16 floats at each of
    /// `out + c * out_stride`, c < 16; the two do not overlap.
    unsafe fn transpose(self, block: *const f32, out: *mut f32, out_stride: usize);

    /// |a|
    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        self.from_bits(self.int_and(self.to_bits(a), self.int_splat(0x7fff_ffff)))
    }

    /// a with the sign of b, for a >= 0
    #[inline(always)]
    fn with_sign_of(self, a: Self::V, b: Self::V) -> Self::V {
        let sign = self.int_and(self.to_bits(b), self.int_splat(i32::MIN));
        self.from_bits(self.int_or(self.to_bits(a), sign))
    }

    /// 2^n for integer-valued n in -126..=127
    #[inline(always)]
    fn exp2_int(self, n: Self::V) -> Self::V {
        let biased = self.int_add(self.to_int(n), self.int_splat(127));
        self.from_bits(self.int_shl(biased, 23))
    }
}

#[cfg(test)]
mod tests;
