//! Every loss on the fast path, by the update it makes: one step of gradient descent at a rate of
//! 1 leaves w − ∂L/∂w, so that PyTorch's frozen gradients can be read off.

mod support;

use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, BatchTargets, Error, Level, Loss, MatRef, Mlp, Sgd, Threads, Trainer};
use support::fixtures::{Case, Fixtures};
use support::{Data, assert_close};

fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "identity" => Activation::Identity,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "softmax" => Activation::Softmax,
        _ => return None,
    })
}

/// The network of a case, where the fast path has all of it.
fn net(f: &Fixtures, case: &Case, level: Level) -> Option<Mlp> {
    if case.net != "plain" {
        return None;
    }
    let [n_in, hidden, n_out] = ["n_in", "hidden", "n_out"].map(|name| f.size(name));
    let mut net = Mlp::builder(n_in)
        .dense(hidden, activation(case.hidden.name())?)
        .dense(n_out, activation(case.output.name())?)
        .level(level)
        .build()
        .unwrap();
    f.set_parameters(case.net, &mut net);
    Some(net)
}

#[test]
fn every_loss_has_pytorchs_gradients() {
    let f = Fixtures::load();
    let x = f.data("x");
    let x = MatRef::new(&x, f.size("rows"), f.size("n_in")).unwrap();
    let labels: Vec<u32> = f.labels().iter().map(|&l| l as u32).collect();
    let mut seen = Vec::new();
    for case in f.cases() {
        for level in Level::available() {
            let Some(mut net) = net(&f, &case, level) else { continue };
            let spec = case.loss;
            let loss = match spec.name() {
                "cross_entropy" => Loss::CrossEntropy,
                "binary_cross_entropy" => Loss::BinaryCrossEntropy,
                "mean_squared_error" => Loss::MeanSquared,
                "quadratic" => Loss::Quadratic,
                "mean_absolute_error" => Loss::MeanAbsolute,
                "huber" => Loss::Huber { delta: spec.number("delta") as f32 },
                other => panic!("loss {other}"),
            };
            let of_labels = case.target == "labels";
            if loss.check_output(activation(case.output.name()).unwrap(), f.size("n_out")).is_err()
                || (loss == Loss::CrossEntropy && !of_labels)
            {
                continue;
            }
            let mut trainer =
                Trainer::new(Sgd::new(1.0)).loss(loss.clone()).batch_size(6).threads(Threads::One);
            if spec.has("label_smoothing") {
                trainer = trainer.label_smoothing(spec.number("label_smoothing") as f32);
            }
            let weights =
                spec.numbers("class_weights").or_else(|| spec.numbers("positive_weights"));
            if let Some(weights) = weights {
                let weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
                trainer = trainer.class_weights(weights);
            }
            let values = if of_labels { vec![] } else { f.data(case.target) };
            let before: Vec<_> =
                (0..2).map(|i| (net.weights(i).unwrap(), net.biases(i).unwrap())).collect();
            let mut training = match of_labels {
                true => trainer.session(&mut net),
                false => trainer.session_values(&mut net),
            }
            .unwrap();
            let targets = match of_labels {
                true => BatchTargets::Classes(&labels),
                false => BatchTargets::Values(MatRef::new(&values, 6, f.size("n_out")).unwrap()),
            };
            let value = match spec.has("sample_weights") {
                true => training.step_weighted(x, targets, &f.data("sample_weights")),
                false => training.step(x, targets),
            };
            drop(training);
            let place = |what: &str| format!("{}, {level:?}: {what}", case.name);
            assert_close(place("loss"), &[value.unwrap()], &case.expected.f64("loss"), 1e-6);
            for (i, (w, b)) in before.iter().enumerate() {
                let difference = |a: &[f32], b: &[f32]| -> Vec<f64> {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect()
                };
                // Gradients read off from differences of weights around 1 have their rounding.
                let (now_w, now_b) = (net.weights(i).unwrap(), net.biases(i).unwrap());
                let dw = difference(w.as_slice(), now_w.as_slice());
                let want = case.expected.f64(&format!("dw{}", i + 1));
                assert_close(place(&format!("dw{}", i + 1)), &dw, &want, 3e-6);
                let want = case.expected.f64(&format!("db{}", i + 1));
                assert_close(place(&format!("db{}", i + 1)), &difference(b, &now_b), &want, 3e-6);
            }
            seen.push(case.name);
        }
    }
    for name in [
        "smoothed",
        "class_weights",
        "smoothed_class_and_sample_weights",
        "sample_weights",
        "multi_label",
        "multi_label_positive_weights",
        "mse",
        "nielsen",
        "mae",
        "huber",
    ] {
        assert!(seen.contains(&name), "{name} was not checked");
    }
}

/// Rows of class 1 twice, rows of class 2 three times; or weights 2 and 3.
#[test]
fn class_weights_and_sample_weights_are_repeated_rows() {
    let mut data = Data::new(11);
    let (rows, n_in, classes) = (9, 20, 3);
    let x = data.f32s(rows * n_in);
    let labels: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
    let (mut repeated_x, mut repeated_labels) = (Vec::new(), Vec::new());
    for (row, &label) in x.chunks(n_in).zip(&labels) {
        for _ in 0..=label {
            repeated_x.extend_from_slice(row);
            repeated_labels.push(label);
        }
    }
    let build = || {
        Mlp::builder(n_in)
            .dense(17, Activation::Relu)
            .dense(classes, Activation::Softmax)
            .seed(3)
            .build()
            .unwrap()
    };
    let train = |trainer: Trainer, x: &[f32], labels: &[u32], weights: Option<&[f32]>| {
        let mut net = build();
        let mut training = trainer.batch_size(32).session(&mut net).unwrap();
        let x = MatRef::new(x, labels.len(), n_in).unwrap();
        let targets = BatchTargets::Classes(labels);
        let mut loss = 0.0;
        for _ in 0..5 {
            loss = match weights {
                Some(weights) => training.step_weighted(x, targets, weights),
                None => training.step(x, targets),
            }
            .unwrap();
        }
        drop(training);
        (net, loss)
    };
    let sgd = || Trainer::new(Sgd::new(0.5));
    let (want, want_loss) = train(sgd(), &repeated_x, &repeated_labels, None);
    let by_class = train(sgd().class_weights([1.0, 2.0, 3.0]), &x, &labels, None);
    let weights: Vec<f32> = labels.iter().map(|&l| (l + 1) as f32).collect();
    let by_sample = train(sgd(), &x, &labels, Some(&weights));
    for (what, (got, loss)) in [("class", by_class), ("sample", by_sample)] {
        assert_close(what, &[loss], &[want_loss], 1e-6);
        for layer in 0..2 {
            let (got, want) = (got.weights(layer).unwrap(), want.weights(layer).unwrap());
            assert_close(what, got.as_slice(), want.as_slice(), 2e-6);
        }
    }
}

/// A fit with the sample weights 0 and 1 sees only half of the data.
#[test]
fn fit_takes_sample_weights() {
    let mut data = Data::new(12);
    let x = data.f32s(40 * 3);
    let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let set = |labels: Vec<u32>| {
        Dataset::from_f32(x.clone(), 3, Targets::Classes { labels, n_classes: 2 }).unwrap()
    };
    let build = || Mlp::builder(3).dense(2, Activation::Softmax).build().unwrap();
    let weights: Vec<f32> = (0..40).map(|i| if i < 20 { 1.0 } else { 0.0 }).collect();
    // The labels of samples that weigh nothing do not matter.
    let mut wrong = labels.clone();
    wrong[20..].iter_mut().for_each(|l| *l = 1 - *l);
    let run = |labels: Vec<u32>| {
        let mut net = build();
        let mut trainer = Trainer::new(Sgd::new(0.1)).batch_size(40).epochs(3);
        trainer = trainer.sample_weights(&weights);
        trainer.fit(&mut net, &set(labels)).unwrap();
        net.digest()
    };
    assert_eq!(run(labels), run(wrong));
}

/// One sigmoid output for two classes: the loss is that of two softmax outputs with the logits
/// (0, z), and `evaluate` counts classes.
#[test]
fn one_output_decides_between_two_classes() {
    let (x, labels) = ([-2.0f32, -1.0, 0.5, 3.0], vec![0u32, 0, 1, 1]);
    let data = Dataset::from_f32(x.to_vec(), 1, Targets::Classes { labels, n_classes: 2 }).unwrap();
    let mut net = Mlp::builder(1).dense(1, Activation::Sigmoid).seed(2).build().unwrap();
    let trainer = Trainer::new(Sgd::new(1.0)).loss(Loss::BinaryCrossEntropy).epochs(200);
    let history = trainer.batch_size(4).validation(&data).fit(&mut net, &data).unwrap();
    let last = history.epochs.last().unwrap().validation.clone().unwrap();
    assert_eq!(last.accuracy, Some(1.0));
    assert!(last.loss < 0.2, "{}", last.loss);
    let p = net.predict(MatRef::new(&x, 4, 1).unwrap()).unwrap();
    let loss = -p.as_slice().iter().zip([0.0, 0.0, 1.0, 1.0]).fold(0.0, |sum, (&p, y)| {
        let p = f64::from(p);
        sum + (y * p + (1.0 - y) * (1.0 - p)).ln()
    }) / 4.0;
    assert!((loss - last.loss).abs() < 1e-6, "{loss} {}", last.loss);
}

#[test]
fn extreme_logits_stay_finite() {
    let mut net = Mlp::builder(1).dense(2, Activation::Sigmoid).build().unwrap();
    net.set_parameters(0, MatRef::new(&[1e30, -1e30], 1, 2).unwrap(), &[0.0; 2]).unwrap();
    let trainer = Trainer::new(Sgd::new(0.1)).loss(Loss::BinaryCrossEntropy);
    let mut training = trainer.session_values(&mut net).unwrap();
    let y = MatRef::new(&[1.0, 0.0], 1, 2).unwrap();
    let loss = training.step(MatRef::new(&[1.0], 1, 1).unwrap(), BatchTargets::Values(y));
    assert_eq!(loss.unwrap(), 0.0);
    let loss = training.step(MatRef::new(&[-1.0], 1, 1).unwrap(), BatchTargets::Values(y));
    assert_eq!(loss.unwrap(), 1e30);
}

#[test]
fn contradictions_are_refused_before_any_work() {
    let softmax = || Mlp::builder(2).dense(3, Activation::Softmax).build().unwrap();
    let sigmoid = || Mlp::builder(2).dense(3, Activation::Sigmoid).build().unwrap();
    let sgd = || Trainer::new(Sgd::new(0.1));
    let refused = |mut net: Mlp, trainer: Trainer| {
        let before = net.digest();
        match trainer.session(&mut net).err() {
            Some(Error::Config { option, .. }) => assert!(!option.is_empty()),
            other => panic!("was not refused: {other:?}"),
        }
        assert_eq!(net.digest(), before);
    };
    refused(softmax(), sgd().class_weights([1.0, 2.0]));
    refused(softmax(), sgd().class_weights([1.0, 2.0, -1.0]));
    refused(softmax(), sgd().class_weights([0.0; 3]));
    refused(softmax(), sgd().class_weights([1.0, f32::NAN, 1.0]));
    refused(softmax(), sgd().label_smoothing(1.0));
    refused(softmax(), sgd().loss(Loss::BinaryCrossEntropy));
    refused(sigmoid(), sgd().label_smoothing(0.1));
    refused(sigmoid(), sgd().class_weights([1.0; 3]));
    refused(sigmoid(), sgd().loss(Loss::Huber { delta: 0.0 }));
    refused(sigmoid(), sgd().loss(Loss::CrossEntropy));
    // Targets that are no probabilities.
    let mut net = sigmoid();
    let trainer = sgd().loss(Loss::BinaryCrossEntropy);
    let mut training = trainer.session_values(&mut net).unwrap();
    let (x, y) = ([0.0; 2], [0.5, 1.5, 0.0]);
    let y = BatchTargets::Values(MatRef::new(&y, 1, 3).unwrap());
    let x = MatRef::new(&x, 1, 2).unwrap();
    assert!(matches!(training.step(x, y), Err(Error::Value { .. })));
    let y = BatchTargets::Values(MatRef::new(&[0.5, 1.0, 0.0], 1, 3).unwrap());
    assert_eq!(training.step_weighted(x, y, &[0.0]).unwrap(), 0.0);
    assert!(matches!(training.step_weighted(x, y, &[-1.0]), Err(Error::Value { .. })));
    assert!(matches!(training.step_weighted(x, y, &[1.0, 1.0]), Err(Error::Shape { .. })));
}

/// Losses of confident predictions against ln(1 + e⁻ᶻ) in f64, on both sides, which gradients of the
/// same steps go with: 1 → n, identity weights, so that the inputs are the logits.
#[test]
fn confident_predictions_have_a_loss() {
    let close = |got: f32, want: f64, place: &str| {
        assert!((f64::from(got) - want).abs() <= 5e-7 * want, "{place}: {got:e}, not {want:e}");
    };
    for level in Level::available() {
        let one = |output, n: usize, loss: Loss, trainer: &Trainer, z: &[f32], label: u32| {
            let builder = Mlp::builder(n).dense(n, output).level(level);
            let mut net = builder.build().unwrap();
            let mut w = vec![0.0; n * n];
            (0..n).for_each(|i| w[i * n + i] = 1.0);
            net.set_parameters(0, MatRef::new(&w, n, n).unwrap(), &vec![0.0; n]).unwrap();
            let labels = Targets::Classes { labels: vec![label], n_classes: n.max(2) };
            let data = Dataset::from_f32(z.to_vec(), n, labels).unwrap();
            let evaluated = net.evaluate_with(&data, loss).unwrap().loss;
            let mut training = trainer.session(&mut net).unwrap();
            let x = MatRef::new(z, 1, n).unwrap();
            (training.step(x, BatchTargets::Classes(&[label])).unwrap(), evaluated)
        };
        for z in [-30.0f32, -17.0, -12.0, -5.0, -0.5, 0.0, 0.5, 3.0, 12.0, 17.0, 40.0] {
            let wide = f64::from(z);
            // softplus(±z), the larger part apart.
            let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
            let trainer = Trainer::new(Sgd::new(0.0)).loss(Loss::BinaryCrossEntropy);
            for (label, want) in [(0, softplus(wide)), (1, softplus(-wide))] {
                let (loss, sigmoid) = (Loss::BinaryCrossEntropy, Activation::Sigmoid);
                let (got, evaluated) = one(sigmoid, 1, loss, &trainer, &[z], label);
                close(got, want, &format!("sigmoid of {z}, label {label}, {}", level.name()));
                assert_eq!(evaluated as f32, got);
            }
            // Two classes, and the same among forty, the others of no weight beside them.
            for n in [2, 3, 16, 17, 40] {
                for label in [0u32, n as u32 - 1] {
                    let mut logits = vec![-90.0; n];
                    (logits[0], logits[n - 1]) = (z, 0.0);
                    let sum: f64 = logits.iter().map(|&x| f64::from(x)).map(f64::exp).sum();
                    let true_logit = f64::from(logits[label as usize]);
                    // ln Σ − z_y, from the others' sum where the true class has nearly all of it.
                    let others: f64 = (0..n)
                        .filter(|c| *c != label as usize)
                        .map(|c| (f64::from(logits[c]) - true_logit).exp())
                        .sum();
                    assert!(sum > 0.0);
                    let want = others.ln_1p();
                    let softmax = Activation::Softmax;
                    let place = format!("softmax of {z} and 0 among {n}, label {label}");
                    let plain = Trainer::new(Sgd::new(0.0));
                    let (got, evaluated) =
                        one(softmax, n, Loss::CrossEntropy, &plain, &logits, label);
                    close(got, want, &place);
                    assert_eq!(evaluated as f32, got, "{place}");
                    // The weighted mean of one sample is its loss.
                    let weighted = Trainer::new(Sgd::new(0.0)).class_weights(vec![2.5; n]);
                    let (got, _) = one(softmax, n, Loss::CrossEntropy, &weighted, &logits, label);
                    close(got, want, &place);
                }
            }
        }
    }
    // `log1p(exp(z))` of Python in f64.
    let bce = deltarule::reference::sigmoid_cross_entropy(&[-12.0], &[0.0], &[1.0]);
    assert!((bce - 6.144_193_477_732_806e-6f64).abs() < 1e-18, "{bce:e}");
    let ce = deltarule::reference::softmax_cross_entropy(&[17.0, 0.0], &[1.0, 0.0], &[1.0, 1.0]);
    assert!((ce - 4.139_937_633_089_748e-8f64).abs() < 1e-20, "{ce:e}");
    let ce = deltarule::reference::softmax_cross_entropy(&[60.0, 0.0], &[1.0, 0.0], &[1.0, 1.0]);
    assert!((ce - 8.756_510_762_696_52e-27f64).abs() < 1e-38, "{ce:e}");
}

/// Soft targets and label smoothing of a confident network: −Σ q ln p in f64.
#[test]
fn confident_predictions_of_soft_targets() {
    let wide = |z: &[f32], q: &[f64]| -> f64 {
        let z: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ln_sum = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
        z.iter().zip(q).map(|(z, q)| q * (ln_sum - z)).sum()
    };
    for z in [[-12.0f32, 3.0, 20.0], [0.5, 0.0, -17.0], [9.0, 9.0, 9.0]] {
        let mut net = Mlp::builder(3).dense(3, Activation::Softmax).build().unwrap();
        let w = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        net.set_parameters(0, MatRef::new(&w, 3, 3).unwrap(), &[0.0; 3]).unwrap();
        let x = MatRef::new(&z, 1, 3).unwrap();
        for label in 0..3u32 {
            let trainer = Trainer::new(Sgd::new(0.0)).label_smoothing(0.3);
            let mut training = trainer.session(&mut net).unwrap();
            let got = training.step(x, BatchTargets::Classes(&[label])).unwrap();
            let mut q = [0.1; 3];
            q[label as usize] += 0.7;
            let want = wide(&z, &q);
            assert!((f64::from(got) - want).abs() <= 1e-6 * want, "{z:?}, {label}: {got}");
        }
        // Multi-label, with targets between 0 and 1.
        let mut net = Mlp::builder(3).dense(3, Activation::Sigmoid).build().unwrap();
        net.set_parameters(0, MatRef::new(&w, 3, 3).unwrap(), &[0.0; 3]).unwrap();
        let trainer = Trainer::new(Sgd::new(0.0)).loss(Loss::BinaryCrossEntropy);
        let mut training = trainer.session_values(&mut net).unwrap();
        for y in [[0.0f32, 1.0, 1.0], [1.0, 0.25, 0.0], [0.5, 0.5, 0.999]] {
            let targets = BatchTargets::Values(MatRef::new(&y, 1, 3).unwrap());
            let got = training.step(x, targets).unwrap();
            let terms = z.iter().zip(&y).map(|(z, y)| {
                let (z, y) = (f64::from(*z), f64::from(*y));
                let rest = (-z.abs()).exp().ln_1p();
                y * ((-z).max(0.0) + rest) + (1.0 - y) * (z.max(0.0) + rest)
            });
            let want = terms.sum::<f64>() / 3.0;
            assert!((f64::from(got) - want).abs() <= 1e-6 * want, "{z:?}, {y:?}: {got}");
        }
    }
}
