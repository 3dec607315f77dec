//! Where a run stands, without its tensors.

use super::early_stopping::Monitor;
use super::history::{History, StopReason};
use super::words::{hex32, hex64};
use crate::optim::RatesState;
use crate::program::Waiting;

/// The state of a run or, with only the counts and the waiting gradients, of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) partial: Partial,
    /// The gradients that wait for an update.
    pub(super) waiting: Waiting,
    pub(super) rates: Option<RatesState>,
    pub(super) monitor: Monitor,
    /// Whether there is a network of the best epoch.
    pub(super) has_best: bool,
    pub(super) history: History,
}

impl State {
    /// The lines of a checkpoint's text.
    pub(super) fn lines(&self) -> String {
        let Counts { steps, updates, lr } = self.counts;
        let mut out = format!("steps {steps} {updates} {}\n", hex32(lr));
        let Partial { batches, samples, sum, weight, seconds } = self.partial;
        out += &format!("partial {batches} {samples} {} {}", hex64(sum), hex64(seconds));
        // Only if samples are weighted.
        if weight != samples as f64 {
            out += &format!(" {}", hex64(weight));
        }
        let Waiting { batches, weight, unit } = self.waiting;
        out += &match unit == 1.0 && weight == weight as u32 as f64 {
            true => format!("\nwaiting {batches} {}\n", weight as u32),
            false => format!("\nwaiting {batches} {} {}\n", hex64(weight), hex64(unit)),
        };
        if let Some(RatesState { steps, epochs, best, bad, factor }) = self.rates {
            out += &format!("rates {steps} {epochs} {} {bad} {}\n", hex64(best), hex32(factor));
        }
        out += &match self.monitor {
            Monitor { best: Some((best, epoch)), waited } => {
                format!("watch {} {epoch} {waited}\n", hex64(best))
            }
            Monitor { best: None, waited } => format!("watched {waited}\n"),
        };
        let ending = match self.history.stop_reason {
            StopReason::EarlyStopping => "early-stopping",
            // A run that a callback or another thread stopped continues when it is resumed.
            StopReason::Finished
            | StopReason::Callback
            | StopReason::Cancelled
            | StopReason::Failed => "open",
        };
        out += &format!("best {}\nending {ending}\n", u8::from(self.has_best));
        for e in &self.history.epochs {
            out += &format!("epoch {} {} {}", e.epoch, hex64(e.loss), hex32(e.learning_rate));
            out += &format!(" {} {}", hex64(e.seconds), hex64(e.samples_per_second));
            if let Some(v) = &e.validation {
                out += &format!(" {}", hex64(v.loss));
                if let Some(confusion) = &v.confusion {
                    out += &format!(" {}", confusion.n_classes());
                    for (truth, predicted, n) in confusion.cells() {
                        out += &format!(" {truth},{predicted},{n}");
                    }
                }
            }
            out.push('\n');
        }
        for r in &self.history.step_records {
            let (loss, lr) = (hex32(r.loss), hex32(r.learning_rate));
            out += &format!("step {} {} {loss} {lr}", r.epoch, r.step);
            r.gradient_norms.iter().for_each(|norm| out += &format!(" {}", hex64(*norm)));
            out.push('\n');
        }
        if !self.history.sample_losses.is_empty() {
            out += "sample-losses";
            self.history.sample_losses.iter().for_each(|loss| out += &format!(" {}", hex32(*loss)));
            out.push('\n');
        }
        out
    }
}

/// The counters of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) steps: u64,
    pub(super) updates: u64,
    /// The learning rate of the next step.
    pub(super) lr: f32,
}

/// The finished part of the current epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Partial {
    pub(super) batches: usize,
    pub(super) samples: usize,
    /// The sum of the batches' losses, each times its weight.
    pub(super) sum: f64,
    /// The sum of the weights: the number of samples if nothing is weighted.
    pub(super) weight: f64,
    pub(super) seconds: f64,
}
