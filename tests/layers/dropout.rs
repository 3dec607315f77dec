//! What dropout drops, and by what it scales the rest.

use crate::support::Data;
use deltarule::{Activation, BatchTargets, MatRef, Mlp, Sgd, Trainer};

/// Dropout's own definition, read off from one step of gradient descent: with hidden values
/// h = x (identity weights) the gradient of the output weights is hᵀ·d, so a row of it is zero
/// where the value was dropped, and 1/(1 − p) times the undropped gradient where it was not.
#[test]
fn dropout_drops_scales_and_depends_on_seed_step_and_row() {
    let n = 200;
    let identity: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
    let weights = Data::new(1).f32s(n * 10);
    let build = |rate: f32| {
        let mut net = Mlp::builder(n)
            .dense(n, Activation::Identity)
            .dropout(rate)
            .dense(10, Activation::Identity)
            .build()
            .unwrap();
        net.set_parameters(0, MatRef::new(&identity, n, n).unwrap(), &vec![0.0; n]).unwrap();
        net.set_parameters(1, MatRef::new(&weights, n, 10).unwrap(), &[0.0; 10]).unwrap();
        net
    };
    // Which values were dropped in a step: those whose output weights did not move.
    let dropped = |rate: f32, seed: u64, steps: u64| -> Vec<bool> {
        let mut net = build(rate);
        let trainer = Trainer::new(Sgd::new(0.0)).seed(seed).batch_size(1);
        let mut training = trainer.session_values(&mut net).unwrap();
        let x = vec![1.0; n];
        let (x, y) = (MatRef::new(&x, 1, n).unwrap(), [5.0; 10]);
        let y = BatchTargets::Values(MatRef::new(&y, 1, 10).unwrap());
        for _ in 1..steps {
            training.step(x, y).unwrap();
        }
        training.set_learning_rate(1.0).unwrap();
        training.step(x, y).unwrap();
        drop(training);
        let (now, before) = (net.weights(1).unwrap(), build(rate).weights(1).unwrap());
        (0..n).map(|r| now.row(r) == before.row(r)).collect()
    };
    let first = dropped(0.4, 1, 1);
    let share = first.iter().filter(|d| **d).count() as f64 / n as f64;
    assert!((share - 0.4).abs() < 5.0 * (0.24 / n as f64).sqrt(), "{share}");
    assert_eq!(dropped(0.4, 1, 1), first);
    assert_ne!(dropped(0.4, 2, 1), first);
    assert_ne!(dropped(0.4, 1, 2), first);
    assert!(dropped(0.0, 1, 1).iter().all(|d| !d));
}
