//! Checkpoints: a run that was interrupted anywhere ends with the same bits as one that was not.

#![cfg(feature = "digits")]

#[path = "../support/alone.rs"]
mod alone;
mod damage;
#[path = "../support/folder.rs"]
mod folder;
mod processes;
mod resume;

use deltarule::data::{Dataset, digits};
use deltarule::{Activation, Adam, EarlyStopping, History, Mlp, Momentum, Schedule, Sgd, Trainer};
use folder::Folder;
use std::path::PathBuf;

impl Folder {
    /// Where the checkpoint of the test goes.
    fn path(&self) -> PathBuf {
        self.0.join("run.safetensors")
    }
}

struct Sets {
    train: Dataset,
    test: Dataset,
    weights: Vec<f32>,
}

fn sets() -> Sets {
    let (some, _) = digits().split_at(110).unwrap();
    let (train, test) = some.split_at(70).unwrap();
    let weights = (0..70).map(|i| 0.5 + (i % 5) as f32 / 4.0).collect();
    Sets { train, test, weights }
}

fn net() -> Mlp {
    net_from(5)
}

/// With running statistics and with masks that are functions of the step.
fn net_from(seed: u64) -> Mlp {
    Mlp::builder(64)
        .dropout(0.0625)
        .dense(9, Activation::Tanh)
        .batch_norm()
        .dropout(0.125)
        .dense(10, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap()
}

/// Three epochs of five batches, the last one short.
const EPOCHS: usize = 3;

/// A way to train, in all of whose state a checkpoint must not forget anything.
type Recipe = for<'a> fn(&'a Sets) -> Trainer<'a>;

fn base<'a>(optimizer: impl Into<deltarule::Optimizer>) -> Trainer<'a> {
    Trainer::new(optimizer).batch_size(16).epochs(EPOCHS).seed(3).record_steps()
}

const RECIPES: [(&str, Recipe); 5] = [
    ("plain", |_| base(Sgd::new(0.1))),
    ("cosine, validation", |sets| {
        base(Adam::new(0.01)).validation(&sets.test).schedule(Schedule::cosine(0.1).warm_up(3, 0.1))
    }),
    ("early stopping keeps the best", |sets| {
        // A rate so high that the first epochs are the best ones.
        let stopping = EarlyStopping::on_validation_loss().patience(2);
        base(Adam::new(0.3)).validation(&sets.test).early_stopping(stopping)
    }),
    ("accumulated, clipped, weighted", |sets| {
        let trainer = base(Momentum::new(0.1, 0.9)).accumulate(3).clip_norm(0.5).l2(0.01);
        trainer.sample_weights(&sets.weights).label_smoothing(0.1)
    }),
    ("plateau", |sets| {
        base(Adam::new(0.2)).validation(&sets.test).schedule(Schedule::plateau(0.5, 0))
    }),
];

/// Everything of a run that must not depend on interruptions: no seconds.
fn facts(net: &Mlp, history: &History) -> String {
    let epochs: Vec<_> = history
        .epochs
        .iter()
        .map(|e| (e.epoch, e.loss.to_bits(), e.validation.clone(), e.learning_rate.to_bits()))
        .collect();
    format!(
        "{:016x} {epochs:?} {:?} {} {} {:?} {:?}",
        net.digest(),
        history.step_records,
        history.steps,
        history.stopped(),
        history.stop_reason,
        history.best_epoch
    )
}
