//! The products against f64, of f32 and of bytes, and the two units against each other.

use super::operand::SplitRows;
use super::precision::Unit;
use super::*;
use crate::activation::Activation;
use crate::gemm::store::{Identity, StoreGradient};
use crate::gemm::xw;
use crate::math::threefry;
use crate::simd::{LINE, Level, Line};
use crate::storage::{PanelMatrix, Panels, RowSource};

/// Scales and shifts of bytes: as they are, as MNIST is usually standardised, to −1 to 1, upside
/// down, with a shift that no byte comes near, of either sign, and no scale at all.
const SCALINGS: [(f32, f32); 7] = [
    (1.0 / 255.0, 0.0),
    (1.0 / 255.0 / 0.3081, -0.1307 / 0.3081),
    (2.0 / 255.0, -1.0),
    (-1.0 / 255.0, 1.0),
    (1.0 / 255.0, 3.0),
    (0.5, -200.0),
    (0.0, 0.75),
];

type Shape = (usize, usize, usize);

/// Zeros with whole groups of rows.
fn zeros(rows: usize, cols: usize) -> PanelMatrix {
    PanelMatrix::with_stride(rows, cols, rows.next_multiple_of(LINE)).unwrap()
}

/// Values of both signs from 2⁻⁶ to 2⁶, in the padding too.
fn matrix(rows: usize, cols: usize, seed: u32) -> PanelMatrix {
    let cols = cols.next_multiple_of(LINE);
    let mut m = zeros(rows, cols);
    for (r, c) in places(rows, cols) {
        let [mantissa, size] = threefry([seed, 7], [r as u32, c as u32]);
        let value = f32::from_bits(mantissa & 0x807f_ffff | 0x3f80_0000);
        *m.at_mut(r, c) = value * 2f32.powi((size % 12) as i32 - 6);
    }
    m
}

fn places(rows: usize, cols: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |r| (0..cols).map(move |c| (r, c)))
}

/// The first columns of a matrix, whose padding is not zero, with the sums of columns.
fn split(m: &PanelMatrix, cols: usize, role: Role, by: SplitBy, level: Level) -> Split {
    let mut split = Split::new(role, (m.rows(), cols), by, Along::Both).unwrap();
    split.keep_sums().unwrap();
    split.fill_all(level, Panels::new(m.lines(), m.rows(), cols, m.ld()));
    split
}

/// Rows of bytes.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8], usize);

impl RowSource for Bytes<'_> {
    type Value = u8;
    fn row(&self, r: usize) -> &[u8] {
        &self.0[r * self.1..][..self.1]
    }
    fn scaling(&self) -> Option<(f32, f32)> {
        None
    }
}

/// Inputs of m x k.
enum Inputs {
    F32(PanelMatrix),
    Bytes(Vec<u8>, (f32, f32)),
}

impl Inputs {
    fn new(m: usize, k: usize, scaling: Option<(f32, f32)>) -> Self {
        let byte = |i| threefry([5, 5], [i, 0])[0] as u8;
        match scaling {
            None => Inputs::F32(matrix(m, k, 1)),
            Some(scaling) => Inputs::Bytes((0..(m * k) as u32).map(byte).collect(), scaling),
        }
    }

    fn scaling(&self) -> Option<Scaling> {
        match self {
            Inputs::F32(_) => None,
            Inputs::Bytes(_, (scale, shift)) => Some(Scaling::new(*scale, *shift)),
        }
    }

    /// The value that is meant, of a matrix of `k` columns.
    fn at(&self, k: usize, r: usize, c: usize) -> f64 {
        match self {
            Inputs::F32(x) => x.at(r, c).into(),
            Inputs::Bytes(bytes, (scale, shift)) => {
                f64::from(*scale) * f64::from(bytes[r * k + c]) + f64::from(*shift)
            }
        }
    }

    fn split(&self, level: Level, by: SplitBy, (m, k): (usize, usize)) -> Split {
        let (bytes, scaling) = match self {
            Inputs::F32(x) => return split(x, k, Role::Inputs, by, level),
            Inputs::Bytes(bytes, (scale, shift)) => (bytes, Scaling::new(*scale, *shift)),
        };
        let x = Split::new(Role::Inputs, (m, k), by, Along::Both).unwrap();
        for first in (0..m).step_by(ROWS) {
            // SAFETY: nothing is shared.
            let mut part = unsafe { x.part(first..m.min(first + ROWS), 0..k.div_ceil(LINE)) };
            part.fill_bytes(level, Bytes(bytes, k), scaling);
        }
        x
    }
}

/// Every unit of this machine at a level, with 1 to 3 parts.
fn ways(level: Level) -> impl Iterator<Item = SplitBy> {
    let amx = amx::available().filter(|_| Some(level) == Level::avx512());
    let units = [Some(Unit::Fma), amx.map(Unit::Amx)].into_iter().flatten();
    units.flat_map(|unit| (1..=3).map(move |parts| SplitBy { unit, parts }))
}

/// X·W, D·Wᵀ and Xᵀ·D of matrices of these sizes.
fn products(level: Level, by: SplitBy, (m, k, n): Shape, x: &Inputs) -> [PanelMatrix; 3] {
    let (sx, bytes) = (x.split(level, by, (m, k)), x.scaling());
    let sw = split(&matrix(k, n, 2), n, Role::Weights, by, level);
    let sd = split(&matrix(m, n, 3), n, Role::Deltas, by, level);
    let (mut z, mut dx, mut dw, kept) = (zeros(m, n), zeros(m, k), zeros(k, n), zeros(m, k));
    let (bias, activation) = (vec![Line::ZERO; n.div_ceil(LINE)], Identity);
    let (w, bias, x, d, out) = (&sw, &bias[..], sx.view(), sd.view(), z.view_mut());
    forward(level, Forward { by, x, bytes, w, bias, out, z: None, activation, next: None });
    let (kept, out) = (kept.view(), dx.view_mut());
    backward_input(level, Backward { by, d, w, kept, out, activation, next: None });
    let (x, d, at, slots, w) = (&sx, &sd, (0, 0), [None, None], dw.view_mut());
    let g = Gradient { by, x, bytes, d, rows: m, at, w, slots, split: None };
    update_weights(level, g, StoreGradient);
    [z, dx, dw]
}

/// The largest error of a product of depth `k`, of Σ|a||b|: what the parts leave out, and the
/// roundings of sums, at most one for each term of each tile and 18 within a tile; with bytes, of
/// Σ (|a| + scale)|b|, one of the total and one of the shift more.
fn bound(k: usize, parts: usize, bytes: bool) -> f64 {
    let left_out = match (parts, bytes) {
        // Both factors to 8 bits, and the product of the errors.
        (1, false) => 2.0 * 2f64.powi(-8) + 2f64.powi(-16),
        // Both factors to 16 bits, and the product of the two lower parts.
        (2, false) => 3.0 * 2f64.powi(-16),
        // The products of middle and low parts, 2⁻⁸ · 2⁻¹⁶ each.
        (_, false) => 2.0 * 2f64.powi(-24),
        // What the parts of the right factor leave out.
        (1, true) => 2f64.powi(-8),
        (2, true) => 2f64.powi(-16),
        (_, true) => 0.0,
    };
    let (terms, more) = if bytes { (parts, 20) } else { ([1, 3, 6][parts - 1], 18) };
    let tiles = (k.min(1024) + k / 1024 * 32).div_ceil(32);
    left_out + (terms * tiles + more) as f64 * 2f64.powi(-24)
}

/// The largest error of `out` = Σ a(i, l)·b(l, j) over l, of Σ (|a| + scale)|b|.
fn worst(
    out: &PanelMatrix,
    (m, n, k): Shape,
    scale: f64,
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f32,
) -> f64 {
    let error = |(i, j)| {
        let (mut sum, mut size) = (0.0, 0.0);
        for (a, b) in (0..k).map(|l| (a(i, l), f64::from(b(l, j)))) {
            sum += a * b;
            size += (a.abs() + scale) * b.abs();
        }
        (f64::from(out.at(i, j)) - sum).abs() / size
    };
    places(m, n).map(error).fold(0.0, f64::max)
}

#[test]
fn products_are_as_exact_as_their_parts() {
    let shapes =
        [(1, 64, 64), (17, 70, 97), (33, 300, 16), (70, 33, 130), (5, 5, 5), (3, 2100, 65)];
    // Every scaling with a shape of ragged edges, every kind of shape with a shift.
    let scaled = SCALINGS.map(|scaling| ((17, 70, 97), Some(scaling)));
    let shifted =
        [(1, 64, 64), (70, 33, 40), (3, 2100, 35)].map(|shape| (shape, Some(SCALINGS[1])));
    let cases = shapes.map(|shape| (shape, None)).into_iter().chain(scaled).chain(shifted);
    for ((m, k, n), scaling) in cases {
        let (x, w, d) = (Inputs::new(m, k, scaling), matrix(k, n, 2), matrix(m, n, 3));
        let (bytes, scale) = (scaling.is_some(), scaling.map_or(0.0, |(scale, _)| scale.abs()));
        for (level, by) in Level::available().flat_map(|l| ways(l).map(move |by| (l, by))) {
            let [z, dx, dw] = products(level, by, (m, k, n), &x);
            let place = format!("{} {by:?} {m} {k} {n} {scaling:?}", level.name());
            let check = |worst: f64, depth, bytes| {
                let bound = bound(depth, by.parts, bytes);
                assert!(worst <= bound, "{place}: {worst:e} of {bound:e}");
            };
            let of_z = worst(&z, (m, n, k), scale.into(), |i, l| x.at(k, i, l), |l, j| w.at(l, j));
            check(of_z, k, bytes);
            // The bound of one more part is not met, unless by the roundings of long sums.
            assert!(
                bytes || by.parts == 3 || k > 100 || of_z > bound(k, by.parts + 1, false),
                "{place}: {of_z:e}"
            );
            let of_dx = worst(&dx, (m, k, n), 0.0, |i, l| d.at(i, l).into(), |l, j| w.at(j, l));
            check(of_dx, n, false);
            let of_dw =
                worst(&dw, (k, n, m), scale.into(), |i, l| x.at(k, l, i), |l, j| d.at(l, j));
            check(of_dw, m, bytes);
        }
    }
}

/// No scaling, and all of them.
fn scalings() -> impl Iterator<Item = Option<(f32, f32)>> {
    [None].into_iter().chain(SCALINGS.map(Some))
}

/// The same bits of all three products.
fn assert_same(got: &[PanelMatrix; 3], want: &[PanelMatrix; 3], place: &str) {
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.lines(), want.lines(), "{place}");
    }
}

#[test]
fn levels_with_fused_multiply_adds_give_the_same_bits() {
    let scalings = [None, Some(SCALINGS[1])];
    for (parts, scaling) in (1..=3).flat_map(|parts| scalings.map(|scaling| (parts, scaling))) {
        let (x, by) = (Inputs::new(40, 200, scaling), SplitBy { unit: Unit::Fma, parts });
        let at = |level| products(level, by, (40, 200, 70), &x);
        let want = at(Level::software());
        for level in Level::available().filter(|&level| level != Level::portable()) {
            assert_same(&at(level), &want, &format!("{} {parts} parts {scaling:?}", level.name()));
        }
    }
}

#[test]
fn the_tile_unit_and_f32_units_give_the_same_bits() {
    let (Some(level), Some(token)) = (Level::avx512(), amx::available()) else { return };
    for (parts, scaling) in (1..=3).flat_map(|p| scalings().map(move |s| (p, s))) {
        for shape in [(40, 200, 70), (1, 64, 16), (33, 65, 33)] {
            let x = Inputs::new(shape.0, shape.1, scaling);
            let [tiles, f32s] = [Unit::Amx(token), Unit::Fma]
                .map(|unit| products(level, SplitBy { unit, parts }, shape, &x));
            assert_same(&tiles, &f32s, &format!("{parts} parts, {shape:?} {scaling:?}"));
        }
    }
}

#[test]
fn bytes_are_one_part_in_the_same_places() {
    let (rows, cols) = (45, 70);
    for (level, scaling) in Level::available().flat_map(|l| SCALINGS.map(|s| (l, s))) {
        let by = SplitBy { unit: Unit::Fma, parts: 1 };
        let bytes = Inputs::new(rows, cols, Some(scaling));
        let plain = Inputs::new(rows, cols, Some((1.0, 0.0)));
        let mut m = zeros(rows, cols);
        for (r, c) in places(rows, cols) {
            let centre = Scaling::new(scaling.0, scaling.1).centre;
            *m.at_mut(r, c) = plain.at(cols, r, c) as f32 - centre;
        }
        let (got, want) =
            (bytes.split(level, by, (rows, cols)), split(&m, cols, Role::Inputs, by, level));
        assert_eq!(got.lines(), want.lines(), "{} {scaling:?}", level.name());
    }
}

#[test]
fn the_centre_is_the_byte_nearest_to_zero() {
    let parts = SCALINGS.map(|(scale, shift)| Scaling::new(scale, shift));
    assert_eq!(parts.map(|s| s.centre), [0.0, 33.0, 127.0, 255.0, 0.0, 255.0, 0.0]);
    assert!(!parts[0].has_shift());
    for s in &parts[1..4] {
        assert!(s.shift.abs() <= s.scale.abs() / 2.0);
    }
    assert_eq!(parts[4..].iter().map(|s| s.shift).collect::<Vec<_>>(), [3.0, -72.5, 0.75]);
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
            let (mut out, mut z) = (zeros(m, n), zeros(m, n));
            let next = Split::new(Role::Inputs, (m, n), by, Along::Both).unwrap();
            for first in [0, 32] {
                let rows = first..m.min(first + 32);
                let f = Forward {
                    by,
                    x: SplitRows { split: &sx, first, rows: rows.len() },
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
            let [plain, ..] = products(level, by, (m, k, n), &Inputs::new(m, k, None));
            for (r, c) in places(m, n) {
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

/// ‖out − x·w‖ / ‖x·w‖
fn relative_error(out: &PanelMatrix, k: usize, x: &Inputs, w: &PanelMatrix) -> f64 {
    let (mut errors, mut squares) = (0.0, 0.0);
    for (r, c) in places(out.rows(), out.cols()) {
        let exact: f64 = (0..k).map(|l| x.at(k, r, l) * f64::from(w.at(l, c))).sum();
        errors += (f64::from(out.at(r, c)) - exact).powi(2);
        squares += exact.powi(2);
    }
    (errors / squares).sqrt()
}

/// The errors of x·w by chains of f32, and by three parts to one, for 32 rows and columns.
fn errors(k: usize, x: &PanelMatrix, exact: &Inputs) -> [f64; 4] {
    let (level, w, mut chain) = (Level::best(), matrix(k, 32, 2), zeros(32, 32));
    xw(level, x, &w, &mut chain).unwrap();
    let x = Inputs::F32(x.clone());
    let by_parts = [3, 2, 1].map(|parts| {
        let [z, ..] = products(level, SplitBy { unit: Unit::Fma, parts }, (32, k, 32), &x);
        relative_error(&z, k, exact, &w)
    });
    let [six, three, one] = by_parts;
    [relative_error(&chain, k, exact, &w), six, three, one]
}

/// For the table of docs/performance.md:
/// `cargo test --release --lib errors_by_depth -- --ignored --nocapture`.
#[test]
#[ignore = "prints"]
fn errors_by_depth() {
    for k in [32, 64, 128, 256, 512, 1024, 2048, 4096] {
        let x = matrix(32, k, 1);
        let errors = errors(k, &x, &Inputs::F32(x.clone())).map(|e| format!("{e:.2e}"));
        println!("| {k} | {} |", errors.join(" | "));
    }
}

/// For the table of docs/performance.md:
/// `cargo test --release --lib errors_of_bytes -- --nocapture`.
#[test]
fn errors_of_bytes_by_three_products_are_not_above_those_of_f32_by_six() {
    let (by, k) = (SplitBy { unit: Unit::Fma, parts: 3 }, 784);
    for (scale, shift) in SCALINGS {
        let bytes = Inputs::new(32, k, Some((scale, shift)));
        let mut x = zeros(32, k);
        for (r, c) in places(32, k) {
            *x.at_mut(r, c) = bytes.at(k, r, c) as f32;
        }
        let [chain, six, ..] = errors(k, &x, &bytes);
        let [z, ..] = products(Level::best(), by, (32, k, 32), &bytes);
        let three = relative_error(&z, k, &bytes, &matrix(k, 32, 2));
        println!("| {scale:.5} | {shift:.5} | {chain:.2e} | {six:.2e} | {three:.2e} |");
        assert!(three <= six, "{scale} {shift}: {three:e} and {six:e}");
    }
}
