//! Runs that end early: by early stopping, cancelled, broken off, failed or dropped.

use super::*;

#[test]
fn early_stopping_gives_the_best_weights_back() {
    let (train, test) = digits();
    let mut best = net();
    let stopping = EarlyStopping::on_validation_loss().patience(3);
    let mut trainer = Trainer::new(Adam::new(0.02)).epochs(300).validation(&test);
    trainer = trainer.early_stopping(stopping);
    let history = trainer.fit(&mut best, &train).unwrap();
    assert!(history.stopped() && history.stop_reason == StopReason::EarlyStopping);
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
    let stopping = EarlyStopping::on_validation_accuracy();
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
        ControlFlow::Continue(())
    });
    let history = trainer.fit(&mut net, &train).unwrap();
    drop(trainer);
    assert_eq!((seen, history.steps, history.stop_reason), (7, 7, StopReason::Cancelled));
    assert_ne!(net.digest(), before);
    // Cancelled before it began.
    let history = Trainer::new(Sgd::new(0.1)).cancel(&cancel).fit(&mut net, &train).unwrap();
    assert_eq!((history.steps, history.stopped()), (0, true));
    assert!(history.epochs.is_empty());
}

/// An epoch that was stopped in its middle, or before its first step, is none: no callback sees it,
/// early stopping does not take it for the best, and the history does not have it.
#[test]
fn an_unfinished_epoch_is_none() {
    let (train, test) = digits();
    let steps = train.len().div_ceil(32);
    for stop in [2 * steps, 2 * steps + 1, 3 * steps - 1, 3 * steps] {
        let finished = stop / steps;
        for by_cancel in [false, true] {
            let cancel = Cancel::new();
            let (mut seen, epochs, watched) = (0, AtomicUsize::new(0), AtomicUsize::new(0));
            // The later an epoch, the better; a loss of 0 would be the best of all.
            let stopping = EarlyStopping::on_smallest(|e| {
                watched.fetch_add(1, Ordering::Relaxed);
                e.loss
            });
            let mut net = net();
            let mut trainer = Trainer::new(Adam::new(0.003))
                .epochs(10)
                .validation(&test)
                .early_stopping(stopping)
                .cancel(&cancel)
                .record_steps()
                .on_step(|_| {
                    seen += 1;
                    match seen == stop {
                        true if by_cancel => cancel.cancel(),
                        true => return ControlFlow::Break(()),
                        false => {}
                    }
                    ControlFlow::Continue(())
                })
                .on_epoch(|_| {
                    epochs.fetch_add(1, Ordering::Relaxed);
                    ControlFlow::Continue(())
                });
            let history = trainer.fit(&mut net, &train).unwrap();
            drop(trainer);
            let what = format!("stopped at step {stop}, by cancelling {by_cancel}");
            let ending = if by_cancel { StopReason::Cancelled } else { StopReason::Callback };
            assert_eq!((history.stopped(), history.stop_reason), (true, ending), "{what}");
            assert_eq!((history.steps, history.step_records.len()), (stop as u64, stop), "{what}");
            assert_eq!(history.epochs.len(), finished, "{what}");
            let calls = [&epochs, &watched].map(|n| n.load(Ordering::Relaxed));
            assert_eq!(calls, [finished; 2], "{what}");
            assert!(history.epochs.iter().all(|e| e.loss > 0.0 && e.validation.is_some()));
            // The best epoch's weights.
            assert_eq!(history.best_epoch, Some(finished), "{what}");
            let mut whole = self::net();
            Trainer::new(Adam::new(0.003)).epochs(finished).fit(&mut whole, &train).unwrap();
            assert_eq!(net.digest(), whole.digest(), "{what}");
        }
    }
    // The iterator ends there, too.
    let cancel = Cancel::new();
    let (mut net, mut trainer) = (net(), Trainer::new(Sgd::new(0.1)).epochs(9).cancel(&cancel));
    let mut run = trainer.run(&mut net, &train).unwrap();
    assert_eq!(run.next().unwrap().unwrap().epoch, 1);
    cancel.cancel();
    assert!(run.next().is_none() && run.next().is_none());
    assert_eq!(run.finish().epochs.len(), 1);
}

#[test]
fn early_stopping_without_its_number_is_refused_before_any_work() {
    let (train, test) = digits();
    let values = |data: &Dataset| {
        let targets = Targets::Values { values: vec![0.5; 10 * data.len()], n_outputs: 10 };
        data.clone().with_targets(targets).unwrap()
    };
    let (train, test) = (values(&train), values(&test));
    let mut net = Mlp::builder(64).dense(10, Activation::Sigmoid).build().unwrap();
    let before = net.digest();
    let mut trainer = Trainer::new(Sgd::new(0.1))
        .validation(&test)
        .early_stopping(EarlyStopping::on_validation_accuracy())
        .on_step(|_| unreachable!("refused before any work"));
    let Err(Error::Config { option, reason }) = trainer.fit(&mut net, &train) else { panic!() };
    assert_eq!((option.as_str(), reason.contains("accuracy")), ("early stopping", true));
    drop(trainer);
    assert_eq!(net.digest(), before);
    let stopping = EarlyStopping::on_validation_loss();
    let mut trainer = Trainer::new(Sgd::new(0.1)).validation(&test).early_stopping(stopping);
    trainer.fit(&mut net, &train).unwrap();
}
/// A rate that grows by 30 an epoch: the loss falls at first, and later the weights overflow.
#[test]
fn a_run_that_blows_up_late_keeps_its_best_weights_and_its_history() {
    let (start, data) = line();
    let trainer = || {
        let schedule = Schedule::exponential(30.0);
        Trainer::new(Sgd::new(0.01)).epochs(12).batch_size(8).schedule(schedule).record_steps()
    };
    let mut last = start.clone();
    let mut plain = trainer();
    assert!(plain.history().epochs.is_empty());
    let error = plain.fit(&mut last, &data).unwrap_err();
    let Error::NonFinite { epoch, step, .. } = error else { panic!("{error}") };
    assert!(epoch > 2, "{error}");
    let check = |trainer: &Trainer| {
        let history = trainer.history();
        assert_eq!((history.stopped(), history.stop_reason), (true, StopReason::Failed));
        assert_eq!(history.epochs.len(), epoch - 1);
        assert_eq!((history.steps, history.step_records.len() as u64), (step - 1, step - 1));
    };
    check(&plain);
    assert_eq!(plain.history().best_epoch, None);
    // Without early stopping: as it was after the last good step.
    assert!(last.predict(data.matrix().view()).is_ok());
    let mut model = Vec::new();
    last.write_to(&mut model).unwrap();
    // With it: as it was after the best epoch.
    let mut best = start.clone();
    let mut stopping = trainer().early_stopping(EarlyStopping::on_training_loss().patience(100));
    assert_eq!(stopping.fit(&mut best, &data).unwrap_err().to_string(), error.to_string());
    check(&stopping);
    let losses: Vec<f64> = stopping.history().epochs.iter().map(|e| e.loss).collect();
    let smallest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|&loss| loss == smallest).unwrap() + 1;
    assert_eq!(stopping.history().best_epoch, Some(at));
    assert!(at < epoch - 1, "the best of {losses:?}");
    let mut short = start.clone();
    let stop = |e: &_| match *e {
        deltarule::Epoch { epoch, .. } if epoch == at => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    trainer().on_epoch(stop).fit(&mut short, &data).unwrap();
    assert_eq!(best.digest(), short.digest());
    // The iterator: an error, and then the same.
    let mut own = start.clone();
    let mut run = stopping.run(&mut own, &data).unwrap();
    assert_eq!(run.by_ref().filter(|epoch| epoch.is_ok()).count(), epoch - 1);
    assert_eq!(run.history().stop_reason, StopReason::Failed);
    let history = run.finish();
    assert_eq!((history.best_epoch, own.digest()), (Some(at), best.digest()));
    // A run that is refused has no history.
    let mut refused = trainer().epochs(1).schedule(Schedule::cosine(0.0).over(1000));
    assert!(refused.fit(&mut own, &data).is_err());
    assert!(refused.history().epochs.is_empty() && !refused.history().stopped());
}

#[test]
fn a_run_that_is_dropped_leaves_the_best_weights() {
    let (train, test) = digits();
    let trainer = || {
        let value = |e: &deltarule::Epoch| f64::from(u8::from(e.epoch == 2));
        let stopping = EarlyStopping::on_largest(value).patience(100);
        Trainer::new(Adam::new(0.01)).epochs(20).validation(&test).early_stopping(stopping)
    };
    let (mut finished, mut dropped) = (net(), net());
    let mut first = trainer();
    let mut run = first.run(&mut finished, &train).unwrap();
    run.by_ref().take(5).for_each(|epoch| drop(epoch.unwrap()));
    let last = run.network().digest();
    let history = run.finish();
    assert_eq!(first.history().to_csv(), history.to_csv());
    let mut second = trainer();
    let mut run = second.run(&mut dropped, &train).unwrap();
    run.by_ref().take(5).for_each(|epoch| drop(epoch.unwrap()));
    drop(run);
    assert_eq!(dropped.digest(), finished.digest());
    assert_ne!(dropped.digest(), last);
    assert_eq!((history.best_epoch, second.history().best_epoch), (Some(2), Some(2)));
    let loss = history.epochs[1].validation.as_ref().unwrap().loss;
    assert_eq!(dropped.evaluate(&test).unwrap().loss, loss);
    // As by a panic of a callback.
    let mut panicked = net();
    let mut third = trainer().on_epoch(|e| match e.epoch {
        6 => panic!("planted"),
        _ => ControlFlow::Continue(()),
    });
    let run = std::panic::AssertUnwindSafe(|| third.fit(&mut panicked, &train));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(panicked.digest(), finished.digest());
}
