//! The operations of a level, and the work that is written in them.

use super::line::{LINE, Line};
use super::tile_shapes::TileShapes;

/// Work that is generic over the level. `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// Does the work at one level.
    fn run<S: Simd>(self, s: S) -> Self::Output;
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
    /// One truth value per lane.
    type M: Copy;
    /// Lanes in a vector; divides [`LINE`].
    const LANES: usize;
    /// The tiles of this level's products.
    const TILES: TileShapes;
    /// Vectors in a [`Line`].
    const VECTORS: usize = LINE / Self::LANES;

    /// Runs a part of a kernel as a separate function at this level: a call costs little where
    /// there is a loop inside, and the compiler sees many small functions instead of one that
    /// grows with every tile.
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// The first `LANES` values of `x`, which must have them.
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::V {
        let x = &x[..Self::LANES];
        // SAFETY: `x` has `LANES` floats.
        unsafe { self.load_ptr(x.as_ptr()) }
    }
    /// Writes all lanes to the front of `out`, which must have room.
    #[inline(always)]
    fn store(self, v: Self::V, out: &mut [f32]) {
        let out = &mut out[..Self::LANES];
        // SAFETY: `out` has `LANES` floats.
        unsafe { self.store_ptr(v, out.as_mut_ptr()) }
    }
    /// The first `LANES` bytes of `x`, which must have them, as floats 0..=255.
    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> Self::V {
        let mut floats = [0.0; LINE];
        floats.iter_mut().zip(&x[..Self::LANES]).for_each(|(float, &byte)| *float = byte.into());
        self.load(&floats)
    }
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
    #[inline(always)]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "nothing reads or writes there")]
    #[allow(unused_mut, reason = "where there is no block")]
    fn opaque(self, mut x: *const f32) -> *const f32 {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: it has no instruction.
        unsafe {
            use std::arch::asm;
            asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags));
        }
        x
    }

    /// Asks for the line at `x` to be loaded to the cache; any address is allowed.
    #[inline(always)]
    #[allow(unused_variables, reason = "used at x86-64 only")]
    fn prefetch(self, x: *const f32) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: a prefetch reads nothing, and every x86-64 CPU has it.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(x.cast());
        }
    }

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
    /// a * b + c with one rounding at every level, for what is computed outside of kernels too: slow
    /// at `Portable`
    #[inline(always)]
    fn fused(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add(a, b, c)
    }
    /// c - a * b with one rounding at every level, for the remainder of a product or quotient: slow
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
    /// The larger one.
    fn int_max(self, a: Self::I, b: Self::I) -> Self::I;
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
    #[inline(always)]
    fn sum_line(self, x: &[f32; LINE]) -> f32 {
        join_line(*x, |a, b| a + b)
    }
    /// The largest of sixteen values in the same order, a > b ? a : b of each two.
    #[inline(always)]
    fn max_line(self, x: &[f32; LINE]) -> f32 {
        join_line(*x, |a, b| if a > b { a } else { b })
    }

    /// Transposes a 16 x 16 block: `out[c * out_stride + r] = block[r * 16 + c]`.
    ///
    /// # Safety
    /// `block` is valid for reading 16 lines; `out` is valid for writing 16 floats at each of
    /// `out + c * out_stride`, c < 16; the two do not overlap.
    #[inline(always)]
    unsafe fn transpose(self, block: *const f32, out: *mut f32, out_stride: usize) {
        for r in 0..LINE {
            for c in 0..LINE {
                // SAFETY: by this function's contract.
                unsafe { *out.add(c * out_stride + r) = *block.add(r * LINE + c) }
            }
        }
    }

    /// Transposes 16 lines.
    #[inline(always)]
    fn transpose_lines(self, from: &[Line; LINE], to: &mut [Line; LINE]) {
        // SAFETY: both are 16 lines.
        unsafe { self.transpose(from.as_ptr().cast(), to.as_mut_ptr().cast(), LINE) }
    }

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

/// Joins sixteen values to one: i with i + 8, i + 4, i + 2 and i + 1.
#[inline(always)]
fn join_line(mut x: [f32; LINE], join: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            x[i] = join(x[i], x[i + half]);
        }
    }
    x[0]
}

/// The methods of a level that are one expression each: name, arguments, result and body.
macro_rules! methods {
    ($this:ident: $($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($this, $($arg: $ty),*) -> $out {
            $body
        }
    )*};
}
pub(super) use methods;

/// [`methods`] whose bodies are intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! intrinsics {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: the token exists only where its `assume_supported` could be called, so the
            // CPU has the features of the level.
            unsafe { $body }
        }
    )*};
}
#[cfg(target_arch = "x86_64")]
pub(super) use intrinsics;
