//! A training session: a network, its optimiser's state, and a public step.

use super::setup::Setup;
use super::state::Counts;
use super::trainer::Trainer;
use crate::data::{Dataset, Targets, in_order};
use crate::error::{Error, Result, check_option, check_range};
use crate::metrics::Evaluation;
use crate::network::{Mlp, MlpMut};
use crate::program::{
    Batch, BatchTargets, Deferred, Inference, Needs, Outcome, SampleWeights, Waiting, Workspace,
    check_data, check_rows, check_sample_weights, evaluate, flush, multiply_adds, run,
};
use crate::simd::check_float_environment;
use crate::storage::{MatRef, Matrix};
use crate::threads::{Team, Threads};
use std::fmt;

/// A network in training, for a loop of the caller's, which calls [`Training::step`] once per batch, or
/// [`forward`](Training::forward), [`backward`](Training::backward) and [`update`](Training::update) for
/// gradients of its own. [`Training::predict_into`] predicts between steps. Made by
/// [`Trainer::session`](crate::Trainer::session).
///
/// A step allocates nothing (at the levels `avx2` and `avx512`). The session borrows the network until
/// it is dropped, or owns it: a `Training<'static>` can be stored in a struct.
///
/// Methods that compute return [`Error::FloatEnvironment`] if a thread flushes subnormals or does not
/// round to nearest.
pub struct Training<'a> {
    pub(super) net: MlpMut<'a>,
    pub(super) workspace: Workspace,
    pub(super) team: Team,
    /// More threads than a step needs, for evaluations.
    evaluators: Option<Team>,
    pub(super) setup: Setup,
    pub(super) counts: Counts,
    /// Whether the targets are values, not labels.
    pub(super) values: bool,
    /// The outputs of the last forward pass of a loop of the caller's; empty before the first.
    pub(super) outputs: Matrix,
    /// Made when predictions are first asked for.
    pub(super) inference: Option<Inference>,
}

/// The mean loss of a batch, and its weight in a mean over batches.
#[derive(Clone, Copy)]
pub(super) struct BatchLoss {
    pub(super) loss: f32,
    pub(super) weight: f64,
}

impl Trainer<'_> {
    /// Begins a session on class labels, for a loop of the caller's. `net` is any of `&mut Mlp`, `Mlp`,
    /// `Box<Mlp>` and `Arc<Mlp>` (which is copied if it is shared).
    ///
    /// # Errors
    /// [`Error::Config`] if an option is out of range, does not fit the network, or is for runs over a
    /// data set only (schedule, sample weights, averages of the weights, early stopping); [`Error::Threads`] if threads cannot
    /// be started.
    pub fn session<'n>(&self, net: impl Into<MlpMut<'n>>) -> Result<Training<'n>> {
        self.check_session()?;
        Training::new(net.into(), self.setup.clone(), false)
    }

    /// Begins a session on target values (regression), for a loop of the caller's.
    ///
    /// # Errors
    /// As [`Trainer::session`].
    pub fn session_values<'n>(&self, net: impl Into<MlpMut<'n>>) -> Result<Training<'n>> {
        self.check_session()?;
        Training::new(net.into(), self.setup.clone(), true)
    }

    /// A session for whole data sets: with the kind of targets of `data`, and batches of at most all of
    /// its samples.
    pub(super) fn session_on<'n>(
        &self,
        net: impl Into<MlpMut<'n>>,
        data: &Dataset,
    ) -> Result<Training<'n>> {
        let batch_size = self.setup.batch_size.min(data.len());
        let setup = Setup { batch_size, ..self.setup.clone() };
        let training =
            Training::new(net.into(), setup, matches!(data.targets(), Targets::Values { .. }))?;
        training.check(data)?;
        Ok(training)
    }

    fn check_session(&self) -> Result<()> {
        let of_your_own = "a session of your own";
        let reason = format!(
            "{of_your_own} sets its rate: `training.set_learning_rate(schedule.rate(lr, t))`"
        );
        check_option(self.schedule.is_none(), "schedule", reason)?;
        let reason = format!("{of_your_own} gives them to `training.step_weighted`");
        check_option(self.sample_weights.is_none(), "sample weights", reason)?;
        let reason = format!("{of_your_own} averages by `average.blend(training.network(), τ)`");
        check_option(self.averaging.is_none(), "average of the weights", reason)?;
        let reason = format!("{of_your_own} decides itself when to stop");
        check_option(self.stopping.is_none(), "early stopping", reason)
    }
}

impl<'a> Training<'a> {
    pub(super) fn new(net: MlpMut<'a>, setup: Setup, values: bool) -> Result<Self> {
        setup.check(&net, values)?;
        // Three products per step.
        let work = net.n_parameters().saturating_mul(3).saturating_mul(setup.batch_size);
        let team = Team::new(setup.threads.for_job(work))?;
        let needs = Needs {
            rows: setup.batch_size,
            threads: team.threads(),
            loss: setup.loss(&net),
            values,
            max_norm: setup.adjustments.max_norm.is_some(),
            rates: &setup.rates,
            gradients: !setup.fuses(),
            split: setup.precision.split(net.level()),
        };
        let workspace = Workspace::new(&net, &setup.optimizer, needs)?;
        let counts = Counts { steps: 0, updates: 0, lr: setup.optimizer.learning_rate() };
        let (evaluators, outputs, inference) = (None, Matrix::zeros(0, 0), None);
        Ok(Training { net, workspace, team, evaluators, setup, counts, values, outputs, inference })
    }

    /// Trains on one batch: `x` is rows x n_in, with at most as many rows as the trainer's batch size;
    /// the targets are labels or values as in [`BatchTargets`]. Returns the mean loss of the batch before the
    /// update.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] if the batch does not fit the network or contains NaN or
    /// infinity, [`Error::Config`] if the targets are not of the session's kind, [`Error::NonFinite`] if
    /// the loss or a gradient is not finite, or the update would make a weight, the optimiser's state or
    /// a sum of gradients infinite. A step that returns an error changes nothing, also for later steps.
    pub fn step<'x>(
        &mut self,
        x: impl Into<MatRef<'x>>,
        targets: impl Into<BatchTargets<'x>>,
    ) -> Result<f32> {
        let (x, targets) = (x.into(), targets.into());
        self.check_batch(x, targets)?;
        Ok(self.take(Batch::held(x, targets), SampleWeights::Equal)?.loss)
    }

    /// As [`Training::step`], with one weight per row. A row of weight 2 counts like two rows (but like
    /// one in the statistics of batch normalisation); one of weight 0 does not count, whatever its
    /// values. The loss is the weighted mean Σwℓ/Σw. A step whose rows all weigh 0 is counted, returns 0
    /// and updates nothing, except that it may complete the batches of
    /// [`Trainer::accumulate`](crate::Trainer::accumulate).
    ///
    /// # Errors
    /// As [`Training::step`]; [`Error::Shape`] or [`Error::Value`] if the number of weights is not that
    /// of the rows, or a weight is negative or not finite.
    pub fn step_weighted<'x>(
        &mut self,
        x: impl Into<MatRef<'x>>,
        targets: impl Into<BatchTargets<'x>>,
        weights: &[f32],
    ) -> Result<f32> {
        let (x, targets) = (x.into(), targets.into());
        self.check_batch(x, targets)?;
        check_sample_weights(weights, x.rows())?;
        Ok(self.take(Batch::held(x, targets), SampleWeights::Rows(weights))?.loss)
    }

    fn check_batch(&self, x: MatRef, targets: BatchTargets) -> Result<()> {
        check_rows(&self.net, self.setup.loss(&self.net), x, targets, self.values)?;
        self.check_batch_size(x)
    }

    pub(super) fn check_batch_size(&self, x: MatRef) -> Result<()> {
        if x.rows() > self.workspace.rows {
            let expected = format!("at most {} rows, the batch size", self.workspace.rows);
            return Err(Error::shape("x", expected, x.rows()));
        }
        Ok(())
    }

    /// Trains on samples of a data set that [`Training::check`] accepted.
    pub(super) fn step_samples(
        &mut self,
        data: &Dataset,
        order: &[u32],
        weights: Option<&[f32]>,
    ) -> Result<BatchLoss> {
        let weights = weights.map_or(SampleWeights::Equal, SampleWeights::Samples);
        self.take(Batch::samples(data, order), weights)
    }

    fn take(&mut self, batch: Batch, samples: SampleWeights) -> Result<BatchLoss> {
        self.check_threads()?;
        self.check_nothing_pending("step")?;
        let step = self.setup.step(&self.net, samples, self.counts);
        let (net, workspace, team) = (&mut *self.net, &mut self.workspace, &mut self.team);
        let Outcome { loss, weight, updated } = run(net, workspace, team, batch, &step)?;
        self.counts.steps += 1;
        self.counts.updates += u64::from(updated);
        Ok(BatchLoss { loss: loss as f32, weight })
    }

    /// Checks the floating-point environments of the caller and the team before anything changes.
    pub(super) fn check_threads(&self) -> Result<()> {
        check_float_environment()?;
        self.team.check()
    }

    /// Makes an update from accumulated gradients that still wait for one, if any.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if the update would make a weight or the optimiser's state infinite; the
    /// gradients then still wait.
    pub fn flush(&mut self) -> Result<()> {
        self.check_threads()?;
        self.check_nothing_pending("flush")?;
        let step = self.setup.step(&self.net, SampleWeights::Equal, self.counts);
        let (net, workspace, team) = (&mut *self.net, &mut self.workspace, &mut self.team);
        let updated = flush(net, workspace, team, &step).map_err(|e| match e {
            // The last step with a gradient in the sum.
            Error::NonFinite { epoch, layer, .. } => {
                Error::NonFinite { epoch, step: self.counts.steps, layer }
            }
            other => other,
        })?;
        self.counts.updates += u64::from(updated);
        Ok(())
    }

    /// Trains on a data set in its order, in batches of the trainer's batch size; for data that comes in
    /// portions. The optimiser's state and accumulated gradients carry over to the next portion;
    /// [`Training::flush`] makes the last update. Returns the mean loss (with class weights the weighted
    /// mean) of the samples, each before its step's update; 0 if all samples weigh 0.
    ///
    /// The bits are those of [`Training::step`] with the same rows, and with f32 products those of an
    /// epoch of [`Trainer::fit`](crate::Trainer::fit) in this order.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Config`] if the data does not fit; [`Error::NonFinite`] as
    /// [`Training::step`]. The steps before the error remain.
    pub fn partial_fit(&mut self, data: &Dataset) -> Result<f64> {
        self.check(data)?;
        let order = in_order(data.len())?;
        let (mut sum, mut weights) = (0.0, 0.0);
        for batch in order.chunks(self.workspace.rows) {
            let BatchLoss { loss, weight } = self.step_samples(data, batch, None)?;
            sum += f64::from(loss) * weight;
            weights += weight;
        }
        Ok(if weights > 0.0 { sum / weights } else { 0.0 })
    }

    /// Checks that a data set fits the network, the loss and the session's kind of targets.
    pub(super) fn check(&self, data: &Dataset) -> Result<()> {
        check_data(&self.net, data, self.setup.loss(&self.net))?;
        match (data.targets(), self.values) {
            (Targets::Classes { .. }, false) | (Targets::Values { .. }, true) => Ok(()),
            _ => Err(Error::config("targets", "training and validation targets differ in kind")),
        }
    }

    /// Checks that the weights of the samples of a data set are not all 0.
    pub(super) fn check_total_weight(&self, data: &Dataset, weights: Option<&[f32]>) -> Result<()> {
        let loss = self.setup.loss(&self.net);
        let class = |i: usize| match data.targets() {
            Targets::Classes { labels, .. } if loss.weighs_classes() => {
                self.setup.class_weights.get(labels[i] as usize).copied().unwrap_or(1.0)
            }
            Targets::Classes { .. } | Targets::Values { .. } => 1.0,
        };
        let counts = |i: usize| weights.is_none_or(|weights| weights[i] > 0.0) && class(i) > 0.0;
        match (0..data.len()).any(counts) {
            true => Ok(()),
            false => Err(Error::value("weights of the data set", "a sum above 0", 0)),
        }
    }

    /// The loss, and for classes the accuracy and the confusion matrix, of the network as it is now. The
    /// loss is the session's, without label smoothing and without weights of classes or samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if the data set does not fit the network.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Evaluation> {
        self.evaluate_as(None, data)
    }

    /// The same of another network of this shape, if there is one.
    pub(super) fn evaluate_as(&mut self, net: Option<&Mlp>, data: &Dataset) -> Result<Evaluation> {
        check_float_environment()?;
        let is_alone = self.team.threads() == 1 && self.setup.threads == Threads::Current;
        let threads = self.setup.threads.for_job(multiply_adds(&self.net, data));
        let team = match &mut self.evaluators {
            Some(team) => team,
            None if is_alone && threads == Threads::Current => {
                self.evaluators.insert(Team::new(threads)?)
            }
            None => &mut self.team,
        };
        evaluate(net.unwrap_or(&self.net), data, self.setup.loss(&self.net), team)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// [`Error::Config`] if the rate is negative or not finite, or 1 − lr·λ with the λ of a decoupled
    /// decay is not above 0.
    pub fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        check_range("learning rate", lr, 0.0..f32::INFINITY)?;
        self.setup.check_rate(lr)?;
        self.counts.lr = lr;
        Ok(())
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn learning_rate(&self) -> f32 {
        self.counts.lr
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.counts.steps
    }

    /// The network as it is now.
    #[must_use]
    pub fn network(&self) -> &Mlp {
        &self.net
    }

    /// Ends the session. Returns its network, or a copy where the session has borrowed it.
    #[must_use]
    pub fn into_network(self) -> Mlp {
        self.net.into_network()
    }

    /// The gradients that wait for an update.
    pub(super) fn waiting(&self) -> Waiting {
        self.workspace.deferred.as_ref().map_or(Waiting::default(), Deferred::counts)
    }

    /// Continues with these counters and the tensors as they are now.
    pub(super) fn resume(&mut self, counts: Counts, waiting: Waiting) {
        self.counts = counts;
        if let Some(deferred) = &mut self.workspace.deferred {
            deferred.resume(waiting);
        }
        self.replaced();
    }
}

impl fmt::Debug for Training<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Training");
        text.field("network", &*self.net).field("optimizer", &self.setup.optimizer);
        text.field("loss", &self.setup.loss(&self.net)).field("learning_rate", &self.counts.lr);
        text.field("steps", &self.counts.steps).finish_non_exhaustive()
    }
}
