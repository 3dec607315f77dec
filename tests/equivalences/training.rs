//! Equivalences of training, over random networks, options and data. A failure names its seed.

mod cases;
mod near;

use crate::support::{Data, assert_same_bits, relative_error};
use cases::*;
use deltarule::data::{Dataset, Targets};
use deltarule::gradient::gradients;
use deltarule::{
    Activation, Adagrad, Adam, AdamW, BatchTargets, Error, Level, Lion, Loss, MatRef, Mlp,
    Momentum, Optimizer, RmsProp, Sgd, Threads, Trainer, Training,
};
use near::*;
use proptest::prelude::*;
use proptest::test_runner::Config;

/// Networks a property: together about 20 s on one core.
fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn parameters(net: &Mlp) -> Vec<f32> {
    let layers = 0..net.layers().len();
    let of = |layer| {
        let norm = net.norm_parameters(layer).unwrap().unwrap_or_default();
        let mut all = net.weights(layer).unwrap().into_vec();
        all.extend(net.biases(layer).unwrap());
        all.extend([norm.gamma, norm.beta, norm.mean, norm.variance].concat());
        all
    };
    layers.flat_map(of).collect()
}

proptest! {
    #![proptest_config(config(150))]

    /// Accumulated batches, of any sizes and weights, make the update of one batch of all their rows.
    #[test]
    fn accumulation_is_one_batch(seed: u64) {
        let mut case = Case::new(seed, Layers::ByRow);
        let batches = 2 + case.data.below(3);
        let sizes: Vec<_> = (0..batches).map(|_| 1 + case.data.below(9)).collect();
        let n = sizes.iter().sum();
        let optimizer = smooth(&mut case.data);
        let trainer = case.trainer(optimizer);
        let weighted = case.data.below(3) > 0;
        let trainer = trainer.batch_size(n);
        let [mut whole, mut parts] = [(); 2].map(|()| case.net.clone());
        let mut other = nudged(&case.net, &mut case.data);
        let mut one = case.start(&trainer, &mut whole);
        let mut twin = case.start(&trainer, &mut other);
        let trainer = trainer.accumulate(batches);
        let mut many = case.start(&trainer, &mut parts);
        for _ in 0..3 {
            let rows = case.rows(n);
            // Whole weights, 0 too; of the first batch now and then all.
            let mut weights: Vec<f32> = (0..n).map(|_| case.data.below(4) as f32).collect();
            if case.data.below(4) == 0 {
                weights[..sizes[0]].fill(0.0);
            }
            weights[n - 1] = 1.5;
            let weights = weighted.then_some(&weights[..]);
            rows.step(&mut one, weights).unwrap();
            let turned: Option<Vec<f32>> = weights.map(|w| w.iter().rev().copied().collect());
            rows.pick((0..n).rev()).step(&mut twin, turned.as_deref()).unwrap();
            let mut first = 0;
            for size in &sizes {
                let range = first..first + size;
                let weights = weights.map(|w| &w[range.clone()]);
                rows.pick(range).step(&mut many, weights).unwrap();
                first += size;
            }
        }
        prop_assert_eq!((one.steps(), many.steps()), (3, 3 * batches as u64));
        drop((one, many, twin));
        near("accumulation", seed, &parts, [&whole, &other]);
    }

    /// A row of weight n is the row n times; of weight 0, no row.
    #[test]
    fn weights_are_repeated_rows(seed: u64) {
        let mut case = Case::new(seed, Layers::ByRow);
        let n = 1 + case.data.below(12);
        let optimizer = smooth(&mut case.data);
        let trainer = case.trainer(optimizer).batch_size(4 * n);
        let [mut weighted, mut repeated] = [(); 2].map(|()| case.net.clone());
        let mut other = nudged(&case.net, &mut case.data);
        let mut by_weight = case.start(&trainer, &mut weighted);
        let mut by_row = case.start(&trainer, &mut repeated);
        let mut twin = case.start(&trainer, &mut other);
        for _ in 0..4 {
            let rows = case.rows(n);
            let mut counts: Vec<_> = (0..n).map(|_| case.data.below(4)).collect();
            counts[n - 1] = counts[n - 1].max(1);
            let weights: Vec<_> = counts.iter().map(|c| *c as f32).collect();
            let all = counts.iter().enumerate().flat_map(|(r, c)| std::iter::repeat_n(r, *c));
            let want = rows.pick(all.clone()).step(&mut by_row, None).unwrap();
            let turned = rows.pick(all.rev()).step(&mut twin, None).unwrap();
            let got = rows.step(&mut by_weight, Some(&weights)).unwrap();
            near_loss("weights", seed, got.into(), [want, turned].map(f64::from));
        }
        drop((by_weight, by_row, twin));
        near("weights", seed, &weighted, [&repeated, &other]);
    }

    /// A row of weight 0 is not there, to the bit: with batch normalisation and dropout too.
    #[test]
    fn weight_0_is_absence(seed: u64) {
        let mut case = Case::new(seed, Layers::All);
        let n = 3 + case.data.below(12);
        let optimizer = any_optimizer(&mut case.data);
        let trainer = case.trainer(optimizer).batch_size(n);
        let (mut weighted, mut absent) = (case.net.clone(), case.net.clone());
        let mut by_weight = case.start(&trainer, &mut weighted);
        let mut without = case.start(&trainer, &mut absent);
        for _ in 0..3 {
            let mut rows = case.rows(n);
            let mut weights: Vec<f32> =
                (0..n).map(|_| case.data.below(3) as f32 * 0.75).collect();
            weights[n - 1] = 2.0;
            let there: Vec<_> = (0..n).filter(|r| weights[*r] > 0.0).collect();
            // Nobody looks at what is not there.
            for r in (0..n).filter(|r| weights[*r] == 0.0) {
                rows.x[r * rows.n_in] = [f32::NAN, 1e30][r % 2];
            }
            let left: Vec<_> = there.iter().map(|r| weights[*r]).collect();
            let got = rows.step(&mut by_weight, Some(&weights)).unwrap();
            let want = rows.pick(there).step(&mut without, Some(&left)).unwrap();
            prop_assert_eq!(got.to_bits(), want.to_bits(), "seed {}", seed);
        }
        drop((by_weight, without));
        assert_same_bits(format!("seed {seed}"), &parameters(&weighted), &parameters(&absent));
    }

    /// Weights count beside each other: twice as large, or 2⁸⁰ times, they are the same bits, also
    /// in sums of gradients.
    #[test]
    fn scaled_weights_are_the_same(seed: u64) {
        let mut case = Case::new(seed, Layers::All);
        let n = 2 + case.data.below(8);
        let optimizer = any_optimizer(&mut case.data);
        let trainer = case.trainer(optimizer).batch_size(n);
        let trainer = trainer.accumulate(1 + case.data.below(3));
        let scale = [2.0, 0.125, 2f32.powi(80), 2f32.powi(-80)][case.data.below(4)];
        let mut nets = [case.net.clone(), case.net.clone()];
        let [first, second] = &mut nets;
        let (mut plain, mut scaled) = (case.start(&trainer, first), case.start(&trainer, second));
        for _ in 0..4 {
            let rows = case.rows(n);
            let weights: Vec<f32> = (0..n).map(|_| case.data.uniform(0.1, 3.0) as f32).collect();
            let larger: Vec<_> = weights.iter().map(|w| w * scale).collect();
            let want = rows.step(&mut plain, Some(&weights)).unwrap();
            let got = rows.step(&mut scaled, Some(&larger)).unwrap();
            prop_assert_eq!(got.to_bits(), want.to_bits(), "seed {}", seed);
        }
        plain.flush().unwrap();
        scaled.flush().unwrap();
        drop((plain, scaled));
        let [plain, scaled] = nets;
        assert_same_bits(format!("seed {seed}"), &parameters(&scaled), &parameters(&plain));
    }

    /// An epoch's loss is Σwℓ/Σw over its rows, whatever the batches are.
    #[test]
    fn an_epochs_loss_does_not_depend_on_the_batches(seed: u64) {
        let mut case = Case::new(seed, Layers::ByRow);
        let n = 2 + case.data.below(20);
        let rows = case.rows(n);
        let mut weights: Vec<f32> = (0..n).map(|_| case.data.below(4) as f32 * 0.5).collect();
        weights[n / 2] = 3.0;
        let data = rows.dataset();
        let loss = |batch, weights| {
            let trainer = Trainer::new(Sgd::new(0.0)).loss(case.loss.clone()).batch_size(batch).epochs(2);
            let trainer = trainer.class_weights(case.classes.clone());
            let mut trainer = trainer.label_smoothing(case.smoothing);
            if let Some(weights) = weights {
                trainer = trainer.sample_weights(weights);
            }
            let history = trainer.fit(&mut case.net.clone(), &data).unwrap();
            assert!((history.epochs[0].loss - history.epochs[1].loss).abs() < 1e-5);
            history.epochs[1].loss
        };
        for weights in [None, Some(&weights[..])] {
            let whole = loss(n, weights);
            for batch in [1, 2, 1 + n / 2] {
                near_loss("epoch", seed, loss(batch, weights), [whole; 2]);
            }
        }
    }

    /// The same rows in the same order train to the same bits in a step and in `partial_fit`; `fit`,
    /// which shuffles them, differs by roundings.
    #[test]
    fn step_is_partial_fit_is_fit(seed: u64) {
        let mut case = Case::new(seed, Layers::All);
        let n = 2 + case.data.below(20);
        let rows = case.rows(n);
        let data = rows.dataset();
        let optimizer = any_optimizer(&mut case.data);
        let trainer = case.trainer(optimizer).seed(seed).batch_size(n.clamp(2, 7));
        let (mut stepped, mut partial) = (case.net.clone(), case.net.clone());
        let mut steps = case.start(&trainer, &mut stepped);
        let mut session = case.start(&trainer, &mut partial);
        for _ in 0..2 {
            let (mut sum, mut first) = (0.0, 0);
            while first < n {
                let range = first..n.min(first + n.clamp(2, 7));
                first = range.end;
                let size = range.len() as f64;
                sum += f64::from(rows.pick(range).step(&mut steps, None).unwrap()) * size;
            }
            let got = session.partial_fit(&data).unwrap();
            // With class weights the mean is another.
            if case.classes.is_empty() || case.loss != Loss::CrossEntropy {
                near_loss("partial_fit", seed, got, [sum / n as f64; 2]);
            }
        }
        drop((steps, session));
        assert_same_bits(format!("seed {seed}"), &parameters(&partial), &parameters(&stepped));

        let mut case = Case::new(seed, Layers::ByRow);
        let rows = case.rows(n);
        let optimizer = smooth(&mut case.data);
        let mut trainer = case.trainer(optimizer).batch_size(n).epochs(3);
        let [mut fitted, mut stepped] = [(); 2].map(|()| case.net.clone());
        let mut other = nudged(&case.net, &mut case.data);
        let mut steps = case.start(&trainer, &mut stepped);
        let mut twin = case.start(&trainer, &mut other);
        for _ in 0..3 {
            rows.step(&mut steps, None).unwrap();
            rows.pick((0..n).rev()).step(&mut twin, None).unwrap();
        }
        drop((steps, twin));
        trainer.fit(&mut fitted, &rows.dataset()).unwrap();
        near("fit", seed, &fitted, [&stepped, &other]);
    }

    /// x · 2ᵏ with weights · 2⁻ᵏ is the same loss, to the bit, and its gradients are the same, times
    /// 2ᵏ in the first layer.
    #[test]
    fn scaled_data_are_scaled_weights(seed: u64) {
        let mut case = Case::new(seed, Layers::ByRow);
        let rows = case.rows(4);
        let scale = [4.0f32, 0.25, 1024.0][case.data.below(3)];
        let mut larger = rows.clone();
        larger.x.iter_mut().for_each(|x| *x *= scale);
        let mut net = case.net.clone();
        let mut weights = net.weights(0).unwrap();
        weights.as_mut_slice().iter_mut().for_each(|w| *w /= scale);
        let biases = net.biases(0).unwrap();
        net.set_parameters(0, weights.view(), &biases).unwrap();
        let is_affine = weights.cols() == 0;
        if let (true, Some(mut scales)) = (is_affine, net.norm_parameters(0).unwrap()) {
            scales.gamma.iter_mut().for_each(|g| *g /= scale);
            net.set_norm_parameters(0, &scales).unwrap();
        }
        let want = rows.with(|x, t| gradients(&case.net, x, t, case.loss.clone())).unwrap();
        let mut got = larger.with(|x, t| gradients(&net, x, t, case.loss.clone())).unwrap();
        prop_assert_eq!(got.loss.to_bits(), want.loss.to_bits(), "seed {}", seed);
        let first = match is_affine {
            true => &mut got.layers[0].gamma[..],
            false => got.layers[0].weights.as_mut_slice(),
        };
        first.iter_mut().for_each(|g| *g /= scale);
        for (got, want) in got.layers.iter().zip(&want.layers) {
            let pairs = [
                (got.weights.as_slice(), want.weights.as_slice()),
                (&got.biases, &want.biases),
                (&got.gamma, &want.gamma),
                (&got.beta, &want.beta),
            ];
            for (got, want) in pairs {
                let largest = want.iter().fold(1e-3f32, |m, g| m.max(g.abs()));
                for (got, want) in got.iter().zip(want) {
                    prop_assert!((got - want).abs() <= 1e-5 * largest, "seed {}", seed);
                }
            }
        }
    }

    /// A refused batch leaves no trace: NaN in a row, NaN in a target, values so large that the
    /// forward pass, the loss or the update overflows. What follows has the bits of a run without it.
    #[test]
    fn on_an_error_nothing_was_updated(seed: u64) {
        let mut case = Case::new(seed, Layers::All);
        let n = 2 + case.data.below(9);
        let optimizer = any_optimizer(&mut case.data);
        let trainer = case.trainer(optimizer).batch_size(n).seed(seed);
        let trainer = trainer.accumulate(1 + case.data.below(2) * case.data.below(3));
        let (mut disturbed, mut plain) = (case.net.clone(), case.net.clone());
        let mut session = case.start(&trainer, &mut disturbed);
        let mut want = case.start(&trainer, &mut plain);
        let mut refused = 0;
        for _ in 0..5 {
            let rows = case.rows(n);
            let mut bad = rows.clone();
            let place = case.data.below(bad.x.len());
            match case.data.below(4) {
                0 => bad.x[place] = f32::NAN,
                1 => bad.x[place] = f32::INFINITY,
                2 => bad.x.fill(3e38),
                _ if !bad.has_labels => bad.y[0] = f32::NAN,
                _ => bad.x[place] = f32::NEG_INFINITY,
            }
            let (before, steps) = (parameters(session.network()), session.steps());
            match bad.step(&mut session, None) {
                Err(Error::Value { .. } | Error::NonFinite { .. }) => {
                    refused += 1;
                    let after = parameters(session.network());
                    assert_same_bits(format!("refused, seed {seed}"), &after, &before);
                    prop_assert_eq!(session.steps(), steps);
                }
                Err(other) => panic!("seed {seed}: {other}"),
                // Large values that saturate every unit are fine; the other run takes them too.
                Ok(_) => {
                    bad.step(&mut want, None).unwrap();
                }
            }
            // What large values have left may refuse usual ones: in both runs or in none.
            let [got, want] = [&mut session, &mut want].map(|t| match rows.step(t, None) {
                Err(error @ Error::NonFinite { .. }) => Err(error.to_string()),
                other => Ok(other.unwrap().to_bits()),
            });
            prop_assert_eq!(got, want, "seed {}, {} refused", seed, refused);
        }
        let [got, rest] = [&mut session, &mut want].map(|t| t.flush().map_err(|e| e.to_string()));
        prop_assert_eq!(got, rest);
        drop((session, want));
        assert_same_bits(format!("seed {seed}"), &parameters(&disturbed), &parameters(&plain));
    }
}
