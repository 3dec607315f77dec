//! The record of a run, the data for its callbacks, and the handle that cancels it.

use crate::gemm::bf16::{Hardware, Precision};
use crate::metrics::Evaluation;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One epoch of a run.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// The mean training loss over the epoch's samples, each taken before its step's update.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub loss: f64,
    /// On the validation set, after the epoch, if there is one.
    pub validation: Option<Evaluation>,
    /// The learning rate of the epoch's last step.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub learning_rate: f32,
    /// Wall-clock seconds of the epoch's training, without validation and callbacks.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub seconds: f64,
    /// Training samples per second.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub samples_per_second: f64,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StepRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Over the whole run, counted from 1.
    pub step: u64,
    /// The mean loss of the step's batch.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub loss: f32,
    /// The learning rate.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub learning_rate: f32,
    /// As [`Progress::gradient_norms`].
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::format::float::list")
    )]
    pub gradient_norms: Vec<f64>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs are done.
    #[default]
    Finished,
    /// A callback returned [`ControlFlow::Break`](std::ops::ControlFlow::Break).
    Callback,
    /// [`Cancel::cancel`] was called.
    Cancelled,
    /// The monitored value no longer improved, whether or not a callback stopped the run in the
    /// same epoch.
    EarlyStopping,
    /// An error ended it.
    Failed,
}

/// The record of a run. An epoch that was stopped in its middle is not in [`History::epochs`], and
/// no callback gets it; its steps are in [`History::steps`] and [`History::step_records`].
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct History {
    /// The finished epochs, in order.
    pub epochs: Vec<Epoch>,
    /// One entry per step, with [`Trainer::record_steps`](crate::Trainer::record_steps).
    pub step_records: Vec<StepRecord>,
    /// One loss per sample of the training set, with
    /// [`Trainer::record_sample_losses`](crate::Trainer::record_sample_losses): its
    /// [loss](crate::Training::row_losses) in the last step that had it. NaN before there was one, and
    /// where the sample weighs 0.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::format::float::list")
    )]
    pub sample_losses: Vec<f32>,
    /// Steps taken.
    pub steps: u64,
    /// Why the run ended; [`StopReason::Finished`] also while it runs.
    pub stop_reason: StopReason,
    /// With early stopping, the epoch whose weights the network has. `None` before the end of the
    /// run and when no epoch was finished.
    pub best_epoch: Option<usize>,
    /// The precision of the products that was asked for.
    pub precision: Precision,
    /// The instructions that multiply in layers that are large enough for that precision.
    pub hardware: Hardware,
}

impl History {
    /// Whether the run stopped before its end: by a callback, [`Cancel`], early stopping or an error.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop_reason != StopReason::Finished
    }

    /// Seconds of training, without validation and callbacks.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|e| e.seconds).sum()
    }

    /// The epochs as CSV, with a header line. A missing number is an empty field.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = String::from(
            "epoch,loss,validation_loss,validation_accuracy,learning_rate,seconds,\
             samples_per_second\n",
        );
        for e in &self.epochs {
            let fields =
                fields(e).map(|(_, value)| value.map(|x| x.to_string()).unwrap_or_default());
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{},{}", e.epoch, fields.join(","));
        }
        out
    }

    /// The epochs as JSON, one object per line. A number that is missing, or not finite (which JSON
    /// cannot express), is `null`.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for e in &self.epochs {
            let _ = write!(out, "{{\"epoch\":{}", e.epoch);
            for (name, value) in fields(e) {
                let value = value.filter(|x| x.is_finite());
                let value = value.map_or("null".into(), |x| x.to_string());
                let _ = write!(out, ",\"{name}\":{value}");
            }
            out.push_str("}\n");
        }
        out
    }

    /// The recorded steps as CSV, with a header line: epoch, step, loss, learning rate, and the norms of
    /// the gradients, a column per layer, if there are any.
    #[must_use]
    pub fn steps_to_csv(&self) -> String {
        let mut out = String::from("epoch,step,loss,learning_rate");
        let layers = self.step_records.iter().map(|s| s.gradient_norms.len()).max().unwrap_or(0);
        for layer in 0..layers {
            let _ = write!(out, ",gradient_norm_{layer}");
        }
        out.push('\n');
        for s in &self.step_records {
            let _ = write!(out, "{},{},{},{}", s.epoch, s.step, s.loss, s.learning_rate);
            for layer in 0..layers {
                let norm = s.gradient_norms.get(layer).map(f64::to_string).unwrap_or_default();
                let _ = write!(out, ",{norm}");
            }
            out.push('\n');
        }
        out
    }
}

/// The columns of an epoch besides its number. `to_string` gives the shortest text that reads back
/// as the same number.
fn fields(e: &Epoch) -> [(&'static str, Option<f64>); 6] {
    let validation = e.validation.as_ref();
    [
        ("loss", Some(e.loss)),
        ("validation_loss", validation.map(|v| v.loss)),
        ("validation_accuracy", validation.and_then(|v| v.accuracy)),
        // The shortest decimal number that is this f32.
        ("learning_rate", e.learning_rate.to_string().parse().ok()),
        ("seconds", Some(e.seconds)),
        ("samples_per_second", Some(e.samples_per_second)),
    ]
}

/// A step of a run, for callbacks. It owns its values, so that a clone can go to another thread.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Counted from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// The step within the epoch, counted from 1.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// The mean loss of the step's batch.
    pub loss: f32,
    /// The step's learning rate.
    pub learning_rate: f32,
    /// The samples of the step's batch, by their numbers in the training set.
    pub samples: Vec<u32>,
    /// The loss of each of these samples, as [`Training::row_losses`](crate::Training::row_losses).
    pub row_losses: Vec<f64>,
    /// The norm of the gradient of each layer, with
    /// [`Trainer::record_gradient_norms`](crate::Trainer::record_gradient_norms); else, and if the step
    /// has made no update, empty.
    pub gradient_norms: Vec<f64>,
}

/// Stops a run from another thread, within one step. Clones are the same handle. The history does not
/// contain the unfinished epoch.
///
/// ```
/// use deltarule::{Activation, Cancel, Mlp, Sgd, StopReason, Trainer, data};
///
/// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
/// let cancel = Cancel::new();
/// let button = cancel.clone();
/// let presser = std::thread::spawn(move || button.cancel());
/// let data = data::digits();
/// let history =
///     Trainer::new(Sgd::new(0.1)).epochs(1_000_000).cancel(&cancel).fit(&mut net, &data)?;
/// assert_eq!(history.stop_reason, StopReason::Cancelled);
/// # presser.join().unwrap();
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A handle that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Asks every run with this handle to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
