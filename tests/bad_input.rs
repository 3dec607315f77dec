//! Bad input is an `Err` whose text names the place, what was expected and what came.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Error, Init, Level, Loss, MatRef, Matrix, Mlp, Momentum,
    Optimizer, Predictor, Result, Sgd, Threads, Trainer,
};

/// Asserts that `made` is an error whose text has every part.
#[track_caller]
fn refused<T>(made: Result<T>, parts: &[&str]) {
    let Err(error) = made else { panic!("accepted, want {parts:?}") };
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text:?} lacks one of {parts:?}");
}

/// A network 3-4-2 with softmax.
fn net() -> Mlp {
    let builder = Mlp::builder(3).dense(4, Activation::Relu).dense(2, Activation::Softmax);
    builder.build().unwrap()
}

/// A network 3-4-2 for values.
fn regression() -> Mlp {
    let builder = Mlp::builder(3).dense(4, Activation::Tanh).dense(2, Activation::Identity);
    builder.build().unwrap()
}

fn matrix(rows: usize, cols: usize) -> Matrix {
    Matrix::zeros(rows, cols)
}

fn classes(labels: &[u32], n_classes: usize) -> Targets {
    Targets::Classes { labels: labels.to_vec(), n_classes }
}

/// `rows` samples of `n` zeros, classes 0 of `n_classes`.
fn set(rows: usize, n: usize, n_classes: usize) -> Dataset {
    Dataset::from_f32(vec![0.0; rows * n], n, classes(&vec![0; rows], n_classes)).unwrap()
}

fn set_of_values(rows: usize, n: usize, n_outputs: usize) -> Dataset {
    let targets = Targets::Values { values: vec![0.0; rows * n_outputs], n_outputs };
    Dataset::from_f32(vec![0.0; rows * n], n, targets).unwrap()
}

#[test]
fn networks_that_make_no_sense() {
    use Activation::{Relu, Softmax};
    let build = |b: deltarule::MlpBuilder| b.build();
    refused(build(Mlp::builder(3)), &["network", "at least one layer", "none"]);
    refused(build(Mlp::builder(0).dense(1, Relu)), &["network", "at least one input", "0"]);
    let empty_layer = Mlp::builder(3).dense(2, Relu).dense(0, Relu);
    refused(build(empty_layer), &["layer 1", "at least one neuron", "0"]);
    let early = Mlp::builder(3).dense(2, Softmax).dense(2, Relu);
    refused(build(early), &["layer 0", "softmax", "output"]);
    for bad in [f32::NAN, f32::INFINITY, -0.5] {
        let b = Mlp::builder(3).dense(2, Activation::LeakyRelu { slope: bad });
        refused(build(b), &["leaky-relu", "slope", "at least 0", &bad.to_string()]);
        let b = Mlp::builder(3).dense(2, Activation::Elu { alpha: bad });
        refused(build(b), &["elu", "alpha", "at least 0", &bad.to_string()]);
        let b = Mlp::builder(3).dense(2, Relu).init(Init::Normal(bad));
        refused(build(b), &["initialisation", "deviation", &bad.to_string()]);
    }
    let b = Mlp::builder(3).dense(2, Relu).init(Init::Constant(f32::NAN));
    refused(build(b), &["initialisation", "finite", "NaN"]);
    // Sizes that no memory holds.
    for (n_in, n_out) in [(usize::MAX, 1), (1, usize::MAX), (1 << 40, 1 << 40), (1 << 60, 16)] {
        refused(build(Mlp::builder(n_in).dense(n_out, Relu)), &["memory", "do not fit"]);
    }
}

#[test]
fn parameters_that_do_not_fit() {
    let mut net = net();
    let before = net.digest();
    let mut put = |layer, w: &Matrix, b: &[f32]| net.set_parameters(layer, w.view(), b);
    refused(put(2, &matrix(4, 2), &[0.0; 2]), &["layer", "below 2", "2"]);
    refused(put(1, &matrix(2, 4), &[0.0; 2]), &["layer 1", "weights", "4 x 2", "2 x 4"]);
    refused(put(1, &matrix(4, 2), &[0.0; 3]), &["layer 1", "biases", "2", "3"]);
    let mut w = matrix(4, 2);
    w.as_mut_slice()[5] = f32::INFINITY;
    refused(put(1, &w, &[0.0; 2]), &["layer 1", "weight (2, 1)", "finite", "inf"]);
    refused(put(1, &matrix(4, 2), &[0.0, f32::NAN]), &["layer 1", "bias 1", "finite", "NaN"]);
    assert_eq!(net.digest(), before);
    refused(net.weights(2), &["layer", "below 2", "2"]);
    refused(net.biases(7), &["layer", "below 2", "7"]);
}

#[test]
fn optimiser_and_training_options_out_of_range() {
    let fit = |o: Optimizer| Trainer::new(o).fit(&mut net(), &set(4, 3, 2));
    for bad in [f32::NAN, f32::INFINITY, -0.1] {
        let got = bad.to_string();
        let rate = ["learning rate", "from 0", &got];
        refused(fit(Sgd::new(bad).into()), &rate);
        refused(fit(Momentum::new(bad, 0.9).into()), &rate);
        refused(fit(Adam::new(bad).into()), &rate);
        refused(fit(Momentum::new(0.1, bad).into()), &["momentum", "below 1", &got]);
        refused(fit(Adam::new(0.1).betas(bad, 0.9).into()), &["beta1", "below 1", &got]);
        refused(fit(Adam::new(0.1).betas(0.9, bad).into()), &["beta2", "below 1", &got]);
        refused(fit(Adam::new(0.1).epsilon(bad).into()), &["epsilon", &got]);
        let mut net = net();
        let mut training = Trainer::new(Sgd::new(0.1)).session(&mut net).unwrap();
        refused(training.set_learning_rate(bad), &rate);
    }
    refused(fit(Momentum::new(0.1, 1.0).into()), &["momentum", "below 1", "got 1"]);
    let sgd = || Trainer::new(Sgd::new(0.1));
    let (net, data) = (&mut net(), &set(4, 3, 2));
    refused(sgd().epochs(0).fit(net, data), &["epochs", "at least 1", "0"]);
    refused(sgd().batch_size(0).fit(net, data), &["batch size", "at least 1", "0"]);
    refused(sgd().batch_size(0).session(&mut *net).map(drop), &["batch size", "at least 1", "0"]);
    for n in [0, 1025, usize::MAX] {
        let got = format!("got {n}");
        refused(sgd().threads(Threads::N(n)).fit(net, data), &["threads", "1 to 1024", &got]);
        let predictor = Predictor::new(&*net, 1, Threads::N(n)).map(drop);
        refused(predictor, &["threads", "1 to 1024", &got]);
    }
    // More epochs or rows than anyone has memory for are no reason to reserve it.
    let stop =
        sgd().epochs(usize::MAX).on_epoch(|_| std::ops::ControlFlow::Break(())).fit(net, data);
    assert_eq!(stop.unwrap().epochs.len(), 1);
    sgd().batch_size(usize::MAX).fit(net, data).unwrap();
    refused(sgd().batch_size(usize::MAX).session(net).map(drop), &["memory", "do not fit"]);
}

#[test]
fn losses_that_do_not_fit_the_network() {
    let fit = |mut net: Mlp, loss| {
        let trainer = Trainer::new(Sgd::new(0.1)).loss(loss);
        trainer.session(&mut net).map(drop)
    };
    refused(fit(regression(), Loss::CrossEntropy), &["cross-entropy", "softmax", "identity"]);
    refused(fit(net(), Loss::Quadratic), &["softmax", "cross-entropy", "quadratic"]);
    let step = Mlp::builder(3).dense(2, Activation::Step).dense(2, Activation::Softmax);
    refused(fit(step.build().unwrap(), Loss::CrossEntropy), &["layer 0", "step", "derivative"]);
    let regress = Trainer::new(Sgd::new(0.1)).session_values(net()).map(drop);
    refused(regress, &["cross-entropy", "class labels", "target values"]);
}

#[test]
fn data_sets_that_do_not_fit_the_network() {
    let (net, values) = (&mut net(), &mut regression());
    let fit = |net: &mut Mlp, data: &Dataset| Trainer::new(Sgd::new(0.1)).fit(net, data);
    refused(fit(net, &set(4, 5, 2)), &["data set", "3 features", "5"]);
    refused(fit(net, &set(4, 3, 3)), &["data set", "2 classes", "3 classes"]);
    refused(fit(net, &set_of_values(4, 3, 2)), &["cross-entropy", "class labels"]);
    refused(fit(values, &set_of_values(4, 3, 1)), &["data set", "2 targets", "1"]);
    refused(net.evaluate(&set(4, 5, 2)), &["data set", "3 features", "5"]);
    refused(net.evaluate(&set(4, 3, 3)), &["data set", "2 classes", "3 classes"]);
    refused(net.evaluate(&set_of_values(4, 3, 2)), &["cross-entropy", "class labels"]);
    let wrong = set(4, 5, 2);
    let mut trainer = Trainer::new(Sgd::new(0.1)).validation(&wrong);
    let before = net.digest();
    refused(trainer.fit(net, &set(4, 3, 2)), &["data set", "3 features", "5"]);
    assert_eq!(net.digest(), before, "a run that is refused has not begun");
    let kind = set_of_values(4, 3, 2);
    let mut trainer = Trainer::new(Sgd::new(0.1)).validation(&kind);
    refused(trainer.fit(values, &set(4, 3, 2)), &["targets", "differ"]);
}

#[test]
fn samples_that_are_no_data_set() {
    let f32s = |features: &[f32], n, t| Dataset::from_f32(features.to_vec(), n, t);
    refused(f32s(&[], 3, classes(&[], 2)), &["data set", "at least 1 row", "0 rows"]);
    refused(f32s(&[0.0; 4], 3, classes(&[0], 2)), &["features", "rows of 3", "4 values"]);
    refused(f32s(&[0.0; 3], 3, classes(&[2], 2)), &["row 0", "below 2", "got 2"]);
    refused(f32s(&[0.0; 3], 3, classes(&[0, 0], 2)), &["targets", "1 labels", "2 labels"]);
    let nan = f32s(&[0.0, f32::NAN, 0.0], 3, classes(&[0], 2));
    refused(nan, &["row 0", "column 1", "finite", "NaN"]);
    let values = Targets::Values { values: vec![0.0, f32::INFINITY], n_outputs: 2 };
    refused(f32s(&[0.0; 3], 3, values), &["target", "row 0", "column 1", "finite", "inf"]);
}

#[test]
fn batches_of_an_own_loop() {
    let mut net = net();
    let before = net.digest();
    let mut training = Trainer::new(Sgd::new(0.1)).batch_size(2).session(&mut net).unwrap();
    let mut step = |x: MatRef, t: BatchTargets| training.step(x, t);
    let labels = BatchTargets::Classes;
    let (one, two) = (matrix(1, 3), matrix(2, 3));
    refused(step(matrix(0, 3).view(), labels(&[])), &["x", "at least one row of 3", "0 x 3"]);
    refused(step(matrix(2, 4).view(), labels(&[0, 0])), &["x", "row of 3", "2 x 4"]);
    refused(step(matrix(3, 3).view(), labels(&[0; 3])), &["x", "at most 2 rows", "3"]);
    refused(step(two.view(), labels(&[0])), &["labels", "2", "got 1"]);
    refused(step(two.view(), labels(&[0, 2])), &["label of row 1", "below 2", "got 2"]);
    refused(step(two.view(), labels(&[0, u32::MAX])), &["label of row 1", "below 2"]);
    let y = matrix(1, 2);
    refused(step(one.view(), BatchTargets::Values(y.view())), &["targets", "class labels"]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = matrix(2, 3);
        x.as_mut_slice()[5] = bad;
        let place = ["x", "(1, 2)", "finite", &bad.to_string()];
        refused(step(x.view(), labels(&[0, 1])), &place);
    }
    drop(training);
    assert_eq!(net.digest(), before, "what is refused changes nothing");

    let (few, wide) = (matrix(1, 2), matrix(2, 3));
    let mut net = regression();
    let before = net.digest();
    let mut training = Trainer::new(Sgd::new(0.1)).batch_size(2).session_values(&mut net).unwrap();
    let mut step = |x: MatRef, t: BatchTargets| training.step(x, t);
    refused(step(one.view(), labels(&[0])), &["targets", "target values", "class labels"]);
    let values = BatchTargets::Values;
    refused(step(two.view(), values(few.view())), &["targets", "2 x 2", "1 x 2"]);
    refused(step(two.view(), values(wide.view())), &["targets", "2 x 2", "2 x 3"]);
    let mut y = matrix(2, 2);
    y.as_mut_slice()[2] = f32::NAN;
    refused(step(two.view(), values(y.view())), &["targets", "(1, 0)", "finite", "NaN"]);
    drop(training);
    assert_eq!(net.digest(), before, "what is refused changes nothing");
}

#[test]
fn inputs_that_cannot_be_predicted() {
    let net = net();
    refused(net.predict(matrix(0, 3).view()), &["inputs", "at least one row of 3", "0 rows"]);
    refused(net.predict(matrix(2, 4).view()), &["inputs", "of 3", "2 rows of 4"]);
    refused(net.predictor(0).map(drop), &["predictor", "at least 1", "0"]);
    // A view without columns may have any number of rows; no output is made for them.
    let rows = MatRef::new(&[], usize::MAX, 0).unwrap();
    refused(net.predict(rows), &["inputs", "of 3", "rows of 0"]);
    let mut predictor = net.predictor(2).unwrap();
    let mut into = |x: &Matrix, mut out: Matrix| predictor.predict_into(x.view(), out.view_mut());
    refused(into(&matrix(3, 3), matrix(3, 2)), &["inputs", "1 to 2 rows of 3", "3 rows of 3"]);
    refused(into(&matrix(2, 3), matrix(1, 2)), &["outputs", "2 x 2", "1 x 2"]);
    refused(into(&matrix(2, 3), matrix(2, 3)), &["outputs", "2 x 2", "2 x 3"]);
    into(&matrix(2, 3), matrix(2, 2)).unwrap();
}

/// A network whose loss overflows: a huge weight squared.
#[test]
fn a_loss_that_is_not_finite_names_epoch_step_and_layer() {
    for level in Level::available() {
        let mut net = regression().with_level(level);
        let x = Matrix::from_vec(1, 3, vec![1.0; 3]).unwrap();
        let y = matrix(1, 2);
        let mut training =
            Trainer::new(Sgd::new(1e30)).batch_size(1).session_values(&mut net).unwrap();
        // The first step is finite and throws the weights far away, the second overflows.
        training.step(x.view(), BatchTargets::Values(y.view())).unwrap();
        let good = training.network().digest();
        let error = training.step(x.view(), BatchTargets::Values(y.view())).unwrap_err();
        assert_eq!(training.network().digest(), good, "weights as before the bad step");
        assert_eq!(training.steps(), 1);
        let Error::NonFinite { step: 2, layer, .. } = error else { panic!("{error}") };
        assert!(layer <= 2, "{layer}");
        assert!(error.to_string().contains("step 2"), "{error}");
        // The session goes on where it was: smaller steps cannot, but the error is the same.
        training.set_learning_rate(0.0).unwrap();
        let again = training.step(x.view(), BatchTargets::Values(y.view())).unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
    }
}

/// Layers are counted from the input; the number of layers means the loss itself.
#[test]
fn the_first_layer_that_is_not_finite_is_named() {
    for level in Level::available() {
        for (layer, weights) in [(0, [3e38, 1.0, 1.0]), (1, [1e20, 1e20, 1.0]), (3, [1e10; 3])] {
            let mut net = Mlp::builder(2)
                .dense(2, Activation::Identity)
                .dense(2, Activation::Identity)
                .dense(2, Activation::Identity)
                .level(level)
                .build()
                .unwrap();
            for (l, w) in weights.into_iter().enumerate() {
                let w = Matrix::from_vec(2, 2, vec![w; 4]).unwrap();
                net.set_parameters(l, w.view(), &[0.0; 2]).unwrap();
            }
            let before = net.digest();
            let values = Targets::Values { values: vec![0.0; 4], n_outputs: 2 };
            let data = Dataset::from_f32(vec![1.0; 4], 2, values).unwrap();
            let error = Trainer::new(Sgd::new(0.1)).fit(&mut net, &data);
            match error {
                // Squares are summed in f64, so outputs up to 1e31 have a finite loss.
                Ok(_) => assert_eq!(layer, 3),
                Err(Error::NonFinite { epoch, step, layer: found }) => {
                    assert_eq!((epoch, step, found), (1, 1, layer), "{}", level.name());
                    assert_eq!(net.digest(), before);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_fit_that_diverges_names_its_epoch() {
    let mut net = regression();
    let values = Targets::Values { values: vec![1.0; 8], n_outputs: 2 };
    let data = Dataset::from_f32(vec![1.0; 12], 3, values).unwrap();
    let mut digests = Vec::new();
    let fit = |net: &mut Mlp, epochs| {
        Trainer::new(Sgd::new(1e12)).batch_size(2).epochs(epochs).fit(net, &data)
    };
    let error = fit(&mut net, 100).unwrap_err();
    let Error::NonFinite { epoch, step, .. } = error else { panic!("{error}") };
    assert_eq!(epoch as u64, step.div_ceil(2), "two steps an epoch: {error}");
    // The network is as it was after the last good step: the same run, stopped there.
    let mut again = regression();
    let stopped = Trainer::new(Sgd::new(1e12))
        .batch_size(2)
        .epochs(100)
        .on_step(|p| {
            digests.push(p.step);
            let last = digests.len() as u64 == step - 1;
            if last {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        })
        .fit(&mut again, &data);
    if step > 1 {
        assert!(stopped.unwrap().stopped());
        assert_eq!(again.digest(), net.digest());
    }
}
