//! What only the crate itself can see: lines, kept values, and the softmax's sums.

use super::softmax::RowSum;
use super::*;
use crate::gemm::PanelsMut;
use crate::simd::{Kernel, LINE, Line, dispatch};

/// Rows of lines with ordinary and special values.
fn lines(n: usize) -> Vec<Line> {
    let value = |i: usize| match i % 37 {
        5 => f32::NAN,
        11 => f32::INFINITY,
        17 => -0.0,
        _ => (i as f32 * 1.3).sin() * (i % 13) as f32,
    };
    (0..n).map(|l| Line(std::array::from_fn(|i| value(l * LINE + i)))).collect()
}

fn flat(lines: &[Line]) -> Vec<f32> {
    lines.iter().flat_map(|line| line.0).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
}

#[test]
fn lines_and_slices_give_the_same_bits() {
    for level in Level::available() {
        for function in Activation::ALL {
            for n in [0, 1, 2, 3, 4, 5, 9] {
                let (mut z, mut d) = (lines(n), vec![Line([0.5; LINE]); n]);
                let (mut z_flat, mut d_flat) = (flat(&z), flat(&d));
                function.forward_lines(level, &mut z);
                function.backward_lines(level, &z, &mut d);
                function.forward(level, &mut z_flat);
                function.backward(level, &z_flat, &mut d_flat).unwrap();
                assert_eq!(bits(&flat(&z)), bits(&z_flat), "{function}");
                assert_eq!(bits(&flat(&d)), bits(&d_flat), "{function}");
            }
        }
    }
}

#[test]
fn only_gelu_and_silu_keep_their_input() {
    for function in Activation::ALL {
        let input = matches!(function, Activation::Gelu | Activation::Silu);
        assert_eq!(function.keeps(), if input { Keeps::Input } else { Keeps::Output });
    }
}

/// Softmax of row 0 of a panel matrix, and the ln of its sum.
struct Row<'a>(PanelsMut<'a>);

impl Kernel for Row<'_> {
    type Output = (RowSum, f32);
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> (RowSum, f32) {
        let parts = softmax_panels(s, &mut self.0, 0);
        (parts, parts.ln_sum(s))
    }
}

#[test]
fn softmax_of_panels_equals_the_slice_form_and_clears_the_pads() {
    for level in Level::available() {
        for n in 1..=50usize {
            // The pads hold what would show: NaN.
            let mut row = vec![Line([f32::NAN; LINE]); n.div_ceil(LINE)];
            let mut slice: Vec<f32> = (0..n).map(|i| (i as f32).sin() * 20.0).collect();
            for (i, z) in slice.iter().enumerate() {
                row[i / LINE].0[i % LINE] = *z;
            }
            dispatch(level, Row(PanelsMut::new(&mut row, 1, n, 1)));
            level.softmax(&mut slice);
            let row = flat(&row);
            assert_eq!(bits(&row[..n]), bits(&slice));
            assert!(row[n..].iter().all(|pad| pad.to_bits() == 0));
        }
    }
}

#[test]
fn log_probabilities_are_right_at_any_size() {
    // ln p = (z - max) - ln sum: MLX gave 0.0 for two logits of 1e8, where it is -ln 2.
    for level in Level::available() {
        for size in [0.0, 1.0, 1e4, 1e8, 3e38] {
            let mut row = [Line([size; LINE])];
            let (parts, ln_sum) = dispatch(level, Row(PanelsMut::new(&mut row, 1, 2, 1)));
            assert_eq!((parts.max, parts.sum), (size, 2.0));
            assert_eq!((size - parts.max) - ln_sum, -std::f32::consts::LN_2);
        }
    }
}
