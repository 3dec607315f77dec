//! A training session: a network, its optimiser's state, and a public step.

use super::setup::Setup;
use super::state::Counts;
use super::trainer::Trainer;
use crate::data::{Dataset, Targets, in_order};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::metrics::Evaluation;
use crate::network::Mlp;
use crate::program::{
    Batch, BatchTargets, Deferred, Needs, Outcome, SampleWeights, Waiting, Workspace, check_data,
    check_rows, check_sample_weights, evaluate, flush, multiply_adds, run,
};
use crate::simd::check_float_environment;
use crate::storage::MatRef;
use crate::threads::{Team, Threads};
use std::fmt;

/// A network in training, for a loop of the caller's: call [`Training::step`] once per batch. Made by [`Trainer::session`](crate::Trainer::session).
///
/// A step allocates nothing (at the levels `avx2` and `avx512`). While it exists the session
/// borrows the network; drop it to use the network again.
pub struct Training<'a> {
    net: &'a mut Mlp,
    workspace: Workspace,
    team: Team,
    /// For evaluations that are worth more threads than a step is.
    evaluators: Option<Team>,
    setup: Setup,
    counts: Counts,
    /// Whether the targets are values, not labels.
    values: bool,
}

/// The mean loss of a batch, and what it counts in a mean over batches.
#[derive(Clone, Copy)]
pub(super) struct BatchLoss {
    pub(super) loss: f32,
    pub(super) weight: f64,
}

impl Trainer<'_> {
    /// Begins a session on class labels, for a loop of the caller's.
    ///
    /// # Errors
    /// [`Error::Config`] when an option is out of range, does not fit the network, or belongs to
    /// a run over a data set (schedule, sample weights, early stopping), [`Error::Threads`] when
    /// threads cannot be had.
    pub fn session<'n>(&self, net: &'n mut Mlp) -> Result<Training<'n>> {
        self.check_session()?;
        Training::new(net, self.setup.clone(), false)
    }

    /// Begins a session on target values (regression), for a loop of the caller's.
    ///
    /// # Errors
    /// As [`Trainer::session`].
    pub fn session_values<'n>(&self, net: &'n mut Mlp) -> Result<Training<'n>> {
        self.check_session()?;
        Training::new(net, self.setup.clone(), true)
    }

    fn check_session(&self) -> Result<()> {
        let of_a_run = [
            (
                "schedule",
                self.schedule.is_some(),
                "a session of your own sets its rate: \
                 `training.set_learning_rate(schedule.rate(lr, t))`",
            ),
            (
                "sample weights",
                self.sample_weights.is_some(),
                "a session of your own gives them to `training.step_weighted`",
            ),
            (
                "early stopping",
                self.stopping.is_some(),
                "a session of your own decides itself when to stop",
            ),
        ];
        match of_a_run.into_iter().find(|(_, is_set, _)| *is_set) {
            Some((option, _, reason)) => Err(Error::config(option, reason)),
            None => Ok(()),
        }
    }
}

impl<'a> Training<'a> {
    pub(super) fn new(net: &'a mut Mlp, setup: Setup, values: bool) -> Result<Self> {
        setup.check(net, values)?;
        // Three products per step.
        let work = net.n_parameters().saturating_mul(3).saturating_mul(setup.batch_size);
        let team = Team::new(setup.threads.for_job(work))?;
        let needs = Needs {
            rows: setup.batch_size,
            threads: team.threads(),
            loss: setup.loss(net),
            values,
            max_norm: setup.adjustments.max_norm.is_some(),
            gradients: !(setup.adjustments.fuse() && setup.optimizer.fuses()),
            split: setup.precision.split(net.level()),
        };
        let workspace = Workspace::new(net, &setup.optimizer, needs)?;
        let counts = Counts { steps: 0, updates: 0, lr: setup.optimizer.learning_rate() };
        Ok(Training { net, workspace, team, evaluators: None, setup, counts, values })
    }

    /// Trains on one batch: `x` is rows x n_in, with up to as many rows as the trainer's batch
    /// size; the targets are labels, or rows x n_out values. Returns the mean loss of the batch
    /// before the update.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] when the batch does not fit the network or holds NaN
    /// or infinity, [`Error::Config`] when the targets are not of the session's kind,
    /// [`Error::FloatEnvironment`] when a thread's floating-point environment is not the usual one,
    /// [`Error::NonFinite`] when the loss or a gradient is not finite, or the update would make a
    /// weight, the optimiser's state or a sum of gradients infinite. On an error nothing was updated,
    /// and the next steps are as if this one had not been.
    pub fn step(&mut self, x: MatRef, targets: BatchTargets) -> Result<f32> {
        self.check_batch(x, targets)?;
        Ok(self.take(Batch::Rows { x, targets }, SampleWeights::Equal)?.loss)
    }

    /// The same with a weight a row: a row of weight 2 counts as if it were there twice (though once
    /// in the statistics of batch normalisation), one of weight 0 as if it were not there, whatever it
    /// holds. The loss is the weighted mean Σwℓ/Σw. Where all rows weigh 0 the step is counted, returns
    /// 0 and updates nothing, except that it may complete the batches of
    /// [`Trainer::accumulate`](crate::Trainer::accumulate).
    ///
    /// # Errors
    /// As [`Training::step`]; [`Error::Shape`] or [`Error::Value`] when there are not as many
    /// weights as rows, or one is negative or not finite.
    pub fn step_weighted(
        &mut self,
        x: MatRef,
        targets: BatchTargets,
        weights: &[f32],
    ) -> Result<f32> {
        self.check_batch(x, targets)?;
        check_sample_weights(weights, x.rows())?;
        Ok(self.take(Batch::Rows { x, targets }, SampleWeights::Rows(weights))?.loss)
    }

    fn check_batch(&self, x: MatRef, targets: BatchTargets) -> Result<()> {
        check_rows(self.net, self.setup.loss(self.net), x, targets, self.values)?;
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
        self.take(Batch::Samples { data, order }, weights)
    }

    fn take(&mut self, batch: Batch, samples: SampleWeights) -> Result<BatchLoss> {
        self.check_threads()?;
        let step = self.setup.step(self.net, samples, self.counts);
        let (net, workspace, team) = (&mut *self.net, &mut self.workspace, &mut self.team);
        let Outcome { loss, weight, updated } = run(net, workspace, team, batch, &step)?;
        self.counts.steps += 1;
        self.counts.updates += u64::from(updated);
        Ok(BatchLoss { loss: loss as f32, weight })
    }

    /// Checks the floating-point environments of the caller and of the team: before anything
    /// changes, so that a step that fails has not happened and can be repeated.
    fn check_threads(&self) -> Result<()> {
        check_float_environment()?;
        self.team.check()
    }

    /// Makes an update of accumulated gradients that still wait for one, if there are any.
    ///
    /// # Errors
    /// [`Error::FloatEnvironment`] when a thread's floating-point environment is not the usual one,
    /// [`Error::NonFinite`] when the update would make a weight or the optimiser's state infinite; the
    /// gradients then still wait.
    pub fn flush(&mut self) -> Result<()> {
        self.check_threads()?;
        let step = self.setup.step(self.net, SampleWeights::Equal, self.counts);
        let (net, workspace, team) = (&mut *self.net, &mut self.workspace, &mut self.team);
        let updated = flush(net, workspace, team, &step).map_err(|e| match e {
            // The last step that had a share in it.
            Error::NonFinite { epoch, layer, .. } => {
                Error::NonFinite { epoch, step: self.counts.steps, layer }
            }
            other => other,
        })?;
        self.counts.updates += u64::from(updated);
        Ok(())
    }

    /// Trains on a data set in its own order, in batches of the trainer's batch size; for data that
    /// comes in portions. The optimiser's state and accumulated gradients carry over from one
    /// portion to the next ([`Training::flush`] makes the update that is left). Returns the mean
    /// loss (with class weights the weighted mean), each sample's taken before its step's update; 0
    /// where nothing weighs anything.
    ///
    /// The bits are those of [`Training::step`] with the same rows, and with f32 products those of
    /// an epoch of [`Trainer::fit`](crate::Trainer::fit) that visits the samples in this order.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Config`] when the data does not fit, [`Error::FloatEnvironment`]
    /// as [`Training::step`], [`Error::NonFinite`] when the loss is not finite, with the network as
    /// it was after the last good step.
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

    /// Takes the parameters of a network of the same shape.
    pub(super) fn restore(&mut self, net: &Mlp) {
        self.net.clone_from(net);
        self.workspace.copy_weights(self.net);
    }

    /// Checks that a data set fits the network, the loss and the session's kind of targets.
    pub(super) fn check(&self, data: &Dataset) -> Result<()> {
        check_data(self.net, data, self.setup.loss(self.net))?;
        match (data.targets(), self.values) {
            (Targets::Classes { .. }, false) | (Targets::Values { .. }, true) => Ok(()),
            _ => Err(Error::config("targets", "training and validation targets differ in kind")),
        }
    }

    /// Checks that something of a data set counts.
    pub(super) fn check_total_weight(&self, data: &Dataset, weights: Option<&[f32]>) -> Result<()> {
        let loss = self.setup.loss(self.net);
        let class = |i: usize| match data.targets() {
            Targets::Classes { labels, .. } if loss == Loss::CrossEntropy => {
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

    /// Loss, and for classes accuracy and confusion matrix, of the network as it is now. The loss
    /// is the session's, without label smoothing and without weights of classes or samples.
    ///
    /// # Errors
    /// [`Error::Shape`] when the data set does not fit the network, [`Error::FloatEnvironment`] when
    /// a thread's floating-point environment is not the usual one.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Evaluation> {
        check_float_environment()?;
        let is_alone = self.team.threads() == 1 && self.setup.threads == Threads::Current;
        let threads = self.setup.threads.for_job(multiply_adds(self.net, data));
        let team = match &mut self.evaluators {
            Some(team) => team,
            None if is_alone && threads == Threads::Current => {
                self.evaluators.insert(Team::new(threads)?)
            }
            None => &mut self.team,
        };
        evaluate(self.net, data, self.setup.loss(self.net), team)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// [`Error::Config`] when it is negative or not finite, or with a decoupled decay λ so large that
    /// 1 − lr·λ is no longer above 0.
    pub fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        crate::error::check_range("learning rate", lr, 0.0..f32::INFINITY)?;
        self.setup.adjustments.check_rate(&self.setup.optimizer, lr)?;
        self.counts.lr = lr;
        Ok(())
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f32 {
        self.counts.lr
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.counts.steps
    }

    /// The network as it is now.
    pub fn network(&self) -> &Mlp {
        self.net
    }

    pub(super) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The network and the workspace, for what a checkpoint writes into them before
    /// [`Training::resume`].
    pub(super) fn parts_mut(&mut self) -> (&mut Mlp, &mut Workspace) {
        (self.net, &mut self.workspace)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// What waits for an update.
    pub(super) fn waiting(&self) -> Waiting {
        self.workspace.deferred.as_ref().map_or(Waiting::default(), Deferred::counts)
    }

    /// Continues from there, with the tensors as they are now.
    pub(super) fn resume(&mut self, counts: Counts, waiting: Waiting) {
        self.counts = counts;
        if let Some(deferred) = &mut self.workspace.deferred {
            deferred.resume(waiting);
        }
        self.workspace.copy_weights(self.net);
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Whether targets are values, not labels.
    pub(super) fn values(&self) -> bool {
        self.values
    }
}

impl fmt::Debug for Training<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Training");
        text.field("network", &self.net).field("optimizer", &self.setup.optimizer);
        text.field("loss", &self.setup.loss(self.net)).field("learning_rate", &self.counts.lr);
        text.field("steps", &self.counts.steps).finish_non_exhaustive()
    }
}
