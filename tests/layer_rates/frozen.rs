//! A frozen layer is one whose parameters somebody puts back after every update.

use crate::support::kinds::{BODIES, N_IN, optimizers};
use crate::support::{Data, assert_close};
use crate::{N_OUT, ROWS, batches, build, copy_layer};
use deltarule::{
    Activation, Adam, AdamW, BatchTargets, Level, Loss, Matrix, Mlp, Momentum, Optimizer,
    Precision, Sgd, Threads, Trainer, gradient,
};

/// The sets of layers, of a network with `n`, that are frozen: without the last ones where the
/// backward pass has to go down, with the first ones where it can end earlier.
fn sets(n: usize) -> Vec<Vec<usize>> {
    let mut sets = vec![vec![0], (0..n - 1).collect(), vec![n - 1]];
    if n > 2 {
        sets.extend([vec![1], (1..n).collect(), (0..n - 2).chain([n - 1]).collect()]);
    }
    sets
}

/// Steps of a session in which layers are frozen, beside one without that gets them back.
fn compare(place: &str, trainer: impl Fn() -> Trainer<'static>, net: &Mlp, frozen: &[usize]) {
    let freezing = frozen.iter().fold(trainer(), |trainer, layer| trainer.freeze(*layer));
    let mut frozen_run = freezing.session(net.clone()).unwrap();
    let mut restored_run = trainer().session(net.clone()).unwrap();
    for (x, labels) in batches(net.n_in(), N_OUT) {
        let labels = BatchTargets::from(&labels);
        let losses = [&mut frozen_run, &mut restored_run].map(|run| run.step(&x, labels).unwrap());
        assert_eq!(losses[0].to_bits(), losses[1].to_bits(), "{place}");
        frozen.iter().for_each(|layer| copy_layer(&mut restored_run, *layer, net));
    }
    let (got, want) = (frozen_run.network(), restored_run.network());
    assert_eq!(got.digest(), want.digest(), "{place}");
    for layer in 0..net.layers().len() {
        let is_kept = net.weights(layer).unwrap() == got.weights(layer).unwrap();
        let has_weights = net.weights(layer).unwrap().cols() > 0;
        assert!(!has_weights || is_kept == frozen.contains(&layer), "{place}: layer {layer}");
    }
}

#[test]
fn frozen_layers_of_every_kind_keep_their_bits() {
    for level in Level::available() {
        for (name, body) in BODIES {
            let net = build(body, level);
            for frozen in sets(net.layers().len()) {
                for threads in [Threads::One, Threads::N(2)] {
                    let place = format!("{name} {frozen:?} {} {threads:?}", level.name());
                    let trainer =
                        || Trainer::new(Adam::new(0.01)).batch_size(ROWS).threads(threads);
                    compare(&place, trainer, &net, &frozen);
                }
            }
        }
    }
}

#[test]
fn every_optimiser_and_option_leaves_frozen_layers_alone() {
    let options: [fn(Trainer<'static>) -> Trainer<'static>; 7] = [
        |t| t,
        |t| t.clip_value(0.001),
        |t| t.l1(0.01),
        |t| t.max_norm(0.5),
        |t| t.accumulate(2),
        |t| t.label_smoothing(0.1),
        |t| t.precision(Precision::Bf16),
    ];
    // Wide enough for products of bf16.
    let wide = Mlp::builder(N_IN).dense(160, Activation::Relu).dense(160, Activation::Tanh);
    let wide = wide.dense(N_OUT, Activation::Softmax).seed(1).build().unwrap();
    for net in [build(BODIES[1].1, Level::best()), wide] {
        for optimizer in optimizers() {
            for (i, option) in options.into_iter().enumerate() {
                for frozen in sets(net.layers().len()) {
                    let trainer = || option(Trainer::new(optimizer).batch_size(ROWS));
                    compare(
                        &format!("{optimizer}, option {i}, {frozen:?}"),
                        trainer,
                        &net,
                        &frozen,
                    );
                }
            }
        }
    }
}

/// Wide enough that threads share out the columns of the first layer, with inputs that are left out.
#[test]
fn layers_are_frozen_where_columns_are_shared_out() {
    let net = Mlp::builder(784).dense(128, Activation::Relu).dense(N_OUT, Activation::Softmax);
    let net = net.seed(2).build().unwrap();
    for threads in [Threads::One, Threads::N(2), Threads::N(3)] {
        for layer in [0, 1] {
            let trainer = || Trainer::new(Adam::new(0.01)).batch_size(ROWS).threads(threads);
            compare(&format!("layer {layer}, {threads:?}"), trainer, &net, &[layer]);
        }
    }
}

/// ∂L/∂x goes through frozen layers, also through those below all that are trained.
#[test]
fn gradients_go_through_frozen_layers_to_the_inputs() {
    for level in Level::available() {
        for (name, body) in BODIES {
            let net = build(body, level);
            let n = net.layers().len();
            let run = |frozen: &[usize]| {
                let mut trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS);
                for layer in frozen {
                    trainer = trainer.freeze(*layer);
                }
                let mut training = trainer.session(net.clone()).unwrap();
                let (x, _) = &batches(N_IN, N_OUT)[0];
                let dy = Matrix::from_vec(ROWS, N_OUT, Data::new(4).f32s(ROWS * N_OUT)).unwrap();
                let mut dx = Matrix::zeros(ROWS, N_IN);
                training.forward(x).unwrap();
                training.backward_to_inputs(&dy, &mut dx).unwrap();
                training.update().unwrap();
                // And once more without, on the same memory.
                training.forward(x).unwrap();
                training.backward(&dy).unwrap();
                training.update().unwrap();
                (dx, training.into_network())
            };
            let (want, _) = run(&[]);
            for frozen in sets(n) {
                let (dx, trained) = run(&frozen);
                assert_eq!(dx, want, "{name} {frozen:?}");
                for layer in frozen {
                    assert_eq!(trained.weights(layer).unwrap(), net.weights(layer).unwrap());
                }
            }
        }
    }
}

/// Clipping by norm as `clip_grad_norm_` of PyTorch, which takes the parameters that are trained.
#[test]
fn clipping_by_norm_leaves_frozen_layers_out() {
    let net = Mlp::builder(N_IN).dense(8, Activation::Tanh).dense(7, Activation::Tanh);
    let net = net.dense(N_OUT, Activation::Softmax).seed(3).build().unwrap();
    let (x, labels) = &batches(N_IN, N_OUT)[0];
    let of_layers =
        gradient::gradients(&net, x.view(), labels.into(), Loss::CrossEntropy).unwrap().layers;
    let (lr, limit) = (0.5, 0.01);
    for frozen in sets(3) {
        let trained = || (0..3).filter(|layer| !frozen.contains(layer));
        let values = |layer: usize| {
            let of_layer = &of_layers[layer];
            let all = of_layer.weights.as_slice().iter().chain(&of_layer.biases);
            all.map(|g| f64::from(*g))
        };
        let norm = trained().flat_map(values).map(|g| g * g).sum::<f64>().sqrt();
        assert!(norm > limit);
        let trainer = Trainer::new(Sgd::new(lr as f32)).batch_size(ROWS).clip_norm(limit as f32);
        let trainer = frozen.iter().fold(trainer, |trainer, layer| trainer.freeze(*layer));
        let mut training = trainer.session(net.clone()).unwrap();
        training.step(x, labels).unwrap();
        for layer in trained() {
            let [old, new] = [&net, training.network()].map(|net| {
                let weights = net.weights(layer).unwrap();
                let all = [weights.as_slice(), &net.biases(layer).unwrap()].concat();
                all.into_iter().map(f64::from).collect::<Vec<_>>()
            });
            let change: Vec<_> = old.iter().zip(&new).map(|(old, new)| old - new).collect();
            let want: Vec<_> = values(layer).map(|g| lr * g * limit / norm).collect();
            // Weights of up to 1 have a rounding error of 2⁻²⁵; the changes are up to 2e-3.
            assert_close(format!("{frozen:?}: layer {layer}"), &change, &want, 1e-4);
        }
    }
}

/// A run with frozen layers continues from a checkpoint, in which these have no state.
#[test]
fn checkpoints_have_no_state_of_frozen_layers() {
    let net = build(BODIES[2].1, Level::best());
    let all = batches(N_IN, N_OUT);
    let optimizer: Optimizer = AdamW::new(0.01).into();
    for accumulate in [1, 2] {
        let trainer = |frozen: bool| {
            let trainer = Trainer::new(optimizer).batch_size(ROWS).accumulate(accumulate);
            if frozen { trainer.freeze(0) } else { trainer }
        };
        let mut whole = trainer(true).session(net.clone()).unwrap();
        let step = |training: &mut deltarule::Training, i: usize| {
            let (x, labels) = &all[i];
            training.step(x, labels).unwrap();
        };
        step(&mut whole, 0);
        let mut bytes = Vec::new();
        whole.write_checkpoint(&mut bytes).unwrap();
        let names = String::from_utf8_lossy(&bytes);
        assert!(names.contains("slot0.1.weight") && !names.contains("slot0.0.weight"));
        (1..3).for_each(|i| step(&mut whole, i));
        let mut resumed = trainer(true).session(net.clone()).unwrap();
        resumed.read_checkpoint(&bytes[..]).unwrap();
        (1..3).for_each(|i| step(&mut resumed, i));
        assert_eq!(resumed.network().digest(), whole.network().digest());

        let mut other = trainer(false).session(net.clone()).unwrap();
        let error = other.read_checkpoint(&bytes[..]).unwrap_err().to_string();
        assert!(error.contains("frozen layers") && error.contains("none"), "{error}");
        assert_eq!(other.network().digest(), net.digest());
    }
}

/// Values that overflow in a frozen layer are found, and change nothing.
#[test]
fn what_overflows_below_the_trained_layers_is_an_error() {
    let mut net = Mlp::builder(2)
        .dense(3, Activation::Identity)
        .dense(4, Activation::Tanh)
        .dense(2, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap();
    let huge = Matrix::from_vec(2, 3, vec![f32::MAX; 6]).unwrap();
    net.set_parameters(0, huge.view(), &[0.0; 3]).unwrap();
    let before = net.digest();
    let mut training =
        Trainer::new(Momentum::new(0.1, 0.9)).freeze(0).freeze(1).session(net).unwrap();
    let x = Matrix::from_vec(1, 2, vec![3.0, 3.0]).unwrap();
    let error = training.step(&x, &[1]).unwrap_err();
    assert!(matches!(error, deltarule::Error::NonFinite { .. }), "{error}");
    assert_eq!(training.network().digest(), before);
}
