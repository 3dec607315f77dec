//! AVX-512 (F, BW, DQ, VL): 16 lanes. Intrinsics only.

use super::avx2::Avx2;
use super::line::LINE;
use super::operations::{Kernel, Simd, intrinsics};
use super::tile_shapes::TileShapes;
use super::tiles::check_level;
use std::arch::x86_64::*;

/// The token of this level. It implies the one below.
#[derive(Clone, Copy)]
pub(super) struct Avx512(Avx2);

impl Avx512 {
    /// The token, from inside code that already runs with the features.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    pub(super) fn assume_supported() -> Self {
        Avx512(Avx2::assume_supported())
    }
}

/// The bodies of [`Simd::enter`] and of a dispatch.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn avx512_enter<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
    const { check_level::<Avx512>() };
    kernel.run(token)
}

impl Simd for Avx512 {
    type V = __m512;
    type I = __m512i;
    type M = __mmask16;
    const LANES: usize = 16;
    const TILES: TileShapes = TileShapes::AVX512;

    intrinsics! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        round(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        is_nan(a: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
        select(m: __mmask16, yes: __m512, no: __m512) -> __m512 = _mm512_mask_blend_ps(m, no, yes);
        to_bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        int_splat(x: i32) -> __m512i = _mm512_set1_epi32(x);
        int_add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        int_sub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        int_and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        int_max(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32(a, b);
        int_or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        int_xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        int_shl(a: __m512i, n: u32) -> __m512i = _mm512_sllv_epi32(a, _mm512_set1_epi32(n as i32));
        int_shr(a: __m512i, n: u32) -> __m512i = _mm512_srav_epi32(a, _mm512_set1_epi32(n as i32));
        to_int(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        from_int(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
    }

    #[inline(always)]
    fn any(self, m: __mmask16) -> bool {
        m != 0
    }

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves AVX-512 F, BW, DQ and VL.
        unsafe { avx512_enter(self, kernel) }
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> __m512 {
        let x: &[u8; 16] = x.first_chunk().expect("a vector of bytes");
        // SAFETY: `x` is 16 bytes; the token proves AVX-512 F.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn sum_line(self, x: &[f32; LINE]) -> f32 {
        let x = self.load(x);
        // SAFETY: the token proves AVX-512 F and DQ.
        let x = unsafe { _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)) };
        self.0.sum_eight(x)
    }

    #[inline(always)]
    fn max_line(self, x: &[f32; LINE]) -> f32 {
        let x = self.load(x);
        // SAFETY: the token proves AVX-512 F and DQ.
        let x = unsafe { _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)) };
        self.0.max_eight(x)
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m512 {
        // SAFETY: the caller gives 16 readable floats; the token proves AVX-512 F.
        unsafe { _mm512_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512, out: *mut f32) {
        // SAFETY: the caller gives 16 writable floats; the token proves AVX-512 F.
        unsafe { _mm512_storeu_ps(out, v) }
    }

    #[inline(always)]
    unsafe fn transpose(self, block: *const f32, out: *mut f32, out_stride: usize) {
        // SAFETY: by this function's contract, which is the same. AVX2's four 8 x 8 blocks serve:
        // a transpose is 3 % of a weight's update (docs/design.md).
        unsafe { self.0.transpose(block, out, out_stride) }
    }
}
