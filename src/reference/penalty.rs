//! L1 and L2 penalties with their gradients, and decoupled weight decay.

use super::real::{Real, sum};

/// w ← (1 − η·λ)·w, the decoupled decay of AdamW and Lion
pub fn weight_decay<T: Real>(w: &mut [T], eta: f64, lambda: f64) {
    let factor = T::from_f64(1.0 - eta * lambda);
    for w in w {
        *w = factor * *w;
    }
}

/// λ·Σ|w|
#[must_use]
pub fn l1_penalty<T: Real>(w: &[T], lambda: f64) -> T {
    T::from_f64(lambda) * sum(w.iter().map(|w| w.abs()))
}

/// g ← g + λ·sign(w), with sign(0) = 0
pub fn l1_backward<T: Real>(w: &[T], g: &mut [T], lambda: f64) {
    for (g, &w) in g.iter_mut().zip(w) {
        *g += T::from_f64(lambda) * w.sign();
    }
}

/// ½λ·Σw²
#[must_use]
pub fn l2_penalty<T: Real>(w: &[T], lambda: f64) -> T {
    T::from_f64(0.5 * lambda) * sum(w.iter().map(|&w| w * w))
}

/// g ← g + λ·w
pub fn l2_backward<T: Real>(w: &[T], g: &mut [T], lambda: f64) {
    for (g, &w) in g.iter_mut().zip(w) {
        *g += T::from_f64(lambda) * w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_and_their_gradients() {
        let near = |got: &[f64], want: &[f64]| {
            assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-12), "{got:?}");
        };
        let mut w = [3.0, -4.0, 0.0];
        near(&[l1_penalty(&w, 0.1), l2_penalty(&w, 0.1)], &[0.7, 1.25]);
        let mut g = [1.0; 3];
        l1_backward(&w, &mut g, 0.1);
        near(&g, &[1.1, 0.9, 1.0]);
        l2_backward(&w, &mut g, 0.1);
        near(&g, &[1.4, 0.5, 1.0]);
        weight_decay(&mut w, 0.5, 0.1);
        near(&w, &[2.85, -3.8, 0.0]);
    }
}
