//! What a run does with its average.

use crate::folder::Folder;
use crate::support::kinds::BODIES;
use crate::{ROWS, build, data, trainer, values};
use deltarule::{
    Cancel, CheckpointInterval, EarlyStopping, Error, Level, Mlp, Schedule, StopReason, Threads,
    Trainer,
};
use std::ops::ControlFlow;

/// A way to average.
type Option = fn(Trainer<'_>) -> Trainer<'_>;

const AVERAGES: [Option; 2] = [|t| t.exponential_average(0.9), |t| t.stochastic_average(2)];

/// The bits of every parameter and statistic.
fn bits(net: &Mlp) -> Vec<u64> {
    values(net).into_iter().map(f64::to_bits).collect()
}

#[test]
fn averages_have_the_same_bits_for_any_threads_and_level() {
    let data = data(1, ROWS);
    for (name, body) in BODIES {
        for average in AVERAGES {
            let run = |level: Level, threads: Threads| {
                let mut net = build(body, level);
                average(trainer()).threads(threads).fit(&mut net, &data).unwrap();
                bits(&net)
            };
            for level in Level::available().filter(|level| *level != Level::portable()) {
                let want = run(Level::best(), Threads::One);
                for threads in [Threads::One, Threads::N(2), Threads::N(3)] {
                    assert_eq!(run(level, threads), want, "{name} {}", level.name());
                }
            }
        }
    }
}

/// Training goes on from the plain weights: losses are those of a run without an average, and validation
/// is that of the average.
#[test]
fn the_average_is_validated_and_not_trained() {
    let (train, test) = (data(1, ROWS), data(2, 30));
    for (name, body) in BODIES {
        for average in AVERAGES {
            let net = build(body, Level::best());
            let mut plain = net.clone();
            let want = trainer().fit(&mut plain, &train).unwrap();
            let (mut averaged, mut evaluations) = (net.clone(), Vec::new());
            let mut with_average = average(trainer()).validation(&test);
            let mut run = with_average.run(&mut averaged, &train).unwrap();
            while let Some(epoch) = run.next() {
                let validated = run.average().unwrap_or(run.network());
                evaluations.push((epoch.unwrap(), validated.evaluate(&test).unwrap().loss));
            }
            drop(run);
            assert_eq!(evaluations.len(), want.epochs.len());
            for ((epoch, loss), want) in evaluations.iter().zip(&want.epochs) {
                assert_eq!(epoch.loss.to_bits(), want.loss.to_bits(), "{name}");
                assert_eq!(epoch.validation.as_ref().unwrap().loss, *loss, "{name}");
            }
            assert_ne!(bits(&averaged), bits(&plain), "{name}");
            let (last, _) = evaluations.last().unwrap();
            let loss = averaged.evaluate(&test).unwrap().loss;
            assert_eq!(last.validation.as_ref().unwrap().loss, loss);
        }
    }
}

/// Before the first of its epochs a stochastic average has nothing in it.
#[test]
fn the_plain_network_is_validated_before_the_first_epoch_of_an_average() {
    let (train, test) = (data(1, ROWS), data(2, 30));
    let net = build(BODIES[2].1, Level::best());
    let losses = |mut trainer: Trainer| -> Vec<f64> {
        let history = trainer.fit(&mut net.clone(), &train).unwrap();
        history.epochs.iter().map(|epoch| epoch.validation.as_ref().unwrap().loss).collect()
    };
    let plain = losses(trainer().validation(&test));
    let averaged = losses(trainer().validation(&test).stochastic_average(4));
    // The average of one network is this network.
    assert_eq!(plain[..4], averaged[..4]);
    assert_ne!(plain[4], averaged[4]);
}

#[test]
fn early_stopping_keeps_the_best_average() {
    let (train, test) = (data(1, ROWS), data(2, 30));
    for average in AVERAGES {
        let mut net = build(BODIES[1].1, Level::best());
        let stopping = EarlyStopping::on_validation_loss().patience(3);
        let trainer = average(trainer().epochs(60)).validation(&test).early_stopping(stopping);
        let mut trainer = trainer;
        let history = trainer.fit(&mut net, &train).unwrap();
        assert_eq!(history.stop_reason, StopReason::EarlyStopping);
        let loss = |epoch: usize| history.epochs[epoch - 1].validation.as_ref().unwrap().loss;
        let best = loss(history.best_epoch.unwrap());
        assert!((1..=history.epochs.len()).all(|epoch| loss(epoch) >= best));
        assert_eq!(net.evaluate(&test).unwrap().loss, best);
    }
}

/// However a run ends, the network is the average of what was trained.
#[test]
fn every_end_of_a_run_leaves_the_average() {
    let data = data(1, ROWS);
    let net = build(BODIES[0].1, Level::best());
    let want = |epochs| {
        let mut net = net.clone();
        trainer().epochs(epochs).exponential_average(0.9).fit(&mut net, &data).unwrap();
        bits(&net)
    };
    // A callback after the second epoch.
    let mut stopped = net.clone();
    let stop = |epoch: &deltarule::Epoch| match epoch.epoch {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    trainer().exponential_average(0.9).on_epoch(stop).fit(&mut stopped, &data).unwrap();
    assert_eq!(bits(&stopped), want(2));
    // A run that is dropped.
    let mut dropped = net.clone();
    let mut averaging = trainer().exponential_average(0.9);
    let mut run = averaging.run(&mut dropped, &data).unwrap();
    run.by_ref().take(3).for_each(|epoch| assert!(epoch.is_ok()));
    drop(run);
    assert_eq!(bits(&dropped), want(3));
    // A run that is cancelled before its second epoch.
    let (mut cancelled, cancel) = (net.clone(), Cancel::new());
    let press = |_: &deltarule::Epoch| {
        cancel.cancel();
        ControlFlow::Continue(())
    };
    let mut averaging = trainer().exponential_average(0.9).cancel(&cancel).on_epoch(press);
    averaging.fit(&mut cancelled, &data).unwrap();
    assert_eq!(bits(&cancelled), want(1));
    // A run whose first step is refused has no average, and the network is as before.
    let mut broken = net.clone();
    let mut diverging = Trainer::new(deltarule::Sgd::new(1e38)).batch_size(20).epochs(9);
    diverging = diverging.exponential_average(0.9);
    assert!(matches!(diverging.fit(&mut broken, &data), Err(Error::NonFinite { .. })));
    assert!(values(&broken).iter().all(|value| value.is_finite()));
}

/// A run that was stopped in any step and goes on from its checkpoint has the bits of one that was not.
#[test]
fn runs_go_on_from_checkpoints_with_their_average() {
    let (train, test) = (data(1, ROWS), data(2, 30));
    let folder = Folder::new("averaging");
    let path = folder.0.join("run.safetensors");
    for (name, body) in BODIES {
        for average in AVERAGES {
            let trainer = || {
                average(trainer().accumulate(2).validation(&test)).schedule(Schedule::cosine(0.1))
            };
            let mut whole = build(body, Level::best());
            let want = trainer().fit(&mut whole, &train).unwrap();
            for step in [1, 3, 5, 6, 13] {
                let mut done = 0;
                let stop = |_: &deltarule::Progress| {
                    done += 1;
                    if done == step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let mut net = build(body, Level::best());
                let interval = CheckpointInterval::Epochs(100);
                let mut first = trainer().checkpoint(&path, interval).on_step(stop);
                first.fit(&mut net, &train).unwrap();
                let mut resumed = build(body, Level::best());
                let history = trainer().resume(&path).fit(&mut resumed, &train).unwrap();
                assert_eq!(bits(&resumed), bits(&whole), "{name} at {step}");
                let losses = |history: &deltarule::History| -> Vec<_> {
                    history.epochs.iter().map(|e| e.validation.as_ref().unwrap().loss).collect()
                };
                assert_eq!(losses(&history), losses(&want), "{name} at {step}");
            }
        }
    }
}

/// Averages belong to the options of a run, and a model file to the plain network.
#[test]
fn checkpoints_say_what_is_averaged() {
    let data = data(1, ROWS);
    let folder = Folder::new("averaging-options");
    let path = folder.0.join("run.safetensors");
    let mut net = build(BODIES[2].1, Level::best());
    let mut plain = net.clone();
    trainer().fit(&mut plain, &data).unwrap();
    let new = || trainer().checkpoint(&path, CheckpointInterval::Epochs(1));
    new().exponential_average(0.9).fit(&mut net, &data).unwrap();
    assert_eq!(bits(&Mlp::load(&path).unwrap()), bits(&plain));
    let others: [Option; 4] = [
        |t| t,
        |t| t.exponential_average(0.5),
        |t| t.stochastic_average(1),
        // Its own first call is replaced.
        |t| t.exponential_average(0.9).stochastic_average(1),
    ];
    for other in others {
        let mut fresh = build(BODIES[2].1, Level::best());
        let before = bits(&fresh);
        let error = other(trainer()).resume(&path).fit(&mut fresh, &data).unwrap_err();
        assert!(error.to_string().contains("average of the weights"), "{error}");
        assert_eq!(bits(&fresh), before);
    }
    // The end of the run once more.
    let mut again = build(BODIES[2].1, Level::best());
    trainer().exponential_average(0.9).resume(&path).fit(&mut again, &data).unwrap();
    assert_eq!(bits(&again), bits(&net));
}

#[test]
fn averages_that_do_not_fit_are_refused() {
    let data = data(1, ROWS);
    let mut net = build(BODIES[0].1, Level::best());
    let before = bits(&net);
    for (mut trainer, words) in [
        (trainer().exponential_average(1.0), "decay of the exponential average"),
        (trainer().exponential_average(-0.1), "decay of the exponential average"),
        (trainer().exponential_average(f32::NAN), "decay of the exponential average"),
        (trainer().stochastic_average(0), "expected a first epoch in 1..=5, got 0"),
        (trainer().stochastic_average(6), "expected a first epoch in 1..=5, got 6"),
    ] {
        let error = trainer.fit(&mut net, &data).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = trainer().exponential_average(0.9).session(&mut net).unwrap_err().to_string();
    assert!(error.contains("average.blend("), "{error}");
    assert_eq!(bits(&net), before);
}
