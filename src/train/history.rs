//! What a run leaves behind, as plain data.

use crate::metrics::Evaluation;

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
    /// Wall-clock seconds of the epoch's training, without validation and callbacks.
    pub seconds: f64,
    /// Training samples a second.
    pub samples_per_second: f64,
}

/// A run's epochs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct History {
    /// One entry an epoch, in order.
    pub epochs: Vec<Epoch>,
    /// Steps taken.
    pub steps: u64,
    /// Whether a callback stopped the run.
    pub stopped: bool,
}

impl History {
    /// Seconds of training, without validation and callbacks.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|e| e.seconds).sum()
    }
}

/// What a callback wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop after this step or epoch; the network keeps what it has learned.
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
}
