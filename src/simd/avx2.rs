//! AVX2 with FMA: 8 lanes. Intrinsics only.

use super::line::LINE;
use super::operations::{Kernel, Simd, intrinsics};
use super::tile_shapes::TileShapes;
use super::tiles::check_level;
use std::arch::x86_64::*;

/// The token of this level.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The token, from inside code that already runs with the features.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn assume_supported() -> Self {
        Avx2(())
    }
}

/// Joins eight values to one: i with i + 4, i + 2 and i + 1.
macro_rules! join_eight {
    ($($(#[$doc:meta])* $name:ident: $four:ident, $one:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name(self, x: __m256) -> f32 {
            // SAFETY: the token proves AVX2.
            unsafe {
                let x = $four(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
                let x = $four(x, _mm_movehl_ps(x, x));
                _mm_cvtss_f32($one(x, _mm_movehdup_ps(x)))
            }
        }
    )*};
}

impl Avx2 {
    join_eight! {
        /// The end of [`Simd::sum_line`].
        sum_eight: _mm_add_ps, _mm_add_ss;
        /// The end of [`Simd::max_line`].
        max_eight: _mm_max_ps, _mm_max_ss;
    }
}

/// The bodies of [`Simd::enter`] and of a dispatch.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2_enter<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    const { check_level::<Avx2>() };
    kernel.run(token)
}

impl Simd for Avx2 {
    type V = __m256;
    type I = __m256i;
    type M = __m256;
    const LANES: usize = 8;
    const TILES: TileShapes = TileShapes::AVX2;

    intrinsics! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        round(a: __m256) -> __m256 =
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        le(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        is_nan(a: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
        select(m: __m256, yes: __m256, no: __m256) -> __m256 = _mm256_blendv_ps(no, yes, m);
        any(m: __m256) -> bool = _mm256_movemask_ps(m) != 0;
        to_bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        from_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        int_splat(x: i32) -> __m256i = _mm256_set1_epi32(x);
        int_add(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        int_sub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        int_and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        int_max(a: __m256i, b: __m256i) -> __m256i = _mm256_max_epi32(a, b);
        int_or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        int_xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        int_shl(a: __m256i, n: u32) -> __m256i = _mm256_sllv_epi32(a, _mm256_set1_epi32(n as i32));
        int_shr(a: __m256i, n: u32) -> __m256i = _mm256_srav_epi32(a, _mm256_set1_epi32(n as i32));
        to_int(a: __m256) -> __m256i = _mm256_cvtps_epi32(a);
        from_int(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
    }

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves AVX2 and FMA.
        unsafe { avx2_enter(self, kernel) }
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> __m256 {
        let x: &[u8; 8] = x.first_chunk().expect("a vector of bytes");
        // SAFETY: `x` is 8 bytes; the token proves AVX2.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(x.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn sum_line(self, x: &[f32; LINE]) -> f32 {
        // SAFETY: `x` is 16 floats; the token proves AVX2.
        unsafe {
            let (low, high) = (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8)));
            self.sum_eight(_mm256_add_ps(low, high))
        }
    }

    #[inline(always)]
    fn max_line(self, x: &[f32; LINE]) -> f32 {
        // SAFETY: `x` is 16 floats; the token proves AVX2.
        unsafe {
            let (low, high) = (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8)));
            self.max_eight(_mm256_max_ps(low, high))
        }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m256 {
        // SAFETY: the caller gives 8 readable floats; the token proves AVX.
        unsafe { _mm256_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256, out: *mut f32) {
        // SAFETY: the caller gives 8 writable floats; the token proves AVX.
        unsafe { _mm256_storeu_ps(out, v) }
    }

    #[inline(always)]
    unsafe fn transpose(self, block: *const f32, out: *mut f32, out_stride: usize) {
        for (r, c) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            // SAFETY: the caller gives 16 x 16 floats on both sides; this is one quarter of them,
            // at its mirrored place. The token proves AVX.
            unsafe { transpose_8x8(block.add(r * 16 + c), out.add(c * out_stride + r), out_stride) }
        }
    }
}

/// `out[c * out_stride + r] = x[r * 16 + c]` for an 8 x 8 block: pairs, then quads, then halves.
///
/// # Safety
/// The CPU has AVX; 8 rows of 8 floats can be read and written.
#[inline(always)]
unsafe fn transpose_8x8(x: *const f32, out: *mut f32, out_stride: usize) {
    // SAFETY: by this function's contract.
    unsafe {
        let row = |r: usize| _mm256_loadu_ps(x.add(r * 16));
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        let (r4, r5, r6, r7) = (row(4), row(5), row(6), row(7));
        let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
        let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
        let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
        let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
        let low = |a, b| _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
        let high = |a, b| _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
        let (b0, b1, b2, b3) = (low(a0, a2), high(a0, a2), low(a1, a3), high(a1, a3));
        let (b4, b5, b6, b7) = (low(a4, a6), high(a4, a6), low(a5, a7), high(a5, a7));
        let lo = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
        let hi = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
        let columns = [
            lo(b0, b4),
            lo(b1, b5),
            lo(b2, b6),
            lo(b3, b7),
            hi(b0, b4),
            hi(b1, b5),
            hi(b2, b6),
            hi(b3, b7),
        ];
        for (c, column) in columns.into_iter().enumerate() {
            _mm256_storeu_ps(out.add(c * out_stride), column);
        }
    }
}
