//! Losses ℓ of one sample whose targets are no values to be near to: quantiles, likelihoods, margins. ŷ is
//! `output`, y the target.

use super::real::{Real, mean, sum};

/// ℓ = (1/n) Σ_j Σ_k max(τ_k·e, (τ_k − 1)·e) with e = y_j − ŷ_(jK+k), for K quantiles τ (Koenker & Bassett 1978).
#[must_use]
pub fn quantile_error<T: Real>(output: &[T], y: &[T], quantiles: &[f64]) -> T {
    mean(errors(output, y, quantiles).map(|(e, tau)| {
        let (above, below) = (tau * e, (tau - T::ONE) * e);
        if above > below { above } else { below }
    }))
}

/// ∂ℓ/∂ŷ = (1/n)·(−τ for e > 0, 1 − τ for e < 0, else 0)
#[must_use]
pub fn quantile_error_backward<T: Real>(output: &[T], y: &[T], quantiles: &[f64]) -> Vec<T> {
    let n = T::from_f64(output.len() as f64);
    let slope = |(e, tau): (T, T)| {
        if e > T::ZERO {
            -tau
        } else if e < T::ZERO {
            T::ONE - tau
        } else {
            T::ZERO
        }
    };
    errors(output, y, quantiles).map(|error| slope(error) / n).collect()
}

/// e and τ of each output.
fn errors<T: Real>(
    output: &[T],
    y: &[T],
    quantiles: &[f64],
) -> impl ExactSizeIterator<Item = (T, T)> {
    let k = quantiles.len();
    assert_eq!(output.len(), y.len() * k, "{k} outputs for each target");
    let error = move |(i, &o): (usize, &T)| (y[i / k] - o, T::from_f64(quantiles[i % k]));
    output.iter().enumerate().map(error)
}

/// ℓ = (1/n) Σ_j (λ_j − y_j·ŷ_j) with ln λ = ŷ: the negative log-likelihood of counts, without ln y!.
#[must_use]
pub fn poisson_nll<T: Real>(output: &[T], y: &[T]) -> T {
    assert_eq!(output.len(), y.len(), "lengths of output and target");
    mean(output.iter().zip(y).map(|(&o, &y)| o.exp() - y * o))
}

/// ∂ℓ/∂ŷ_j = (λ_j − y_j)/n
#[must_use]
pub fn poisson_nll_backward<T: Real>(output: &[T], y: &[T]) -> Vec<T> {
    assert_eq!(output.len(), y.len(), "lengths of output and target");
    let n = T::from_f64(output.len() as f64);
    output.iter().zip(y).map(|(&o, &y)| (o.exp() - y) / n).collect()
}

/// ℓ = (1/T) Σ_j ½·[s_j + (y_j − μ_j)²/e^(s_j)], with μ_j and s_j = ln σ²_j the outputs 2j and 2j + 1: the negative
/// log-likelihood of a Gaussian, without ½ ln 2π.
#[must_use]
pub fn gaussian_nll<T: Real>(output: &[T], y: &[T]) -> T {
    assert_eq!(output.len(), 2 * y.len(), "two outputs for each target");
    let half = T::from_f64(0.5);
    mean(output.chunks_exact(2).zip(y).map(|(o, &y)| {
        let e = y - o[0];
        half * (o[1] + e * e / o[1].exp())
    }))
}

/// ∂ℓ/∂μ_j = (μ_j − y_j)/(T·σ²_j), ∂ℓ/∂s_j = ½·[1 − (y_j − μ_j)²/σ²_j]/T
#[must_use]
pub fn gaussian_nll_backward<T: Real>(output: &[T], y: &[T]) -> Vec<T> {
    assert_eq!(output.len(), 2 * y.len(), "two outputs for each target");
    let (n, half) = (T::from_f64(y.len() as f64), T::from_f64(0.5));
    let pair = |(o, &y): (&[T], &T)| {
        let (e, variance) = (o[0] - y, o[1].exp());
        [e / variance / n, half * (T::ONE - e * e / variance) / n]
    };
    output.chunks_exact(2).zip(y).flat_map(pair).collect()
}

/// ℓ = max(0, 1 + max_(k≠c) ŷ_k − ŷ_c) for the class c whose `y` is 1 (Crammer & Singer 2001); for one output
/// max(0, 1 − tŷ) with t = 2y − 1.
#[must_use]
pub fn hinge<T: Real>(output: &[T], y: &[T]) -> T {
    let (margin, _) = hinge_margin(output, y);
    if margin > T::ZERO { margin } else { T::ZERO }
}

/// ∂ℓ/∂ŷ: where the margin is violated 1 for the first largest rival and −1 for the class; −t for one output.
#[must_use]
pub fn hinge_backward<T: Real>(output: &[T], y: &[T]) -> Vec<T> {
    let (margin, rival) = hinge_margin(output, y);
    let mut doutput = vec![T::ZERO; output.len()];
    if margin > T::ZERO {
        match rival {
            None => doutput[0] = T::ONE - y[0] - y[0],
            Some(rival) => {
                doutput[rival] = T::ONE;
                doutput
                    .iter_mut()
                    .zip(y)
                    .filter(|(_, y)| **y == T::ONE)
                    .for_each(|(d, _)| *d = -T::ONE);
            }
        }
    }
    doutput
}

/// 1 + max_(k≠c) ŷ_k − ŷ_c and the first largest rival; for one output 1 − tŷ.
pub(crate) fn hinge_margin<T: Real>(output: &[T], y: &[T]) -> (T, Option<usize>) {
    assert_eq!(output.len(), y.len(), "lengths of output and target");
    if let ([o], [y]) = (output, y) {
        return (T::ONE - (*y + *y - T::ONE) * *o, None);
    }
    let mut rival = None;
    for (k, &o) in output.iter().enumerate().filter(|&(k, _)| y[k] != T::ONE) {
        if rival.is_none_or(|r: usize| o > output[r]) {
            rival = Some(k);
        }
    }
    let of_class = sum(output.iter().zip(y).filter(|(_, y)| **y == T::ONE).map(|(&o, _)| o));
    let margin = rival.map_or(T::ZERO, |r| T::ONE + output[r] - of_class);
    (margin, rival)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, from the formulas.
    #[test]
    fn losses_of_small_rows() {
        assert_eq!(quantile_error(&[1.0, 5.0], &[3.0], &[0.25, 0.75]), 0.5 * (0.5 + 0.5));
        assert_eq!(quantile_error_backward(&[1.0, 5.0], &[3.0], &[0.25, 0.75]), [-0.125, 0.125]);
        assert_eq!(poisson_nll(&[0.0], &[3.0]), 1.0);
        assert_eq!(poisson_nll_backward(&[0.0], &[3.0]), [-2.0]);
        assert_eq!(gaussian_nll(&[1.0, 0.0], &[3.0]), 2.0);
        assert_eq!(gaussian_nll_backward(&[1.0, 0.0], &[3.0]), [-2.0, -1.5]);
        assert_eq!(hinge(&[0.5, 0.25, 0.0], &[1.0, 0.0, 0.0]), 0.75);
        assert_eq!(hinge_backward(&[0.5, 0.25, 0.0], &[1.0, 0.0, 0.0]), [-1.0, 1.0, 0.0]);
        assert_eq!(hinge(&[2.0, 0.5], &[1.0, 0.0]), 0.0);
        assert_eq!(hinge(&[0.25], &[0.0]), 1.25);
        assert_eq!(hinge_backward(&[0.25], &[0.0]), [1.0]);
    }
}
