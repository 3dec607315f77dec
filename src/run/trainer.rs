//! The options of training.

mod averages;
mod records;
mod updates;

use super::average::Averaging;
use super::checkpointer::CheckpointInterval;
use super::early_stopping::EarlyStopping;
use super::history::{Cancel, Epoch, History, Progress};
use super::setup::Setup;
use crate::data::Dataset;
use crate::gemm::bf16::Precision;
use crate::loss::Loss;
use crate::optim::{Optimizer, Schedule};
use crate::threads::Threads;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A callback after every step.
type OnStep<'a> = Box<dyn FnMut(&Progress) -> ControlFlow<()> + Send + 'a>;
/// A callback after every epoch.
type OnEpoch<'a> = Box<dyn FnMut(&Epoch) -> ControlFlow<()> + Send + 'a>;

/// The options of training. The trained parameters are a function of the network, the data, the seed
/// and these options: the bits are the same with any number of threads, and at AVX2 and AVX-512.
///
/// ```
/// use deltarule::{Activation, Adam, Mlp, Trainer, data};
///
/// let (train, test) = data::digits().split_at(1500)?;
/// let mut net = Mlp::builder(64)
///     .dense(32, Activation::Relu)
///     .dense(10, Activation::Softmax)
///     .seed(1)
///     .build()?;
/// let history = Trainer::new(Adam::new(0.003)).batch_size(32).epochs(20).fit(&mut net, &train)?;
/// assert_eq!(history.epochs.len(), 20);
/// assert!(net.evaluate(&test)?.accuracy.is_some_and(|accuracy| accuracy > 0.9));
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
pub struct Trainer<'a> {
    pub(super) setup: Setup,
    pub(super) epochs: usize,
    pub(super) validation: Option<&'a Dataset>,
    pub(super) schedule: Option<Schedule>,
    pub(super) stopping: Option<EarlyStopping<'a>>,
    pub(super) averaging: Option<Averaging>,
    pub(super) cancel: Option<Cancel>,
    pub(super) sample_weights: Option<&'a [f32]>,
    pub(super) record_steps: bool,
    pub(super) record_sample_losses: bool,
    pub(super) checkpoint: Option<(PathBuf, CheckpointInterval)>,
    pub(super) resume: Option<PathBuf>,
    pub(super) on_step: Option<OnStep<'a>>,
    pub(super) on_epoch: Option<OnEpoch<'a>>,
    pub(super) history: History,
}

impl<'a> Trainer<'a> {
    /// A trainer with batches of 32, 1 epoch, seed 0, [`Threads::Current`], and the loss that suits
    /// the network's output layer.
    pub fn new(optimizer: impl Into<Optimizer>) -> Self {
        Trainer {
            setup: Setup::new(optimizer.into()),
            epochs: 1,
            validation: None,
            schedule: None,
            stopping: None,
            averaging: None,
            cancel: None,
            sample_weights: None,
            record_steps: false,
            record_sample_losses: false,
            checkpoint: None,
            resume: None,
            on_step: None,
            on_epoch: None,
            history: History::default(),
        }
    }

    /// Samples per step. The last batch of an epoch holds the rest.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.setup.batch_size = samples;
        self
    }

    /// The precision of the products in training; f32 by default. Evaluations always use f32.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.setup.precision = precision;
        self
    }

    /// Passes over the data.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The seed of the shuffling and of dropout.
    pub fn seed(mut self, seed: u64) -> Self {
        self.setup.seed = seed;
        self
    }

    /// The loss, instead of [`Loss::for_output`].
    pub fn loss(mut self, loss: Loss) -> Self {
        self.setup.loss = Some(loss);
        self
    }

    /// Label smoothing for cross-entropy: the target is (1 − ε) for the true class plus ε/K for
    /// each of the K classes (Szegedy et al. 2016). ε in 0..1.
    pub fn label_smoothing(mut self, epsilon: f32) -> Self {
        self.setup.smoothing = epsilon;
        self
    }

    /// One weight per class, for cross-entropy: a sample of a class of weight 2 counts like two
    /// samples, and the loss of a batch or an epoch is the weighted mean. For binary cross-entropy, one
    /// weight per output, for its positives (PyTorch's `pos_weight`).
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.setup.class_weights = weights.into();
        self
    }

    /// One weight per sample of the training set, with the meaning that
    /// [`Training::step_weighted`](crate::Training::step_weighted) documents. The loss of an epoch is
    /// the weighted mean Σwℓ/Σw. A batch whose samples all weigh 0 is a step without an update: schedules
    /// and dropout count it, the optimiser does not.
    pub fn sample_weights(mut self, weights: &'a [f32]) -> Self {
        self.sample_weights = Some(weights);
        self
    }

    /// The threads to run on.
    pub fn threads(mut self, threads: Threads) -> Self {
        self.setup.threads = threads;
        self
    }

    /// The learning rate over time, instead of the optimiser's constant one.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Stops when a value no longer improves, and restores the best weights.
    pub fn early_stopping(mut self, stopping: EarlyStopping<'a>) -> Self {
        self.stopping = Some(stopping);
        self
    }

    /// Lets another thread stop the run.
    pub fn cancel(mut self, handle: &Cancel) -> Self {
        self.cancel = Some(handle.clone());
        self
    }

    /// Evaluates on this data set after every epoch. The loss is the trained one, without label smoothing
    /// and without weights of classes or samples.
    pub fn validation(mut self, data: &'a Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Writes a checkpoint to `path` at this interval, after the last epoch, and when a callback or
    /// a [`Cancel`] stops the run. [`Trainer::resume`] continues from it to the same bits as a run that
    /// was never interrupted.
    ///
    /// Each checkpoint replaces the one before atomically: after a crash at any moment one of them is
    /// complete. Except with [`Threads::One`] a separate thread writes it while the training continues;
    /// the bytes are a second copy of the parameters and the optimiser's state.
    ///
    /// If a parameter or a value of the optimiser's state is not finite, the run ends with
    /// [`Error::Value`](crate::Error::Value), and the file is unchanged.
    ///
    /// ```no_run
    /// use deltarule::{Activation, Adam, CheckpointInterval, Mlp, Trainer, data};
    /// use std::path::Path;
    ///
    /// let data = data::digits();
    /// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
    /// let path = Path::new("run.safetensors");
    /// let mut trainer = Trainer::new(Adam::new(0.01))
    ///     .epochs(100)
    ///     .checkpoint(path, CheckpointInterval::Epochs(1));
    /// if path.exists() {
    ///     trainer = trainer.resume(path);
    /// }
    /// let history = trainer.fit(&mut net, &data)?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    pub fn checkpoint(mut self, path: impl AsRef<Path>, interval: CheckpointInterval) -> Self {
        self.checkpoint = Some((path.as_ref().to_path_buf(), interval));
        self
    }

    /// Starts every run from a checkpoint, also in the middle of an epoch. The number of threads may
    /// differ, and without a schedule the number of epochs. All other options that affect the bits must
    /// be the same, and the data (of which up to a thousand rows are compared). A run that early stopping
    /// ended remains ended.
    ///
    /// A run returns [`Error::Io`](crate::Error::Io) if the file cannot be read,
    /// [`Error::Format`](crate::Error::Format) if it is damaged or no checkpoint, and
    /// [`Error::Config`](crate::Error::Config) if it is of another run.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Self {
        self.resume = Some(path.as_ref().to_path_buf());
        self
    }

    /// Calls `callback` after every step. `ControlFlow::Break(())` stops the run after this step, or
    /// after the epoch if it was the last step of one.
    pub fn on_step(
        mut self,
        callback: impl FnMut(&Progress) -> ControlFlow<()> + Send + 'a,
    ) -> Self {
        self.on_step = Some(Box::new(callback));
        self
    }

    /// Calls `callback` after every finished epoch. `ControlFlow::Break(())` stops the run.
    pub fn on_epoch(mut self, callback: impl FnMut(&Epoch) -> ControlFlow<()> + Send + 'a) -> Self {
        self.on_epoch = Some(Box::new(callback));
        self
    }
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { optimizer, loss, threads, precision, batch_size, seed, .. } = &self.setup;
        let mut text = f.debug_struct("Trainer");
        text.field("optimizer", optimizer).field("loss", loss).field("batch_size", batch_size);
        text.field("epochs", &self.epochs).field("seed", seed);
        text.field("schedule", &self.schedule).field("early_stopping", &self.stopping);
        text.field("threads", threads).field("precision", precision).finish_non_exhaustive()
    }
}
