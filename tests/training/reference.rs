//! Every shape of network, and whole epochs, against the naive reference in f64.

use crate::support::{Data, assert_close, widen};
use crate::{Fast, TOLERANCE, TOLERANCE_20_STEPS, parameters};
use deltarule::data::{Dataset, Targets, shuffled};
use deltarule::gradient::reference_network;
use deltarule::reference::{self, Batch, Target};
use deltarule::{Activation, Level, Loss, Matrix, Mlp, Momentum, Trainer};

fn naive_loss(loss: Loss) -> reference::Loss {
    match loss {
        Loss::CrossEntropy => reference::Loss::cross_entropy(),
        Loss::MeanSquared => reference::Loss::MeanSquaredError,
        Loss::Quadratic => reference::Loss::Quadratic,
        other => panic!("{other}"),
    }
}

/// A network with random biases (they begin at zero) and a random batch.
fn random(level: Level, layers: &[(usize, Activation)], rows: usize, loss: Loss) -> Fast {
    let (n_in, data) = (layers[0].0, &mut Data::new(rows as u64));
    let mut builder = Mlp::builder(n_in).level(level).seed(3);
    for &(n_out, activation) in &layers[1..] {
        builder = builder.dense(n_out, activation);
    }
    let mut net = builder.build().unwrap();
    for l in 0..layers.len() - 1 {
        let w = net.weights(l).unwrap();
        let biases = data.f32s(w.cols());
        net.set_parameters(l, w.view(), &biases).unwrap();
    }
    let n_out = net.n_out();
    let values = if loss == Loss::MeanSquared { data.f32s(rows * n_out) } else { vec![] };
    Fast {
        net,
        loss,
        x: Matrix::from_vec(rows, n_in, data.f32s(rows * n_in)).unwrap(),
        labels: data.labels(rows, n_out).into_iter().map(|l| l as u32).collect(),
        values,
    }
}

/// Outputs, loss and gradients of the fast path against the naive one in f64; the largest error.
fn check_against_oracle(place: &str, fast: &Fast) {
    let labels: Vec<usize> = fast.labels.iter().map(|&l| l as usize).collect();
    let (x, values) = (widen(fast.x.as_slice()), widen(&fast.values));
    let target = if values.is_empty() { Target::Labels(&labels) } else { Target::Values(&values) };
    let network = reference_network(&fast.net).unwrap();
    let (loss, want) =
        network.gradients(&Batch::new(&x, target), &naive_loss(fast.loss.clone())).unwrap();
    let place = format!("{} {place}", fast.net.level().name());
    let output = fast.net.predict(fast.x.view()).unwrap();
    assert_close(
        format!("{place}: output"),
        output.as_slice(),
        &network.forward(&x).unwrap(),
        TOLERANCE,
    );
    let (got_loss, got) = fast.gradients();
    assert_close(format!("{place}: loss"), &[got_loss], &[loss], TOLERANCE);
    let want = want.into_iter().flat_map(|g| [g.weight, g.bias]);
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_close(format!("{place}: gradient {i}"), got, &want, TOLERANCE);
    }
}

#[test]
fn gradients_of_every_shape_are_the_references() {
    use Activation::{Gelu, Identity, Relu, Sigmoid, Softmax, Tanh};
    let elu = Activation::elu();
    for level in Level::available() {
        let check = |place: &str, layers: &[(usize, Activation)], rows, loss| {
            check_against_oracle(place, &random(level, layers, rows, loss));
        };
        let input = |n| (n, Identity);
        // One of everything; one neuron beyond a vector, a panel, a tile.
        check("ones", &[input(1), (1, Tanh), (1, Identity)], 1, Loss::MeanSquared);
        check("9-17-33", &[input(9), (17, elu), (33, Softmax)], 7, Loss::CrossEntropy);
        check("no hidden layer", &[input(65), (5, Softmax)], 33, Loss::CrossEntropy);
        // Several blocks of 256 inputs, and of 256 rows.
        check("784-30-10", &[input(784), (30, Sigmoid), (10, Sigmoid)], 10, Loss::Quadratic);
        check("600-33-10", &[input(600), (33, Relu), (10, Softmax)], 300, Loss::CrossEntropy);
        check("7-5-3", &[input(7), (5, Tanh), (3, Identity)], 777, Loss::MeanSquared);
        // Several blocks of 256 outputs on the way back.
        check(
            "20-300-270-7",
            &[input(20), (300, Gelu), (270, Tanh), (7, Softmax)],
            19,
            Loss::CrossEntropy,
        );
        // Deep and uneven.
        let sizes = [13, 31, 16, 47, 8, 1, 24, 11].map(|n| (n, Tanh));
        let deep = [&[input(13)], &sizes[..], &[(4, Softmax)]].concat();
        check("deep", &deep, 50, Loss::CrossEntropy);
    }
}

#[test]
fn epochs_over_byte_and_float_data_sets_are_the_references() {
    let (rows, n_in, batch_size, seed) = (70, 300, 32, 9);
    let data = &mut Data::new(1);
    let bytes: Vec<u8> = (0..rows * n_in).map(|_| data.bits() as u8).collect();
    let labels = data.labels(rows, 4);
    let targets =
        || Targets::Classes { labels: labels.iter().map(|&l| l as u32).collect(), n_classes: 4 };
    let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
    for level in Level::available() {
        let sets = [
            Dataset::from_u8(bytes.clone(), n_in, targets()).unwrap(),
            Dataset::from_f32(floats.clone(), n_in, targets()).unwrap(),
        ];
        for set in sets {
            let start = Mlp::builder(n_in)
                .dense(20, Activation::Tanh)
                .dense(4, Activation::Softmax)
                .level(level)
                .build()
                .unwrap();
            let mut net = start.clone();
            let mut trainer =
                Trainer::new(Momentum::new(0.1, 0.9)).batch_size(batch_size).epochs(2).seed(seed);
            let history = trainer.fit(&mut net, &set).unwrap();
            assert_eq!(history.steps, 6);

            let mut naive = reference_network(&start).unwrap();
            let mut momentum =
                reference::Optimizer::new(reference::Rule::Momentum { momentum: 0.9 }, 0.1);
            let mut order = vec![0; rows];
            for epoch in 1..=2 {
                shuffled(seed, epoch, &mut order);
                let mut loss = 0.0;
                for batch in order.chunks(batch_size) {
                    let rows = batch.iter().map(|&i| &floats[i as usize * n_in..][..n_in]);
                    let x = widen(&rows.collect::<Vec<_>>().concat());
                    let y: Vec<usize> = batch.iter().map(|&i| labels[i as usize]).collect();
                    let batch = Batch::new(&x, Target::Labels(&y));
                    let mean = naive.step(&batch, &reference::Loss::cross_entropy(), &mut momentum);
                    loss += mean.unwrap() * y.len() as f64;
                }
                let got = history.epochs[epoch as usize - 1].loss;
                assert_close("loss", &[got], &[loss / rows as f64], TOLERANCE);
            }
            let want = naive.layers.iter().flat_map(|l| [&l.weight, &l.bias]);
            for (i, (got, want)) in parameters(&net).iter().zip(want).enumerate() {
                let place = format!("{} parameter {i}", level.name());
                assert_close(place, got, want, TOLERANCE_20_STEPS);
            }
        }
    }
}
