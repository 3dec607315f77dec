//! Outputs, loss, gradients and twenty steps against the values that PyTorch's file holds.

use crate::support::fixtures::{Case, Fixtures, Spec};
use crate::support::{assert_close, relative_error, widen};
use crate::{Fast, TOLERANCE, TOLERANCE_20_STEPS, parameters};
use deltarule::{Activation, Adam, Level, Loss, Matrix, Mlp, Momentum, Optimizer, Sgd};

/// The activation of a fixture, where the fast path has it.
fn activation(spec: Spec) -> Option<Activation> {
    Some(match spec.name() {
        "leaky_relu" => Activation::LeakyRelu { slope: spec.number("slope") as f32 },
        "elu" => Activation::Elu { alpha: spec.number("alpha") as f32 },
        "hard_tanh" => Activation::HardTanh,
        name => name.parse().ok()?,
    })
}

/// The network and batch of a fixture, where the fast path has all of it.
fn fast(fixtures: &Fixtures, case: &Case, level: Level) -> Option<Fast> {
    let [rows, n_in, hidden, n_out] =
        ["rows", "n_in", "hidden", "n_out"].map(|name| fixtures.size(name));
    let options = ["label_smoothing", "class_weights", "sample_weights"];
    if options.into_iter().any(|option| case.loss.has(option)) {
        return None;
    }
    let loss = match (case.loss.name(), case.target) {
        ("cross_entropy", "labels") => Loss::CrossEntropy,
        ("mean_squared_error", _) => Loss::MeanSquared,
        ("quadratic", _) => Loss::Quadratic,
        _ => return None,
    };
    let output = activation(case.output)?;
    loss.check_output(output, n_out).ok()?;
    let builder = Mlp::builder(n_in).dense(hidden, activation(case.hidden)?).dense(n_out, output);
    let mut net = builder.level(level).build().unwrap();
    fixtures.set_parameters(case.net, &mut net);
    Some(Fast {
        net,
        loss,
        x: Matrix::from_vec(rows, n_in, fixtures.data("x")).unwrap(),
        labels: fixtures.labels().into_iter().map(|l| l as u32).collect(),
        values: if case.target == "labels" { vec![] } else { fixtures.data(case.target) },
    })
}

#[test]
fn outputs_loss_and_gradients_are_pytorchs() {
    let fixtures = Fixtures::load();
    for level in Level::available() {
        let mut names = Vec::new();
        for case in fixtures.cases() {
            let Some(fast) = fast(&fixtures, &case, level) else { continue };
            names.push(case.name);
            let (loss, gradients) = fast.gradients();
            let output = fast.net.predict(fast.x.view()).unwrap();
            let mut found = vec![("output", widen(output.as_slice())), ("loss", vec![loss.into()])];
            found.extend(["dw1", "db1", "dw2", "db2"].into_iter().zip(gradients));
            for (name, got) in &found {
                let place = format!("{} {}: {name}", level.name(), case.name);
                assert_close(&place, got, &case.expected.f64(name), TOLERANCE);
                assert_close(&place, got, &case.expected.f32(name), TOLERANCE);
            }
        }
        // Every hidden activation but maxout and GELU's tanh form, and the two squared losses:
        // none may drop out in silence.
        assert_eq!(names.len(), 15, "{names:?}");
    }
}

#[test]
fn twenty_steps_of_every_optimiser_are_pytorchs() {
    let fixtures = Fixtures::load();
    for level in Level::available() {
        let mut count = 0;
        for entry in fixtures.optimizers() {
            let spec = entry.optimizer;
            let Some(start) = fast(&fixtures, &entry.case, level) else { continue };
            let number = |name| spec.number(name) as f32;
            let optimizer: Optimizer = match spec.name() {
                _ if spec.has("l2") => continue,
                "sgd" => Sgd::new(number("lr")).into(),
                "momentum" => Momentum::new(number("lr"), number("momentum")).into(),
                "nesterov" => Momentum::new(number("lr"), number("momentum")).nesterov().into(),
                "adam" => {
                    let betas = spec.numbers("betas").unwrap();
                    let adam = Adam::new(number("lr")).betas(betas[0] as f32, betas[1] as f32);
                    adam.epsilon(number("epsilon")).into()
                }
                _ => continue,
            };
            count += 1;
            for (steps, expected) in &entry.after {
                let mut fast = start.clone();
                let loss = fast.train(optimizer, *steps);
                let place = format!("{} {} after {steps}", level.name(), entry.case.name);
                let [w1, b1, w2, b2] = parameters(&fast.net).try_into().unwrap();
                for (name, got) in
                    [("loss", vec![loss]), ("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)]
                {
                    let place = format!("{place}: {name}");
                    assert_close(&place, &got, &expected.f64(name), TOLERANCE_20_STEPS);
                    assert_close(&place, &got, &expected.f32(name), TOLERANCE_20_STEPS);
                }
            }
        }
        assert_eq!(count, 4, "sgd, momentum, nesterov, adam");
    }
}

/// The comparison with PyTorch can fail: one weight changed by 1e-5 is found.
#[test]
fn a_small_error_is_found() {
    let fixtures = Fixtures::load();
    let case = &fixtures.cases()[2];
    let mut fast = fast(&fixtures, case, Level::best()).unwrap();
    let (mut w, b) = (fast.net.weights(0).unwrap(), fast.net.biases(0).unwrap());
    w.as_mut_slice()[11] += 1e-5;
    fast.net.set_parameters(0, w.view(), &b).unwrap();
    let (_, gradients) = fast.gradients();
    let error = relative_error(&gradients[2], &case.expected.f64("dw2"));
    assert!(error > TOLERANCE && error < 1e-4, "{error}");
}
