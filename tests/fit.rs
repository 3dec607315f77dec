//! What `fit` does around the steps.

use deltarule::data::{self, Dataset};
use deltarule::{
    Activation, Adam, Cancel, Control, EarlyStopping, Ending, Mlp, Schedule, Sgd, Trainer,
};

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

#[test]
fn early_stopping_gives_the_best_weights_back() {
    let (train, test) = digits();
    let mut best = net();
    let stopping = EarlyStopping::on_loss().patience(3);
    let mut trainer = Trainer::new(Adam::new(0.02)).epochs(300).validate(&test);
    trainer = trainer.early_stopping(stopping);
    let history = trainer.fit(&mut best, &train).unwrap();
    assert!(history.stopped && history.ending == Ending::EarlyStopping);
    let losses: Vec<f64> =
        history.epochs.iter().map(|e| e.validation.as_ref().unwrap().loss).collect();
    let smallest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let epoch = losses.iter().position(|&l| l == smallest).unwrap() + 1;
    assert_eq!(history.best_epoch, Some(epoch));
    assert_eq!(history.epochs.len(), epoch + 3);
    assert_eq!(best.evaluate(&test).unwrap().loss, smallest);
    // The same as a run that ends there.
    let mut short = net();
    Trainer::new(Adam::new(0.02)).epochs(epoch).fit(&mut short, &train).unwrap();
    assert_eq!(short.digest(), best.digest());
    // On a number of one's own: the epoch with the largest.
    let stopping = EarlyStopping::on_largest(|e| if e.epoch == 2 { 1.0 } else { 0.0 }).patience(2);
    let mut second = net();
    let mut trainer = Trainer::new(Adam::new(0.02)).epochs(300).early_stopping(stopping);
    let history = trainer.fit(&mut second, &train).unwrap();
    assert_eq!((history.best_epoch, history.epochs.len()), (Some(2), 4));
    let mut two = net();
    Trainer::new(Adam::new(0.02)).epochs(2).fit(&mut two, &train).unwrap();
    assert_eq!(second.digest(), two.digest());
    // Nothing to watch.
    let stopping = EarlyStopping::on_accuracy();
    assert!(Trainer::new(Adam::new(0.1)).early_stopping(stopping).fit(&mut net(), &train).is_err());
}

#[test]
fn another_thread_cancels_within_a_step() {
    let (train, _) = digits();
    let cancel = Cancel::new();
    let (mut net, before) = (net(), net().digest());
    // Cancelled during step 7: there is no step 8.
    let handle = cancel.clone();
    let mut seen = 0;
    let mut trainer = Trainer::new(Sgd::new(0.1)).epochs(1000).cancel(&cancel).on_step(|_| {
        seen += 1;
        if seen == 7 {
            let handle = handle.clone();
            std::thread::spawn(move || handle.cancel()).join().unwrap();
        }
        Control::Continue
    });
    let history = trainer.fit(&mut net, &train).unwrap();
    drop(trainer);
    assert_eq!((seen, history.steps, history.ending), (7, 7, Ending::Cancelled));
    assert_ne!(net.digest(), before);
    // Cancelled before it began.
    let history = Trainer::new(Sgd::new(0.1)).cancel(&cancel).fit(&mut net, &train).unwrap();
    assert_eq!((history.steps, history.stopped), (0, true));
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
        .validate(&test)
        .schedule(schedule)
        .record_steps()
        .on_step(|p| {
            seen.push(p.learning_rate);
            Control::Continue
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
    assert!(trainer().schedule(Schedule::one_cycle()).start(&mut net).is_err());
    assert_eq!(net.digest(), before);
    trainer().schedule(Schedule::cosine(0.0).over(42)).fit(&mut net, &train).unwrap();
}

#[test]
fn the_iterator_is_fit() {
    let (train, test) = digits();
    let (mut a, mut b) = (net(), net());
    let trainer = || Trainer::new(Adam::new(0.01)).epochs(4).validate(&test);
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
    let mut training = trainer.start(&mut streamed).unwrap();
    for portion in 0..7 {
        let rows: Vec<usize> = (portion * 200..(portion + 1) * 200).collect();
        training.partial_fit(&train.select(&rows).unwrap()).unwrap();
    }
    assert_eq!(training.steps(), 28);
    drop(training);
    assert!(streamed.evaluate(&test).unwrap().accuracy.unwrap() > 0.6);
    let mut whole = net();
    let mut training = trainer.start(&mut whole).unwrap();
    training.partial_fit(&train).unwrap();
    drop(training);
    assert_eq!(whole.digest(), streamed.digest());
}

#[test]
fn the_range_test_finds_where_it_learns_and_where_it_breaks() {
    let (train, _) = digits();
    let net = net();
    let before = net.digest();
    let range = Trainer::new(Sgd::new(0.1)).rate_range(&net, &train, (1e-6, 1e3), 100).unwrap();
    assert_eq!(net.digest(), before);
    assert!(range.rates.len() < 100, "it does not break at 1000");
    let steepest = range.steepest().unwrap();
    assert!((1e-4..1.0).contains(&steepest), "{steepest}");
    assert!(Trainer::new(Sgd::new(0.1)).rate_range(&net, &train, (1.0, 1.0), 100).is_err());
}
