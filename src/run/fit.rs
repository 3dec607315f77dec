//! Runs over a data set, begun by a trainer.

use super::average::Average;
use super::early_stopping::Monitor;
use super::epochs::Epochs;
use super::history::{History, Progress};
use super::state::Partial;
use super::trainer::Trainer;
use crate::data::{Dataset, in_order};
use crate::error::{Result, check_option};
use crate::network::Mlp;
use crate::optim::Rates;
use crate::program::check_sample_weights;

impl<'a> Trainer<'a> {
    /// The history of this trainer's last run up to its end, whatever ended it. Empty if there was no
    /// run, or the options of the last one were refused.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Begins a run on `data`, every epoch in a new order: an iterator over its epochs.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if an option is out of range or does not fit the network,
    /// or the schedule's largest rate is too large for decoupled decay;
    /// [`Error::Shape`](crate::Error::Shape) if a data set does not fit,
    /// [`Error::Value`](crate::Error::Value) if all its samples weigh 0,
    /// [`Error::Threads`](crate::Error::Threads) if threads cannot be started, and the errors of
    /// [`Trainer::resume`].
    pub fn run<'t>(&'t mut self, net: &'t mut Mlp, data: &'t Dataset) -> Result<Epochs<'t, 'a>> {
        self.history = History::default();
        check_option(self.epochs > 0, "epochs", "expected at least 1, got 0")?;
        let order = in_order(data.len())?;
        let rates = |schedule| {
            let steps = data.len().div_ceil(self.setup.batch_size.max(1));
            Rates::new(schedule, self.setup.optimizer.learning_rate(), self.epochs, steps)
        };
        let rates = self.schedule.map(rates).transpose()?;
        if let Some(rates) = &rates {
            self.setup.check_rate(rates.largest())?;
        }
        if let Some(stopping) = &self.stopping {
            stopping.validate(self.validation)?;
        }
        if let Some(averaging) = self.averaging {
            averaging.validate(self.epochs)?;
        }
        if let Some(weights) = self.sample_weights {
            check_sample_weights(weights, data.len())?;
        }
        let training = self.session_on(net, data)?;
        training.check_total_weight(data, self.sample_weights)?;
        if let Some(validation) = self.validation {
            training.check(validation)?;
        }
        let precision = training.setup.precision;
        let hardware = precision.hardware(training.network().level());
        let recorded = if self.record_sample_losses { data.len() } else { 0 };
        let sample_losses = vec![f32::NAN; recorded];
        let history = History { precision, hardware, sample_losses, ..History::default() };
        let average = |averaging| Average::new(averaging, training.network());
        let average = self.averaging.map(average);
        let mut run = Epochs {
            trainer: self,
            training,
            data,
            order,
            rates,
            monitor: Monitor::default(),
            average,
            best: None,
            history,
            partial: Partial::default(),
            progress: Progress::default(),
            checkpointer: None,
            over: false,
        };
        run.begin()?;
        Ok(run)
    }

    /// Trains `net` on `data`, every epoch in a new order.
    ///
    /// # Errors
    /// As [`Trainer::run`], before any work. As [`Training::step`](crate::Training::step), and
    /// [`Error::Io`](crate::Error::Io) if a checkpoint cannot be written: the network is then that of the last good step,
    /// or with early stopping that of the best finished epoch, or with an average of the weights that.
    pub fn fit(&mut self, net: &mut Mlp, data: &Dataset) -> Result<History> {
        let mut run = self.run(net, data)?;
        while let Some(epoch) = run.advance() {
            epoch?;
        }
        run.end_of_writing()?;
        Ok(run.finish())
    }
}
