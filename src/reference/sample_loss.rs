//! The losses ℓ of one sample, and their gradients. `z` are logits, `output` is ŷ, `y` the target.

use super::activation::{largest, sigmoid, softmax, softplus};
use super::real::{Real, mean, sum};

/// ℓ = −Σ_c w_c·q_c·ln p_c with p = softmax(z), for one sample with target distribution q and
/// class weights w. For a label y and w = 1 this is −ln p_y.
///
/// ln p_c = z_c − m − ln Σ_k e^(z_k − m) with m = max z. One term of the sum is 1, so its logarithm is
/// computed as ln(1 + the other terms). 0·ln 0 counts as 0.
#[must_use]
pub fn softmax_cross_entropy<T: Real>(z: &[T], q: &[T], w: &[T]) -> T {
    let m = largest(z);
    let top = z.iter().position(|&z_k| z_k == m);
    let others = z.iter().enumerate().filter(|&(k, _)| top != Some(k));
    let ln_sum = sum(others.map(|(_, &z_k)| (z_k - m).exp())).ln_1p();
    let terms = z.iter().zip(q).zip(w).filter(|((_, q_c), _)| **q_c != T::ZERO);
    sum(terms.map(|((&z_c, &q_c), &w_c)| w_c * q_c * (ln_sum - (z_c - m))))
}

/// ∂ℓ/∂z_c = p_c·Σ_k w_k·q_k − w_c·q_c; for a label and w = 1 this is the lecture's ŷ − y.
#[must_use]
pub fn softmax_cross_entropy_backward<T: Real>(z: &[T], q: &[T], w: &[T]) -> Vec<T> {
    let total = sum(q.iter().zip(w).map(|(&q_k, &w_k)| w_k * q_k));
    let p = softmax(z);
    p.iter().zip(q).zip(w).map(|((&p_c, &q_c), &w_c)| p_c * total - w_c * q_c).collect()
}

/// ℓ = −(1/n) Σ_j [w_j·y_j·ln p_j + (1 − y_j)·ln(1 − p_j)] with p = sigmoid(z), for one sample.
///
/// ln p = −softplus(−z) and ln(1 − p) = −softplus(z) do not overflow.
#[must_use]
pub fn sigmoid_cross_entropy<T: Real>(z: &[T], y: &[T], w: &[T]) -> T {
    let terms =
        z.iter().zip(y).zip(w).map(|((&z_j, &y_j), &w_j)| {
            w_j * y_j * softplus(-z_j) + (T::ONE - y_j) * softplus(z_j)
        });
    mean(terms)
}

/// ∂ℓ/∂z_j = (1/n)·[(1 − y_j)·p_j − w_j·y_j·(1 − p_j)]; with w = 1 this is (p_j − y_j)/n.
#[must_use]
pub fn sigmoid_cross_entropy_backward<T: Real>(z: &[T], y: &[T], w: &[T]) -> Vec<T> {
    let n = count::<T>(z.len());
    let terms = z.iter().zip(y).zip(w).map(|((&z_j, &y_j), &w_j)| {
        let p_j = sigmoid(z_j);
        ((T::ONE - y_j) * p_j - w_j * y_j * (T::ONE - p_j)) / n
    });
    terms.collect()
}

/// ℓ = (1/n) Σ_j (ŷ_j − y_j)², for one sample.
#[must_use]
pub fn squared_error<T: Real>(output: &[T], y: &[T]) -> T {
    mean(differences(output, y).map(|d| d * d))
}

/// ∂ℓ/∂ŷ_j = (2/n)·(ŷ_j − y_j)
#[must_use]
pub fn squared_error_backward<T: Real>(output: &[T], y: &[T]) -> Vec<T> {
    let n = count::<T>(output.len());
    differences(output, y).map(|d| (d + d) / n).collect()
}

/// ℓ = ½ Σ_j (ŷ_j − y_j)² = ½‖ŷ − y‖², for one sample (Nielsen's quadratic cost).
#[must_use]
pub fn quadratic_cost<T: Real>(output: &[T], y: &[T]) -> T {
    let half = T::from_f64(0.5);
    sum(differences(output, y).map(|d| half * d * d))
}

/// ∂ℓ/∂ŷ = ŷ − y
#[must_use]
pub fn quadratic_cost_backward<T: Real>(output: &[T], y: &[T]) -> Vec<T> {
    differences(output, y).collect()
}

/// ℓ = (1/n) Σ_j |ŷ_j − y_j|, for one sample.
#[must_use]
pub fn absolute_error<T: Real>(output: &[T], y: &[T]) -> T {
    mean(differences(output, y).map(T::abs))
}

/// ∂ℓ/∂ŷ_j = (1/n)·sign(ŷ_j − y_j), with sign(0) = 0
#[must_use]
pub fn absolute_error_backward<T: Real>(output: &[T], y: &[T]) -> Vec<T> {
    let n = count::<T>(output.len());
    differences(output, y).map(|d| d.sign() / n).collect()
}

/// ℓ = (1/n) Σ_j h(ŷ_j − y_j), for one sample: h(d) = ½d² for |d| ≤ δ, else δ·(|d| − ½δ).
#[must_use]
pub fn huber<T: Real>(output: &[T], y: &[T], delta: T) -> T {
    let half = T::from_f64(0.5);
    let h = |d: T| {
        if d.abs() > delta { delta * (d.abs() - half * delta) } else { half * d * d }
    };
    mean(differences(output, y).map(h))
}

/// ∂ℓ/∂ŷ_j = (1/n)·d for |d| ≤ δ, else (1/n)·δ·sign(d), with d = ŷ_j − y_j
#[must_use]
pub fn huber_backward<T: Real>(output: &[T], y: &[T], delta: T) -> Vec<T> {
    let n = count::<T>(output.len());
    let slope = |d: T| if d.abs() > delta { delta * d.sign() } else { d };
    differences(output, y).map(|d| slope(d) / n).collect()
}

fn differences<T: Real>(output: &[T], y: &[T]) -> impl ExactSizeIterator<Item = T> {
    assert_eq!(output.len(), y.len(), "lengths of output and target");
    output.iter().zip(y).map(|(&output_j, &y_j)| output_j - y_j)
}

fn count<T: Real>(n: usize) -> T {
    T::from_f64(n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= 1e-14 * want.abs().max(1.0), "{got}, not {want}");
        }
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let (z, q, w) = ([1000.0, -1000.0], [0.0, 1.0], [1.0, 1.0]);
        near(&[softmax_cross_entropy(&z, &q, &w)], &[2000.0]);
        near(&softmax_cross_entropy_backward(&z, &q, &w), &[1.0, -1.0]);
        near(&[sigmoid_cross_entropy(&z, &q, &w)], &[1000.0]);
        near(&sigmoid_cross_entropy_backward(&z, &q, &w), &[0.5, -0.5]);
        // A class of probability 0 that does not occur: 0 ln 0 = 0.
        near(&[softmax_cross_entropy(&[0.0, f64::NEG_INFINITY], &[1.0, 0.0], &w)], &[0.0]);
    }

    #[test]
    fn an_exact_output_has_no_gradient() {
        assert_eq!(absolute_error_backward(&[1.0, 5.0], &[1.0, 2.0]), [0.0, 0.5]);
    }
}
