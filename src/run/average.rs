//! Averages of the weights of a network in training.

use super::state::State;
use crate::error::{Result, check_option, check_range};
use crate::network::Mlp;

/// What is averaged. Its `Debug` text is part of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Averaging {
    /// The network after each update, with weights that fall by `decay` per update.
    Exponential { decay: f32 },
    /// The network after each epoch from one on, counted from 1, with equal weights.
    Stochastic { first_epoch: usize },
}

impl Averaging {
    /// Checks the option for a run of this number of epochs.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config).
    pub(super) fn validate(self, epochs: usize) -> Result<()> {
        match self {
            Averaging::Exponential { decay } => {
                check_range("decay of the exponential average", decay, 0.0..1.0)
            }
            Averaging::Stochastic { first_epoch } => {
                let reason = format!("expected a first epoch in 1..={epochs}, got {first_epoch}");
                check_option((1..=epochs).contains(&first_epoch), "stochastic average", reason)
            }
        }
    }

    /// How many networks are in the average after this number of updates and epochs.
    fn networks(self, updates: u64, epochs: usize) -> u64 {
        match self {
            Averaging::Exponential { .. } => updates,
            Averaging::Stochastic { first_epoch } => {
                (epochs + 1).saturating_sub(first_epoch) as u64
            }
        }
    }
}

/// The average of a run.
pub(super) struct Average {
    averaging: Averaging,
    net: Mlp,
    /// Networks that are in it.
    networks: u64,
}

impl Average {
    /// With room for networks like `net`, and none in it.
    pub(super) fn new(averaging: Averaging, net: &Mlp) -> Self {
        Average { averaging, net: net.clone(), networks: 0 }
    }

    /// The average, once a network is in it.
    pub(super) fn network(&self) -> Option<&Mlp> {
        (self.networks > 0).then_some(&self.net)
    }

    /// As [`Average::network`].
    pub(super) fn network_mut(&mut self) -> Option<&mut Mlp> {
        (self.networks > 0).then_some(&mut self.net)
    }

    /// Sets how many networks are in it at a state of the run.
    pub(super) fn resume(&mut self, state: &State) {
        self.networks = self.averaging.networks(state.counts.updates, state.history.epochs.len());
    }

    /// Takes the network after the run has made this number of updates and epochs, if it is one of
    /// those that are averaged and not in it yet.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the network has another shape.
    pub(super) fn take(&mut self, net: &Mlp, updates: u64, epochs: usize) -> Result<()> {
        let networks = self.averaging.networks(updates, epochs);
        if networks == self.networks {
            return Ok(());
        }
        self.networks = networks;
        let tau = match self.averaging {
            _ if networks == 1 => 1.0,
            Averaging::Exponential { decay } => 1.0 - decay,
            Averaging::Stochastic { .. } => 1.0 / networks as f32,
        };
        self.net.blend(net, tau)
    }
}
