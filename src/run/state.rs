//! The text in a checkpoint: the run spec and the state.
//!
//! One item per line, a key and its values with spaces between them. Numbers that decide bits are
//! written as their bits in hex. Read strictly: the lines that are written, in the order in which they
//! are written, as they are written, or an error that names the line.

use super::counts;
use super::history::{Epoch, History, StepRecord, StopReason};
use super::lines::{Lines, Reason, Words};
use crate::metrics::Evaluation;
use crate::optim::RatesState;
use crate::program::Waiting;
use std::fmt::Write;

/// Where a run stands, without its tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) partial: Partial,
    /// The gradients that wait for an update.
    pub(super) waiting: Waiting,
    pub(super) rates: Option<RatesState>,
    /// Of early stopping: the best value and its epoch, and the epochs waited.
    pub(super) monitor: (Option<(f64, usize)>, usize),
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

/// An option of a run and its value, as text.
pub(super) type OptionText = (&'static str, String);

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
        if let (Some((best, epoch)), waited) = s.monitor {
            writeln!(out, "watch {} {epoch} {waited}", bits(best))?;
        } else {
            writeln!(out, "watched {}", s.monitor.1)?;
        }
        writeln!(out, "best {}", u8::from(s.has_best))?;
        let ending = match s.history.stop_reason {
            StopReason::EarlyStopping => "early-stopping",
            // A run that a callback or another thread stopped continues when it is resumed.
            StopReason::Finished
            | StopReason::Callback
            | StopReason::Cancelled
            | StopReason::Failed => "open",
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

/// The options as written, and the state. Every line that was written has to be there, in its
/// place, and no other.
pub(super) fn read(text: &str) -> Reason<(Vec<(String, String)>, State)> {
    let mut lines = Lines::new(text)?;
    let (mut options, mut s) = (Vec::new(), State::default());
    while let Some(option) = lines.if_next("option", |w| {
        let (name, value) = w.rest().and_then(|o| o.split_once('=')).ok_or("has no =")?;
        Ok((name.to_string(), value.to_string()))
    })? {
        options.push(option);
    }
    s.counts = lines.next("steps", |w| {
        let counts = Counts { steps: w.count()?, updates: w.count()?, lr: w.rate()? };
        let fits = counts.updates <= counts.steps;
        fits.then_some(counts).ok_or_else(|| "has more updates than steps".into())
    })?;
    s.partial = lines.next("partial", |w| {
        let (batches, samples) = (w.count()?, w.count()?);
        let (sum, seconds) = (w.bits()?, w.bits()?);
        let weight = if w.is_empty() { samples as f64 } else { w.weight()? };
        Ok(Partial { batches, samples, sum, weight, seconds })
    })?;
    s.waiting = lines.next("waiting", |w| {
        let batches = w.count()?;
        match w.len() {
            1 => Ok(Waiting { batches, weight: w.count::<u32>()?.into(), unit: 1.0 }),
            _ => Ok(Waiting { batches, weight: w.weight()?, unit: w.unit()? }),
        }
    })?;
    s.rates = lines.if_next("rates", |w| {
        let (steps, epochs) = (w.count()?, w.count()?);
        let (best, bad, factor) = (w.bits()?, w.count()?, w.rate()?);
        Ok(RatesState { steps, epochs, best, bad, factor })
    })?;
    let watch = lines.if_next("watch", |w| {
        let best = w.bits()?;
        if best.is_nan() {
            return Err("NaN is never the best".into());
        }
        Ok((Some((best, w.count()?)), w.count()?))
    })?;
    s.monitor = match watch {
        Some(watch) => watch,
        None => (None, lines.next("watched", Words::count)?),
    };
    s.has_best = lines.next("best", |w| {
        let has_best = match w.word()? {
            "0" => false,
            "1" => true,
            other => return Err(format!("{other:?} is neither 0 nor 1")),
        };
        let fits = has_best == s.monitor.0.is_some();
        fits.then_some(has_best).ok_or_else(|| "does not agree with what is watched".into())
    })?;
    s.history.stop_reason = lines.next("ending", |w| match w.word()? {
        "open" => Ok(StopReason::Finished),
        "early-stopping" => Ok(StopReason::EarlyStopping),
        other => Err(format!("{other:?} is no ending")),
    })?;
    let mut number = 0usize;
    while let Some(epoch) = lines.if_next("epoch", |w| {
        number += 1;
        let epoch = read_epoch(w)?;
        (epoch.epoch == number).then_some(epoch).ok_or_else(|| format!("expected epoch {number}"))
    })? {
        s.history.epochs.push(epoch);
    }
    let mut last = 0;
    while let Some(record) = lines.if_next("step", |w| {
        let (epoch, step) = (w.count()?, w.count()?);
        let (loss, learning_rate) = (w.bits32()?, w.rate()?);
        let fits = last < step && step <= s.counts.steps;
        last = step;
        let record = StepRecord { epoch, step, loss, learning_rate };
        fits.then_some(record).ok_or_else(|| "is out of order".into())
    })? {
        s.history.step_records.push(record);
    }
    lines.end()?;
    s.history.steps = s.counts.steps;
    Ok((options, s))
}

fn read_epoch(w: &mut Words) -> Reason<Epoch> {
    let (epoch, loss, learning_rate) = (w.count()?, w.bits()?, w.rate()?);
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
        let counts = Counts { steps: 7, updates: 6, lr: 0.1 };
        let waiting = Waiting { batches: 1, weight: 32.0, unit: 1.0 };
        let mut s = State { counts, waiting, ..State::default() };
        s.partial = Partial { batches: 3, samples: 96, sum: 0.1 + 0.2, weight: 96.0, seconds: 3.5 };
        let best = f64::INFINITY;
        s.rates = Some(RatesState { steps: 1, epochs: 2, best, bad: 3, factor: 0.1 });
        s.monitor = (Some((0.25, 1)), 2);
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
        (s.monitor, s.has_best, s.rates) = ((None, 4), false, None);
        s.history.stop_reason = StopReason::EarlyStopping;
        let (_, back) = read(&write(&[], &s)).unwrap();
        assert_eq!(format!("{back:?}"), format!("{s:?}"));
    }

    /// A text as it is written, from its lines.
    fn text(lines: &[&str]) -> String {
        let mut text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        text.push_str(&" ".repeat(7 - text.len() % 8));
        text + "\n"
    }

    const LINES: [&str; 13] = [
        "option batch size=32",
        "option loss=a = b",
        "steps 7 6 3dcccccd",
        "partial 3 96 3fe0000000000000 0000000000000000",
        "waiting 1 32",
        "rates 7 2 7ff0000000000000 3 3f800000",
        "watch 3fd0000000000000 1 1",
        "best 1",
        "ending open",
        "epoch 1 3fe0000000000000 3dcccccd 0000000000000000 0000000000000000",
        "epoch 2 3fe0000000000000 3dcccccd 0000000000000000 0000000000000000 3fe0000000000000",
        "step 1 2 3dcccccd 3e4ccccd",
        "step 1 3 3dcccccd 3e4ccccd",
    ];

    /// Lines without which the text is another good one.
    fn may_be_missing(line: &str) -> bool {
        ["option", "rates", "step "].iter().any(|key| line.starts_with(key))
    }

    #[test]
    fn every_line_has_its_place() {
        let is_read = |lines: &[&str]| read(&text(lines));
        let (options, s) = is_read(&LINES).unwrap();
        let names: Vec<_> = options.iter().map(|(name, _)| (*name).clone()).collect();
        assert_eq!(names, ["batch size", "loss"]);
        assert_eq!(s.history.step_records.len(), 2);
        for (i, line) in LINES.iter().enumerate() {
            let mut lines = LINES.to_vec();
            lines.remove(i);
            let last_epoch = line.starts_with("epoch 2");
            assert_eq!(is_read(&lines).is_ok(), may_be_missing(line) || last_epoch, "no {line:?}");
            // Twice, or in another place.
            let mut lines = LINES.to_vec();
            lines.insert(i, line);
            assert_eq!(is_read(&lines).is_ok(), line.starts_with("option"), "two {line:?}");
            for j in (0..LINES.len()).filter(|j| *j != i) {
                let mut lines = LINES.to_vec();
                let moved = lines.remove(i);
                lines.insert(j, moved);
                assert_eq!(is_read(&lines).is_ok(), i < 2 && j < 2, "{line:?} at {j}");
            }
            // Cut, longer, with other spaces, with a key that there is not.
            let (key, values) = line.split_once(' ').unwrap();
            let free = key == "option";
            for other in
                [key.into(), format!("{key} "), format!("{key}{values}"), format!(" {line}")]
            {
                let mut lines = LINES.to_vec();
                lines[i] = &other;
                let reason = is_read(&lines).unwrap_err();
                assert!(reason.starts_with(&format!("line {}, {other:?}: ", i + 1)), "{reason}");
            }
            let plus = format!("{key} +{values}");
            let long = [format!("{line} 1"), format!("{line} "), format!("{key}  {values}"), plus];
            for other in &long {
                let mut lines = LINES.to_vec();
                lines[i] = other;
                // The number behind a validation loss is that of the classes, whose counts are none.
                assert!(free || is_read(&lines).is_err(), "{other:?}");
            }
        }
        let error = is_read(&LINES[..4]).unwrap_err();
        assert_eq!(error, "ends too early: expected \"waiting\"");
        let whole = text(&LINES);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(&format!("{whole}       \n")).is_err());
        assert!(read(&whole.replace('\n', "\r\n")).is_err());
    }

    #[test]
    fn values_that_no_run_has_are_refused_by_line() {
        let refused = [
            (2, "steps 1 2 3dcccccd", "more updates than steps"),
            (2, "steps 7 18446744073709551615 3dcccccd", "is no count"),
            (2, "steps 07 6 3dcccccd", "is no count"),
            (2, "steps 7 6 7fc00000", "NaN is no learning rate"),
            (2, "steps 7 6 7f800000", "inf is no learning rate"),
            (2, "steps 7 6 bdcccccd", "-0.1 is no learning rate"),
            (2, "steps 7 6 3DCCCCCD", "is no number of 8 digits"),
            (2, "steps 7 6 dcccccd", "is no number of 8 digits"),
            (6, "watch 7ff8000000000000 1 1", "NaN is never the best"),
            (6, "watched 2", "does not agree"),
            (7, "best 0", "does not agree"),
            (7, "best 256", "is neither 0 nor 1"),
            (8, "ending closed", "is no ending"),
            (9, "epoch 2 3fe0000000000000 3dcccccd 0000000000000000 0000000000000000", "epoch 1"),
            (11, "step 1 3 3dcccccd 3e4ccccd", "out of order"),
            (12, "step 1 8 3dcccccd 3e4ccccd", "out of order"),
            (4, "waiting 1 3ff8000000000000 3ff8000000000000", "is no power of two"),
            (4, "waiting 1 3ff8000000000000 0000000000000000", "is no power of two"),
            (4, "waiting 1 bff8000000000000 3ff0000000000000", "is no sum of weights"),
            (3, "partial 3 96 3fe0000000000000 0000000000000000 7ff0000000000000", "no sum"),
        ];
        for (i, line, reason) in refused {
            let mut lines = LINES.to_vec();
            lines[i] = line;
            let error = read(&text(&lines)).unwrap_err();
            assert!(error.starts_with("line ") && error.contains(reason), "{line:?}: {error}");
        }
    }
}
