//! AVX-512's lanes, tiles and bits in scalar code, for tests: so any CPU runs the code of 16 lanes.

use super::operations::{Kernel, Simd, methods};
use super::tile_shapes::TileShapes;
use super::tiles::check_level;
use std::array::from_fn;

/// The token of this level; every CPU has it.
#[derive(Clone, Copy)]
pub(super) struct Software;

/// The body of a dispatch.
pub(super) fn software_enter<K: Kernel>(kernel: K) -> K::Output {
    const { check_level::<Software>() };
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        // SAFETY: the CPU has the feature.
        return unsafe { with_fma(kernel) };
    }
    kernel.run(Software)
}

/// The same code with an instruction for `f32::mul_add`, several times as fast as the function.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "fma")]
fn with_fma<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Software)
}

type Floats = [f32; 16];
type Ints = [i32; 16];
type Masks = [bool; 16];

impl Simd for Software {
    type V = Floats;
    type I = Ints;
    type M = Masks;
    const LANES: usize = 16;
    const TILES: TileShapes = TileShapes::AVX512;

    methods! { self:
        splat(x: f32) -> Floats = [x; 16];
        add(a: Floats, b: Floats) -> Floats = from_fn(|i| a[i] + b[i]);
        sub(a: Floats, b: Floats) -> Floats = from_fn(|i| a[i] - b[i]);
        mul(a: Floats, b: Floats) -> Floats = from_fn(|i| a[i] * b[i]);
        div(a: Floats, b: Floats) -> Floats = from_fn(|i| a[i] / b[i]);
        sqrt(a: Floats) -> Floats = a.map(f32::sqrt);
        min(a: Floats, b: Floats) -> Floats = self.select(self.lt(a, b), a, b);
        max(a: Floats, b: Floats) -> Floats = self.select(self.lt(b, a), a, b);
        mul_add(a: Floats, b: Floats, c: Floats) -> Floats = from_fn(|i| a[i].mul_add(b[i], c[i]));
        neg_mul_add(a: Floats, b: Floats, c: Floats) -> Floats =
            from_fn(|i| (-a[i]).mul_add(b[i], c[i]));
        round(a: Floats) -> Floats = a.map(f32::round_ties_even);
        lt(a: Floats, b: Floats) -> Masks = from_fn(|i| a[i] < b[i]);
        le(a: Floats, b: Floats) -> Masks = from_fn(|i| a[i] <= b[i]);
        is_nan(a: Floats) -> Masks = a.map(f32::is_nan);
        select(m: Masks, yes: Floats, no: Floats) -> Floats =
            from_fn(|i| if m[i] { yes[i] } else { no[i] });
        any(m: Masks) -> bool = m.contains(&true);
        to_bits(a: Floats) -> Ints = a.map(|x| x.to_bits() as i32);
        from_bits(a: Ints) -> Floats = a.map(|x| f32::from_bits(x as u32));
        int_splat(x: i32) -> Ints = [x; 16];
        int_add(a: Ints, b: Ints) -> Ints = from_fn(|i| a[i].wrapping_add(b[i]));
        int_sub(a: Ints, b: Ints) -> Ints = from_fn(|i| a[i].wrapping_sub(b[i]));
        int_and(a: Ints, b: Ints) -> Ints = from_fn(|i| a[i] & b[i]);
        int_or(a: Ints, b: Ints) -> Ints = from_fn(|i| a[i] | b[i]);
        int_max(a: Ints, b: Ints) -> Ints = from_fn(|i| a[i].max(b[i]));
        int_xor(a: Ints, b: Ints) -> Ints = from_fn(|i| a[i] ^ b[i]);
        int_shl(a: Ints, n: u32) -> Ints = a.map(|x| x << n);
        int_shr(a: Ints, n: u32) -> Ints = a.map(|x| x >> n);
        to_int(a: Floats) -> Ints = a.map(|x| x.round_ties_even() as i32);
        from_int(a: Ints) -> Floats = a.map(|x| x as f32);
    }

    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        software_enter(kernel)
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> Floats {
        // SAFETY: the caller gives 16 readable floats.
        unsafe { x.cast::<Floats>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: Floats, out: *mut f32) {
        // SAFETY: the caller gives 16 writable floats.
        unsafe { out.cast::<Floats>().write_unaligned(v) }
    }
}
