//! Bytes as operands: exact in one bf16 part, with the scale and the shift of their data set applied
//! to the sums of the product.
//!
//! x = scale · b + shift for a byte b, so X·W = scale · (B·W) + shift · (column sums of W), and
//! Xᵀ·D the same with B and D. What cancels in x must not be two large sums here, as with images
//! whose mean was taken off: so b is counted from `centre`, the byte whose x is nearest to zero.
//! −255 to 255 are exact in bf16 too (8 bits), and what is left of the shift is either at most half a
//! scale or of the sign of everything that is scaled. So each term is at most |x| + scale, and the
//! errors are those of f32 inputs.

/// What a byte stands for: x = scale · (byte − centre) + shift.
#[derive(Clone, Copy)]
pub(crate) struct Scaling {
    pub(super) centre: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
}

impl Scaling {
    /// Of a data set's x = scale · byte + shift.
    pub(crate) fn new(scale: f32, shift: f32) -> Self {
        // Casts saturate, and NaN is 0.
        let centre = f32::from((-shift / scale).round() as u8);
        Scaling { centre, scale, shift: centre.mul_add(scale, shift) }
    }

    /// Whether products need the sums of the columns of their right operands.
    pub(crate) fn has_shift(&self) -> bool {
        self.shift != 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::bf16::amx;
    use crate::gemm::bf16::precision::Unit;
    use crate::gemm::bf16::tests::{chain, matrix, relative_error, split, ways};
    use crate::gemm::bf16::*;
    use crate::gemm::store::{Identity, StoreGradient};
    use crate::math::threefry;
    use crate::simd::{LINE, Level, Line};
    use crate::storage::{PanelMatrix, RowSource};

    /// Rows of bytes.
    #[derive(Clone, Copy)]
    struct Rows<'a>(&'a [u8], usize);

    impl RowSource for Rows<'_> {
        type Value = u8;
        fn row(&self, r: usize) -> &[u8] {
            &self.0[r * self.1..][..self.1]
        }
        fn scaling(&self) -> Option<(f32, f32)> {
            None
        }
    }

    fn bytes(rows: usize, cols: usize) -> Vec<u8> {
        (0..(rows * cols) as u32).map(|i| threefry([5, 5], [i, 0])[0] as u8).collect()
    }

    /// Scales and shifts: as they are, as MNIST is usually standardised, to −1 to 1, upside down,
    /// with a shift that no byte comes near, of either sign, and no scale at all.
    const SCALINGS: [(f32, f32); 7] = [
        (1.0 / 255.0, 0.0),
        (1.0 / 255.0 / 0.3081, -0.1307 / 0.3081),
        (2.0 / 255.0, -1.0),
        (-1.0 / 255.0, 1.0),
        (1.0 / 255.0, 3.0),
        (0.5, -200.0),
        (0.0, 0.75),
    ];

    /// A matrix of bytes as an operand.
    fn operand(level: Level, by: SplitBy, shape: (usize, usize), scaling: Scaling) -> Split {
        let x = Split::new(Role::Inputs, shape, by, Along::Both).unwrap();
        let bytes = bytes(shape.0, shape.1);
        for first in (0..shape.0).step_by(ROWS) {
            let rows = first..shape.0.min(first + ROWS);
            // SAFETY: nothing is shared.
            let mut part = unsafe { x.part(rows, 0..shape.1.div_ceil(LINE)) };
            part.fill_bytes(level, Rows(&bytes, shape.1), scaling);
        }
        x
    }

    /// X·W and Xᵀ·D with the bytes of X.
    fn products(
        level: Level,
        by: SplitBy,
        (m, k, n): (usize, usize, usize),
        scaling: Scaling,
    ) -> [PanelMatrix; 2] {
        let summed = |t: &PanelMatrix, role| {
            let mut split = split(t, n, role, by, level);
            split.keep_sums().unwrap();
            split.fill_all(level, crate::storage::Panels::new(t.lines(), t.rows(), n, t.ld()));
            split
        };
        let sx = operand(level, by, (m, k), scaling);
        let sw = summed(&matrix(k, n, 2), Role::Weights);
        let sd = summed(&matrix(m, n, 3), Role::Deltas);
        let (mut z, mut dw) = (
            PanelMatrix::with_stride(m, n, m).unwrap(),
            PanelMatrix::with_stride(k, n, k.next_multiple_of(LINE)).unwrap(),
        );
        let (bias, activation) = (vec![Line::ZERO; n.div_ceil(LINE)], Identity);
        let (bytes, w, bias, out) = (Some(scaling), &sw, &bias[..], z.view_mut());
        let (x, next) = (sx.view(), None);
        forward(level, Forward { by, x, bytes, w, bias, out, z: None, activation, next });
        let (x, d, at, slots, w) = (&sx, &sd, (0, 0), [None, None], dw.view_mut());
        update_weights(
            level,
            Gradient { by, x, bytes, d, rows: m, at, w, slots, split: None },
            StoreGradient,
        );
        [z, dw]
    }

    /// The largest error of a product of depth `k`, of Σ (|x| + scale)|w|, which is at least the sum
    /// of all terms' sizes: what the parts of the right operand leave out; and the roundings of sums,
    /// at most one for each term of each tile, 18 within a tile, one of the total, one of the shift.
    fn bound(k: usize, parts: usize) -> f64 {
        let left_out = [2f64.powi(-8), 2f64.powi(-16), 0.0][parts - 1];
        let tiles = (k.min(1024) + k / 1024 * 32).div_ceil(32);
        left_out + (parts * tiles + 20) as f64 * 2f64.powi(-24)
    }

    #[test]
    fn products_are_as_exact_as_the_parts_of_the_other_operand() {
        // Every scaling with a shape of ragged edges, every shape with a shift.
        let cases = SCALINGS.map(|scaling| (scaling, (17, 70, 97)));
        let shapes = [(1, 64, 64), (70, 33, 40), (3, 2100, 35)].map(|shape| (SCALINGS[1], shape));
        for level in Level::available() {
            for (by, &(scaling, shape)) in
                ways(level).flat_map(|by| cases.iter().chain(&shapes).map(move |case| (by, case)))
            {
                check(level, by, scaling, shape);
            }
        }
    }

    fn check(level: Level, by: SplitBy, (scale, shift): (f32, f32), shape: (usize, usize, usize)) {
        let [z, dw] = products(level, by, shape, Scaling::new(scale, shift));
        let (m, k, n) = shape;
        let (bytes, w, d) = (bytes(m, k), matrix(k, n, 2), matrix(m, n, 3));
        let (scale, shift) = (f64::from(scale), f64::from(shift));
        let x = |r: usize, c: usize| scale * f64::from(bytes[r * k + c]) + shift;
        // A value against the products of `depth` values of x and another operand.
        let check = |what: &str, got: f32, depth: usize, terms: &dyn Fn(usize) -> (f64, f64)| {
            let (mut sum, mut sizes) = (0.0, 0.0);
            for (x, y) in (0..depth).map(terms) {
                sum += x * y;
                sizes += (x.abs() + scale.abs()) * y.abs();
            }
            let (error, bound) = ((f64::from(got) - sum).abs() / sizes, bound(depth, by.parts));
            let place = || format!("{what} {} {by:?} {shape:?} {scale} {shift}", level.name());
            assert!(error <= bound, "{}: {error:e} of {bound:e}", place());
        };
        for c in 0..n {
            for r in 0..m {
                check("x·w", z.at(r, c), k, &|l| (x(r, l), f64::from(w.at(l, c))));
            }
            for l in 0..k {
                check("xᵀ·d", dw.at(l, c), m, &|r| (x(r, l), f64::from(d.at(r, c))));
            }
        }
    }

    /// For the table of docs/performance.md:
    /// `cargo test --release --lib errors_of_bytes -- --nocapture`.
    #[test]
    fn errors_of_bytes_by_three_products_are_not_above_those_of_f32_by_six() {
        let (level, by) = (Level::best(), SplitBy { unit: Unit::Fma, parts: 3 });
        let (m, k, n) = (32, 784, 32);
        for (scale, shift) in SCALINGS {
            let (bytes, w, bias) = (bytes(m, k), matrix(k, n, 2), [Line::ZERO; 2]);
            let exact = |i: usize| -> f64 {
                let x = |l| f64::from(scale) * f64::from(bytes[i / n * k + l]) + f64::from(shift);
                (0..k).map(|l| x(l) * f64::from(w.at(l, i % n))).sum()
            };
            let exact: Vec<f64> = (0..m * n).map(exact).collect();
            let mut x = PanelMatrix::with_stride(m, k, m).unwrap();
            for (r, c) in (0..m).flat_map(|r| (0..k).map(move |c| (r, c))) {
                *x.at_mut(r, c) = f32::from(bytes[r * k + c]).mul_add(scale, shift);
            }
            let mut six = PanelMatrix::with_stride(m, n, m).unwrap();
            let (sx, sw) =
                (split(&x, k, Role::Inputs, by, level), split(&w, n, Role::Weights, by, level));
            let (bytes, z, activation, next) = (None, None, Identity, None);
            let f = Forward {
                by,
                x: sx.view(),
                bytes,
                w: &sw,
                bias: &bias,
                out: six.view_mut(),
                z,
                activation,
                next,
            };
            forward(level, f);
            let [three, _] = products(level, by, (m, k, n), Scaling::new(scale, shift));
            let errors =
                [&chain(level, &x, &w), &six, &three].map(|out| relative_error(out, &exact));
            let [chain, six, three] = errors;
            println!("| {scale:.5} | {shift:.5} | {chain:.2e} | {six:.2e} | {three:.2e} |");
            assert!(three <= six, "{scale} {shift}: {three:e} and {six:e}");
        }
    }

    #[test]
    fn bytes_are_one_part_in_the_same_places() {
        let (rows, cols) = (45, 70);
        for level in Level::available() {
            for (scale, shift) in SCALINGS {
                let (by, scaling) =
                    (SplitBy { unit: Unit::Fma, parts: 1 }, Scaling::new(scale, shift));
                let mut m = PanelMatrix::with_stride(rows, cols, rows).unwrap();
                for (i, &byte) in bytes(rows, cols).iter().enumerate() {
                    *m.at_mut(i / cols, i % cols) = f32::from(byte) - scaling.centre;
                }
                let (want, got) = (
                    split(&m, cols, Role::Inputs, by, level),
                    operand(level, by, (rows, cols), scaling),
                );
                assert_eq!(got.lines(), want.lines(), "{} {scale} {shift}", level.name());
            }
        }
    }

    #[test]
    fn the_tile_unit_and_f32_units_give_the_same_bits() {
        let (Some(level), Some(token)) = (Level::avx512(), amx::available()) else { return };
        for (parts, (scale, shift)) in (1..=3).flat_map(|p| SCALINGS.map(|s| (p, s))) {
            for shape in [(40, 200, 70), (1, 64, 16), (33, 65, 33)] {
                let scaling = Scaling::new(scale, shift);
                let of = |unit| products(level, SplitBy { unit, parts }, shape, scaling);
                for (tiles, f32s) in of(Unit::Amx(token)).iter().zip(&of(Unit::Fma)) {
                    assert_eq!(tiles.lines(), f32s.lines(), "{parts} parts, {shape:?}");
                }
            }
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
}
