//! Every other CPU: `wide`'s eight lanes, which the compiler maps to what the target has.

use super::operations::{Kernel, Simd, methods};
use super::tile_shapes::TileShapes;
use super::tiles::check_level;
use std::array::from_fn;
use wide::{f32x8, i32x8};

/// The token of this level; every CPU has it.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// The body of a dispatch.
#[inline(always)]
pub(super) fn portable_enter<K: Kernel>(kernel: K) -> K::Output {
    const { check_level::<Portable>() };
    kernel.run(Portable)
}

impl Simd for Portable {
    type V = f32x8;
    type I = i32x8;
    /// All ones or all zeros per lane.
    type M = f32x8;
    const LANES: usize = 8;
    const TILES: TileShapes = TileShapes::NONE;

    methods! { self:
        splat(x: f32) -> f32x8 = f32x8::splat(x);
        add(a: f32x8, b: f32x8) -> f32x8 = a + b;
        sub(a: f32x8, b: f32x8) -> f32x8 = a - b;
        mul(a: f32x8, b: f32x8) -> f32x8 = a * b;
        div(a: f32x8, b: f32x8) -> f32x8 = a / b;
        sqrt(a: f32x8) -> f32x8 = a.sqrt();
        min(a: f32x8, b: f32x8) -> f32x8 = self.select(self.lt(a, b), a, b);
        max(a: f32x8, b: f32x8) -> f32x8 = self.select(self.lt(b, a), a, b);
        mul_add(a: f32x8, b: f32x8, c: f32x8) -> f32x8 = a * b + c;
        neg_mul_add(a: f32x8, b: f32x8, c: f32x8) -> f32x8 = c - a * b;
        lt(a: f32x8, b: f32x8) -> f32x8 = a.simd_lt(b);
        le(a: f32x8, b: f32x8) -> f32x8 = a.simd_le(b);
        is_nan(a: f32x8) -> f32x8 = a.is_nan();
        select(m: f32x8, yes: f32x8, no: f32x8) -> f32x8 = m.bitselect(yes, no);
        any(m: f32x8) -> bool = m.any();
        to_bits(a: f32x8) -> i32x8 = i32x8::new(a.to_array().map(|x| x.to_bits() as i32));
        from_bits(a: i32x8) -> f32x8 = f32x8::new(a.to_array().map(|x| f32::from_bits(x as u32)));
        int_splat(x: i32) -> i32x8 = i32x8::splat(x);
        int_add(a: i32x8, b: i32x8) -> i32x8 = a + b;
        int_sub(a: i32x8, b: i32x8) -> i32x8 = a - b;
        int_max(a: i32x8, b: i32x8) -> i32x8 = a.max(b);
        int_and(a: i32x8, b: i32x8) -> i32x8 = a & b;
        int_or(a: i32x8, b: i32x8) -> i32x8 = a | b;
        int_xor(a: i32x8, b: i32x8) -> i32x8 = a ^ b;
        int_shl(a: i32x8, n: u32) -> i32x8 = a << n;
        int_shr(a: i32x8, n: u32) -> i32x8 = a >> n;
        to_int(a: f32x8) -> i32x8 = a.round_int();
        from_int(a: i32x8) -> f32x8 = f32x8::from_i32x8(a);
    }

    #[inline(always)]
    fn fused(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        let (a, b, c) = (a.to_array(), b.to_array(), c.to_array());
        f32x8::new(from_fn(|i| a[i].mul_add(b[i], c[i])))
    }

    #[inline(always)]
    fn residual(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        // The product of two f32 is exact in f64.
        let (a, b, c) = (a.to_array(), b.to_array(), c.to_array());
        f32x8::new(from_fn(|i| (f64::from(c[i]) - f64::from(a[i]) * f64::from(b[i])) as f32))
    }

    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        // Adding and subtracting 2^23 rounds what is smaller; `wide`'s own loses the sign of -0.
        let big = f32x8::splat(8_388_608.0);
        let size = self.abs(a);
        let whole = self.with_sign_of((size + big) - big, a);
        self.select(self.lt(size, big), whole, a)
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> f32x8 {
        // SAFETY: the caller gives 8 readable floats.
        f32x8::new(unsafe { x.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, out: *mut f32) {
        // SAFETY: the caller gives 8 writable floats.
        unsafe { out.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }
}
