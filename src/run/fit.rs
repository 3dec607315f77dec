//! Runs over a data set, begun by a trainer.

use super::early_stopping::Monitor;
use super::epochs::Epochs;
use super::history::History;
use super::setup::Setup;
use super::state::Partial;
use super::trainer::Trainer;
use super::training::Training;
use crate::data::{Dataset, Targets, in_order};
use crate::error::{Error, Result};
use crate::network::Mlp;
use crate::optim::Rates;
use crate::program::check_sample_weights;

impl<'a> Trainer<'a> {
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
        let training = Training::new(net, setup, values)?;
        training.check(data)?;
        training.check_total_weight(data, self.sample_weights)?;
        if let Some(validation) = self.validation {
            training.check(validation)?;
        }
        let precision = training.setup().precision;
        let hardware = precision.hardware(training.network().level());
        let history = History { precision, hardware, ..History::default() };
        let mut run = Epochs {
            trainer: self,
            training,
            data,
            order,
            rates,
            monitor: Monitor::default(),
            best: None,
            history,
            partial: Partial::default(),
            checkpointer: None,
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
