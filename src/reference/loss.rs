//! The loss of a batch: the mean of the losses ℓ of its samples (`sample_loss`),
//!
//! L = Σ_i s_i·ℓ_i / Σ_i s_i·n_i
//!
//! with s_i the weight of sample i (1 by default) and n_i = 1, except for cross-entropy with class
//! weights, where n_i is the weight of the sample's class. So a weighted mean divides by the sum of the
//! weights (for class weights as in PyTorch). Without weights it is the mean over the batch, Σ_i ℓ_i / B.

use super::real::{Real, sum};
use super::row_losses::{
    gaussian_nll, gaussian_nll_backward, hinge, hinge_backward, poisson_nll, poisson_nll_backward,
    quantile_error, quantile_error_backward,
};
use super::sample_loss::{
    absolute_error, absolute_error_backward, huber, huber_backward, quadratic_cost,
    quadratic_cost_backward, sigmoid_cross_entropy, sigmoid_cross_entropy_backward,
    softmax_cross_entropy, softmax_cross_entropy_backward, squared_error, squared_error_backward,
};

/// A loss.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// [`softmax_cross_entropy`], on logits. Targets: class labels, or one distribution per row.
    CrossEntropy {
        /// ε of [`smooth_labels`]; 0 for none.
        label_smoothing: f64,
        /// One weight per class. The mean divides by Σ_i s_i·w_(y_i) for labels, and by Σ_i s_i for
        /// distributions (both as in PyTorch).
        class_weights: Option<Vec<f64>>,
    },
    /// [`sigmoid_cross_entropy`], on logits: any number of the columns may be 1 (multi-label).
    BinaryCrossEntropy {
        /// One weight per column for its positive targets; they do not change the divisor of the mean
        /// (PyTorch's `pos_weight`).
        positive_weights: Option<Vec<f64>>,
    },
    /// [`squared_error`]: the mean over all elements, as in PyTorch.
    MeanSquaredError,
    /// [`quadratic_cost`]: the sum over the columns, halved; the mean over the batch (Nielsen).
    Quadratic,
    /// [`absolute_error`]: the mean over all elements.
    MeanAbsoluteError,
    /// [`huber`]: the mean over all elements.
    Huber {
        /// δ, where the parabola becomes a line.
        delta: f64,
    },
    /// [`quantile_error`](super::quantile_error), several quantiles for each target.
    Quantile {
        /// τ_k
        quantiles: Vec<f64>,
    },
    /// [`poisson_nll`](super::poisson_nll)
    PoissonNll,
    /// [`gaussian_nll`](super::gaussian_nll), two outputs for each target.
    GaussianNll,
    /// [`hinge`](super::hinge): one-hot targets, or for one output the class.
    Hinge,
}

impl Loss {
    /// Target values of a row, for `columns` outputs.
    #[must_use]
    pub fn n_targets(&self, columns: usize) -> usize {
        match self {
            Loss::Quantile { quantiles } => columns / quantiles.len(),
            Loss::GaussianNll => columns / 2,
            Loss::CrossEntropy { .. }
            | Loss::BinaryCrossEntropy { .. }
            | Loss::MeanSquaredError
            | Loss::Quadratic
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::PoissonNll
            | Loss::Hinge => columns,
        }
    }

    /// Cross-entropy without smoothing and without weights.
    #[must_use]
    pub fn cross_entropy() -> Self {
        Loss::CrossEntropy { label_smoothing: 0.0, class_weights: None }
    }

    /// Binary cross-entropy without weights.
    #[must_use]
    pub fn binary_cross_entropy() -> Self {
        Loss::BinaryCrossEntropy { positive_weights: None }
    }

    /// Whether the loss contains the output activation (softmax, sigmoid) and so reads Z, not A.
    #[must_use]
    pub fn is_on_logits(&self) -> bool {
        matches!(self, Loss::CrossEntropy { .. } | Loss::BinaryCrossEntropy { .. })
    }
}

/// The targets of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a, T> {
    /// One class per row. Losses other than cross-entropy use the [`one_hot`] vector, or for an output of
    /// one column the class itself, 0 or 1.
    Labels(&'a [usize]),
    /// One value per output, in row-major order.
    Values(&'a [T]),
}

/// The loss of a batch: L = Σ_i s_i·ℓ_i / Σ_i s_i·n_i. `output` is (rows, columns): the logits
/// for a loss [on logits](Loss::is_on_logits), else the outputs.
#[must_use]
pub fn loss_forward<T: Real>(
    loss: &Loss,
    output: &[T],
    target: Target<T>,
    sample_weights: Option<&[T]>,
    columns: usize,
) -> T {
    let Samples { targets, weights, divisor } =
        Samples::new(loss, output, target, sample_weights, columns);
    let samples =
        weights.iter().zip(output.chunks(columns)).zip(targets.chunks(loss.n_targets(columns)));
    sum(samples.map(|((&s, y), t)| s * sample_loss(loss, y, t))) / divisor
}

/// ∂L/∂output of a batch: row i is (s_i / Σ_i s_i·n_i)·∂ℓ_i/∂output_i.
#[must_use]
pub fn loss_backward<T: Real>(
    loss: &Loss,
    output: &[T],
    target: Target<T>,
    sample_weights: Option<&[T]>,
    columns: usize,
) -> Vec<T> {
    let Samples { targets, weights, divisor } =
        Samples::new(loss, output, target, sample_weights, columns);
    let mut doutput = Vec::with_capacity(output.len());
    let targets = targets.chunks(loss.n_targets(columns));
    for ((&s, y), t) in weights.iter().zip(output.chunks(columns)).zip(targets) {
        let factor = s / divisor;
        doutput.extend(sample_backward(loss, y, t).into_iter().map(|d| factor * d));
    }
    doutput
}

/// What the mean over a batch needs.
struct Samples<T> {
    /// As [`target_rows`].
    targets: Vec<T>,
    /// s_i
    weights: Vec<T>,
    /// Σ_i s_i·n_i
    divisor: T,
}

impl<T: Real> Samples<T> {
    fn new(
        loss: &Loss,
        output: &[T],
        target: Target<T>,
        sample_weights: Option<&[T]>,
        columns: usize,
    ) -> Self {
        let targets = target_rows(loss, target, columns);
        let rows = output.len() / columns;
        let expected = rows * loss.n_targets(columns);
        assert_eq!(expected, targets.len(), "lengths of output and target");
        let weights = sample_weights.map_or_else(|| vec![T::ONE; rows], <[T]>::to_vec);
        assert_eq!(weights.len(), rows, "one weight per sample");
        let n = |i: usize| {
            if let Loss::CrossEntropy { class_weights: Some(w), .. } = loss
                && let Target::Labels(labels) = target
            {
                T::from_f64(w[labels[i]])
            } else {
                T::ONE
            }
        };
        let divisor = sum(weights.iter().enumerate().map(|(i, &s)| s * n(i)));
        Samples { targets, weights, divisor }
    }
}

/// Row i is 1 in column `labels[i]`, else 0.
#[must_use]
pub fn one_hot<T: Real>(labels: &[usize], classes: usize) -> Vec<T> {
    let mut rows = vec![T::ZERO; labels.len() * classes];
    for (i, &label) in labels.iter().enumerate() {
        assert!(label < classes, "label {label} of {classes} classes");
        rows[i * classes + label] = T::ONE;
    }
    rows
}

/// q ← (1 − ε)·q + ε/K, for distributions over K classes.
pub fn smooth_labels<T: Real>(q: &mut [T], epsilon: f64, classes: usize) {
    let added = T::from_f64(epsilon / classes as f64);
    for q_c in q {
        *q_c = T::from_f64(1.0 - epsilon) * *q_c + added;
    }
}

/// The targets as (rows, columns), with the loss's label smoothing.
pub(crate) fn target_rows<T: Real>(loss: &Loss, target: Target<T>, columns: usize) -> Vec<T> {
    assert!(columns > 0, "an output has at least one column");
    let mut rows = match target {
        Target::Labels(labels) if columns == 1 && !matches!(loss, Loss::CrossEntropy { .. }) => {
            labels.iter().map(|&label| T::from_f64(label as f64)).collect()
        }
        Target::Labels(labels) => one_hot(labels, columns),
        Target::Values(values) => values.to_vec(),
    };
    if let Loss::CrossEntropy { label_smoothing, .. } = loss
        && *label_smoothing != 0.0
    {
        smooth_labels(&mut rows, *label_smoothing, columns);
    }
    rows
}

/// ℓ for one sample.
fn sample_loss<T: Real>(loss: &Loss, y: &[T], t: &[T]) -> T {
    let weights = |w: &Option<Vec<f64>>| column_weights(w, y.len());
    match loss {
        Loss::CrossEntropy { class_weights: w, .. } => softmax_cross_entropy(y, t, &weights(w)),
        Loss::BinaryCrossEntropy { positive_weights: w } => {
            sigmoid_cross_entropy(y, t, &weights(w))
        }
        Loss::MeanSquaredError => squared_error(y, t),
        Loss::Quadratic => quadratic_cost(y, t),
        Loss::MeanAbsoluteError => absolute_error(y, t),
        Loss::Huber { delta } => huber(y, t, T::from_f64(*delta)),
        Loss::Quantile { quantiles } => quantile_error(y, t, quantiles),
        Loss::PoissonNll => poisson_nll(y, t),
        Loss::GaussianNll => gaussian_nll(y, t),
        Loss::Hinge => hinge(y, t),
    }
}

/// ∂ℓ/∂y for one sample.
fn sample_backward<T: Real>(loss: &Loss, y: &[T], t: &[T]) -> Vec<T> {
    let weights = |w: &Option<Vec<f64>>| column_weights(w, y.len());
    match loss {
        Loss::CrossEntropy { class_weights: w, .. } => {
            softmax_cross_entropy_backward(y, t, &weights(w))
        }
        Loss::BinaryCrossEntropy { positive_weights: w } => {
            sigmoid_cross_entropy_backward(y, t, &weights(w))
        }
        Loss::MeanSquaredError => squared_error_backward(y, t),
        Loss::Quadratic => quadratic_cost_backward(y, t),
        Loss::MeanAbsoluteError => absolute_error_backward(y, t),
        Loss::Huber { delta } => huber_backward(y, t, T::from_f64(*delta)),
        Loss::Quantile { quantiles } => quantile_error_backward(y, t, quantiles),
        Loss::PoissonNll => poisson_nll_backward(y, t),
        Loss::GaussianNll => gaussian_nll_backward(y, t),
        Loss::Hinge => hinge_backward(y, t),
    }
}

fn column_weights<T: Real>(weights: &Option<Vec<f64>>, columns: usize) -> Vec<T> {
    match weights {
        None => vec![T::ONE; columns],
        Some(weights) => {
            assert_eq!(weights.len(), columns, "one weight per column");
            weights.iter().map(|&w| T::from_f64(w)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_weight_zero_do_not_count() {
        let (y, t) = ([1.0, 2.0, 9.0, 9.0], [0.5, 0.0, -9.0, 7.0]);
        let only_first = Some(&[2.0, 0.0][..]);
        for loss in [Loss::MeanSquaredError, Loss::Quadratic, Loss::binary_cross_entropy()] {
            let both = loss_forward(&loss, &y, Target::Values(&t), only_first, 2);
            let first = loss_forward(&loss, &y[..2], Target::Values(&t[..2]), None, 2);
            assert_eq!(both, first);
            let gradient = loss_backward(&loss, &y, Target::Values(&t), only_first, 2);
            assert_eq!(gradient[2..], [0.0, 0.0]);
        }
    }
}
