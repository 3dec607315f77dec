//! The bare products at every level: exact on integers, close to f64 on random data, and the same
//! bits on AVX2 and AVX-512.

use deltarule::gemm::{PanelMatrix, xtd, xw};
use deltarule::{Level, Matrix};

/// A fixed sequence of values from a linear congruential generator (Knuth's MMIX constants).
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// Small integers: sums of products stay below 2^24 and are exact in f32.
    fn integers(&mut self, rows: usize, cols: usize) -> Matrix {
        let data = (0..rows * cols).map(|_| (self.next() % 17) as f32 - 8.0).collect();
        Matrix::from_vec(rows, cols, data).unwrap()
    }

    /// Uniform in [-1, 1).
    fn uniform(&mut self, rows: usize, cols: usize) -> Matrix {
        let data = (0..rows * cols).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0);
        Matrix::from_vec(rows, cols, data.collect()).unwrap()
    }
}

/// a·b in f64, and the sum of |a||b| that scales its rounding error.
fn product(a: &Matrix, b: &Matrix) -> (Vec<f64>, Vec<f64>) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let (mut out, mut gauge) = (vec![0.0; m * n], vec![0.0; m * n]);
    for i in 0..m {
        for l in 0..k {
            let x = f64::from(a.row(i)[l]);
            for j in 0..n {
                let y = x * f64::from(b.row(l)[j]);
                out[i * n + j] += y;
                gauge[i * n + j] += y.abs();
            }
        }
    }
    (out, gauge)
}

fn transposed(a: &Matrix) -> Matrix {
    let (m, n) = (a.rows(), a.cols());
    let data = (0..m * n).map(|i| a.row(i % m)[i / m]).collect();
    Matrix::from_vec(n, m, data).unwrap()
}

/// Both forms of a product, a being m x k and b k x n.
fn both_forms(level: Level, a: &Matrix, b: &Matrix) -> [Matrix; 2] {
    let panels = |m: &Matrix| PanelMatrix::from_rows(m.view()).unwrap();
    let zeros = || PanelMatrix::zeros(a.rows(), b.cols()).unwrap();
    let (mut forward, mut gradient) = (zeros(), zeros());
    xw(level, &panels(a), &panels(b), &mut forward).unwrap();
    xtd(level, &panels(&transposed(a)), &panels(b), &mut gradient).unwrap();
    [forward.to_rows(), gradient.to_rows()]
}

fn check_exact(level: Level, v: &mut Values, (m, k, n): (usize, usize, usize)) {
    let (a, b) = (v.integers(m, k), v.integers(k, n));
    let (want, _) = product(&a, &b);
    for got in both_forms(level, &a, &b) {
        for (i, (got, want)) in got.as_slice().iter().zip(&want).enumerate() {
            let at = (i / n, i % n);
            assert_eq!(f64::from(*got), *want, "{} {m}x{k}x{n} at {at:?}", level.name());
        }
    }
}

#[test]
fn every_small_size_is_exact_on_integers() {
    for level in Level::available() {
        let mut v = Values(1);
        for m in 1..=33 {
            for n in 1..=33 {
                for k in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 20, 31, 32, 33] {
                    check_exact(level, &mut v, (m, k, n));
                }
            }
        }
        for k in 1..=33 {
            check_exact(level, &mut v, (7, k, 19));
        }
    }
}

#[test]
fn sizes_around_blocks_and_tiles_are_exact_on_integers() {
    for level in Level::available() {
        let mut v = Values(2);
        for k in [255, 256, 257, 271, 272, 273, 511, 512, 513, 784] {
            for m in [1, 2, 3, 5, 6, 7, 12, 13, 47, 48, 49, 64, 65] {
                for n in [8, 10, 16, 30, 48, 64, 100, 128, 129] {
                    check_exact(level, &mut v, (m, k, n));
                }
            }
        }
        check_exact(level, &mut v, (300, 70, 40));
    }
}

#[test]
fn random_data_is_close_to_f64() {
    // Each block of 256 terms is one chain: its error is at most (256 + K/256) eps times the sum
    // of |a||b|; rounding errors of random sign stay far below, 4 eps times that sum is the limit
    // asked of a good product at K = 4096.
    for level in Level::available() {
        let mut v = Values(3);
        for k in [1, 17, 256, 784, 2048, 4096] {
            let (a, b) = (v.uniform(9, k), v.uniform(k, 37));
            let (want, gauge) = product(&a, &b);
            for got in both_forms(level, &a, &b) {
                for ((got, want), gauge) in got.as_slice().iter().zip(&want).zip(&gauge) {
                    let error = (f64::from(*got) - want).abs();
                    let limit = 4.0 * f64::from(f32::EPSILON) * gauge;
                    assert!(error <= limit, "{} k={k}: {error} > {limit}", level.name());
                }
            }
        }
    }
}

/// The contract's formula in plain code: chains of 256 fused multiply-adds, added in order.
fn contract(a: &Matrix, b: &Matrix) -> Matrix {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let mut out = Matrix::zeros(m, n);
    for i in 0..m {
        for j in 0..n {
            let mut total = 0.0f32;
            for block in (0..k).step_by(256) {
                let mut sum = 0.0f32;
                for l in block..k.min(block + 256) {
                    sum = a.row(i)[l].mul_add(b.row(l)[j], sum);
                }
                total += sum;
            }
            out.as_mut_slice()[i * n + j] = total;
        }
    }
    out
}

#[test]
fn fused_levels_follow_the_contract_bit_for_bit() {
    let mut v = Values(4);
    let shapes =
        [(1, 784, 30), (10, 784, 30), (13, 600, 50), (2, 2048, 65), (3, 300, 10), (150, 1300, 150)];
    for (m, k, n) in shapes {
        let (a, b) = (v.uniform(m, k), v.uniform(k, n));
        let want = contract(&a, &b);
        for level in Level::available().filter(|&l| l != Level::portable()) {
            for got in both_forms(level, &a, &b) {
                assert_eq!(got, want, "{} {m}x{k}x{n}", level.name());
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_company() {
    let mut v = Values(5);
    let (a, b) = (v.uniform(29, 700), v.uniform(700, 70));
    for level in Level::available() {
        let [all, _] = both_forms(level, &a, &b);
        for rows in [1, 2, 3, 4, 6, 11] {
            for start in (0..=29 - rows).step_by(rows) {
                let data = a.as_slice()[start * 700..][..rows * 700].to_vec();
                let part = Matrix::from_vec(rows, 700, data).unwrap();
                let [got, _] = both_forms(level, &part, &b);
                assert_eq!(got.as_slice(), &all.as_slice()[start * 70..][..rows * 70]);
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let zeros = |r, c| PanelMatrix::zeros(r, c).unwrap();
    let level = Level::best();
    assert!(xw(level, &zeros(2, 3), &zeros(4, 5), &mut zeros(2, 5)).is_err());
    assert!(xw(level, &zeros(2, 3), &zeros(3, 5), &mut zeros(3, 5)).is_err());
    let text = xtd(level, &zeros(2, 3), &zeros(2, 5), &mut zeros(2, 5)).unwrap_err().to_string();
    assert!(text.contains("3 x 5") && text.contains("2 x 5"), "{text}");
}
