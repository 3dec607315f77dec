//! The text in a checkpoint: what a run is (its configuration) and where it stands.
//!
//! One item a line, a key and its values with spaces between them. Numbers that decide bits are
//! written as their bits in hex. Read strictly: the keys come in one order, nothing else does.

use super::change::Waiting;
use super::counts;
use super::history::{Ending, Epoch, History, StepRecord};
use crate::metrics::Evaluation;
use crate::optim::RatesState;
use std::fmt::Write;

/// Where a run stands, without its tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) partial: Partial,
    /// What waits for an update.
    pub(super) waiting: Waiting,
    pub(super) rates: Option<RatesState>,
    /// Of early stopping: the best value and its epoch, and the epochs waited.
    pub(super) watch: (Option<(f64, usize)>, usize),
    /// Whether there is a network of the best epoch.
    pub(super) has_best: bool,
    pub(super) history: History,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) steps: u64,
    pub(super) updates: u64,
    /// The learning rate of the next step.
    pub(super) lr: f32,
}

/// The epoch that a run is in: batches and samples done, the sum of their losses, each times its
/// weight, the sum of the weights (the samples, where nothing is weighted), and their seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Partial {
    pub(super) batches: usize,
    pub(super) samples: usize,
    pub(super) sum: f64,
    pub(super) weight: f64,
    pub(super) seconds: f64,
}

pub(super) use super::recipe::OptionText;

fn bits(x: f64) -> String {
    format!("{:016x}", x.to_bits())
}

fn bits32(x: f32) -> String {
    format!("{:08x}", x.to_bits())
}

/// The text of a configuration and a state; its length is a multiple of 8, so that the tensors
/// behind it stay aligned.
pub(super) fn write(config: &[OptionText], s: &State) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = (|| {
        for (name, value) in config {
            writeln!(out, "option {name}={value}")?;
        }
        let Counts { steps, updates, lr } = s.counts;
        writeln!(out, "steps {steps} {updates} {}", bits32(lr))?;
        let p = &s.partial;
        write!(out, "partial {} {} {} {}", p.batches, p.samples, bits(p.sum), bits(p.seconds))?;
        // Only where samples are weighted.
        if p.weight != p.samples as f64 {
            write!(out, " {}", bits(p.weight))?;
        }
        writeln!(out)?;
        let Waiting { batches, weight, unit } = s.waiting;
        if unit == 1.0 && weight == weight as u32 as f64 {
            writeln!(out, "waiting {batches} {}", weight as u32)?;
        } else {
            writeln!(out, "waiting {batches} {} {}", bits(weight), bits(unit))?;
        }
        if let Some(RatesState { steps, epochs, best, bad, factor }) = s.rates {
            writeln!(out, "rates {steps} {epochs} {} {bad} {}", bits(best), bits32(factor))?;
        }
        if let (Some((best, epoch)), waited) = s.watch {
            writeln!(out, "watch {} {epoch} {waited}", bits(best))?;
        } else {
            writeln!(out, "watched {}", s.watch.1)?;
        }
        writeln!(out, "best {}", u8::from(s.has_best))?;
        let ending = match (s.history.stopped, s.history.ending) {
            (true, Ending::EarlyStopping) => "early-stopping",
            // A run that a callback or another thread stopped goes on when it is resumed.
            _ => "open",
        };
        writeln!(out, "ending {ending}")?;
        for e in &s.history.epochs {
            write!(out, "epoch {} {} {}", e.epoch, bits(e.loss), bits32(e.learning_rate))?;
            write!(out, " {} {}", bits(e.seconds), bits(e.samples_per_second))?;
            if let Some(v) = &e.validation {
                write!(out, " {}", bits(v.loss))?;
                if let Some(confusion) = &v.confusion {
                    counts::write(&mut out, confusion)?;
                }
            }
            writeln!(out)?;
        }
        for r in &s.history.step_records {
            let (loss, lr) = (bits32(r.loss), bits32(r.learning_rate));
            writeln!(out, "step {} {} {loss} {lr}", r.epoch, r.step)?;
        }
        while out.len() % 8 != 7 {
            out.push(' ');
        }
        writeln!(out)
    })();
    out
}

/// Why a text is refused.
pub(super) type Reason<T> = std::result::Result<T, String>;

/// Counts are at most this: more steps than any run has.
const MOST: u64 = 1 << 40;

/// The words of a line.
pub(super) struct Words<'a>(pub(super) std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    pub(super) fn word(&mut self) -> Reason<&'a str> {
        self.0.next().ok_or_else(|| "a line ends too early".into())
    }

    /// A whole number, so small that adding to it and summing up many cannot overflow.
    pub(super) fn count<T: TryFrom<u64>>(&mut self) -> Reason<T> {
        count_of(self.word()?)
    }

    fn bits(&mut self) -> Reason<f64> {
        let word = self.word()?;
        let bits = u64::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no number"))?;
        Ok(f64::from_bits(bits))
    }

    fn bits32(&mut self) -> Reason<f32> {
        let word = self.word()?;
        let bits = u32::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no number"))?;
        Ok(f32::from_bits(bits))
    }

    /// A sum of weights: finite and at least 0.
    fn weight(&mut self) -> Reason<f64> {
        match self.bits()? {
            weight if weight >= 0.0 && weight.is_finite() => Ok(weight),
            weight => Err(format!("{weight} is no sum of weights")),
        }
    }

    /// What weights are divided by: a power of two.
    fn unit(&mut self) -> Reason<f64> {
        match self.weight()? {
            unit if unit.is_normal() && unit.to_bits() << 12 == 0 => Ok(unit),
            unit => Err(format!("{unit} is no power of two")),
        }
    }

    fn len(&self) -> usize {
        self.0.clone().count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// As [`Words::count`], of one word.
pub(super) fn count_of<T: TryFrom<u64>>(word: &str) -> Reason<T> {
    let number = word.parse::<u64>().ok().filter(|n| *n <= MOST);
    number.and_then(|n| n.try_into().ok()).ok_or_else(|| format!("{word:?} is no count"))
}

/// The options as written, and the state.
pub(super) fn read(text: &str) -> Reason<(Vec<(String, String)>, State)> {
    let (mut options, mut s) = (Vec::new(), State::default());
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut w = Words(rest.split_whitespace());
        match key {
            "option" => {
                let (name, value) = rest.split_once('=').ok_or("an option without =")?;
                options.push((name.to_string(), value.to_string()));
                continue;
            }
            "steps" => {
                let (steps, updates) = (w.count()?, w.count()?);
                s.counts = Counts { steps, updates, lr: w.bits32()? };
            }
            "partial" => {
                let (batches, samples) = (w.count()?, w.count()?);
                let (sum, seconds) = (w.bits()?, w.bits()?);
                let weight = if w.is_empty() { samples as f64 } else { w.weight()? };
                s.partial = Partial { batches, samples, sum, weight, seconds };
            }
            "waiting" => {
                let batches = w.count()?;
                s.waiting = match w.len() {
                    1 => Waiting { batches, weight: w.count::<u32>()?.into(), unit: 1.0 },
                    _ => Waiting { batches, weight: w.weight()?, unit: w.unit()? },
                };
            }
            "rates" => {
                let (steps, epochs) = (w.count()?, w.count()?);
                let (best, bad, factor) = (w.bits()?, w.count()?, w.bits32()?);
                s.rates = Some(RatesState { steps, epochs, best, bad, factor });
            }
            "watch" => s.watch = (Some((w.bits()?, w.count()?)), w.count()?),
            "watched" => s.watch = (None, w.count()?),
            "best" => s.has_best = w.count::<u8>()? == 1,
            "ending" => match w.word()? {
                "open" => {}
                "early-stopping" => {
                    (s.history.stopped, s.history.ending) = (true, Ending::EarlyStopping);
                }
                other => return Err(format!("unknown ending {other:?}")),
            },
            "epoch" => s.history.epochs.push(read_epoch(&mut w)?),
            "step" => {
                let (epoch, step) = (w.count()?, w.count()?);
                let (loss, learning_rate) = (w.bits32()?, w.bits32()?);
                let record = StepRecord { epoch, step, loss, learning_rate };
                s.history.step_records.push(record);
            }
            other => return Err(format!("unknown key {other:?}")),
        }
        if !w.is_empty() {
            return Err(format!("too many values of {key:?}"));
        }
    }
    let counted = s.history.epochs.iter().zip(1..).all(|(e, n)| e.epoch == n);
    if !counted {
        return Err("the epochs are not counted from 1".into());
    }
    s.history.steps = s.counts.steps;
    Ok((options, s))
}

fn read_epoch(w: &mut Words) -> Reason<Epoch> {
    let (epoch, loss, learning_rate) = (w.count()?, w.bits()?, w.bits32()?);
    let (seconds, samples_per_second) = (w.bits()?, w.bits()?);
    let mut validation = None;
    if !w.is_empty() {
        let loss = w.bits()?;
        validation = Some(Evaluation::of_regression(loss));
        if !w.is_empty() {
            let confusion = counts::read(w)?;
            validation = Some(Evaluation::of_classes(loss, confusion));
        }
    }
    Ok(Epoch { epoch, loss, validation, learning_rate, seconds, samples_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ConfusionMatrix;

    #[test]
    fn what_was_written_is_read() {
        let confusion = ConfusionMatrix::from_classes(&[0, 1, 1], &[0, 1, 0], 2).unwrap();
        let epoch = |epoch, validation| Epoch {
            epoch,
            loss: 0.1,
            validation,
            learning_rate: 0.3,
            seconds: 1e-9,
            samples_per_second: f64::INFINITY,
        };
        let counts = Counts { steps: 7, updates: 6, lr: -0.0 };
        let waiting = Waiting { batches: 1, weight: 32.0, unit: 1.0 };
        let mut s = State { counts, waiting, ..State::default() };
        s.partial = Partial { batches: 3, samples: 96, sum: 0.1 + 0.2, weight: 96.0, seconds: 3.5 };
        let best = f64::INFINITY;
        s.rates = Some(RatesState { steps: 1, epochs: 2, best, bad: 3, factor: 0.1 });
        s.watch = (Some((0.25, 1)), 2);
        s.has_best = true;
        s.history.epochs = vec![
            epoch(1, None),
            epoch(2, Some(Evaluation::of_regression(0.5))),
            epoch(3, Some(Evaluation::of_classes(f64::NAN, confusion))),
        ];
        s.history.step_records =
            vec![StepRecord { epoch: 1, step: 2, loss: 0.1, learning_rate: 0.2 }];
        s.history.steps = 7;
        let config = [("batch size", "32".to_string()), ("loss", "a = b".to_string())];
        let text = write(&config, &s);
        assert_eq!(text.len() % 8, 0);
        let (options, back) = read(&text).unwrap();
        let named = |n: &str, v: &str| (n.to_string(), v.to_string());
        assert_eq!(options, [named("batch size", "32"), named("loss", "a = b")]);
        assert_eq!(format!("{back:?}"), format!("{s:?}"));
        // Weighted runs have more to say.
        (s.partial.weight, s.waiting) = (0.1, Waiting { batches: 2, weight: 1.7, unit: 0.125 });
        s.watch = (None, 4);
        (s.history.stopped, s.history.ending) = (true, Ending::EarlyStopping);
        let (_, back) = read(&write(&[], &s)).unwrap();
        assert_eq!(format!("{back:?}"), format!("{s:?}"));
        for bad in [
            "steps 1 2",
            "steps 1 18446744073709551615 3",
            "best 256",
            "steps 1 2 3 4",
            "steps x 2 3",
            "more 1",
            "option a",
            "epoch 1 z",
            "waiting 1",
            "waiting 1 3ff8000000000000 3ff8000000000000",
            "waiting 1 3ff8000000000000 0000000000000000",
            "waiting 1 bff8000000000000 3ff0000000000000",
            "partial 1 2 0 0 7ff0000000000000",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
