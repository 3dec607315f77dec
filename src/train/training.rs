//! A training session: a network, its optimiser's state, and a public step.

use super::batch::{Batch, BatchTargets, check_rows};
use super::step::{self, Step};
use super::workspace::Workspace;
use crate::data::{Dataset, Targets};
use crate::loss::Loss;
use crate::metrics::Evaluation;
use crate::nn::{Mlp, check_data, evaluate};
use crate::optim::Optimizer;
use crate::threads::{Team, Threads};
use crate::{Error, MatRef, Result};

/// How a [`Training`] runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) optimizer: Optimizer,
    pub(super) loss: Option<Loss>,
    pub(super) threads: Threads,
    pub(super) batch_size: usize,
}

/// A network in training, for people with their own loop: call [`Training::step`] with one batch
/// after the other. Made by [`Trainer::start`](crate::Trainer::start).
///
/// A step allocates nothing (at the levels `avx2` and `avx512`). While it exists the session
/// borrows the network; drop it to use the network again.
pub struct Training<'a> {
    net: &'a mut Mlp,
    workspace: Workspace,
    team: Team,
    optimizer: Optimizer,
    loss: Loss,
    lr: f32,
    steps: u64,
    values: bool,
}

impl<'a> Training<'a> {
    pub(super) fn new(net: &'a mut Mlp, setup: &Setup, values: bool) -> Result<Self> {
        setup.optimizer.validate()?;
        if setup.batch_size == 0 {
            return Err(Error::config("batch size", "expected at least 1, got 0"));
        }
        let output = net.layers[net.layers.len() - 1].activation;
        let loss = setup.loss.unwrap_or(Loss::for_output(output));
        loss.check_output(output)?;
        if values && loss == Loss::CrossEntropy {
            let reason = "cross-entropy needs class labels, got target values";
            return Err(Error::config("loss", reason));
        }
        if let Some(i) = net.layers().position(|l| l.activation == crate::Activation::Step) {
            let reason = "the step function has no derivative to train through";
            return Err(Error::config(format!("layer {i}"), reason));
        }
        let team = Team::new(setup.threads)?;
        let workspace = Workspace::new(net, &setup.optimizer, setup.batch_size, values)?;
        let (optimizer, lr) = (setup.optimizer, setup.optimizer.learning_rate());
        Ok(Training { net, workspace, team, optimizer, loss, lr, steps: 0, values })
    }

    /// Trains on one batch: `x` is rows x n_in, with up to as many rows as the trainer's batch
    /// size; the targets are labels, or rows x n_out values. Answers the mean loss of the batch
    /// before the update.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] when the batch does not fit the network or holds NaN
    /// or infinity, [`Error::Config`] when the targets are not of the session's kind,
    /// [`Error::NonFinite`] when the loss is not finite. On an error nothing was updated.
    pub fn step(&mut self, x: MatRef, targets: BatchTargets) -> Result<f32> {
        check_rows(self.net, x, targets, self.values)?;
        if x.rows() > self.workspace.rows {
            let expected = format!("at most {} rows, the batch size", self.workspace.rows);
            return Err(Error::shape("x", expected, x.rows()));
        }
        self.run(Batch::Rows { x, targets })
    }

    /// Trains on samples of a data set that [`Training::check`] accepted.
    pub(super) fn step_samples(&mut self, data: &Dataset, order: &[u32]) -> Result<f32> {
        self.run(Batch::Samples { data, order })
    }

    fn run(&mut self, batch: Batch) -> Result<f32> {
        let number = self.steps + 1;
        let step = Step { loss: self.loss, optimizer: &self.optimizer, lr: self.lr, number };
        let loss = step::run(self.net, &mut self.workspace, &mut self.team, batch, &step)?;
        self.steps = number;
        Ok(loss as f32)
    }

    /// Checks that a data set fits the network, the loss and the session's kind of targets.
    pub(super) fn check(&self, data: &Dataset) -> Result<()> {
        check_data(self.net, data, self.loss)?;
        match (data.targets(), self.values) {
            (Targets::Classes { .. }, false) | (Targets::Values { .. }, true) => Ok(()),
            _ => Err(Error::config("targets", "training and validation targets differ in kind")),
        }
    }

    /// Loss, and for classes accuracy and confusion matrix, of the network as it is now.
    ///
    /// # Errors
    /// [`Error::Shape`] when the data set does not fit the network.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Evaluation> {
        evaluate(self.net, data, self.loss, &mut self.team)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// [`Error::Config`] when it is negative or not finite.
    pub fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        crate::optim::check("learning rate", lr, 0.0..f32::INFINITY)?;
        self.lr = lr;
        Ok(())
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The network as it is now.
    pub fn network(&self) -> &Mlp {
        self.net
    }
}
