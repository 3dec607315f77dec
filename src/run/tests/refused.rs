//! A refused batch leaves no trace, and parameters that are loaded leave nothing of those before.

use super::padding::fill;
use super::{Case, Dice, Rows, Shown, assert_same, for_cases};
use crate::network::NormKind;
use crate::run::training::Training;
use crate::storage::MatRef;

/// A batch with one value that is not finite, or so large that what follows may not be.
fn spoiled(case: &Case, i: u64) -> Rows {
    let mut batch = case.batch(100 + i);
    let mut dice = Dice::new(case.seed + 17 * i);
    // With accumulated gradients, one that overflows takes the others of its update with it.
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e30, 1e15];
    let value = dice.pick(if case.accumulates { &values[..3] } else { &values });
    let in_targets = case.regression && dice.one_in(3);
    let into = if in_targets { &mut batch.values } else { &mut batch.x };
    let place = dice.below(into.len());
    into[place] = value;
    batch
}

/// Networks per width and level; with 16 widths and three levels 1,900 pairs of runs of half a
/// millisecond.
const CASES: u64 = 40;

#[test]
fn a_refused_batch_leaves_no_trace() {
    let (mut refused, mut accepted) = (0, 0);
    for_cases(50_000, CASES, |case| {
        let mut was_accepted = [false; 5];
        let (got, shown) = case.run(|training, i| {
            was_accepted[i] = case.step(training, &spoiled(case, i as u64)).is_some();
        });
        let all = was_accepted.iter().filter(|a| **a).count();
        (accepted, refused) = (accepted + all, refused + 5 - all);
        let (want, clean) = case.run(|training, i| {
            if was_accepted[i] {
                case.step(training, &spoiled(case, i as u64)).unwrap();
            }
        });
        let place = format!("{}, {was_accepted:?}", case.words);
        assert_eq!(got, want, "{place}: losses");
        assert_same(&place, &shown, &clean);
    });
    assert!(refused > accepted, "{refused} refused, {accepted} accepted");
}

/// Makes as much of a session as can be wrong: weights that overflowed, and padding.
fn wreck(case: &Case, training: &mut Training) {
    // A rate that may be refused, and steps that may be.
    _ = training.set_learning_rate(f32::MAX);
    for i in 20..23 {
        case.step(training, &case.batch(i));
    }
    fill(training, f32::NAN);
}

#[test]
fn a_checkpoint_that_is_loaded_leaves_nothing_behind() {
    for_cases(90_000, CASES / 4, |case| {
        let mut checkpoint = Vec::new();
        let (want, clean) = case.run(|training, i| {
            if i == 3 {
                training.write_checkpoint(&mut checkpoint).unwrap();
            }
        });
        let mut net = case.net.clone();
        let mut training = case.start(&mut net);
        case.step(&mut training, &case.batch(7)).unwrap();
        wreck(case, &mut training);
        training.read_checkpoint(&checkpoint[..]).unwrap();
        let place = &case.words;
        assert_eq!(case.step(&mut training, &case.batch(3)), want[3], "{place}: loss");
        assert_same(place, &Shown::of(&training, &case.batch(9).x), &clean);
    });
}

#[test]
fn parameters_that_are_set_leave_nothing_behind() {
    for_cases(130_000, CASES / 4, |case| {
        let mut net = case.net.clone();
        let mut training = case.start(&mut net);
        case.step(&mut training, &case.batch(7)).unwrap();
        wreck(case, &mut training);
        drop(training);
        for i in 0..case.net.layers().len() {
            let (w, b) = (case.net.weights(i).unwrap(), case.net.biases(i).unwrap());
            net.set_parameters(i, w.view(), &b).unwrap();
            if let Some(norm) = case.net.norm_parameters(i).unwrap() {
                net.set_norm_parameters(i, &norm).unwrap();
            }
        }
        let place = &case.words;
        // Whole panels of running statistics are in files and digests, and count steps.
        let counts = |l: crate::network::LayerShape| l.layer.norm == Some(NormKind::Batch);
        if !net.layers().any(counts) {
            assert_eq!(net.digest(), case.net.digest(), "{place}: digest");
        }
        let mut file = Vec::new();
        net.write_to(&mut file).expect(place);
        let steps = |net: &mut crate::Mlp| {
            let mut training = case.start(net);
            (0..3).map(|i| case.step(&mut training, &case.batch(i))).collect::<Vec<_>>()
        };
        let mut fresh = case.net.clone();
        assert_eq!(steps(&mut net), steps(&mut fresh), "{place}: losses");
        let x = case.batch(9).x;
        let x = MatRef::new(&x, x.len() / net.n_in(), net.n_in()).unwrap();
        assert_eq!(net.predict(x).unwrap(), fresh.predict(x).unwrap(), "{place}");
    });
}

/// Rows with NaN leave nothing in a predictor's buffers.
#[test]
fn a_predictor_forgets_its_last_rows() {
    use crate::program::Predictor;
    use crate::threads::Threads;
    for_cases(170_000, CASES / 4, |case| {
        let net = &case.net;
        let x = case.batch(0).x;
        let n_in = net.n_in();
        let nan = vec![f32::NAN; x.len()];
        let mut predictor = Predictor::new(net, x.len() / n_in, Threads::One).unwrap();
        let mut predict = |x: &[f32], rows: usize| {
            let mut out = vec![0.0; rows * net.n_out()];
            let to = crate::MatMut::new(&mut out, rows, net.n_out()).unwrap();
            let x = MatRef::new(&x[..rows * n_in], rows, n_in).unwrap();
            predictor.predict_into(x, to).unwrap();
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        for rows in [1, x.len() / n_in] {
            let want = predict(&x, rows);
            predict(&nan, rows);
            assert_eq!(predict(&x, rows), want, "{}", case.words);
        }
    });
}
