//! What a run leaves behind, as plain data.

use crate::gemm::bf16::{Hardware, Precision};
use crate::metrics::Evaluation;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One epoch of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// The mean training loss over the epoch's samples, each taken before its step's update.
    pub loss: f64,
    /// On the validation set, after the epoch, if there is one.
    pub validation: Option<Evaluation>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f32,
    /// Wall-clock seconds of the epoch's training, without validation and callbacks.
    pub seconds: f64,
    /// Training samples a second.
    pub samples_per_second: f64,
}

/// One step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Over the whole run, counted from 1.
    pub step: u64,
    /// The mean loss of the step's batch.
    pub loss: f32,
    /// The learning rate.
    pub learning_rate: f32,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// All epochs are done.
    #[default]
    Finished,
    /// A callback said so.
    Callback,
    /// [`Cancel::cancel`] was called.
    Cancelled,
    /// The watched number no longer improved. This is said also where a callback stopped the run
    /// in the same epoch.
    EarlyStopping,
    /// An error ended it.
    Failed,
}

/// A run's epochs: those that were finished. One that was stopped in its middle is none of them,
/// and no callback sees it; its steps are among [`History::steps`] and [`History::step_records`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct History {
    /// One entry an epoch, in order.
    pub epochs: Vec<Epoch>,
    /// One entry a step, where [`Trainer::record_steps`](crate::Trainer::record_steps) asked for
    /// them.
    pub step_records: Vec<StepRecord>,
    /// Steps taken.
    pub steps: u64,
    /// Whether the run stopped before its last epoch.
    pub stopped: bool,
    /// Why it ended.
    pub ending: Ending,
    /// With early stopping, the epoch whose weights the network has; `None` before the end of the
    /// run, and where no epoch was finished.
    pub best_epoch: Option<usize>,
    /// How exact the products were asked to be.
    pub precision: Precision,
    /// What multiplied in layers that are large enough for that precision.
    pub hardware: Hardware,
}

impl History {
    /// Seconds of training, without validation and callbacks.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|e| e.seconds).sum()
    }

    /// The epochs as CSV, with a line of names. A number that there is not is an empty field.
    pub fn to_csv(&self) -> String {
        let mut out = String::from(
            "epoch,loss,validation_loss,validation_accuracy,learning_rate,seconds,\
             samples_per_second\n",
        );
        for e in &self.epochs {
            let fields = fields(e).map(|(_, value)| value.map_or_else(String::new, number));
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{},{}", e.epoch, fields.join(","));
        }
        out
    }

    /// The epochs as JSON, one object a line. A number that there is not (or that is not finite,
    /// which JSON cannot say) is `null`.
    pub fn to_json_lines(&self) -> String {
        let mut out = String::new();
        for e in &self.epochs {
            let _ = write!(out, "{{\"epoch\":{}", e.epoch);
            for (name, value) in fields(e) {
                let value = value.filter(|v| v.is_finite()).map_or("null".into(), number);
                let _ = write!(out, ",\"{name}\":{value}");
            }
            out.push_str("}\n");
        }
        out
    }

    /// The recorded steps as CSV, with a line of names.
    pub fn steps_to_csv(&self) -> String {
        let mut out = String::from("epoch,step,loss,learning_rate\n");
        for s in &self.step_records {
            let _ = writeln!(out, "{},{},{},{}", s.epoch, s.step, s.loss, s.learning_rate);
        }
        out
    }
}

/// An epoch's numbers.
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

/// The shortest text that reads back as the same number.
fn number(x: f64) -> String {
    x.to_string()
}

/// What a callback wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop after this step or epoch; the network keeps what it has learned. After the last step of
    /// an epoch the epoch is finished first, with its validation and its callback.
    Stop,
}

/// Where a run is, for callbacks.
#[derive(Clone, Copy, Debug)]
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
}

/// Stops a run from another thread, within one step. Clones are the same handle. The epoch that
/// the run is in is not finished then, and not in the history.
///
/// ```
/// use deltarule::{Activation, Cancel, Ending, Mlp, Sgd, Trainer, data};
///
/// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
/// let cancel = Cancel::new();
/// let button = cancel.clone();
/// let presser = std::thread::spawn(move || button.cancel());
/// let data = data::digits();
/// let history =
///     Trainer::new(Sgd::new(0.1)).epochs(1_000_000).cancel(&cancel).fit(&mut net, &data)?;
/// assert_eq!(history.ending, Ending::Cancelled);
/// # presser.join().unwrap();
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A handle that nobody has used yet.
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Asks every run with this handle to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
