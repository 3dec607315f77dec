//! The two products of training on the shapes of the five networks, and on two large ones, one
//! thread: every level, `matrixmultiply` alone, and the naive loops. `cargo bench --bench gemm`.
//!
//! The third product, D·Wᵀ, is X·W with the transposed weights: `hidden` is its shape too.

mod common;

use common::{Numbers, flops};
use criterion::{Criterion, Throughput};
use deltarule::gemm::{PanelMatrix, xtd, xw};
use deltarule::{Level, MatRef, reference};
use std::hint::black_box;

/// A product of m x k and k x n.
struct Shape {
    name: &'static str,
    m: usize,
    k: usize,
    n: usize,
}

/// X·W: rows of the batch, inputs, outputs.
const FORWARD: [Shape; 8] = [
    Shape { name: "nielsen-first", m: 10, k: 784, n: 30 },
    Shape { name: "classic-first", m: 128, k: 784, n: 128 },
    Shape { name: "medium-first", m: 128, k: 784, n: 512 },
    Shape { name: "medium-hidden", m: 128, k: 512, n: 512 },
    Shape { name: "deep-hidden", m: 256, k: 256, n: 256 },
    Shape { name: "large-hidden", m: 1024, k: 2048, n: 2048 },
    Shape { name: "1024x1024x1024", m: 1024, k: 1024, n: 1024 },
    Shape { name: "512x2048x2048", m: 512, k: 2048, n: 2048 },
];

/// Xᵀ·D: inputs, rows of the batch, outputs.
const GRADIENT: [Shape; 8] = [
    Shape { name: "nielsen-first", m: 784, k: 10, n: 30 },
    Shape { name: "classic-first", m: 784, k: 128, n: 128 },
    Shape { name: "medium-first", m: 784, k: 128, n: 512 },
    Shape { name: "medium-hidden", m: 512, k: 128, n: 512 },
    Shape { name: "deep-hidden", m: 256, k: 256, n: 256 },
    Shape { name: "large-hidden", m: 2048, k: 1024, n: 2048 },
    Shape { name: "1024x1024x1024", m: 1024, k: 1024, n: 1024 },
    Shape { name: "512x2048x2048", m: 512, k: 2048, n: 2048 },
];

/// FLOPs above which the naive loops take too long to be worth a bench.
const NAIVE_UP_TO: u64 = 100_000_000;

impl Shape {
    fn flops(&self) -> u64 {
        2 * (self.m * self.k * self.n) as u64
    }

    /// Compares the first, the middle and the last row of a product with sums in f64. The factors
    /// are whole numbers, so that every sum is exact.
    fn check(&self, name: &str, a: impl Fn(usize, usize) -> f32, b: &[f32], got: &[f32]) {
        let Shape { m, k, n, .. } = *self;
        assert_eq!(got.len(), m * n);
        for i in [0, m / 2, m - 1] {
            let mut want = vec![0.0f64; n];
            for l in 0..k {
                let x = f64::from(a(i, l));
                let row = want.iter_mut().zip(&b[l * n..]);
                row.for_each(|(sum, &y)| *sum += x * f64::from(y));
            }
            let equal = want.iter().zip(&got[i * n..]).all(|(&w, &g)| w == f64::from(g));
            assert!(equal, "{name} {}: row {i} is wrong", self.name);
        }
    }
}

fn panels(values: &[f32], rows: usize, cols: usize) -> PanelMatrix {
    PanelMatrix::from_rows(MatRef::new(values, rows, cols).expect("a matrix")).expect("panels")
}

/// out (m x n) = a (m x k) · b (k x n), by `matrixmultiply`; a is row-major or, transposed,
/// column-major.
fn by_matrixmultiply(s: &Shape, transposed: bool, a: &[f32], b: &[f32], out: &mut [f32]) {
    let (m, k, n) = (s.m, s.k, s.n);
    assert!(a.len() == m * k && b.len() == k * n && out.len() == m * n);
    let (row, column) = if transposed { (1, m as isize) } else { (k as isize, 1) };
    let (a, b, out) = (a.as_ptr(), b.as_ptr(), out.as_mut_ptr());
    let ld = n as isize;
    // SAFETY: the slices hold all of the three matrices in these strides, by the assertion.
    unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, row, column, b, ld, 1, 0.0, out, ld, 1) }
}

/// A naive product of the reference path.
type Naive = fn(&[f32], &[f32], &Shape) -> Vec<f32>;
/// One of ours.
type Ours = fn(Level, &PanelMatrix, &PanelMatrix, &mut PanelMatrix) -> deltarule::Result<()>;

fn bench(c: &mut Criterion<flops::Flops>, s: &Shape, transposed: bool, ours: Ours, naive: Naive) {
    let form = if transposed { "gradient" } else { "forward" };
    let mut group = c.benchmark_group(format!("gemm/{form}/{}", s.name));
    group.throughput(Throughput::Elements(s.flops()));
    let mut numbers = Numbers(3);
    let (a, b) = (numbers.whole(s.m * s.k), numbers.whole(s.k * s.n));
    let at = |i: usize, l: usize| if transposed { a[l * s.m + i] } else { a[i * s.k + l] };

    let (rows, cols) = if transposed { (s.k, s.m) } else { (s.m, s.k) };
    let (x, w) = (panels(&a, rows, cols), panels(&b, s.k, s.n));
    let mut y = PanelMatrix::zeros(s.m, s.n).expect("panels");
    for level in Level::available() {
        ours(level, &x, &w, &mut y).expect("shapes that fit");
        s.check(level.name(), at, &b, y.to_rows().as_slice());
        flops::against(level, 1);
        group.bench_function(level.name(), |bench| {
            bench.iter(|| ours(level, black_box(&x), &w, &mut y))
        });
    }

    flops::against(Level::best(), 1);
    let mut out = vec![0.0; s.m * s.n];
    by_matrixmultiply(s, transposed, &a, &b, &mut out);
    s.check("matrixmultiply", at, &b, &out);
    group.bench_function("matrixmultiply", |bench| {
        bench.iter(|| by_matrixmultiply(s, transposed, black_box(&a), &b, &mut out))
    });

    if s.flops() <= NAIVE_UP_TO {
        s.check("naive", at, &b, &naive(&a, &b, s));
        group.bench_function("naive", |bench| bench.iter(|| naive(black_box(&a), &b, s)));
    }
    group.finish();
}

fn main() {
    let mut c = flops::criterion().configure_from_args();
    for s in &FORWARD {
        bench(&mut c, s, false, xw, |x, w, s| {
            let shape = reference::Shape { rows: s.m, n_in: s.k, n_out: s.n };
            reference::linear_forward(x, w, &vec![0.0; s.n], shape)
        });
    }
    for s in &GRADIENT {
        bench(&mut c, s, true, xtd, |x, d, s| {
            let shape = reference::Shape { rows: s.k, n_in: s.m, n_out: s.n };
            reference::linear_backward_weight(x, d, shape)
        });
    }
    c.final_summary();
}
