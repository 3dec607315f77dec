//! The losses of quantiles, likelihoods and margins, and functions of the caller's.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Error, Loss, MatRef, Mlp, Sgd, Trainer, check_gradients,
};

/// A network whose outputs are its inputs.
fn identity(n: usize) -> Mlp {
    let mut net = Mlp::builder(n).dense(n, Activation::Identity).build().unwrap();
    let weights = (0..n * n).map(|i| f32::from(u8::from(i % (n + 1) == 0))).collect::<Vec<_>>();
    net.set_parameters(0, MatRef::new(&weights, n, n).unwrap(), &vec![0.0; n]).unwrap();
    net
}

fn bytes(net: &Mlp) -> Vec<u8> {
    let mut bytes = Vec::new();
    net.write_to(&mut bytes).unwrap();
    bytes
}

/// The mean loss of rows of outputs and its gradient.
fn loss_of(loss: Loss, outputs: &[f32], n: usize, targets: BatchTargets) -> (f32, Vec<f32>) {
    let trainer = Trainer::new(Sgd::new(0.1)).loss(loss);
    let mut net = identity(n);
    let mut training = match targets {
        BatchTargets::Classes(_) => trainer.session(&mut net),
        BatchTargets::Values(_) => trainer.session_values(&mut net),
    }
    .unwrap();
    let rows = outputs.len() / n;
    training.forward(MatRef::new(outputs, rows, n).unwrap()).unwrap();
    let mut dy = deltarule::Matrix::zeros(rows, n);
    let value = training.loss_gradient(targets, dy.view_mut()).unwrap();
    (value, (0..rows).flat_map(|r| dy.row(r).to_vec()).collect())
}

fn near(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        // Half a unit in the last place of f32, twice.
        assert!((f64::from(*got) - want).abs() <= 1.2e-7 * want.abs().max(1e-3), "{got}, {want}");
    }
}

const OUTPUTS: [f32; 6] = [0.5, -1.25, 2.0, 0.25, -0.75, 1.5];

/// Frozen values of PyTorch 2 in f64: `PoissonNLLLoss(log_input=True)` and `GaussianNLLLoss` of
/// e^s, with autograd.
#[test]
fn likelihoods_are_those_of_pytorch() {
    let y = [1.0, 0.0, 1.0, 3.0, 0.0, 2.0];
    let (loss, dy) = loss_of(Loss::PoissonNll, &OUTPUTS, 2, MatRef::new(&y, 3, 2).unwrap().into());
    near(&[loss], &[1.5520605343762985]);
    let want = [
        0.10812021178335471,
        0.047750799476698344,
        1.0648426831551083,
        -0.28599576388537645,
        0.0787277587901691,
        0.4136148450563441,
    ];
    near(&dy, &want);
    let y = [1.0, -2.0, 0.5];
    let (loss, dy) = loss_of(Loss::GaussianNll, &OUTPUTS, 2, MatRef::new(&y, 3, 1).unwrap().into());
    near(&[loss], &[2.36367319062331]);
    let want = [
        -0.5817238262436402,
        0.021235710105756603,
        1.0384010440952065,
        -1.910135421523746,
        -0.09297090006184576,
        0.10855985412801306,
    ];
    near(&dy, &want);
}

/// Frozen values of scikit-learn's `mean_pinball_loss` (of the two quantiles, averaged) and `hinge_loss`.
#[test]
fn quantiles_and_margins_are_those_of_scikit_learn() {
    let y = [1.0, -2.0, 0.5];
    let quantiles = Loss::quantile(&[0.1, 0.75]);
    let (loss, _) = loss_of(quantiles, &OUTPUTS, 2, MatRef::new(&y, 3, 1).unwrap().into());
    near(&[loss], &[1.0458333333333334]);
    let z = [0.5, -1.25, 0.25, 2.0, 0.25, -1.0, -0.75, 1.5, 1.25];
    let (loss, dy) = loss_of(Loss::Hinge, &z, 3, BatchTargets::Classes(&[0, 1, 2]));
    near(&[loss], &[1.5833333333333333]);
    let third = 1.0 / 3.0;
    near(&dy, &[-third, 0.0, third, third, -third, 0.0, 0.0, third, -third]);
    let (loss, _) = loss_of(Loss::Hinge, &[0.5, -0.25, 2.0], 1, BatchTargets::Classes(&[0, 1, 1]));
    near(&[loss], &[0.9166666666666666]);
}

#[test]
fn gradients_agree_with_differences_in_f64() {
    let x: Vec<f32> = (0..40).map(|i| (i as f32 * 1.7).sin()).collect();
    let x = MatRef::new(&x, 10, 4).unwrap();
    let y: Vec<f32> = (0..60).map(|i| (i as f32 * 0.9).cos().abs() * 2.0).collect();
    let labels = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3];
    for activation in [Activation::Identity, Activation::Tanh, Activation::Gelu] {
        let net = Mlp::builder(4).dense(7, Activation::Tanh).dense(6, activation);
        let net = net.seed(3).build().unwrap();
        for (loss, n) in [
            (Loss::quantile(&[0.1, 0.5, 0.9]), 2),
            (Loss::quantile(&[0.3]), 6),
            (Loss::PoissonNll, 6),
            (Loss::GaussianNll, 3),
        ] {
            let y = MatRef::new(&y[..10 * n], 10, n).unwrap();
            let check = check_gradients(&net, x, y.into(), loss.clone()).unwrap();
            assert!(check.passed() && check.compared > 70, "{loss}: {check:?}");
        }
        let check = check_gradients(&net, x, BatchTargets::Classes(&labels), Loss::Hinge).unwrap();
        assert!(check.passed() && check.compared > 70, "{check:?}");
    }
}

/// The crate's squared error, as a function of the caller's, trains to the same bits.
#[test]
fn a_function_of_the_callers_has_the_bits_of_the_crates() {
    let x: Vec<f32> = (0..300).map(|i| (i as f32 * 1.3).sin()).collect();
    let values = (0..200).map(|i| (i as f32 * 0.7).cos()).collect();
    let data = Dataset::from_f32(x, 3, Targets::Values { values, n_outputs: 2 }).unwrap();
    let squared = Loss::custom("squared", |y, t, dy| {
        let mut sum = 0.0;
        for ((y, t), dy) in y.iter().zip(t).zip(dy) {
            *dy = 2.0 * 0.5 * (y - t);
            sum += (y - t) * (y - t);
        }
        0.5 * sum
    });
    let train = |loss: Loss| {
        let net = Mlp::builder(3).dense(20, Activation::Gelu).dense(2, Activation::Tanh);
        let mut net = net.seed(1).build().unwrap();
        let trainer = Trainer::new(Adam::new(0.01)).loss(loss).epochs(3).batch_size(32);
        let history = trainer.validation(&data).fit(&mut net, &data).unwrap();
        (net, history.epochs[2].loss, history.epochs[2].validation.clone().unwrap().loss)
    };
    let (a, b) = (train(squared), train(Loss::MeanSquared));
    assert!(bytes(&a.0) == bytes(&b.0));
    assert!((a.1 - b.1).abs() < 1e-6 * b.1 && (a.2 - b.2).abs() < 1e-6 * b.2);
}

#[test]
fn what_a_loss_cannot_take_is_refused() {
    let net = |n| Mlp::builder(1).dense(n, Activation::Identity).build().unwrap();
    let begin = |loss: Loss, n, values: bool| {
        let trainer = Trainer::new(Sgd::new(0.1)).loss(loss);
        let session = if values { trainer.session_values(net(n)) } else { trainer.session(net(n)) };
        session.map(|_| ())
    };
    for (loss, n, values) in [
        (Loss::quantile(&[]), 2, true),
        (Loss::quantile(&[0.0]), 2, true),
        (Loss::quantile(&[0.5, 1.0]), 2, true),
        (Loss::quantile(&[f32::NAN]), 2, true),
        (Loss::quantile(&[0.1, 0.9]), 3, true),
        (Loss::quantile(&[0.1]), 2, false),
        (Loss::GaussianNll, 3, true),
        (Loss::GaussianNll, 2, false),
        (Loss::PoissonNll, 2, false),
        (Loss::Hinge, 2, true),
        (Loss::custom_with_targets("f", 0, |_, _, _| 0.0), 2, true),
        (Loss::custom_with_targets("f", 1, |_, _, _| 0.0), 2, false),
    ] {
        let result = begin(loss.clone(), n, values);
        assert!(matches!(result, Err(Error::Config { .. })), "{loss}: {result:?}");
    }
    let trainer = Trainer::new(Sgd::new(0.1)).loss(Loss::PoissonNll);
    let mut training = trainer.session_values(net(1)).unwrap();
    let one = [1.0];
    let x = MatRef::new(&one, 1, 1).unwrap();
    let result = training.step(x, MatRef::new(&[-1.0], 1, 1).unwrap());
    assert!(matches!(result, Err(Error::Value { .. })), "{result:?}");
}

/// Rows of weight 0 are left out of a step; the error names the caller's row. An output that is not
/// finite is the layer's fault, not the function's.
#[test]
fn the_error_names_the_callers_row_and_not_the_layers_fault() {
    let f = |y: &[f32], t: &[f32], dy: &mut [f32]| {
        dy[0] = y[0] - t[0];
        if t[0] == 7.0 { f32::NAN } else { 0.5 * dy[0] * dy[0] }
    };
    let trainer = Trainer::new(Sgd::new(0.1)).loss(Loss::custom("mine", f));
    let mut training = trainer.session_values(identity(1)).unwrap();
    let column = |values: &'static [f32]| MatRef::new(values, values.len(), 1).unwrap();
    let (x, y) = (column(&[1.0, 2.0, 3.0]), column(&[7.0, 1.0, 7.0]));
    let error = training.step_weighted(x, y, &[0.0, 1.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("row 2"), "{error}");

    let mut net = identity(1);
    net.set_parameters(0, column(&[2.0]), &[0.0]).unwrap();
    let mut training = trainer.session_values(net).unwrap();
    let error = training.step(column(&[f32::MAX]), column(&[0.0])).unwrap_err();
    assert!(matches!(error, Error::NonFinite { layer: 0, .. }), "{error}");
}

/// The step is an error that names the function and the row, and changes nothing.
#[test]
fn a_function_that_returns_nan_changes_nothing() {
    for (place, in_gradient) in [("loss", false), ("gradient", true)] {
        let f = move |y: &[f32], t: &[f32], dy: &mut [f32]| {
            let bad = t[0] == 7.0;
            dy[0] = if bad && in_gradient { f32::INFINITY } else { y[0] - t[0] };
            if bad && !in_gradient { f32::NAN } else { 0.5 * dy[0] * dy[0] }
        };
        let trainer = Trainer::new(Adam::new(0.1)).loss(Loss::custom("mine", f));
        let net = Mlp::builder(1).dense(1, Activation::Identity).build().unwrap();
        let (mut training, mut other) =
            (trainer.session_values(net.clone()).unwrap(), trainer.session_values(net).unwrap());
        let x = [1.0, 2.0];
        let x = MatRef::new(&x, 2, 1).unwrap();
        let good = MatRef::new(&[1.0, 3.0], 2, 1).unwrap();
        let error = training.step(x, MatRef::new(&[1.0, 7.0], 2, 1).unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"mine\"") && text.contains("row 1"), "{place}: {text}");
        let losses = [training.step(x, good).unwrap(), other.step(x, good).unwrap()];
        assert_eq!(losses[0], losses[1]);
        assert!(bytes(training.network()) == bytes(other.network()));
    }
}
