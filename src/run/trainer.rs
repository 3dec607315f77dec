//! The options of training.

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

/// Trains networks: the optimiser, the batches, the epochs and the callbacks.
///
/// The trained parameters are a function of the network, the data, the seed and these options: the
/// same bits with any number of threads, and at AVX2 and AVX-512.
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
    pub(super) cancel: Option<Cancel>,
    pub(super) sample_weights: Option<&'a [f32]>,
    pub(super) record_steps: bool,
    /// Where and how often checkpoints are written.
    pub(super) checkpoint: Option<(PathBuf, CheckpointInterval)>,
    /// The checkpoint from which a run continues.
    pub(super) resume: Option<PathBuf>,
    pub(super) on_step: Option<OnStep<'a>>,
    pub(super) on_epoch: Option<OnEpoch<'a>>,
    /// The history of the last run.
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
            cancel: None,
            sample_weights: None,
            record_steps: false,
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

    /// The precision of the products, f32 by default. [`Precision`] says what a CPU without AMX
    /// does; evaluations are always f32.
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
    /// samples, and the loss of a batch or an epoch is the weighted mean. Without label smoothing, a
    /// sample of a class of weight 0 does not count. For binary cross-entropy, one weight per output,
    /// for its positives (PyTorch's `pos_weight`).
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.setup.class_weights = weights.into();
        self
    }

    /// One weight per sample of the training set: a sample of weight 2 counts like two samples (but
    /// like one in the statistics of batch normalisation), one of weight 0 does not count. The loss of
    /// a batch or an epoch is the weighted mean Σwℓ/Σw. A batch whose samples all weigh 0 is a step
    /// without an update: schedules go on and dropout takes its next mask, the optimiser does not
    /// count it, its recorded loss is 0, and it is one of the batches of [`Trainer::accumulate`]. For
    /// sessions see [`Training::step_weighted`](crate::Training::step_weighted).
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

    /// Adds λ·Σ|w| to the loss that is minimised (not to the one that is reported).
    pub fn l1(mut self, lambda: f32) -> Self {
        self.setup.adjustments.l1 = lambda;
        self
    }

    /// Adds ½λ·Σw² to the loss that is minimised (not to the one that is reported): `weight_decay`
    /// of PyTorch's SGD and Adam.
    pub fn l2(mut self, lambda: f32) -> Self {
        self.setup.adjustments.l2 = lambda;
        self
    }

    /// Decoupled decay: w ← (1 − lr·λ)·w before each update, independent of the gradient; lr·λ has to
    /// stay below 1 at every rate. For AdamW and Lion it is an option of the optimiser.
    pub fn weight_decay(mut self, lambda: f32) -> Self {
        self.setup.adjustments.decay = lambda;
        self
    }

    /// Whether L1, L2 and decay apply to the biases, and to γ and β of norms. The default is `true`, as
    /// in PyTorch.
    pub fn decay_biases(mut self, decay: bool) -> Self {
        self.setup.adjustments.biases = decay;
        self
    }

    /// Keeps the norm of the weights into each neuron at or below `norm`: after an update, larger
    /// ones are scaled down. Each linear unit of a maxout neuron is limited separately.
    pub fn max_norm(mut self, norm: f32) -> Self {
        self.setup.adjustments.max_norm = Some(norm);
        self
    }

    /// Keeps each element of the gradient within ± `limit`.
    pub fn clip_value(mut self, limit: f32) -> Self {
        self.setup.adjustments.clip_value = Some(limit);
        self
    }

    /// Scales the whole gradient down where its norm, over all parameters, is above `norm`. The norm
    /// is summed in parts that depend on the trainer's batch size: with another one, the last bits of
    /// the same batch's norm may differ.
    pub fn clip_norm(mut self, norm: f32) -> Self {
        self.setup.adjustments.clip_norm = Some(norm);
        self
    }

    /// Makes one update from the gradients of `batches` batches: that of one batch of all their
    /// samples with their weights, in the memory of one, except that batch normalisation takes the
    /// statistics of each batch and dropout the mask of each step. The rest at the end of an epoch
    /// makes an update too.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.setup.adjustments.accumulate = batches;
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

    /// Records every step in [`History::step_records`].
    pub fn record_steps(mut self) -> Self {
        self.record_steps = true;
        self
    }

    /// Evaluates on this data set after every epoch, with the loss that is trained: the mean over the
    /// samples, without label smoothing and without weights of classes or samples. With these it
    /// differs from the training loss.
    pub fn validation(mut self, data: &'a Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Writes a checkpoint to `path` at this interval, after the last epoch, and when a callback or
    /// a [`Cancel`] stops the run: everything from which [`Trainer::resume`] continues, to the same
    /// bits as a run that was never interrupted.
    ///
    /// Each checkpoint replaces the one before atomically: after a crash at any moment one of them
    /// is complete. Except with [`Threads::One`] a separate thread waits for the disk while the
    /// training continues; the bytes that it writes are a second copy of the parameters and of the
    /// optimiser's state.
    ///
    /// When a parameter or a value of the optimiser's state is not finite, which no reader would
    /// accept, the run ends with [`Error::Value`](crate::Error::Value) and the file is unchanged.
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

    /// Starts every run from a checkpoint, also in the middle of an epoch: the network, the history
    /// and all other state become those of the checkpoint, so that the run ends with the same bits
    /// as one that was never interrupted. The number of threads may differ, and without a schedule
    /// the number of epochs. Everything else that decides the bits (network, optimiser, options,
    /// data) has to be the same; up to a thousand rows of a data set are compared.
    ///
    /// A run that early stopping ended stays ended.
    ///
    /// The run then fails with [`Error::Io`](crate::Error::Io) when the file cannot be read,
    /// [`Error::Format`](crate::Error::Format) when it is damaged or no checkpoint, and
    /// [`Error::Config`](crate::Error::Config) when it is of another run.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Self {
        self.resume = Some(path.as_ref().to_path_buf());
        self
    }

    /// Calls `callback` after every step. `ControlFlow::Break(())` stops the run after this step; the
    /// network keeps what it has learned. After the last step of an epoch the epoch is finished
    /// first, with its validation and its callback.
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
