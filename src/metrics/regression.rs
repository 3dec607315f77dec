//! Metrics of predicted values.

use super::pairs::check_pairs;
use crate::error::{Error, Result};

/// The mean of `(predicted - truth)^2`, over all values of all outputs.
///
/// # Errors
/// [`Error::Shape`] when the slices are empty or differ in length; [`Error::Value`] when a value
/// is not finite.
pub fn mean_squared_error(truth: &[f32], predicted: &[f32]) -> Result<f64> {
    mean_of(truth, predicted, |difference| difference * difference)
}

/// The mean of `|predicted - truth|`, over all values of all outputs.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn mean_absolute_error(truth: &[f32], predicted: &[f32]) -> Result<f64> {
    mean_of(truth, predicted, f64::abs)
}

/// The coefficient of determination, `1 - sum (predicted - truth)^2 / sum (truth - mean)^2`: 1
/// when all is explained, 0 for predicting the mean. Values are row-major, `n_outputs` per sample;
/// the result is the mean over outputs. An output whose truth is constant counts 1 when predicted
/// exactly, else 0.
///
/// # Errors
/// As [`mean_squared_error`]; [`Error::Shape`] when there are fewer than 2 samples, or not whole
/// rows of `n_outputs`.
pub fn r2(truth: &[f32], predicted: &[f32], n_outputs: usize) -> Result<f64> {
    check_values(truth, predicted)?;
    if n_outputs == 0 || !truth.len().is_multiple_of(n_outputs) || truth.len() / n_outputs < 2 {
        let expected = format!("at least 2 whole rows of {n_outputs} values");
        return Err(Error::shape("r2: truth", expected, format!("{} values", truth.len())));
    }
    let n = (truth.len() / n_outputs) as f64;
    let mut sum = 0.0;
    for output in 0..n_outputs {
        let column = |values: &'_ [f32]| -> Vec<f64> {
            values.iter().skip(output).step_by(n_outputs).map(|&x| f64::from(x)).collect()
        };
        let (truth, predicted) = (column(truth), column(predicted));
        let mean = truth.iter().sum::<f64>() / n;
        let spread: f64 = truth.iter().map(|t| (t - mean) * (t - mean)).sum();
        let errors: f64 = truth.iter().zip(&predicted).map(|(t, p)| (t - p) * (t - p)).sum();
        let is_constant = truth.iter().all(|&t| t == truth[0]);
        sum += match is_constant {
            false => 1.0 - errors / spread,
            true if errors == 0.0 => 1.0,
            true => 0.0,
        };
    }
    Ok(sum / n_outputs as f64)
}

fn mean_of(truth: &[f32], predicted: &[f32], f: impl Fn(f64) -> f64) -> Result<f64> {
    check_values(truth, predicted)?;
    let terms = truth.iter().zip(predicted).map(|(&t, &p)| f(f64::from(p) - f64::from(t)));
    Ok(terms.sum::<f64>() / truth.len() as f64)
}

fn check_values(truth: &[f32], predicted: &[f32]) -> Result<()> {
    check_pairs(truth.len(), predicted.len())?;
    for (what, values) in [("truth", truth), ("predicted", predicted)] {
        if let Some(i) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::value(format!("{what}: value {i}"), "a finite number", values[i]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn's values, by tests/data/make_metrics.py.
    #[test]
    fn values_agree_with_scikit_learn() {
        let truth: Vec<f32> = (0..60u32).map(|i| ((i * 37) % 23) as f32 / 8.0).collect();
        let predicted: Vec<f32> =
            (0..60u32).map(|i| ((i * 37) % 23 + (i * i) % 5) as f32 / 8.0).collect();
        let close = |got: Result<f64>, expected: f64| {
            let got = got.unwrap();
            assert!((got - expected).abs() <= 1e-15 * expected.abs(), "{got} {expected}");
        };
        close(mean_squared_error(&truth, &predicted), 0.10625);
        close(mean_absolute_error(&truth, &predicted), 0.25);
        close(r2(&truth, &predicted, 1), 0.8487871469074871);
        close(r2(&truth, &predicted, 3), 0.8466627305501473);
    }

    #[test]
    fn constant_outputs_count_one_or_zero() {
        assert_eq!(r2(&[2.0, 2.0], &[2.0, 2.0], 1).unwrap(), 1.0);
        assert_eq!(r2(&[2.0, 2.0], &[2.0, 3.0], 1).unwrap(), 0.0);
        assert_eq!(r2(&[0.1; 7], &[0.1; 7], 1).unwrap(), 1.0);
        assert_eq!(r2(&[2.0, 1.0, 2.0, 3.0], &[2.0, 2.0, 0.0, 2.0], 2).unwrap(), 0.0);
    }

    #[test]
    fn bad_values_are_named() {
        let text = |result: Result<f64>| result.unwrap_err().to_string();
        assert_eq!(
            text(mean_squared_error(&[0.0, 1.0], &[0.0, f32::NAN])),
            "predicted: value 1: expected a finite number, got NaN"
        );
        assert!(mean_absolute_error(&[], &[]).is_err());
        assert!(mean_absolute_error(&[0.0], &[0.0, 1.0]).is_err());
        assert_eq!(
            text(r2(&[0.0; 3], &[0.0; 3], 2)),
            "r2: truth: expected at least 2 whole rows of 2 values, got 3 values"
        );
        assert!(r2(&[0.0], &[0.0], 1).is_err() && r2(&[0.0; 2], &[0.0; 2], 0).is_err());
    }
}
