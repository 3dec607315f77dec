//! Training a network on a data set.

use super::history::{Control, Epoch, History, Progress};
use super::training::{Setup, Training};
use crate::data::{Dataset, Targets, shuffled};
use crate::loss::Loss;
use crate::nn::Mlp;
use crate::optim::Optimizer;
use crate::threads::Threads;
use crate::{Error, Result};
use std::time::{Duration, Instant};

/// A callback after every step.
type OnStep<'a> = Box<dyn FnMut(&Progress) -> Control + 'a>;
/// A callback after every epoch.
type OnEpoch<'a> = Box<dyn FnMut(&Epoch) -> Control + 'a>;

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
pub struct Trainer<'a> {
    setup: Setup,
    epochs: usize,
    seed: u64,
    validation: Option<&'a Dataset>,
    on_step: Option<OnStep<'a>>,
    on_epoch: Option<OnEpoch<'a>>,
}

impl<'a> Trainer<'a> {
    /// With an optimiser; batches of 32, 1 epoch, seed 0, [`Threads::Current`], and the loss that
    /// suits the network's output layer.
    pub fn new(optimizer: impl Into<Optimizer>) -> Self {
        let optimizer = optimizer.into();
        let setup = Setup { optimizer, loss: None, threads: Threads::Current, batch_size: 32 };
        Trainer { setup, epochs: 1, seed: 0, validation: None, on_step: None, on_epoch: None }
    }

    /// Samples a step. The last batch of an epoch holds what is left.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.setup.batch_size = samples;
        self
    }

    /// Passes over the data.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The seed of the shuffling.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The loss, instead of [`Loss::for_output`].
    pub fn loss(mut self, loss: Loss) -> Self {
        self.setup.loss = Some(loss);
        self
    }

    /// How many threads, and whose.
    pub fn threads(mut self, threads: Threads) -> Self {
        self.setup.threads = threads;
        self
    }

    /// Evaluates on this data set after every epoch.
    pub fn validate(mut self, data: &'a Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Calls `callback` after every step; it can stop the run.
    pub fn on_step(mut self, callback: impl FnMut(&Progress) -> Control + 'a) -> Self {
        self.on_step = Some(Box::new(callback));
        self
    }

    /// Calls `callback` after every epoch; it can stop the run.
    pub fn on_epoch(mut self, callback: impl FnMut(&Epoch) -> Control + 'a) -> Self {
        self.on_epoch = Some(Box::new(callback));
        self
    }

    /// Begins a session for a loop of your own, on class labels.
    ///
    /// # Errors
    /// [`Error::Config`] when an option is out of range or does not fit the network,
    /// [`Error::Threads`] when threads cannot be had.
    pub fn start<'n>(&self, net: &'n mut Mlp) -> Result<Training<'n>> {
        Training::new(net, &self.setup, false)
    }

    /// Begins a session for a loop of your own, on target values (regression).
    ///
    /// # Errors
    /// As [`Trainer::start`].
    pub fn start_regression<'n>(&self, net: &'n mut Mlp) -> Result<Training<'n>> {
        Training::new(net, &self.setup, true)
    }

    /// Trains `net` on `data`, every epoch in a new order.
    ///
    /// # Errors
    /// [`Error::Config`] when an option is out of range or does not fit the network,
    /// [`Error::Shape`] when a data set does not, [`Error::Threads`] when threads cannot be had,
    /// all before any work; [`Error::NonFinite`] when the loss is no longer finite, with the
    /// network as it was after the last good step.
    pub fn fit(&mut self, net: &mut Mlp, data: &Dataset) -> Result<History> {
        if self.epochs == 0 {
            return Err(Error::config("epochs", "expected at least 1, got 0"));
        }
        let n = u32::try_from(data.len())
            .map_err(|_| Error::shape("data set", "fewer than 2^32 samples", data.len()))?;
        let setup = Setup { batch_size: self.setup.batch_size.min(data.len()), ..self.setup };
        let values = matches!(data.targets(), Targets::Values { .. });
        let mut training = Training::new(net, &setup, values)?;
        training.check(data)?;
        if let Some(validation) = self.validation {
            training.check(validation)?;
        }
        let mut order: Vec<u32> = (0..n).collect();
        let mut history = History::default();
        for epoch in 1..=self.epochs {
            shuffled(self.seed, epoch as u64, &mut order);
            let (loss, time) = self.epoch(&mut training, data, &order, epoch, &mut history)?;
            let seconds = time.as_secs_f64();
            let validation = match self.validation {
                Some(set) if !history.stopped => Some(training.evaluate(set)?),
                _ => None,
            };
            let samples_per_second = data.len() as f64 / seconds;
            let report = Epoch { epoch, loss, validation, seconds, samples_per_second };
            if let Some(callback) = &mut self.on_epoch {
                history.stopped |= callback(&report) == Control::Stop;
            }
            history.epochs.push(report);
            if history.stopped {
                break;
            }
        }
        history.steps = training.steps();
        Ok(history)
    }

    /// One epoch: its mean loss and the time of its steps.
    fn epoch(
        &mut self,
        training: &mut Training,
        data: &Dataset,
        order: &[u32],
        epoch: usize,
        history: &mut History,
    ) -> Result<(f64, Duration)> {
        let batch_size = self.setup.batch_size;
        let steps = order.len().div_ceil(batch_size);
        let (mut sum, mut samples) = (0.0, 0usize);
        let mut time = Duration::ZERO;
        let mut start = Instant::now();
        for (i, batch) in order.chunks(batch_size).enumerate() {
            let loss = training.step_samples(data, batch).map_err(|e| in_epoch(e, epoch))?;
            sum += f64::from(loss) * batch.len() as f64;
            samples += batch.len();
            if let Some(callback) = &mut self.on_step {
                time += start.elapsed();
                let progress = Progress { epoch, epochs: self.epochs, step: i + 1, steps, loss };
                if callback(&progress) == Control::Stop {
                    history.stopped = true;
                    return Ok((sum / samples as f64, time));
                }
                start = Instant::now();
            }
        }
        Ok((sum / samples as f64, time + start.elapsed()))
    }
}

/// Adds the epoch to an error of a step.
fn in_epoch(e: Error, epoch: usize) -> Error {
    match e {
        Error::NonFinite { step, layer, .. } => Error::NonFinite { epoch, step, layer },
        other => other,
    }
}
