//! The products against f64, and the two units against each other.

use super::amx;
use super::precision::Unit;
use super::*;
use crate::activation::Activation;
use crate::gemm::store::{Identity, StoreGradient};
use crate::math::threefry;
use crate::simd::{LINE, Level, Line};
use crate::storage::PanelMatrix;

/// Values of both signs from 2⁻⁶ to 2⁶, in the padding too.
pub(super) fn matrix(rows: usize, cols: usize, seed: u32) -> PanelMatrix {
    let mut m =
        PanelMatrix::with_stride(rows, cols.next_multiple_of(LINE), rows.next_multiple_of(LINE))
            .unwrap();
    for r in 0..rows {
        for c in 0..cols.next_multiple_of(LINE) {
            let [mantissa, size] = threefry([seed, 7], [r as u32, c as u32]);
            let value = f32::from_bits(mantissa & 0x807f_ffff | 0x3f80_0000);
            *m.at_mut(r, c) = value * 2f32.powi((size % 12) as i32 - 6);
        }
    }
    m
}

/// The first columns of a matrix, whose padding is not zero.
fn columns(m: &PanelMatrix, cols: usize) -> crate::storage::Panels<'_> {
    crate::storage::Panels::new(m.lines(), m.rows(), cols, m.ld())
}

pub(super) fn split(m: &PanelMatrix, cols: usize, role: Role, by: SplitBy, level: Level) -> Split {
    let mut split = Split::new(role, (m.rows(), cols), by, Along::Both).unwrap();
    split.fill_all(level, columns(m, cols));
    split
}

/// Every unit of this machine at a level, with 1 to 3 parts.
pub(super) fn ways(level: Level) -> impl Iterator<Item = SplitBy> {
    let amx = amx::available().filter(|_| Some(level) == Level::avx512());
    let units = [Some(Unit::Fma), amx.map(Unit::Amx)].into_iter().flatten();
    units.flat_map(|unit| (1..=3).map(move |parts| SplitBy { unit, parts }))
}

/// The largest error of a product of depth `k`, of Σ|a||b|: what the parts leave out, and the
/// roundings of sums, at most one for each term of each tile and 18 within a tile.
fn bound(k: usize, parts: usize) -> f64 {
    let left_out = match parts {
        // Both factors to 8 bits, and the product of the errors.
        1 => 2.0 * 2f64.powi(-8) + 2f64.powi(-16),
        // Both factors to 16 bits, and the product of the two lower parts.
        2 => 3.0 * 2f64.powi(-16),
        // The products of middle and low parts, 2⁻⁸ · 2⁻¹⁶ each.
        _ => 2.0 * 2f64.powi(-24),
    };
    let (terms, k) = ([1, 3, 6][parts - 1], k.min(1024) + k / 1024 * 32);
    left_out + (terms * k.div_ceil(32) + 18) as f64 * 2f64.powi(-24)
}

/// Checks `out` = Σ a(i, l)·b(l, j) over l, with a term for the bias.
fn check(
    place: &str,
    out: &PanelMatrix,
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
    bound: f64,
) -> f64 {
    let mut worst: f64 = 0.0;
    for i in 0..m {
        for j in 0..n {
            let terms = || (0..k).map(|l| f64::from(a(i, l)) * f64::from(b(l, j)));
            let (sum, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
            worst = worst.max((f64::from(out.at(i, j)) - sum).abs() / size);
        }
    }
    assert!(worst <= bound, "{place}: {worst:e} of {bound:e}");
    worst
}

/// The three products of matrices of these sizes.
fn products(level: Level, by: SplitBy, (m, k, n): (usize, usize, usize)) -> [PanelMatrix; 3] {
    let (x, w, d) = (matrix(m, k, 1), matrix(k, n, 2), matrix(m, n, 3));
    let sx = split(&x, k, Role::Inputs, by, level);
    let sw = split(&w, n, Role::Weights, by, level);
    let sd = split(&d, n, Role::Deltas, by, level);
    let zeros = |rows: usize, cols: usize| {
        PanelMatrix::with_stride(rows, cols, rows.next_multiple_of(LINE)).unwrap()
    };
    let (mut z, mut dx, mut dw) = (zeros(m, n), zeros(m, k), zeros(k, n));
    let kept = zeros(m, k);
    let (bias, activation) = (vec![Line::ZERO; n.div_ceil(LINE)], Identity);
    let (bytes, kept, w, bias) = (None, kept.view(), &sw, &bias[..]);
    let (x, d, out) = (sx.view(), sd.view(), z.view_mut());
    forward(level, Forward { by, x, bytes, w, bias, out, z: None, activation, next: None });
    let out = dx.view_mut();
    backward_input(level, Backward { by, d, w, kept, out, activation, next: None });
    let (x, d, at, slots, w) = (&sx, &sd, (0, 0), [None, None], dw.view_mut());
    let g = Gradient { by, x, bytes, d, rows: m, at, w, slots, split: None };
    update_weights(level, g, StoreGradient);
    [z, dx, dw]
}

#[test]
fn products_are_as_exact_as_their_parts() {
    for level in Level::available() {
        for by in ways(level) {
            for (m, k, n) in
                [(1, 64, 64), (17, 70, 97), (33, 300, 16), (70, 33, 130), (5, 5, 5), (3, 2100, 65)]
            {
                let place = format!("{} {by:?} {m} {k} {n}", level.name());
                let [z, dx, dw] = products(level, by, (m, k, n));
                let (x, w, d) = (matrix(m, k, 1), matrix(k, n, 2), matrix(m, n, 3));
                let at = |m: &PanelMatrix, r, c| m.at(r, c);
                let e = bound(k, by.parts);
                let worst =
                    check(&place, &z, (m, n, k), |i, l| at(&x, i, l), |l, j| at(&w, l, j), e);
                // The bound of one more part is not met, unless by the roundings of long sums.
                assert!(
                    by.parts == 3 || k > 100 || worst > bound(k, by.parts + 1),
                    "{place}: {worst:e}"
                );
                let e = bound(n, by.parts);
                check(&place, &dx, (m, k, n), |i, l| at(&d, i, l), |l, j| at(&w, j, l), e);
                let e = bound(m, by.parts);
                check(&place, &dw, (k, n, m), |i, l| at(&x, l, i), |l, j| at(&d, l, j), e);
            }
        }
    }
}

#[test]
fn levels_with_fused_multiply_adds_give_the_same_bits() {
    for parts in 1..=3 {
        let by = SplitBy { unit: Unit::Fma, parts };
        let want = products(Level::software(), by, (40, 200, 70));
        for level in Level::available().filter(|&level| level != Level::portable()) {
            for (got, want) in products(level, by, (40, 200, 70)).iter().zip(&want) {
                assert_eq!(got.lines(), want.lines(), "{} {parts} parts", level.name());
            }
        }
    }
}

#[test]
fn the_tile_unit_and_f32_units_give_the_same_bits() {
    let (Some(level), Some(token)) = (Level::avx512(), amx::available()) else { return };
    for parts in 1..=3 {
        for shape in [(40, 200, 70), (1, 64, 16), (33, 65, 33)] {
            let of = |unit| products(level, SplitBy { unit, parts }, shape);
            for (tiles, f32s) in of(Unit::Amx(token)).iter().zip(&of(Unit::Fma)) {
                assert_eq!(tiles.lines(), f32s.lines(), "{parts} parts, {shape:?}");
            }
        }
    }
}

#[test]
fn outputs_and_deltas_are_split_in_their_store() {
    let (m, k, n) = (45, 70, 50);
    for level in Level::available() {
        for by in ways(level) {
            let (x, w) = (matrix(m, k, 1), matrix(k, n, 2));
            let sx = split(&x, k, Role::Inputs, by, level);
            let sw = split(&w, n, Role::Weights, by, level);
            let bias = vec![Line([0.5; LINE]); n.div_ceil(LINE)];
            let mut out = PanelMatrix::with_stride(m, n, 48).unwrap();
            let mut z = PanelMatrix::with_stride(m, n, 48).unwrap();
            let next = Split::new(Role::Inputs, (m, n), by, Along::Both).unwrap();
            for first in [0, 32] {
                let rows = first..m.min(first + 32);
                let f = Forward {
                    by,
                    x: crate::gemm::bf16::operand::SplitRows {
                        split: &sx,
                        first,
                        rows: rows.len(),
                    },
                    bytes: None,
                    w: &sw,
                    bias: &bias,
                    out: out.view_mut().rows(rows.clone()),
                    z: Some(z.view_mut().rows(rows.clone())),
                    activation: Activation::Tanh,
                    // SAFETY: nothing is shared.
                    next: Some(unsafe { next.part(rows, 0..n.div_ceil(LINE)) }),
                };
                forward(level, f);
            }
            let [plain, ..] = products(level, by, (m, k, n));
            for (r, c) in (0..m).flat_map(|r| (0..n).map(move |c| (r, c))) {
                assert_eq!(z.at(r, c), plain.at(r, c) + 0.5);
                assert!((out.at(r, c) - z.at(r, c).tanh()).abs() < 1e-6);
            }
            let whole = split(&out, n, Role::Inputs, by, level);
            assert_eq!(next.lines(), whole.lines(), "{} {by:?}", level.name());
        }
    }
}

#[test]
fn parts_are_bf16_and_add_up() {
    for level in Level::available() {
        let by = SplitBy { unit: Unit::Fma, parts: 3 };
        let (most, least) = (f32::MAX, f32::MIN_POSITIVE);
        let values = [1.0, -1.0 / 3.0, most, -most, 1e30, 3e-38 / 2e-8, 0.0, 1.0 + f32::EPSILON];
        let mut m = PanelMatrix::with_stride(1, LINE, LINE).unwrap();
        for (c, &x) in values.iter().enumerate() {
            *m.at_mut(0, c) = x;
        }
        *m.at_mut(0, 8) = f32::INFINITY;
        *m.at_mut(0, 9) = f32::NAN;
        *m.at_mut(0, 10) = f32::from_bits(0x7fff_ffff);
        *m.at_mut(0, 11) = least / 2.0;
        let s = split(&m, LINE, Role::Deltas, by, level);
        let part = |part: usize, c: usize| {
            // One tile deep along the columns: its first line is the row, low halves first.
            let line = s.lines()[0][part * LINE];
            f32::from_bits(line.0[c].to_bits() << 16)
        };
        for (c, &x) in values.iter().enumerate() {
            let sum: f64 = (0..3).map(|i| f64::from(part(i, c))).sum();
            assert_eq!(sum, f64::from(x), "{}", level.name());
            assert!((part(1, c) / x).abs() <= 2f32.powi(-7) || x == 0.0);
        }
        assert_eq!(part(0, 8), f32::INFINITY);
        assert!(part(1, 8).is_nan() && part(0, 9).is_nan() && part(0, 10).is_nan());
        assert_eq!([part(0, 11), part(1, 11)], [0.0; 2]);
    }
}

/// x·w in f32.
pub(super) fn chain(level: Level, x: &PanelMatrix, w: &PanelMatrix) -> PanelMatrix {
    let panels = |t: &PanelMatrix| {
        let mut p = PanelMatrix::zeros(t.rows(), t.cols()).unwrap();
        for panel in 0..t.view().n_panels() {
            p.view_mut().panel_mut(panel).copy_from_slice(t.view().panel(panel));
        }
        p
    };
    let mut out = PanelMatrix::zeros(x.rows(), w.cols()).unwrap();
    crate::gemm::xw(level, &panels(x), &panels(w), &mut out).unwrap();
    let mut copy = PanelMatrix::with_stride(out.rows(), out.cols(), out.rows()).unwrap();
    for panel in 0..out.view().n_panels() {
        copy.view_mut().panel_mut(panel).copy_from_slice(out.view().panel(panel));
    }
    copy
}

/// ‖out − exact‖ / ‖exact‖, of values row by row.
pub(super) fn relative_error(out: &PanelMatrix, exact: &[f64]) -> f64 {
    let at = |i: usize| f64::from(out.at(i / out.cols(), i % out.cols()));
    let norm = |f: &dyn Fn(usize) -> f64| (0..exact.len()).map(|i| f(i).powi(2)).sum::<f64>();
    (norm(&|i| at(i) - exact[i]) / norm(&|i| exact[i])).sqrt()
}

/// For the table of docs/performance.md:
/// `cargo test --release --lib errors_by_depth -- --ignored --nocapture`.
#[test]
#[ignore = "prints"]
fn errors_by_depth() {
    let level = Level::best();
    let (m, n) = (32, 32);
    for k in [32, 64, 128, 256, 512, 1024, 2048, 4096] {
        let (x, w) = (matrix(m, k, 1), matrix(k, n, 2));
        let exact: Vec<f64> = (0..m * n)
            .map(|i| (0..k).map(|l| f64::from(x.at(i / n, l)) * f64::from(w.at(l, i % n))).sum())
            .collect();
        print!("| {k} | {:.2e} |", relative_error(&chain(level, &x, &w), &exact));
        for parts in [3, 2, 1] {
            let by = SplitBy { unit: Unit::Fma, parts };
            let [z, ..] = products(level, by, (m, k, n));
            print!(" {:.2e} |", relative_error(&z, &exact));
        }
        println!();
    }
}
