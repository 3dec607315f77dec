//! Stop and go on = run through: random networks, data, options and seeds, stopped at random steps
//! and epochs, as often as it comes, with other threads each time.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, CheckpointInterval, EarlyStopping, History, Lion, Mlp, Momentum, Optimizer,
    RmsProp, Schedule, Sgd, Threads, Trainer,
};
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of a run.
#[derive(Clone, Debug)]
struct Options {
    optimizer: usize,
    rows: usize,
    batch_size: usize,
    epochs: usize,
    seed: u64,
    accumulate: usize,
    schedule: usize,
    stopping: usize,
    adjustment: usize,
    layers: usize,
    is_weighted: bool,
    is_bytes: bool,
    is_regression: bool,
    records: bool,
}

fn options() -> impl Strategy<Value = Options> {
    let counts = (0usize..5, 8usize..50, 2usize..20, 1usize..6, any::<u64>(), 1usize..4);
    let kinds = (0usize..5, 0usize..4, 0usize..4, 0usize..4);
    (counts, kinds, any::<[bool; 4]>()).prop_map(|(counts, kinds, flags)| {
        let (optimizer, rows, batch_size, epochs, seed, accumulate) = counts;
        let (schedule, stopping, adjustment, layers) = kinds;
        let [is_weighted, is_bytes, is_regression, records] = flags;
        // Batch norm wants two rows a batch.
        let rows = if rows % batch_size == 1 { rows + 1 } else { rows };
        Options {
            optimizer,
            rows,
            batch_size,
            epochs,
            seed,
            accumulate,
            schedule,
            stopping,
            adjustment,
            layers,
            is_weighted,
            is_bytes,
            is_regression,
            records,
        }
    })
}

const FEATURES: usize = 5;
const OUTPUTS: usize = 3;

/// Numbers from a counter: the same in every process.
fn number(i: usize) -> usize {
    i.wrapping_mul(0x9e37_79b9).rotate_right(11) ^ (i >> 3)
}

impl Options {
    fn data(&self, rows: usize) -> Dataset {
        let targets = match self.is_regression {
            true => {
                let values = (0..rows * OUTPUTS).map(|i| (number(i) % 101) as f32 / 50.0 - 1.0);
                Targets::Values { values: values.collect(), n_outputs: OUTPUTS }
            }
            false => {
                let labels = (0..rows).map(|i| (number(i) % OUTPUTS) as u32).collect();
                Targets::Classes { labels, n_classes: OUTPUTS }
            }
        };
        let features = (0..rows * FEATURES).map(|i| number(i + 77) as u8);
        match self.is_bytes {
            true => {
                let bytes = Dataset::from_u8(features.collect(), FEATURES, targets).unwrap();
                bytes.with_scale(0.02, -2.0).unwrap()
            }
            false => {
                let features = features.map(|x| f32::from(x) / 128.0 - 1.0).collect();
                Dataset::from_f32(features, FEATURES, targets).unwrap()
            }
        }
    }

    fn net(&self, seed: u64) -> Mlp {
        let net = Mlp::builder(FEATURES).dense(17, Activation::Tanh);
        let net = match self.layers {
            0 => net,
            1 => net.batch_norm().dropout(0.25),
            2 => net.layer_norm().affine().maxout(9, 2),
            _ => net.dense(17, Activation::Gelu).residual(1).dropout(0.5),
        };
        let output = if self.is_regression { Activation::Identity } else { Activation::Softmax };
        net.dense(OUTPUTS, output).seed(seed).build().unwrap()
    }

    fn trainer<'a>(&self, validation: &'a Dataset, weights: &'a [f32]) -> Trainer<'a> {
        let optimizer: Optimizer = match self.optimizer {
            0 => Sgd::new(0.05).into(),
            1 => Momentum::new(0.02, 0.9).into(),
            2 => Adam::new(0.01).into(),
            3 => RmsProp::new(0.01).into(),
            _ => Lion::new(0.003).into(),
        };
        let mut trainer = Trainer::new(optimizer)
            .batch_size(self.batch_size)
            .epochs(self.epochs)
            .seed(self.seed)
            .accumulate(self.accumulate);
        trainer = match self.schedule {
            0 => trainer.schedule(Schedule::cosine(0.1)),
            1 => trainer.schedule(Schedule::step(1, 0.7)),
            2 => trainer.schedule(Schedule::plateau(0.5, 0)),
            // Up and down from four steps on.
            3 if self.epochs * self.rows.div_ceil(self.batch_size) > 3 => {
                trainer.schedule(Schedule::one_cycle())
            }
            _ => trainer,
        };
        trainer = match self.stopping {
            0 => trainer.early_stopping(EarlyStopping::on_training_loss().patience(1)),
            1 => trainer
                .validation(validation)
                .early_stopping(EarlyStopping::on_validation_loss().patience(1)),
            2 => trainer.validation(validation),
            _ => trainer,
        };
        trainer = match self.adjustment {
            0 => trainer.clip_norm(0.3),
            1 => trainer.l2(0.01).max_norm(0.8),
            2 => trainer.weight_decay(0.01).clip_value(0.1),
            _ => trainer,
        };
        if self.is_weighted {
            trainer = trainer.sample_weights(weights);
        }
        if self.records { trainer.record_steps() } else { trainer }
    }
}

/// Everything of a run but its seconds.
fn facts(net: &Mlp, history: &History) -> String {
    let epochs: Vec<_> = history
        .epochs
        .iter()
        .map(|e| {
            let validation = e.validation.as_ref().map(|v| (v.loss.to_bits(), v.accuracy));
            (e.epoch, e.loss.to_bits(), validation, e.learning_rate.to_bits())
        })
        .collect();
    let History { steps, stop_reason, best_epoch, .. } = history;
    let stopped = history.stopped();
    let records = &history.step_records;
    format!(
        "{:016x} {epochs:?} {records:?} {steps} {stopped} {stop_reason:?} {best_epoch:?}",
        net.digest()
    )
}

/// Where a run is stopped: after how many steps of its own, or in the callback of its next epoch.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Steps(usize),
    Epoch,
    Dropped,
}

fn stops() -> impl Strategy<Value = Vec<(Stop, usize)>> {
    let stop = prop_oneof![
        4 => (1usize..40).prop_map(Stop::Steps),
        1 => Just(Stop::Epoch),
        1 => Just(Stop::Dropped),
    ];
    prop::collection::vec((stop, 0usize..3), 1..5)
}

struct File(PathBuf);

impl File {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        File(std::env::temp_dir().join(format!("deltarule-runs-{}-{n}", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

proptest! {
    // 60 cases: a few seconds; a fault of one option in five is missed once in 10^5 runs.
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stopping_and_going_on_is_running_through(options in options(), stops in stops()) {
        let (train, test) = (options.data(options.rows), options.data(11));
        let weights: Vec<f32> = (0..options.rows).map(|i| 0.5 + (i % 4) as f32).collect();
        let mut net = options.net(1);
        let mut trainer = options.trainer(&test, &weights).threads(Threads::One);
        let history = trainer.fit(&mut net, &train).unwrap();
        let want = facts(&net, &history);

        let file = File::new();
        let threads = [Threads::One, Threads::N(2), Threads::N(3)];
        let mut is_first = true;
        for (stop, n) in stops {
            let mut seen = 0;
            let end = |is_end: bool| if is_end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            // Only the first run has the network's own parameters.
            let mut part = options.net(if is_first { 1 } else { 99 });
            let mut trainer = options
                .trainer(&test, &weights)
                .threads(threads[n])
                .checkpoint(&file.0, CheckpointInterval::Epochs(1))
                .on_step(|_| {
                    seen += 1;
                    end(matches!(stop, Stop::Steps(steps) if steps == seen))
                })
                .on_epoch(|_| end(matches!(stop, Stop::Epoch)));
            if !is_first {
                trainer = trainer.resume(&file.0);
            }
            match stop {
                Stop::Steps(_) | Stop::Epoch => drop(trainer.fit(&mut part, &train).unwrap()),
                Stop::Dropped => {
                    let mut run = trainer.run(&mut part, &train).unwrap();
                    run.next().transpose().unwrap();
                }
            }
            is_first = false;
        }
        let mut rest = options.net(99);
        let mut trainer = options.trainer(&test, &weights).resume(&file.0);
        let history = trainer.fit(&mut rest, &train).unwrap();
        prop_assert_eq!(facts(&rest, &history), want);
    }

    /// A session's portions in the order of an epoch are that epoch.
    #[test]
    fn portions_are_an_epoch(options in options()) {
        let options = Options { schedule: 9, stopping: 9, is_weighted: false, epochs: 1, ..options };
        let train = options.data(options.rows);
        for level in deltarule::Level::available() {
            let (mut fitted, mut portions) = (options.net(1).with_level(level), options.net(1).with_level(level));
            let history = options.trainer(&train, &[]).fit(&mut fitted, &train).unwrap();
            let mut order = vec![0; options.rows];
            deltarule::data::shuffled(options.seed, 1, &mut order);
            let order: Vec<usize> = order.into_iter().map(|i| i as usize).collect();
            let ordered = train.select(&order).unwrap();
            let trainer = options.trainer(&train, &[]);
            let mut training = match options.is_regression {
                true => trainer.session_values(&mut portions).unwrap(),
                false => trainer.session(&mut portions).unwrap(),
            };
            let loss = training.partial_fit(&ordered).unwrap();
            training.flush().unwrap();
            drop(training);
            prop_assert_eq!(loss.to_bits(), history.epochs[0].loss.to_bits());
            prop_assert_eq!(portions.digest(), fitted.digest(), "{}", level.name());
        }
    }
}

/// The same where the work is cut into many tiles and blocks, with the samples of the data set as
/// rows of the caller's own, and with a batch size beyond the data set.
#[test]
fn portions_of_a_larger_network_are_an_epoch() {
    let rows = 300;
    let value = |i: usize| number(i) as u8;
    let labels = || (0..rows).map(|i| (number(i) % 10) as u32).collect::<Vec<_>>();
    let targets = || Targets::Classes { labels: labels(), n_classes: 10 };
    let bytes = Dataset::from_u8((0..rows * 90).map(value).collect(), 90, targets()).unwrap();
    let bytes = bytes.with_scale(1.0 / 128.0, -1.0).unwrap();
    let floats = Dataset::from_f32(bytes.matrix().into_vec(), 90, targets()).unwrap();
    for level in deltarule::Level::available() {
        let net = || {
            let net = Mlp::builder(90).dense(200, Activation::Relu).dense(10, Activation::Softmax);
            net.seed(1).level(level).build().unwrap()
        };
        for batch_size in [64, 1000] {
            for data in [&bytes, &floats] {
                let trainer = || Trainer::new(Adam::new(0.01)).batch_size(batch_size).seed(3);
                let (mut fitted, mut portions, mut own) = (net(), net(), net());
                trainer().fit(&mut fitted, data).unwrap();
                let mut order = vec![0; rows];
                deltarule::data::shuffled(3, 1, &mut order);
                let order: Vec<usize> = order.into_iter().map(|i| i as usize).collect();
                let ordered = data.select(&order).unwrap();
                trainer().session(&mut portions).unwrap().partial_fit(&ordered).unwrap();
                let what = format!("{}, batches of {batch_size}", level.name());
                assert_eq!(portions.digest(), fitted.digest(), "{what}");
                let mut training = trainer().session(&mut own).unwrap();
                let x = ordered.matrix();
                let Targets::Classes { labels, .. } = ordered.targets() else { unreachable!() };
                for first in (0..rows).step_by(batch_size) {
                    let end = rows.min(first + batch_size);
                    let targets = deltarule::BatchTargets::Classes(&labels[first..end]);
                    training.step(x.view().row_range(first, end), targets).unwrap();
                }
                drop(training);
                assert_eq!(own.digest(), fitted.digest(), "{what}, by steps");
            }
        }
    }
}
