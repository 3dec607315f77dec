//! Every other CPU: `wide`'s eight lanes, which the compiler maps to what the target has.

use super::dispatch::Kernel;
use super::{LINE, Simd};
use wide::{f32x8, i32x8};

/// The token of this level; every CPU has it.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Joins sixteen values to one: i with i + 8, i + 4, i + 2 and i + 1.
#[inline(always)]
fn tree(mut x: [f32; LINE], join: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            x[i] = join(x[i], x[i + half]);
        }
    }
    x[0]
}

impl Simd for Portable {
    type V = f32x8;
    type I = i32x8;
    /// All ones or all zeros a lane.
    type M = f32x8;
    const LANES: usize = 8;
    const MICROKERNEL: bool = false;

    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> f32x8 {
        let x: &[f32; 8] = x.first_chunk().expect("a vector of values");
        f32x8::new(*x)
    }

    #[inline(always)]
    fn store(self, v: f32x8, out: &mut [f32]) {
        let out: &mut [f32; 8] = out.first_chunk_mut().expect("room for a vector");
        *out = v.to_array();
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> f32x8 {
        let x: &[u8; 8] = x.first_chunk().expect("a vector of bytes");
        f32x8::new(x.map(f32::from))
    }

    #[inline(always)]
    fn opaque(self, x: *const f32) -> *const f32 {
        x
    }

    #[inline(always)]
    fn sum_line(self, x: &[f32; LINE]) -> f32 {
        tree(*x, |a, b| a + b)
    }

    #[inline(always)]
    fn max_line(self, x: &[f32; LINE]) -> f32 {
        tree(*x, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

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

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }

    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }

    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        self.select(self.lt(a, b), a, b)
    }

    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        self.select(self.lt(b, a), a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a * b + c
    }

    #[inline(always)]
    fn neg_mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        c - a * b
    }

    #[inline(always)]
    fn fused(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        let (a, b, c) = (a.to_array(), b.to_array(), c.to_array());
        f32x8::new(std::array::from_fn(|i| a[i].mul_add(b[i], c[i])))
    }

    #[inline(always)]
    fn residual(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        // The product of two f32 is exact in f64.
        let (a, b, c) = (a.to_array(), b.to_array(), c.to_array());
        f32x8::new(std::array::from_fn(|i| {
            (f64::from(c[i]) - f64::from(a[i]) * f64::from(b[i])) as f32
        }))
    }

    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        // Adding and taking away 2^23 rounds what is smaller; `wide`'s own loses the sign of -0.
        let big = f32x8::splat(8_388_608.0);
        let size = self.abs(a);
        let whole = self.with_sign_of((size + big) - big, a);
        self.select(self.lt(size, big), whole, a)
    }

    #[inline(always)]
    fn lt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b)
    }

    #[inline(always)]
    fn le(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_le(b)
    }

    #[inline(always)]
    fn is_nan(self, a: f32x8) -> f32x8 {
        a.is_nan()
    }

    #[inline(always)]
    fn select(self, m: f32x8, yes: f32x8, no: f32x8) -> f32x8 {
        m.bitselect(yes, no)
    }

    #[inline(always)]
    fn any(self, m: f32x8) -> bool {
        m.any()
    }

    #[inline(always)]
    fn to_bits(self, a: f32x8) -> i32x8 {
        i32x8::new(a.to_array().map(|x| x.to_bits() as i32))
    }

    #[inline(always)]
    fn from_bits(self, a: i32x8) -> f32x8 {
        f32x8::new(a.to_array().map(|x| f32::from_bits(x as u32)))
    }

    #[inline(always)]
    fn int_splat(self, x: i32) -> i32x8 {
        i32x8::splat(x)
    }

    #[inline(always)]
    fn int_add(self, a: i32x8, b: i32x8) -> i32x8 {
        a + b
    }

    #[inline(always)]
    fn int_sub(self, a: i32x8, b: i32x8) -> i32x8 {
        a - b
    }

    #[inline(always)]
    fn int_max(self, a: i32x8, b: i32x8) -> i32x8 {
        a.max(b)
    }
    #[inline(always)]
    fn int_and(self, a: i32x8, b: i32x8) -> i32x8 {
        a & b
    }

    #[inline(always)]
    fn int_or(self, a: i32x8, b: i32x8) -> i32x8 {
        a | b
    }

    #[inline(always)]
    fn int_xor(self, a: i32x8, b: i32x8) -> i32x8 {
        a ^ b
    }

    #[inline(always)]
    fn int_shl(self, a: i32x8, n: u32) -> i32x8 {
        a << n
    }

    #[inline(always)]
    fn int_shr(self, a: i32x8, n: u32) -> i32x8 {
        a >> n
    }

    #[inline(always)]
    fn to_int(self, a: f32x8) -> i32x8 {
        a.round_int()
    }

    #[inline(always)]
    fn from_int(self, a: i32x8) -> f32x8 {
        f32x8::from_i32x8(a)
    }

    #[inline(always)]
    unsafe fn transpose(self, block: *const f32, out: *mut f32, out_stride: usize) {
        for r in 0..16 {
            for c in 0..16 {
                // SAFETY: the caller gives 16 x 16 floats on both sides.
                unsafe { *out.add(c * out_stride + r) = *block.add(r * 16 + c) }
            }
        }
    }
}
