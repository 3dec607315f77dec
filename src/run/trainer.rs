//! The options of training, and what they begin.

use super::checkpointer::Every;
use super::early_stopping::{EarlyStopping, Watch};
use super::epochs::Epochs;
use super::history::{Cancel, Control, Epoch, History, Progress};
use super::state::Partial;
use super::training::{Setup, Training};
use crate::data::{Dataset, Targets, in_order};
use crate::error::{Error, Result};
use crate::gemm::bf16::Precision;
use crate::loss::Loss;
use crate::network::Mlp;
use crate::optim::{Adjustments, Optimizer, Rates, Schedule};
use crate::program::check_sample_weights;
use crate::threads::Threads;
use std::fmt;
use std::path::PathBuf;

/// A callback after every step.
type OnStep<'a> = Box<dyn FnMut(&Progress) -> Control + Send + 'a>;
/// A callback after every epoch.
type OnEpoch<'a> = Box<dyn FnMut(&Epoch) -> Control + Send + 'a>;

/// Trains networks: optimiser, batches, epochs, and who watches.
///
/// The trained parameters are a function of the network, the data, the seed and the numbers given
/// here: the same bits for any number of threads, and at AVX2 and AVX-512.
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
    pub(super) seed: u64,
    pub(super) validation: Option<&'a Dataset>,
    pub(super) schedule: Option<Schedule>,
    pub(super) stopping: Option<EarlyStopping<'a>>,
    pub(super) cancel: Option<Cancel>,
    pub(super) sample_weights: Option<&'a [f32]>,
    pub(super) record_steps: bool,
    /// Where and how often checkpoints are written.
    pub(super) saving: Option<(PathBuf, Every)>,
    /// The checkpoint from which a run goes on.
    pub(super) resuming: Option<PathBuf>,
    pub(super) on_step: Option<OnStep<'a>>,
    pub(super) on_epoch: Option<OnEpoch<'a>>,
    /// Of the last run.
    pub(super) history: History,
}

impl<'a> Trainer<'a> {
    /// With an optimiser; batches of 32, 1 epoch, seed 0, [`Threads::Current`], and the loss that
    /// suits the network's output layer.
    pub fn new(optimizer: impl Into<Optimizer>) -> Self {
        let optimizer = optimizer.into();
        let setup = Setup {
            optimizer,
            adjustments: Adjustments::default(),
            loss: None,
            smoothing: 0.0,
            class_weights: Vec::new(),
            threads: Threads::Current,
            precision: Precision::F32,
            batch_size: 32,
            seed: 0,
        };
        Trainer {
            setup,
            epochs: 1,
            seed: 0,
            validation: None,
            schedule: None,
            stopping: None,
            cancel: None,
            sample_weights: None,
            record_steps: false,
            saving: None,
            resuming: None,
            on_step: None,
            on_epoch: None,
            history: History::default(),
        }
    }

    /// Samples a step. The last batch of an epoch holds what is left.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.setup.batch_size = samples;
        self
    }

    /// How exact the products are; f32 unless told otherwise. What a CPU without AMX does is said
    /// at [`Precision`]; evaluations are always f32.
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
        (self.seed, self.setup.seed) = (seed, seed);
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

    /// A weight a class, for cross-entropy: a sample of a class of weight 2 counts as if it were
    /// there twice, and the loss is the weighted mean, of a batch as of an epoch. Without label
    /// smoothing, a sample of a class of weight 0 is not there. For binary cross-entropy, a weight for the
    /// positives of each output (PyTorch's `pos_weight`).
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.setup.class_weights = weights.into();
        self
    }

    /// A weight a sample of the training set: a sample of weight 2 counts as if it were there
    /// twice (though once in the statistics of batch normalisation), one of weight 0 as if it were
    /// not there. The loss is the weighted mean Σwℓ/Σw, of a batch as of an epoch. A batch of which
    /// all samples weigh 0 is a step without an update: schedules go on and dropout takes its next
    /// mask, the optimiser does not count it, its recorded loss is 0, and it is one of the batches of
    /// [`Trainer::accumulate`]. For sessions see [`Training::step_weighted`].
    pub fn sample_weights(mut self, weights: &'a [f32]) -> Self {
        self.sample_weights = Some(weights);
        self
    }

    /// How many threads, and whose.
    pub fn threads(mut self, threads: Threads) -> Self {
        self.setup.threads = threads;
        self
    }

    /// The learning rate over time, instead of the optimiser's own.
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

    /// Decoupled decay: w ← (1 − lr·λ)·w before each update, whatever the gradient does; lr·λ has to
    /// stay below 1 at every rate. AdamW and Lion have their own.
    pub fn weight_decay(mut self, lambda: f32) -> Self {
        self.setup.adjustments.decay = lambda;
        self
    }

    /// Whether L1, L2 and decay reach the biases, and γ and β of norms: `true`, as in PyTorch, unless
    /// told otherwise.
    pub fn decay_biases(mut self, reach: bool) -> Self {
        self.setup.adjustments.biases = reach;
        self
    }

    /// Keeps the norm of the weights into each neuron at or below `norm`: after an update, longer
    /// ones are scaled down. Of a maxout unit this limits the weights of each piece.
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
    /// is summed up in parts that depend on the trainer's batch size: with another one, the same batch
    /// may give other last bits.
    pub fn clip_norm(mut self, norm: f32) -> Self {
        self.setup.adjustments.clip_norm = Some(norm);
        self
    }

    /// Makes one update from the gradients of so many batches: that of one batch of all their samples
    /// with their weights, in the memory of one, except that batch normalisation takes the statistics
    /// of each batch and dropout's masks are those of each step. What is left at the end of an epoch
    /// makes an update too.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.setup.adjustments.accumulate = batches;
        self
    }

    /// Stops when a number no longer improves, and restores the best weights.
    pub fn early_stopping(mut self, stopping: EarlyStopping<'a>) -> Self {
        self.stopping = Some(stopping);
        self
    }

    /// Lets another thread stop the run.
    pub fn cancel(mut self, handle: &Cancel) -> Self {
        self.cancel = Some(handle.clone());
        self
    }

    /// Keeps the numbers of every step in [`History::step_records`].
    pub fn record_steps(mut self) -> Self {
        self.record_steps = true;
        self
    }

    /// Evaluates on this data set after every epoch, with the loss that is trained: the mean over the
    /// samples, without label smoothing and without weights of classes or samples, so that it differs
    /// from the training loss where there are such.
    pub fn validate(mut self, data: &'a Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Calls `callback` after every step; it can stop the run.
    pub fn on_step(mut self, callback: impl FnMut(&Progress) -> Control + Send + 'a) -> Self {
        self.on_step = Some(Box::new(callback));
        self
    }

    /// Calls `callback` after every epoch that was finished; it can stop the run.
    pub fn on_epoch(mut self, callback: impl FnMut(&Epoch) -> Control + Send + 'a) -> Self {
        self.on_epoch = Some(Box::new(callback));
        self
    }

    /// Begins a session for a loop of your own, on class labels.
    ///
    /// # Errors
    /// [`Error::Config`] when an option is out of range or does not fit the network, or belongs to
    /// a run over a data set (schedule, early stopping), [`Error::Threads`] when threads cannot be
    /// had.
    pub fn start<'n>(&self, net: &'n mut Mlp) -> Result<Training<'n>> {
        self.check_session()?;
        Training::new(net, &self.setup, false)
    }

    /// Begins a session for a loop of your own, on target values (regression).
    ///
    /// # Errors
    /// As [`Trainer::start`].
    pub fn start_regression<'n>(&self, net: &'n mut Mlp) -> Result<Training<'n>> {
        self.check_session()?;
        Training::new(net, &self.setup, true)
    }

    fn check_session(&self) -> Result<()> {
        if self.schedule.is_some() {
            let reason = "a session of your own sets its rate: \
                          `training.set_learning_rate(schedule.rate(lr, t))`";
            return Err(Error::config("schedule", reason));
        }
        if self.sample_weights.is_some() {
            let reason = "a session of your own gives them to `training.step_weighted`";
            return Err(Error::config("sample weights", reason));
        }
        if self.stopping.is_some() {
            let reason = "a session of your own decides itself when to stop";
            return Err(Error::config("early stopping", reason));
        }
        Ok(())
    }

    /// The history of the last run of this trainer, as far as it came: also of one that ended with
    /// an error, or whose [`Epochs`] was dropped. Empty before the first run, and where the last
    /// one was refused.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Begins a run on `data`, every epoch in a new order: an iterator over its epochs.
    ///
    /// # Errors
    /// [`Error::Config`] when an option is out of range or does not fit the network, or with decoupled
    /// decay the schedule's largest rate is too large for it, [`Error::Shape`] when a data set does not
    /// fit, [`Error::Value`] when all its samples weigh 0, [`Error::Threads`] when threads cannot be
    /// had, and what [`Trainer::resume`] says, all before any work.
    pub fn run<'t>(&'t mut self, net: &'t mut Mlp, data: &'t Dataset) -> Result<Epochs<'t, 'a>> {
        self.history = History::default();
        if self.epochs == 0 {
            return Err(Error::config("epochs", "expected at least 1, got 0"));
        }
        let order = in_order(data.len())?;
        let batch_size = self.setup.batch_size.min(data.len());
        let setup = Setup { batch_size, ..self.setup.clone() };
        let values = matches!(data.targets(), Targets::Values { .. });
        let rates = |schedule| {
            let steps = data.len().div_ceil(batch_size.max(1));
            Rates::new(schedule, self.setup.optimizer.learning_rate(), self.epochs, steps)
        };
        let rates = self.schedule.map(rates).transpose()?;
        if let Some(rates) = &rates {
            self.setup.adjustments.check_rate(&self.setup.optimizer, rates.largest())?;
        }
        if let Some(stopping) = &self.stopping {
            stopping.validate(self.validation)?;
        }
        if let Some(weights) = self.sample_weights {
            check_sample_weights(weights, data.len())?;
        }
        let training = Training::new(net, &setup, values)?;
        training.check(data)?;
        training.check_total_weight(data, self.sample_weights)?;
        if let Some(validation) = self.validation {
            training.check(validation)?;
        }
        let precision = setup.precision;
        let hardware = precision.hardware(training.network().level());
        let history = History { precision, hardware, ..History::default() };
        let mut run = Epochs {
            trainer: self,
            training,
            data,
            order,
            batch_size,
            rates,
            watch: Watch::default(),
            best: None,
            history,
            partial: Partial::default(),
            saving: None,
            over: false,
        };
        run.begin()?;
        Ok(run)
    }

    /// Trains `net` on `data`, every epoch in a new order.
    ///
    /// # Errors
    /// As [`Trainer::run`], before any work; [`Error::NonFinite`] when the loss is no longer finite or
    /// an update would make a weight or the optimiser's state infinite; [`Error::FloatEnvironment`]
    /// when a thread flushes subnormals or does not round to nearest; [`Error::Io`] when a checkpoint
    /// cannot be written.
    ///
    /// After an error the network is as it was after the last good step, and with early stopping
    /// as it was after the best epoch, if one was finished. [`Trainer::history`] is the history up
    /// to there.
    pub fn fit(&mut self, net: &mut Mlp, data: &Dataset) -> Result<History> {
        let mut run = self.run(net, data)?;
        while let Some(epoch) = run.advance() {
            epoch?;
        }
        run.end_of_writing()?;
        Ok(run.finish())
    }
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { optimizer, loss, threads, precision, batch_size, .. } = &self.setup;
        let mut text = f.debug_struct("Trainer");
        text.field("optimizer", optimizer).field("loss", loss).field("batch_size", batch_size);
        text.field("epochs", &self.epochs).field("seed", &self.seed);
        text.field("schedule", &self.schedule).field("early_stopping", &self.stopping);
        text.field("threads", threads).field("precision", precision).finish_non_exhaustive()
    }
}
