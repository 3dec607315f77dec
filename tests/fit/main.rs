//! What `fit` does around the steps.

mod stops;

use deltarule::data::{self, Dataset, Targets};
use deltarule::{
    Activation, Adam, Cancel, EarlyStopping, Error, Mlp, Momentum, Schedule, Sgd, StopReason,
    Trainer,
};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

fn digits() -> (Dataset, Dataset) {
    data::digits().split_at(1400).unwrap()
}

fn net() -> Mlp {
    Mlp::builder(64)
        .dense(24, Activation::Relu)
        .dense(10, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap()
}

/// One input, one output, y = 2x.
fn line() -> (Mlp, Dataset) {
    let x: Vec<f32> = (0..64).map(|i| i as f32 / 32.0 - 1.0).collect();
    let targets = Targets::Values { values: x.iter().map(|x| 2.0 * x).collect(), n_outputs: 1 };
    let net = Mlp::builder(1).dense(1, Activation::Identity).seed(3).build().unwrap();
    (net, Dataset::from_f32(x, 1, targets).unwrap())
}

/// Numbers that nobody counts to.
#[test]
fn counts_may_be_as_large_as_they_like() {
    let (start, data) = line();
    let stop = |e: &deltarule::Epoch| match e.epoch {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    for n in [usize::MAX, usize::MAX / 2, usize::MAX / 8 + 1, 1 << 61] {
        let schedules = [
            Schedule::cosine(0.1),
            Schedule::cosine(0.1).warm_up(2, 0.5),
            Schedule::one_cycle(),
            Schedule::step(n as u64, 0.5).each_step(),
            Schedule::exponential(0.99).each_step(),
            Schedule::plateau(0.5, n),
            Schedule::cosine(0.1).each_epoch(),
        ];
        for schedule in schedules {
            let mut net = start.clone();
            let mut trainer = Trainer::new(Momentum::new(0.01, 0.5))
                .epochs(n)
                .batch_size(8)
                .schedule(schedule)
                .validation(&data)
                .early_stopping(EarlyStopping::on_validation_loss().patience(n))
                .on_epoch(stop);
            let history = trainer.fit(&mut net, &data).unwrap();
            drop(trainer);
            assert_eq!(history.epochs.len(), 3);
            let rate = history.epochs[2].learning_rate;
            assert!(rate > 0.0 && rate <= 0.01, "{schedule:?} over {n}: {rate}");
            assert_ne!(net.digest(), start.digest());
        }
        // A batch of everything, and an update at the end of each epoch.
        let (mut net, mut same) = (start.clone(), start.clone());
        let trainer = || Trainer::new(Sgd::new(0.01)).epochs(2);
        trainer().batch_size(n).accumulate(n).fit(&mut net, &data).unwrap();
        trainer().batch_size(64).accumulate(2).fit(&mut same, &data).unwrap();
        assert_eq!(net.digest(), same.digest());
        let over = Schedule::cosine(0.1).over(n as u64).warm_up(n as u64, 0.5);
        assert!(trainer().schedule(over).fit(&mut net, &data).is_err());
    }
}

#[test]
fn callbacks_and_records_see_the_rates() {
    let (train, test) = digits();
    let mut net = net();
    let schedule = Schedule::cosine(0.0).warm_up(10, 0.1);
    let mut seen = Vec::new();
    let mut trainer = Trainer::new(Sgd::new(0.2))
        .batch_size(100)
        .epochs(3)
        .validation(&test)
        .schedule(schedule)
        .record_steps()
        .on_step(|p| {
            seen.push(p.learning_rate);
            ControlFlow::Continue(())
        });
    let history = trainer.fit(&mut net, &train).unwrap();
    drop(trainer);
    let want: Vec<f32> = (0..42).map(|t| schedule.over(32).rate(0.2, t)).collect();
    assert_eq!(seen, want);
    let records: Vec<f32> = history.step_records.iter().map(|s| s.learning_rate).collect();
    assert_eq!(records, want);
    assert_eq!(history.step_records[30].epoch, 3);
    assert_eq!(history.epochs[2].learning_rate, want[41]);

    let csv = history.to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    let loss: f64 = lines[1].split(',').nth(1).unwrap().parse().unwrap();
    assert_eq!(loss, history.epochs[0].loss);
    for (line, epoch) in history.to_json_lines().lines().zip(&history.epochs) {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["epoch"], epoch.epoch);
        assert_eq!(
            json["validation_accuracy"],
            epoch.validation.as_ref().unwrap().accuracy.unwrap()
        );
    }
    assert_eq!(history.steps_to_csv().lines().count(), 43);
}

#[test]
fn a_schedule_longer_than_the_run_is_refused() {
    let (train, _) = digits();
    let mut net = net();
    let before = net.digest();
    let trainer = || Trainer::new(Sgd::new(0.2)).batch_size(100).epochs(3);
    assert!(trainer().schedule(Schedule::cosine(0.0).over(43)).fit(&mut net, &train).is_err());
    assert!(trainer().schedule(Schedule::one_cycle()).session(&mut net).is_err());
    assert_eq!(net.digest(), before);
    trainer().schedule(Schedule::cosine(0.0).over(42)).fit(&mut net, &train).unwrap();
}

#[test]
fn the_iterator_is_fit() {
    let (train, test) = digits();
    let (mut a, mut b) = (net(), net());
    let trainer = || Trainer::new(Adam::new(0.01)).epochs(4).validation(&test);
    let history = trainer().fit(&mut a, &train).unwrap();
    let mut trainer = trainer();
    let mut run = trainer.run(&mut b, &train).unwrap();
    let losses: Vec<f64> = run.by_ref().map(|e| e.unwrap().loss).collect();
    assert_eq!(run.finish().steps, history.steps);
    assert_eq!(losses, history.epochs.iter().map(|e| e.loss).collect::<Vec<_>>());
    assert_eq!(a.digest(), b.digest());
}

/// Portions of a stream are the steps of a session.
#[test]
fn a_stream_is_learned_in_portions() {
    let (train, test) = digits();
    let mut streamed = net();
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(50);
    let mut training = trainer.session(&mut streamed).unwrap();
    for portion in 0..7 {
        let rows: Vec<usize> = (portion * 200..(portion + 1) * 200).collect();
        training.partial_fit(&train.select(&rows).unwrap()).unwrap();
    }
    assert_eq!(training.steps(), 28);
    drop(training);
    assert!(streamed.evaluate(&test).unwrap().accuracy.unwrap() > 0.6);
    let mut whole = net();
    let mut training = trainer.session(&mut whole).unwrap();
    training.partial_fit(&train).unwrap();
    drop(training);
    assert_eq!(whole.digest(), streamed.digest());
}

#[test]
fn the_range_test_finds_where_it_learns_and_where_it_breaks() {
    let (train, _) = digits();
    let net = net();
    let before = net.digest();
    let range = Trainer::new(Sgd::new(0.1)).range_test(&net, &train, (1e-6, 1e3), 100).unwrap();
    assert_eq!(net.digest(), before);
    assert!(range.rates.len() < 100, "it does not break at 1000");
    let steepest = range.steepest().unwrap();
    assert!((1e-4..1.0).contains(&steepest), "{steepest}");
    assert!(Trainer::new(Sgd::new(0.1)).range_test(&net, &train, (1.0, 1.0), 100).is_err());
}
