//! Tests of what is not public: the sums of softmax, and a comparison with [`crate::reference`].

use super::softmax::RowSum;
use super::{Activation, Keeps, softmax_panels};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::PanelsMut;

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
fn softmax_of_panels_equals_that_of_slices_and_clears_the_padding() {
    for level in Level::available() {
        for n in 1..=50usize {
            // NaN in the padding would spread.
            let mut row = vec![Line([f32::NAN; LINE]); n.div_ceil(LINE)];
            let mut slice: Vec<f32> = (0..n).map(|i| (i as f32).sin() * 20.0).collect();
            for (i, z) in slice.iter().enumerate() {
                row[i / LINE].0[i % LINE] = *z;
            }
            dispatch(level, Row(PanelsMut::new(&mut row, 1, n, 1)));
            level.softmax(&mut slice);
            let row = Line::groups(&row).as_flattened();
            assert_eq!(row[..n], slice);
            assert!(row[n..].iter().all(|pad| pad.to_bits() == 0));
        }
    }
}

#[test]
fn log_probabilities_are_right_at_any_size() {
    // ln p = (z - max) - ln sum. For two logits of 1e8, MLX returned 0.0 instead of -ln 2.
    for level in Level::available() {
        for size in [0.0, 1.0, 1e4, 1e8, 3e38] {
            let mut row = [Line([size; LINE])];
            let (parts, ln_sum) = dispatch(level, Row(PanelsMut::new(&mut row, 1, 2, 1)));
            assert_eq!((parts.max, parts.sum), (size, 2.0));
            assert_eq!((size - parts.max) - ln_sum, -std::f32::consts::LN_2);
        }
    }
}

/// Points near kinks, limits and special values: zeros, the smallest floats, small and large floats, and
/// their neighbours.
fn points() -> Vec<f32> {
    let sizes = [0.0, f32::from_bits(1), f32::MIN_POSITIVE, 1e-20, 1e-7, 0.1, 0.5, 1.0, 2.0, 15.0];
    let large = [89.0, 104.0, 121.0, 1e4, 1e18, 1e30, f32::MAX];
    let next = |x: f32| [x, x.next_down(), x.next_up()];
    let all = sizes.into_iter().chain(large).flat_map(next).filter(|x| x.is_finite());
    all.flat_map(|x| [x, -x]).collect()
}

/// Every function against [`crate::reference`] in f64, values and derivatives.
#[test]
fn every_function_is_that_of_the_reference() {
    use crate::gradient::reference_activation;
    use crate::reference::{activation_backward, activation_forward};
    let parameters = [
        Activation::LeakyRelu { slope: 0.0 },
        Activation::LeakyRelu { slope: 1.5 },
        Activation::Elu { alpha: 0.0 },
        Activation::Elu { alpha: 0.5 },
    ];
    let element_wise = Activation::ALL.into_iter().filter(|a| *a != Activation::Softmax);
    for function in element_wise.chain(parameters) {
        let plain = reference_activation(function);
        for level in Level::available() {
            let both = |z: f32| {
                let (mut a, mut d) = ([z], [1.0]);
                function.forward(level, &mut a);
                let kept = if function.keeps() == Keeps::Output { a } else { [z] };
                function.backward(level, &kept, &mut d).unwrap();
                let wide = [f64::from(z)];
                let want = activation_forward(plain, &wide, 1)[0];
                ([a[0], d[0]], [want, activation_backward(plain, &[1.0], &wide, 1)[0]])
            };
            for z in points() {
                let (got, want) = both(z);
                let at =
                    || format!("{function} at {z:e}, {}: {got:?}, want {want:?}", level.name());
                // At most 7 ULP (GELU, `tests/activations/ulp.rs`), and gradual underflow.
                let bound = 7.0 * f64::from(f32::EPSILON) * want[0].abs() + 1e-44;
                let want_f32 = want[0] as f32;
                assert!(
                    got[0] == want_f32 || (f64::from(got[0]) - want[0]).abs() <= bound,
                    "{}",
                    at()
                );
                // Derivatives from a rounded output: see `tests/activations/gradient.rs`.
                assert!((f64::from(got[1]) - want[1]).abs() <= 1e-6, "{}", at());
            }
            let ([a, d], [want_a, _]) = both(f32::NAN);
            assert!(a.is_nan() && want_a.is_nan(), "{function} of NaN, {}", level.name());
            // The derivative of piecewise linear functions at NaN is the slope of one side.
            let side = match function {
                Activation::Identity => Some(1.0),
                Activation::Relu | Activation::HardTanh | Activation::Step => Some(0.0),
                Activation::LeakyRelu { slope } => Some(slope),
                Activation::Sigmoid
                | Activation::Tanh
                | Activation::Elu { .. }
                | Activation::Gelu
                | Activation::Silu
                | Activation::Selu
                | Activation::Softplus
                | Activation::Softsign
                | Activation::Softmax
                | Activation::Maxout { .. } => None,
            };
            assert!(side.map_or(d.is_nan(), |side| d == side), "{function}' of NaN: {d}");
        }
    }
}
