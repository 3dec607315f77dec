//! Weights of samples, sums of gradients and batches of which nothing counts.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Error, Loss, MatRef, Mlp, Momentum, NormParameters, Schedule,
    Sgd, Trainer,
};

fn line() -> Mlp {
    let mut net = Mlp::builder(1).dense(1, Activation::Identity).build().unwrap();
    net.set_parameters(0, MatRef::new(&[0.0], 1, 1).unwrap(), &[0.0]).unwrap();
    net
}

fn values(x: Vec<f32>, y: Vec<f32>) -> Dataset {
    Dataset::from_f32(x, 1, Targets::Values { values: y, n_outputs: 1 }).unwrap()
}

/// b = 2 Σwy/Σw: of all four rows 5, whatever their batches.
#[test]
fn accumulated_weights_are_those_of_one_batch() {
    let data = [1.0, 1.0, 3.0, 3.0];
    for batch in [1, 2, 4] {
        let trainer = Trainer::new(Sgd::new(1.0)).batch_size(batch).accumulate(4 / batch);
        let mut net = line();
        let mut training = trainer.session_values(&mut net).unwrap();
        for rows in data.chunks(batch) {
            let x = vec![0.0; batch];
            let (x, y) = (MatRef::new(&x, batch, 1).unwrap(), MatRef::new(rows, batch, 1).unwrap());
            training.step_weighted(x, BatchTargets::Values(y), rows).unwrap();
        }
        drop(training);
        assert_eq!(net.biases(0).unwrap(), [5.0], "batches of {batch}");
        let mut net = line();
        let set = values(vec![0.0; 4], data.to_vec());
        trainer.sample_weights(&data).fit(&mut net, &set).unwrap();
        assert_eq!(net.biases(0).unwrap(), [5.0], "batches of {batch}");
    }
}

/// Σwℓ/Σw = (1·1 + 3·9) / 4.
#[test]
fn an_epochs_loss_is_the_weighted_mean() {
    let set = values(vec![0.0; 2], vec![1.0, 3.0]);
    for batch in [1, 2] {
        let mut trainer = Trainer::new(Sgd::new(0.0)).batch_size(batch).sample_weights(&[1.0, 3.0]);
        assert_eq!(trainer.fit(&mut line(), &set).unwrap().epochs[0].loss, 7.0);
        // The classes' weights count as well: ℓ = ln 2 for both, so the mean is ln 2.
        let labels = Targets::Classes { labels: vec![0, 1], n_classes: 2 };
        let set = Dataset::from_f32(vec![0.0; 2], 1, labels).unwrap();
        let mut net = Mlp::builder(1).dense(2, Activation::Softmax).build().unwrap();
        let zeros = MatRef::new(&[0.0, 0.0], 1, 2).unwrap();
        net.set_parameters(0, zeros, &[0.0, 3f32.ln()]).unwrap();
        // p = (1/4, 3/4): (5·ln 4 + 2·ln(4/3)) / 7
        let mut trainer = Trainer::new(Sgd::new(0.0)).batch_size(batch).class_weights([5.0, 2.0]);
        let got = trainer.fit(&mut net, &set).unwrap().epochs[0].loss;
        let want = (5.0 * 4f64.ln() + 2.0 * (4f64 / 3.0).ln()) / 7.0;
        assert!((got - want).abs() < 1e-6, "{got}, not {want}");
    }
}

/// A batch of which nothing counts is a step without an update: Adam's bias correction, the weights
/// and the running statistics are as if it had not been; it is one of the batches of a sum.
#[test]
fn a_batch_that_weighs_nothing_is_absent() {
    let build = || {
        let net = Mlp::builder(1).dense(3, Activation::Tanh).batch_norm();
        net.dense(1, Activation::Identity).seed(2).build().unwrap()
    };
    let (x, y) = ([0.5, -1.0, 2.0], [1.0, 0.0, -1.0]);
    let (x, y) = (MatRef::new(&x, 3, 1).unwrap(), MatRef::new(&y, 3, 1).unwrap());
    let y = BatchTargets::Values(y);
    let some = [1.0, 2.0, 0.5];
    for accumulate in [1, 2, 3] {
        let run = |weights: &[[f32; 3]], accumulate| {
            let trainer = Trainer::new(Adam::new(0.1)).batch_size(3).accumulate(accumulate);
            let mut net = build();
            let mut training = trainer.session_values(&mut net).unwrap();
            let losses: Vec<_> =
                weights.iter().map(|w| training.step_weighted(x, y, w).unwrap()).collect();
            assert_eq!(training.steps(), weights.len() as u64);
            training.flush().unwrap();
            drop(training);
            (net.digest(), losses)
        };
        let (with, losses) = run(&[[0.0; 3], some, some, [0.0; 3], some, some], accumulate);
        assert_eq!((losses[0], losses[3]), (0.0, 0.0));
        // Sums of 1: (s)(s)(s)(s). Of 2: (0 s)(s 0)(s s). Of 3: (0 s s)(0 s s).
        let want = match accumulate {
            1 => run(&[some; 4], 1).0,
            2 => {
                let trainer = Trainer::new(Adam::new(0.1)).batch_size(3).accumulate(2);
                let mut net = build();
                let mut training = trainer.session_values(&mut net).unwrap();
                for flushes in [true, true, false, true] {
                    training.step_weighted(x, y, &some).unwrap();
                    if flushes {
                        training.flush().unwrap();
                    }
                }
                drop(training);
                net.digest()
            }
            _ => run(&[some; 4], 2).0,
        };
        assert_eq!(with, want, "sums of {accumulate}");
        // Nothing at all changes nothing.
        assert_eq!(run(&[[0.0; 3]; 5], accumulate).0, build().digest());
    }
}

/// In a fit, whatever the seed puts together; a data set of which nothing counts is refused.
#[test]
fn a_fit_goes_on_over_batches_that_weigh_nothing() {
    let set = values(vec![1.0, 2.0, 3.0, 4.0], vec![1.0; 4]);
    for seed in 0..12 {
        let trainer = || Trainer::new(Momentum::new(0.01, 0.9)).batch_size(2).epochs(3).seed(seed);
        let mut net = line();
        let mut weighted = trainer().sample_weights(&[0.0, 1.0, 0.0, 0.0]);
        weighted = weighted.schedule(Schedule::cosine(0.1));
        let history = weighted.fit(&mut net, &set).unwrap();
        assert_eq!((history.steps, history.epochs.len()), (6, 3));
        // The loss is that of the one row alone, at the weights it was met with.
        assert_eq!(history.epochs[0].loss, 1.0);
        let refused = trainer().sample_weights(&[0.0; 4]).fit(&mut line(), &set);
        assert!(matches!(refused, Err(Error::Value { .. })));
    }
    let labels = Targets::Classes { labels: vec![0, 1, 0, 1], n_classes: 2 };
    let set = Dataset::from_f32(vec![1.0, 2.0, 3.0, 4.0], 1, labels).unwrap();
    for (seed, smoothing) in (0..12).zip([0.0, 0.1].into_iter().cycle()) {
        let mut net = Mlp::builder(1).dense(2, Activation::Softmax).seed(1).build().unwrap();
        let trainer = Trainer::new(Sgd::new(0.1)).class_weights([0.0, 1.0]).seed(seed);
        let mut trainer = trainer.batch_size(1).label_smoothing(smoothing);
        let history = trainer.fit(&mut net, &set).unwrap();
        assert!(history.epochs[0].loss.is_finite() && history.epochs[0].loss > 0.0);
    }
}

/// The running mean and variance.
fn running(net: &Mlp) -> [f32; 2] {
    let NormParameters { mean, variance, .. } = net.norm_parameters(0).unwrap().unwrap();
    [mean[0], variance[0]]
}

/// 33 rows in batches of 32: the one that is left has no variance to give. PyTorch refuses it.
#[test]
fn one_row_gives_no_statistics() {
    let build = || {
        let net = Mlp::builder(1).dense(1, Activation::Identity).batch_norm();
        let mut net = net.dense(1, Activation::Identity).build().unwrap();
        net.set_parameters(0, MatRef::new(&[1.0], 1, 1).unwrap(), &[0.0]).unwrap();
        net
    };
    let x: Vec<f32> = (0..33).map(|i| i as f32).collect();
    let set = values(x.clone(), vec![0.0; 33]);
    let mut net = build();
    Trainer::new(Sgd::new(0.0)).batch_size(32).epochs(300).fit(&mut net, &set).unwrap();
    let variance = running(&net)[1];
    // 33·34/12 = 93.5 of all rows, a little else of each 32 of them.
    assert!((variance - 93.5).abs() < 4.0, "{variance}");
    // Also where weights leave one row, and in sums of batches.
    for accumulate in [1, 2] {
        let mut net = build();
        let trainer = Trainer::new(Sgd::new(0.1)).batch_size(3).accumulate(accumulate);
        let mut training = trainer.session_values(&mut net).unwrap();
        let (x, y) = (MatRef::new(&x[..3], 3, 1).unwrap(), MatRef::new(&[1.0; 3], 3, 1).unwrap());
        training.step_weighted(x, BatchTargets::Values(y), &[0.0, 2.0, 0.0]).unwrap();
        let (x, y) = (x.row_range(0, 1), MatRef::new(&[1.0], 1, 1).unwrap());
        training.step(x, BatchTargets::Values(y)).unwrap();
        assert_eq!(running(training.network()), running(&build()));
        drop(training);
        // What stands above the norm learns.
        assert_ne!(net.digest(), build().digest());
    }
    let refused = Trainer::new(Sgd::new(0.1)).batch_size(1).session_values(&mut net).err();
    assert!(matches!(refused, Some(Error::Config { .. })), "{refused:?}");
}

/// A column of 1000.1 has no spread: ẑ = 0 and y = β, in training as in predicting.
#[test]
fn a_constant_column_is_normalised_to_nothing() {
    let net = Mlp::builder(1).dense(1, Activation::Identity).batch_norm();
    let mut net = net.dense(1, Activation::Identity).build().unwrap();
    for layer in 0..2 {
        net.set_parameters(layer, MatRef::new(&[1.0], 1, 1).unwrap(), &[0.0]).unwrap();
    }
    for rows in [2, 100, 256, 1000] {
        let (x, y) = (vec![1000.1; rows], vec![0.0; rows]);
        let (x, y) = (MatRef::new(&x, rows, 1).unwrap(), MatRef::new(&y, rows, 1).unwrap());
        let trainer = Trainer::new(Sgd::new(0.0)).batch_size(rows);
        let mut training = trainer.session_values(&mut net).unwrap();
        // The outputs are ẑ, so the loss is its mean square.
        assert_eq!(training.step(x, BatchTargets::Values(y)).unwrap(), 0.0, "{rows} rows");
    }
}

/// 1 − lr·λ has to stay above 0: for the largest rate of a schedule and for every rate of a session.
#[test]
fn decay_keeps_the_sign_of_weights() {
    let set = values(vec![1.0; 20], vec![1.0; 20]);
    let fit = |schedule: Schedule| {
        let trainer = Trainer::new(Sgd::new(0.1)).weight_decay(2.0).batch_size(2).epochs(3);
        trainer.schedule(schedule).fit(&mut line(), &set)
    };
    assert!(fit(Schedule::exponential(2.0)).is_ok()); // 0.4 · 2
    for rising in
        [Schedule::exponential(2.3), Schedule::step(1, 3.0), Schedule::step(9, 3.0).each_step()]
    {
        assert!(matches!(fit(rising), Err(Error::Config { .. })), "{rising:?}");
    }
    let adamw = deltarule::AdamW::new(0.1).weight_decay(2.0);
    for trainer in [Trainer::new(adamw), Trainer::new(Sgd::new(0.1)).weight_decay(2.0)] {
        let mut net = line();
        let mut training = trainer.session_values(&mut net).unwrap();
        training.set_learning_rate(0.49).unwrap();
        assert!(matches!(training.set_learning_rate(0.5), Err(Error::Config { .. })));
        assert_eq!(training.learning_rate(), 0.49);
        drop(training);
        let range = trainer.range_test(&net, &set, (0.1, 1.0), 5);
        assert!(matches!(range, Err(Error::Config { .. })));
    }
}

/// Validation is of the training loss, and so is `evaluate_with`.
#[test]
fn a_network_is_evaluated_with_the_loss_it_was_trained_with() {
    let set = values(vec![0.0, 1.0, 2.0], vec![0.5, 1.0, -1.0]);
    let losses =
        [Loss::MeanAbsolute, Loss::Huber { delta: 0.5 }, Loss::Quadratic, Loss::MeanSquared];
    // At w = b = 0: means of |y|, of ½·¼ and ½(|y| − ¼), of ½y² and of y².
    let want = [2.5 / 3.0, (0.125 + 0.375 + 0.375) / 3.0, 1.125 / 3.0, 2.25 / 3.0];
    for (loss, want) in losses.into_iter().zip(want) {
        let mut net = line();
        let got = net.evaluate_with(&set, loss.clone()).unwrap().loss;
        assert!((got - want).abs() < 1e-12, "{loss}: {got}, not {want}");
        let mut trainer = Trainer::new(Sgd::new(0.05)).loss(loss.clone()).validation(&set);
        let history = trainer.fit(&mut net, &set).unwrap();
        let validation = history.epochs[0].validation.as_ref().unwrap().loss;
        assert_eq!(net.evaluate_with(&set, loss).unwrap().loss, validation);
    }
    assert_eq!(
        line().evaluate(&set).unwrap(),
        line().evaluate_with(&set, Loss::MeanSquared).unwrap()
    );
    for misfit in [Loss::CrossEntropy, Loss::BinaryCrossEntropy, Loss::Huber { delta: -1.0 }] {
        assert!(matches!(line().evaluate_with(&set, misfit), Err(Error::Config { .. })));
    }
}
