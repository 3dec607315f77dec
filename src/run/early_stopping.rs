//! When to stop, and which weights to keep.

#[cfg(feature = "serde")]
mod record;

use super::history::Epoch;
use crate::data::{Dataset, Targets};
use crate::error::{Result, check_option};
use std::fmt;

/// Monitors one value, epoch after epoch; stops the run when it has not improved for a while, and
/// gives the network back as it was after the best epoch.
///
/// ```
/// use deltarule::{Activation, Adam, EarlyStopping, Mlp, Trainer, data};
///
/// let (train, test) = data::digits().split_at(1500)?;
/// let mut net = Mlp::builder(64)
///     .dense(32, Activation::Relu)
///     .dense(10, Activation::Softmax)
///     .build()?;
/// let history = Trainer::new(Adam::new(0.01))
///     .epochs(200)
///     .validation(&test)
///     .early_stopping(EarlyStopping::on_validation_accuracy().patience(5))
///     .fit(&mut net, &train)?;
/// assert!(history.epochs.len() < 200);
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
pub struct EarlyStopping<'a> {
    value: Value<'a>,
    watched: Watched,
    /// Whether larger values are better.
    larger: bool,
    patience: usize,
    min_delta: f64,
}

/// What is monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
enum Watched {
    ValidationLoss,
    ValidationAccuracy,
    TrainingLoss,
    /// The caller's function.
    #[cfg_attr(feature = "serde", serde(skip))]
    Own,
}

impl Watched {
    /// As in checkpoints.
    fn name(self) -> &'static str {
        match self {
            Watched::ValidationLoss => "loss",
            Watched::ValidationAccuracy => "accuracy",
            Watched::TrainingLoss => "training loss",
            Watched::Own => "your number",
        }
    }
}

impl<'a> EarlyStopping<'a> {
    fn new(watched: Watched, larger: bool, value: impl Fn(&Epoch) -> f64 + Send + 'a) -> Self {
        EarlyStopping { value: Box::new(value), watched, larger, patience: 5, min_delta: 0.0 }
    }

    /// On the validation loss, with a patience of 5 epochs.
    pub fn on_validation_loss() -> Self {
        let loss = |e: &Epoch| e.validation.as_ref().map_or(f64::NAN, |v| v.loss);
        Self::new(Watched::ValidationLoss, false, loss)
    }

    /// On the validation accuracy, with a patience of 5 epochs. A regression has none: the run is
    /// refused before it begins.
    pub fn on_validation_accuracy() -> Self {
        let accuracy = |e: &Epoch| e.validation.as_ref().and_then(|v| v.accuracy);
        Self::new(Watched::ValidationAccuracy, true, move |e| accuracy(e).unwrap_or(f64::NAN))
    }

    /// On the training loss, with a patience of 5 epochs.
    pub fn on_training_loss() -> Self {
        Self::new(Watched::TrainingLoss, false, |e| e.loss)
    }

    /// On a number of your own, of which smaller ones are better; with a patience of 5 epochs.
    /// NaN is no improvement.
    pub fn on_smallest(value: impl Fn(&Epoch) -> f64 + Send + 'a) -> Self {
        Self::new(Watched::Own, false, value)
    }

    /// On a number of your own, of which larger ones are better; with a patience of 5 epochs.
    /// NaN is no improvement.
    pub fn on_largest(value: impl Fn(&Epoch) -> f64 + Send + 'a) -> Self {
        Self::new(Watched::Own, true, value)
    }

    /// Stops after this number of epochs in a row without an improvement.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Counts a value as an improvement only if it is better than the best by more than `delta`; 0 by
    /// default.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }

    /// Checks the options, for a run with this validation set.
    pub(super) fn validate(&self, validation: Option<&Dataset>) -> Result<()> {
        let check = |holds, reason| check_option(holds, "early stopping", reason);
        check(self.patience > 0, "expected a patience of at least 1 epoch, got 0")?;
        let fits = self.min_delta >= 0.0 && self.min_delta.is_finite();
        check(fits, "expected a finite min_delta of at least 0")?;
        let (needs_validation, needs_classes) = match self.watched {
            Watched::ValidationLoss => (true, false),
            Watched::ValidationAccuracy => (true, true),
            Watched::TrainingLoss | Watched::Own => (false, false),
        };
        let fits = !needs_validation || validation.is_some();
        check(fits, "needs a validation set: Trainer::validation")?;
        let targets = validation.map(|data| data.targets());
        let is_regression = matches!(targets, Some(Targets::Values { .. }));
        check(!(needs_classes && is_regression), "a regression has no accuracy to watch")
    }
}

/// The value that is monitored.
type Value<'a> = Box<dyn Fn(&Epoch) -> f64 + Send + 'a>;

impl fmt::Debug for EarlyStopping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let better = if self.larger { "largest" } else { "smallest" };
        let EarlyStopping { watched, patience, min_delta, .. } = self;
        let name = watched.name();
        write!(f, "EarlyStopping {{ {better} {name}, patience {patience}, delta {min_delta:?} }}")
    }
}

/// The progress of the monitored value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Monitor {
    /// The best value so far, and its epoch.
    pub(super) best: Option<(f64, usize)>,
    /// Epochs since.
    pub(super) waited: usize,
}

/// What an epoch means to the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Better,
    Wait,
    Stop,
}

impl Monitor {
    /// What a finished epoch means.
    pub(super) fn update(&mut self, stopping: &EarlyStopping, epoch: &Epoch) -> Verdict {
        let value = (stopping.value)(epoch);
        let better = match self.best {
            None => !value.is_nan(),
            Some((best, _)) if stopping.larger => value > best + stopping.min_delta,
            Some((best, _)) => value < best - stopping.min_delta,
        };
        if better {
            *self = Monitor { best: Some((value, epoch.epoch)), waited: 0 };
            return Verdict::Better;
        }
        self.waited += 1;
        if self.waited >= stopping.patience { Verdict::Stop } else { Verdict::Wait }
    }
}
