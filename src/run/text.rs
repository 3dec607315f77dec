//! The text in a checkpoint: the run spec and the state.
//!
//! One item per line, a key and its values with spaces between them. Numbers that decide bits are
//! written as their bits in hex. [`read`] accepts only the text that [`write`] makes of what was read,
//! and the confusion matrices of version 0.1.

use super::early_stopping::Monitor;
use super::history::{Epoch, StepRecord, StopReason};
use super::state::{Counts, Partial, State};
use super::words::{Reason, bits32, bits64, cell, count, current_form, rate, unit, weight};
use crate::metrics::{ConfusionMatrix, Evaluation};
use crate::optim::RatesState;
use crate::program::Waiting;

/// An option of a run and its value, as text.
pub(super) type OptionText = (&'static str, String);

/// The text of options and a state. Its length is a multiple of 8, so that the tensors after it are
/// aligned.
pub(super) fn write(options: &[OptionText], state: &State) -> String {
    let options = options.iter().map(|(name, value)| (*name, value.as_str()));
    padded(&(option_lines(options) + &state.lines()))
}

fn padded(lines: &str) -> String {
    let spaces = " ".repeat(7 - lines.len() % 8);
    format!("{lines}{spaces}\n")
}

fn option_lines<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    options.into_iter().map(|(name, value)| format!("option {name}={value}\n")).collect()
}

/// The options and the state of a text.
///
/// # Errors
/// The first line, with its number, that is not as it was written.
pub(super) fn read(text: &str) -> Reason<(Vec<(&str, &str)>, State)> {
    let lines = text.strip_suffix('\n').map(|text| text.trim_end_matches(' '));
    let lines = lines.filter(|lines| lines.ends_with('\n') && padded(lines) == text);
    let lines = lines.ok_or("does not end as it was written")?;
    let (mut options, mut state) = (Vec::new(), State::default());
    for (n, line) in (1..).zip(lines.split_terminator('\n')) {
        let result = match line.strip_prefix("option ").map(|option| option.split_once('=')) {
            Some(Some(option)) => {
                options.push(option);
                Ok(())
            }
            Some(None) => Err("has no =".into()),
            None => read_line(&current_form(line), &mut state),
        };
        result.map_err(|reason| format!("line {n}, {line:?}: {reason}"))?;
    }
    state.history.steps = state.counts.steps;
    let written = option_lines(options.iter().copied()) + &state.lines();
    let mut written = written.split_terminator('\n');
    let key = |line: Option<&str>| {
        let key = line.and_then(|line| line.split(' ').next());
        key.map_or("the end".into(), |key| format!("{key:?}"))
    };
    for (n, line) in (1..).zip(lines.split_terminator('\n')) {
        let want = written.next();
        if want.is_none_or(|want| current_form(line) != want) {
            return Err(format!("line {n}, {line:?}: expected {}, as it is written", key(want)));
        }
    }
    match written.next() {
        None => Ok((options, state)),
        missing => Err(format!("ends too early: expected {}", key(missing))),
    }
}

/// Reads a line after the options into a state.
fn read_line(line: &str, s: &mut State) -> Reason<()> {
    let check = |fits: bool, reason: &str| if fits { Ok(()) } else { Err(reason.to_string()) };
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["steps", steps, updates, lr] => {
            s.counts = Counts { steps: count(steps)?, updates: count(updates)?, lr: rate(lr)? };
            check(s.counts.updates <= s.counts.steps, "has more updates than steps")?;
        }
        ["partial", batches, samples, sum, seconds, ref weights @ ..] => {
            let (batches, samples) = (count(batches)?, count(samples)?);
            let (sum, seconds) = (bits64(sum)?, bits64(seconds)?);
            let weight = weights.first().map_or(Ok(samples as f64), |word| weight(word))?;
            s.partial = Partial { batches, samples, sum, weight, seconds };
        }
        ["waiting", batches, rows] => {
            let weight = count::<u32>(rows)?.into();
            s.waiting = Waiting { batches: count(batches)?, weight, unit: 1.0 };
        }
        ["waiting", batches, sum, of] => {
            s.waiting = Waiting { batches: count(batches)?, weight: weight(sum)?, unit: unit(of)? };
        }
        ["rates", steps, epochs, best, bad, factor] => {
            let (steps, epochs) = (count(steps)?, count(epochs)?);
            let (best, bad, factor) = (bits64(best)?, count(bad)?, rate(factor)?);
            s.rates = Some(RatesState { steps, epochs, best, bad, factor });
        }
        ["watch", best, epoch, waited] => {
            let best = bits64(best)?;
            check(!best.is_nan(), "NaN is never the best")?;
            s.monitor = Monitor { best: Some((best, count(epoch)?)), waited: count(waited)? };
        }
        ["watched", waited] => s.monitor = Monitor { best: None, waited: count(waited)? },
        ["best", has_best] => {
            s.has_best = has_best == "1";
            let agrees = s.has_best == s.monitor.best.is_some();
            check(agrees, "does not agree with what is watched")?;
        }
        ["ending", "early-stopping"] => s.history.stop_reason = StopReason::EarlyStopping,
        ["epoch", epoch, loss, lr, seconds, speed, ref validation @ ..] => {
            let number = s.history.epochs.len() + 1;
            check(count(epoch) == Ok(number), &format!("expected epoch {number}"))?;
            s.history.epochs.push(Epoch {
                epoch: number,
                loss: bits64(loss)?,
                validation: evaluation(validation)?,
                learning_rate: rate(lr)?,
                seconds: bits64(seconds)?,
                samples_per_second: bits64(speed)?,
            });
        }
        ["step", epoch, step, loss, lr, ref norms @ ..] => {
            let (epoch, step) = (count(epoch)?, count(step)?);
            let last = s.history.step_records.last().map_or(0, |record| record.step);
            check(last < step && step <= s.counts.steps, "is out of order")?;
            let (loss, learning_rate) = (bits32(loss)?, rate(lr)?);
            let gradient_norms = norms.iter().map(|norm| bits64(norm)).collect::<Reason<_>>()?;
            let record = StepRecord { epoch, step, loss, learning_rate, gradient_norms };
            s.history.step_records.push(record);
        }
        ["sample-losses", ref losses @ ..] => {
            s.history.sample_losses =
                losses.iter().map(|loss| bits32(loss)).collect::<Reason<_>>()?;
        }
        ["ending", "open"] => {}
        _ => return Err("is no line of a state".into()),
    }
    Ok(())
}

/// Reads nothing, a loss, or a loss, the number of classes and the cells of a confusion matrix.
fn evaluation(words: &[&str]) -> Reason<Option<Evaluation>> {
    Ok(match words {
        [] => None,
        [loss] => Some(Evaluation::of_regression(bits64(loss)?)),
        [loss, n_classes, cells @ ..] => {
            let cells = cells.iter().map(|word| cell(word)).collect::<Reason<Vec<_>>>()?;
            let confusion = ConfusionMatrix::from_cells(count(n_classes)?, cells);
            let confusion = confusion.ok_or("has counts of no such classes")?;
            Some(Evaluation::of_classes(bits64(loss)?, confusion))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        s.monitor = Monitor { best: Some((0.25, 1)), waited: 2 };
        s.has_best = true;
        s.history.epochs = vec![
            epoch(1, None),
            epoch(2, Some(Evaluation::of_regression(0.5))),
            epoch(3, Some(Evaluation::of_classes(f64::NAN, confusion))),
        ];
        let record = |step, gradient_norms| StepRecord {
            epoch: 1,
            step,
            loss: 0.1,
            learning_rate: 0.2,
            gradient_norms,
        };
        s.history.step_records =
            vec![record(2, Vec::new()), record(3, vec![0.5, f64::MIN_POSITIVE])];
        s.history.sample_losses = vec![0.25, f32::NAN, 1e30];
        s.history.steps = 7;
        let config = [("batch size", "32".to_string()), ("loss", "a = b".to_string())];
        let text = write(&config, &s);
        assert_eq!(text.len() % 8, 0);
        let (options, back) = read(&text).unwrap();
        assert_eq!(options, [("batch size", "32"), ("loss", "a = b")]);
        assert_eq!(format!("{back:?}"), format!("{s:?}"));
        // Weighted runs have more to say.
        (s.partial.weight, s.waiting) = (0.1, Waiting { batches: 2, weight: 1.7, unit: 0.125 });
        (s.monitor, s.has_best, s.rates) = (Monitor { best: None, waited: 4 }, false, None);
        s.history.stop_reason = StopReason::EarlyStopping;
        let text = write(&[], &s);
        let (_, back) = read(&text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{s:?}"));
    }

    /// A text as it is written, from its lines.
    fn text(lines: &[&str]) -> String {
        padded(&(lines.join("\n") + "\n"))
    }

    const LINES: [&str; 14] = [
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
        "sample-losses 3dcccccd 7fc00000",
    ];

    /// Lines without which the text is another good one.
    fn may_be_missing(line: &str) -> bool {
        ["option", "rates", "step ", "sample-losses"].iter().any(|key| line.starts_with(key))
    }

    #[test]
    fn every_line_has_its_place() {
        let is_read = |lines: &[&str]| read(&text(lines)).map(|_| ());
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
        assert_eq!(is_read(&LINES), Ok(()));
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
            (2, "steps 7 1099511627777 3dcccccd", "is no count"),
            (2, "steps 7 -1 3dcccccd", "is no count"),
            (2, "steps 7 6.0 3dcccccd", "is no count"),
            (2, "steps 07 6 3dcccccd", "as it is written"),
            (2, "steps +7 6 3dcccccd", "as it is written"),
            (2, "steps 7 6 7fc00000", "NaN is no learning rate"),
            (2, "steps 7 6 7f800000", "inf is no learning rate"),
            (2, "steps 7 6 bdcccccd", "-0.1 is no learning rate"),
            (2, "steps 7 6 3DCCCCCD", "as it is written"),
            (2, "steps 7 6 +dcccccd", "as it is written"),
            (2, "steps 7 6 dcccccd", "as it is written"),
            (2, "steps 7 6 03dcccccd", "as it is written"),
            (2, "steps 7 6 xdcccccd", "is no number"),
            (6, "watch 7ff8000000000000 1 1", "NaN is never the best"),
            (6, "watched 2", "does not agree"),
            (7, "best 0", "does not agree"),
            (7, "best 256", "does not agree"),
            (8, "ending closed", "is no line of a state"),
            (9, "epoch 2 3fe0000000000000 3dcccccd 0000000000000000 0000000000000000", "epoch 1"),
            (11, "step 1 3 3dcccccd 3e4ccccd", "out of order"),
            (12, "step 1 8 3dcccccd 3e4ccccd", "out of order"),
            (4, "waiting 1 4294967296", "is no count"),
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

    /// The confusion matrix of an epoch with these words.
    fn confusion(words: &str) -> Reason<ConfusionMatrix> {
        let mut lines = LINES.to_vec();
        let line = [LINES[10], words].join(" ");
        lines[10] = &line;
        let text = text(&lines);
        let (_, state) = read(&text)?;
        state.history.epochs[1].validation.clone().unwrap().confusion.ok_or(String::new())
    }

    #[test]
    fn confusion_matrices_of_every_version_are_read() {
        let large = ConfusionMatrix::from_classes(&[0, 1, 1, 19_999], &[0, 1, 0, 3], 20_000);
        assert_eq!(confusion("20000 0,0,1 1,0,1 1,1,1 19999,3,1"), Ok(large.unwrap()));
        let want = ConfusionMatrix::from_classes(&[0, 1, 1], &[0, 1, 0], 2).unwrap();
        assert_eq!(confusion("2 1 0 1 1").unwrap(), want);
        assert_eq!(confusion("2 0 0 0 0"), Ok(ConfusionMatrix::new(2).unwrap()));
        for bad in [
            "",
            "1",
            "2 1",
            "2 1 0 1",
            "2 1 0 1 1 0",
            "2 1 0 1 01",
            "2 1 0 1 x",
            "0 1",
            "2 1 0 1 1,1,1",
            "2 0,0,1 3",
            "2 0,0",
            "2 0,0,1,1",
            "2 0,2,1",
            "2 0,0,0",
            "2 0,0,1 0,0,1",
            "2 1,0,1 0,0,1",
            "2 0,,1",
            "1099511627776 0,0,1",
        ] {
            assert!(confusion(bad).is_err(), "{bad}");
        }
    }
}
