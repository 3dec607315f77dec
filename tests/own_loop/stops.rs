//! A loop that was stopped after any step and goes on, with any number of threads, ends with the same
//! bits as one that was not.

use super::{STEPS, base, checkpoint, net_from, train};
use deltarule::{Activation, Adam, Lion, Loss, Mlp, Momentum, RmsProp, Sgd, Threads, Trainer};

/// A way to train, in whose state a checkpoint must not forget anything.
type Recipe = fn() -> Trainer<'static>;

const RECIPES: [(&str, Recipe); 6] = [
    ("plain", || base(Sgd::new(0.05))),
    ("Adam", || base(Adam::new(0.01))),
    ("accumulated, clipped", || {
        base(Momentum::new(0.05, 0.9).nesterov()).accumulate(3).clip_norm(0.5)
    }),
    ("Adam, accumulated", || base(Adam::new(0.01)).accumulate(2).class_weights([1.0, 2.0, 3.0])),
    ("RMSprop, max-norm", || base(RmsProp::new(0.01)).max_norm(0.7).label_smoothing(0.1)),
    ("Lion", || base(Lion::new(0.001)).l2(0.01)),
];

/// A loop that nothing interrupts: the losses, the network at the end, and a checkpoint after each
/// step, before the first one too.
fn uninterrupted(recipe: Recipe, net: &Mlp) -> (Vec<u32>, u64, Vec<Vec<u8>>) {
    let (mut saving, mut quiet) = (net.clone(), net.clone());
    let mut training = recipe().threads(Threads::One).session(&mut saving).unwrap();
    let (mut losses, mut checkpoints) = (Vec::new(), vec![checkpoint(&training)]);
    for step in 1..=STEPS {
        losses.extend(train(&mut training, step, false));
        checkpoints.push(checkpoint(&training));
    }
    training.flush().unwrap();
    drop(training);
    // Writing them changed nothing.
    let mut training = recipe().threads(Threads::N(2)).session(&mut quiet).unwrap();
    assert_eq!(train(&mut training, STEPS, false), losses);
    training.flush().unwrap();
    assert_eq!(training.network().digest(), saving.digest());
    (losses, saving.digest(), checkpoints)
}

#[test]
fn a_stop_after_any_step_changes_nothing() {
    for (name, recipe) in RECIPES {
        let (losses, digest, checkpoints) = uninterrupted(recipe, &net_from(5));
        for (step, bytes) in (0..).zip(&checkpoints) {
            for threads in [Threads::One, Threads::N(2), Threads::N(3), Threads::Current] {
                let what = format!("{name}: after step {step}, {threads:?}");
                // Nothing of the network's own parameters may be left.
                let mut net = net_from(99);
                let mut training = recipe().threads(threads).session(&mut net).unwrap();
                training.read_checkpoint(&bytes[..]).unwrap();
                assert_eq!(training.steps(), step, "{what}");
                // The same state, so the same file.
                assert!(checkpoint(&training) == *bytes, "{what}");
                let rest = train(&mut training, STEPS, false);
                training.flush().unwrap();
                assert_eq!(rest, losses[step as usize..], "{what}");
                assert_eq!(training.network().digest(), digest, "{what}");
            }
        }
    }
}

/// A session that is not new: with gradients that wait where the checkpoint has none, and the other
/// way round.
#[test]
fn a_session_can_go_back_to_its_checkpoint() {
    for (name, recipe) in RECIPES {
        let (losses, digest, checkpoints) = uninterrupted(recipe, &net_from(5));
        let mut net = net_from(6);
        let mut training = recipe().session(&mut net).unwrap();
        for (step, bytes) in checkpoints.iter().enumerate().rev() {
            training.read_checkpoint(&bytes[..]).unwrap();
            let rest = train(&mut training, STEPS, false);
            assert_eq!(rest, losses[step..], "{name}: back to step {step}");
        }
        training.flush().unwrap();
        assert_eq!(training.network().digest(), digest, "{name}");
    }
}

#[test]
fn regressions_go_on_too() {
    let net = |seed| {
        let net = Mlp::builder(130).dense(40, Activation::Gelu).batch_norm().dropout(0.5);
        net.dense(3, Activation::Identity).seed(seed).build().unwrap()
    };
    let trainer = || base(Adam::new(0.01)).loss(Loss::Huber { delta: 1.0 });
    let (mut whole, mut rest) = (net(1), net(2));
    let mut training = trainer().session_values(&mut whole).unwrap();
    train(&mut training, 3, true);
    let bytes = checkpoint(&training);
    let losses = train(&mut training, STEPS, true);
    let mut resumed = trainer().threads(Threads::N(2)).session_values(&mut rest).unwrap();
    resumed.read_checkpoint(&bytes[..]).unwrap();
    assert_eq!(train(&mut resumed, STEPS, true), losses);
    assert_eq!(resumed.network().digest(), training.network().digest());
}
