//! Runs that stop at a step, after an epoch or at their end, and go on from the file.

use crate::{EPOCHS, Folder, RECIPES, Recipe, Sets, base, facts, net, net_from, sets};
use deltarule::data::Dataset;
use deltarule::{
    Activation, Adam, CheckpointInterval, EarlyStopping, Error, Mlp, Schedule, StopReason, Threads,
    Trainer,
};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

const STEPS: usize = EPOCHS * 5;

/// The run that nothing interrupts.
fn uninterrupted(sets: &Sets, recipe: Recipe) -> String {
    let mut net = net();
    let history = recipe(sets).threads(Threads::One).fit(&mut net, &sets.train).unwrap();
    facts(&net, &history)
}

/// The rest of a run, after a checkpoint.
fn resumed(sets: &Sets, recipe: Recipe, path: &Path, threads: Threads) -> String {
    // Nothing of the network's own parameters may be left.
    let mut net = net_from(99);
    let history = recipe(sets).resume(path).threads(threads).fit(&mut net, &sets.train).unwrap();
    facts(&net, &history)
}

#[test]
fn a_stop_at_every_step_changes_nothing() {
    let (folder, sets) = (Folder::new("every-step"), sets());
    for (name, recipe) in RECIPES {
        let want = uninterrupted(&sets, recipe);
        let copy = |step: usize| folder.0.join(format!("{step}"));
        // As a crash leaves it: the checkpoint of every step, by copies of the file.
        let mut step = 0;
        let mut run = net();
        recipe(&sets)
            .threads(Threads::One)
            .checkpoint(folder.path(), CheckpointInterval::Steps(1))
            .on_step(|_| {
                if step > 0 {
                    fs::copy(folder.path(), copy(step)).unwrap();
                }
                step += 1;
                ControlFlow::Continue(())
            })
            .fit(&mut run, &sets.train)
            .unwrap();
        fs::copy(folder.path(), copy(step)).unwrap();
        assert!(step <= STEPS);
        for step in 1..=step {
            for threads in [Threads::One, Threads::N(2), Threads::N(3), Threads::Current] {
                let got = resumed(&sets, recipe, &copy(step), threads);
                assert_eq!(got, want, "{name}: after step {step}, {threads:?}");
            }
        }
        // A callback that stops the run leaves a checkpoint from which the same run goes on.
        for stop in 1..=step {
            let mut steps = 0;
            let mut run = net();
            let history = recipe(&sets)
                .checkpoint(folder.path(), CheckpointInterval::Epochs(1000))
                .on_step(|_| {
                    steps += 1;
                    if steps == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .fit(&mut run, &sets.train)
                .unwrap();
            // Early stopping may end the same epoch.
            let is_last = stop == step && want.contains("EarlyStopping");
            let ending = if is_last { StopReason::EarlyStopping } else { StopReason::Callback };
            assert_eq!(history.stop_reason, ending);
            let got = resumed(&sets, recipe, &folder.path(), Threads::N(2));
            assert_eq!(got, want, "{name}: stopped at step {stop}");
        }
    }
}

#[test]
fn a_stop_after_every_epoch_changes_nothing() {
    let (folder, sets) = (Folder::new("every-epoch"), sets());
    for (name, recipe) in RECIPES {
        let want = uninterrupted(&sets, recipe);
        for epochs in 1..=EPOCHS {
            let mut run = net();
            let mut trainer =
                recipe(&sets).checkpoint(folder.path(), CheckpointInterval::Epochs(1));
            let mut own_loop = trainer.run(&mut run, &sets.train).unwrap();
            for _ in 0..epochs {
                own_loop.next().transpose().unwrap();
            }
            drop(own_loop);
            let got = resumed(&sets, recipe, &folder.path(), Threads::N(2));
            assert_eq!(got, want, "{name}: after {epochs} epochs");
        }
    }
}

/// Early stopping has the last word: a run that a callback stopped in the very epoch in which early
/// stopping would have is over, and the resumed run has no epoch more.
#[test]
fn a_callback_does_not_hide_the_end_by_early_stopping() {
    let (folder, sets) = (Folder::new("two-stops"), sets());
    let trainer = || {
        let stopping = EarlyStopping::on_smallest(|e| e.epoch as f64).patience(2);
        base(Adam::new(0.01)).epochs(20).early_stopping(stopping)
    };
    let mut whole = net();
    let want = trainer().fit(&mut whole, &sets.train).unwrap();
    assert_eq!((want.epochs.len(), want.stop_reason), (3, StopReason::EarlyStopping));
    let want = facts(&whole, &want);
    for at_step in [false, true] {
        for stop in 1..=3 {
            let mut stopped = net();
            let (last, end) = (sets.train.len().div_ceil(16), |stop| match stop {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
            let history = trainer()
                .checkpoint(folder.path(), CheckpointInterval::Epochs(1000))
                .on_step(|p| end(at_step && p.epoch == stop && p.step == last))
                .on_epoch(|e| end(!at_step && e.epoch == stop))
                .fit(&mut stopped, &sets.train)
                .unwrap();
            let ending = if stop == 3 { StopReason::EarlyStopping } else { StopReason::Callback };
            assert_eq!((history.epochs.len(), history.stop_reason), (stop, ending));
            let mut rest = net_from(99);
            let history = trainer().resume(folder.path()).fit(&mut rest, &sets.train).unwrap();
            assert_eq!(facts(&rest, &history), want, "stopped in epoch {stop}, {at_step}");
        }
    }
}

#[test]
fn a_finished_run_can_be_made_longer() {
    let (folder, sets) = (Folder::new("longer"), sets());
    let (mut short, mut long, mut rest) = (net(), net(), net());
    let trainer = |epochs| base(Adam::new(0.01)).epochs(epochs);
    trainer(2)
        .checkpoint(folder.path(), CheckpointInterval::Epochs(1000))
        .fit(&mut short, &sets.train)
        .unwrap();
    assert_eq!(Mlp::load(folder.path()).unwrap().digest(), short.digest());
    let want = trainer(4).fit(&mut long, &sets.train).unwrap();
    let got = trainer(4).resume(folder.path()).fit(&mut rest, &sets.train).unwrap();
    assert_eq!(facts(&rest, &got), facts(&long, &want));
    let error = trainer(1).resume(folder.path()).fit(&mut rest, &sets.train).unwrap_err();
    assert!(error.to_string().starts_with("epochs: "), "{error}");
}

#[test]
fn the_checkpoint_of_another_run_is_refused_by_name() {
    let (folder, sets) = (Folder::new("other-run"), sets());
    let path = folder.path();
    base(Adam::new(0.01))
        .checkpoint(&path, CheckpointInterval::Epochs(1))
        .fit(&mut net(), &sets.train)
        .unwrap();
    let refused = |trainer: Trainer, data: &Dataset, option: &str| {
        let mut net = net();
        let before = net.digest();
        let error = trainer.resume(&path).fit(&mut net, data).unwrap_err();
        let Error::Config { option: named, .. } = &error else { panic!("{error}") };
        assert_eq!(named, option, "{error}");
        assert_eq!(net.digest(), before);
    };
    let same = || base(Adam::new(0.01));
    refused(same().seed(4), &sets.train, "seed");
    refused(same().batch_size(17), &sets.train, "batch size");
    refused(base(Adam::new(0.02)), &sets.train, "optimizer");
    refused(same().l2(0.1), &sets.train, "adjustments");
    refused(same().label_smoothing(0.1), &sets.train, "label smoothing");
    refused(same().class_weights([1.0; 10]), &sets.train, "class weights");
    refused(same().sample_weights(&sets.weights), &sets.train, "sample weights");
    refused(same().schedule(Schedule::cosine(0.0)), &sets.train, "schedule");
    refused(
        same().early_stopping(EarlyStopping::on_training_loss()),
        &sets.train,
        "early stopping",
    );
    refused(same().validation(&sets.test), &sets.train, "validation set");
    refused(same(), &sets.test, "data set");
    let mut other = Mlp::builder(64).dense(10, Activation::Softmax).build().unwrap();
    let error = same().resume(&path).fit(&mut other, &sets.train).unwrap_err();
    assert!(error.to_string().starts_with("network: "), "{error}");
}
