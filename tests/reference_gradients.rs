//! Backpropagation in `reference` against central differences, in f64: every activation with
//! every loss, norms, dropout and residual connections, for every parameter and input.

mod support;

use deltarule::reference::{
    Activation, Batch, Decay, Layer, Loss, Network, Norm, NormKind, Optimizer, Rule, Target,
};
use support::{Data, relative_error};

const ROWS: usize = 5;
const SIZES: [usize; 4] = [4, 6, 5, 3];

const ACTIVATIONS: [Activation; 15] = [
    Activation::Identity,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Elu { alpha: 0.7 },
    Activation::Selu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Softplus,
    Activation::Softsign,
    Activation::HardTanh,
    Activation::Softmax,
    Activation::Maxout { units: 3 },
];

fn losses() -> Vec<Loss> {
    let weights = Some(vec![0.5, 2.0, 1.25]);
    vec![
        Loss::cross_entropy(),
        Loss::CrossEntropy { label_smoothing: 0.1, class_weights: weights.clone() },
        Loss::binary_cross_entropy(),
        Loss::BinaryCrossEntropy { positive_weights: weights },
        Loss::MeanSquaredError,
        Loss::Quadratic,
        Loss::MeanAbsoluteError,
        Loss::Huber { delta: 0.3 },
    ]
}

/// Two hidden layers of `hidden`, an output of `output`.
fn network(hidden: Activation, output: Activation, data: &mut Data) -> Network<f64> {
    let mut layer = |n_in, n_out, activation: Activation| {
        let columns = n_out * activation.units();
        let weight = data.f64s(n_in * columns);
        Layer::new(n_in, n_out, activation, weight, data.f64s(columns)).unwrap()
    };
    let [a, b, c, d] = SIZES;
    Network::new(vec![layer(a, b, hidden), layer(b, c, hidden), layer(c, d, output)]).unwrap()
}

/// dL/dw ≈ (L(w + h) − L(w − h)) / 2h, with h = 1e-5: an error of h² = 1e-10 by the formula and
/// of 1e-16 / h = 1e-11 by rounding.
fn central_difference(mut at: impl FnMut(f64) -> f64, w: f64) -> f64 {
    let h = 1e-5;
    (at(w + h) - at(w - h)) / (2.0 * h)
}

/// Some parameters of a layer; none if it has none of these.
type Tensor = fn(&mut Layer<f64>) -> Option<&mut Vec<f64>>;

/// Relative error of the gradient of each tensor and of the input.
fn errors(network: &Network<f64>, batch: &Batch<f64>, loss: &Loss) -> Vec<f64> {
    let (_, gradients) = network.gradients(batch, loss).unwrap();
    let mut errors = Vec::new();
    let tensors: [Tensor; 4] = [
        |l| Some(&mut l.weight),
        |l| Some(&mut l.bias),
        |l| l.norm.as_mut().map(|norm| &mut norm.gamma),
        |l| l.norm.as_mut().map(|norm| &mut norm.beta),
    ];
    for (l, layer) in gradients.iter().enumerate() {
        let mut moved = network.clone();
        let batch_norm =
            network.layers[l].norm.as_ref().is_some_and(|norm| norm.kind == NormKind::Batch);
        let found = [&layer.weight, &layer.bias, &layer.gamma, &layer.beta];
        for (tensor, gradient) in tensors.iter().zip(found) {
            let Some(start) = tensor(&mut moved.layers[l]).cloned() else {
                assert!(gradient.is_empty());
                continue;
            };
            let mut set = |i: usize, value| {
                tensor(&mut moved.layers[l]).unwrap()[i] = value;
                moved.loss(batch, loss).unwrap()
            };
            let slope = |(i, &value): (usize, &f64)| {
                let slope = central_difference(|value| set(i, value), value);
                set(i, value);
                slope
            };
            let numeric: Vec<f64> = start.iter().enumerate().map(slope).collect();
            if batch_norm && std::ptr::eq(gradient, &layer.bias) {
                // Batch normalisation subtracts the bias again: only rounding is left.
                assert!(gradient.iter().chain(&numeric).all(|value| value.abs() < 1e-9));
            } else {
                errors.push(relative_error(gradient, &numeric));
            }
        }
    }
    let mut x = batch.x.to_vec();
    let numeric: Vec<f64> = (0..x.len())
        .map(|i| {
            let at = |value| {
                x[i] = value;
                network.loss(&Batch { x: &x, ..*batch }, loss).unwrap()
            };
            let slope = central_difference(at, batch.x[i]);
            x[i] = batch.x[i];
            slope
        })
        .collect();
    errors.push(relative_error(&network.input_gradient(&gradients), &numeric));
    errors
}

/// How far the nearest kink is, in any activation and in the loss: a difference taken across one
/// says nothing about the slope on its sides.
fn distance_to_a_kink(network: &Network<f64>, batch: &Batch<f64>, loss: &Loss) -> f64 {
    let outputs = network.layer_outputs(batch.x).unwrap();
    let mut nearest = f64::INFINITY;
    for (layer, output) in network.layers.iter().zip(&outputs) {
        for unit in output.z.chunks(layer.activation.units()) {
            nearest = nearest.min(distance_to_kink_of(layer.activation, unit));
        }
    }
    let one_hot: Vec<f64>;
    let target = match batch.target {
        Target::Values(values) => values,
        Target::Labels(labels) => {
            one_hot = deltarule::reference::one_hot(labels, SIZES[3]);
            &one_hot
        }
    };
    for (&y, &t) in outputs[outputs.len() - 1].a.iter().zip(target) {
        match loss {
            Loss::MeanAbsoluteError => nearest = nearest.min((y - t).abs()),
            Loss::Huber { delta } => nearest = nearest.min(((y - t).abs() - delta).abs()),
            _ => {}
        }
    }
    nearest
}

/// The same for one unit: for maxout, how far its two largest units are apart.
fn distance_to_kink_of(activation: Activation, unit: &[f64]) -> f64 {
    match activation {
        Activation::Relu
        | Activation::LeakyRelu { .. }
        | Activation::Elu { .. }
        | Activation::Selu => unit[0].abs(),
        Activation::HardTanh => (unit[0].abs() - 1.0).abs(),
        Activation::Maxout { .. } => {
            let mut units = unit.to_vec();
            units.sort_by(f64::total_cmp);
            units[units.len() - 1] - units[units.len() - 2]
        }
        _ => f64::INFINITY,
    }
}

/// The outputs a loss can follow: the fused ones their own, the others all.
fn outputs(loss: &Loss) -> Vec<Activation> {
    match loss {
        Loss::CrossEntropy { .. } => vec![Activation::Softmax, Activation::Identity],
        Loss::BinaryCrossEntropy { .. } => vec![Activation::Sigmoid, Activation::Identity],
        _ => ACTIVATIONS.to_vec(),
    }
}

#[test]
fn every_activation_with_every_loss() {
    let mut data = Data::new(11);
    for hidden in ACTIVATIONS {
        for loss in losses() {
            for output in outputs(&loss) {
                for labelled in [true, false] {
                    let worst = worst_error(hidden, output, &loss, labelled, &mut data);
                    assert!(worst <= 1e-6, "{hidden:?}, {output:?}, {loss:?}: {worst:e}");
                }
            }
        }
    }
}

/// The largest error on random data that is not near a kink.
fn worst_error(
    hidden: Activation,
    output: Activation,
    loss: &Loss,
    labelled: bool,
    data: &mut Data,
) -> f64 {
    for _ in 0..100 {
        let network = network(hidden, output, data);
        let x = data.f64s(ROWS * SIZES[0]);
        let labels = data.labels(ROWS, SIZES[3]);
        let values: Vec<f64> = (0..ROWS * SIZES[3]).map(|_| data.uniform(0.0, 1.0)).collect();
        let weights: Vec<f64> = (0..ROWS).map(|_| data.uniform(0.1, 2.0)).collect();
        let target = if labelled { Target::Labels(&labels) } else { Target::Values(&values) };
        let batch = Batch { x: &x, target, sample_weights: Some(&weights) };
        // A parameter moved by 1e-5 moves no Z by 1e-3.
        if distance_to_a_kink(&network, &batch, loss) > 1e-3 {
            return errors(&network, &batch, loss).into_iter().fold(0.0, f64::max);
        }
    }
    panic!("{hidden:?}, {output:?}, {loss:?}: every draw is near a kink");
}

/// What may stand around a layer: norms, dropout, and residual connections from the inputs and from
/// a layer below.
#[test]
fn norms_dropout_and_residual_connections() {
    let mut data = Data::new(15);
    for kind in [NormKind::Layer, NormKind::Batch] {
        for loss in [Loss::cross_entropy(), Loss::MeanSquaredError] {
            let n = SIZES[0];
            let mut hidden = |residual| {
                let mut layer =
                    Layer::new(n, n, Activation::Tanh, data.f64s(n * n), data.f64s(n)).unwrap();
                layer.norm = Some(Norm { kind, gamma: data.f64s(n), beta: data.f64s(n) });
                let kept = |x| if x < 0.0 { 0.0 } else { 1.25 };
                let mask = data.f64s(ROWS * n).into_iter().map(kept);
                (layer.mask, layer.residual) = (Some(mask.collect()), residual);
                layer
            };
            let mut layers = vec![hidden(1), hidden(0), hidden(2), hidden(4)];
            let output = Layer::new(n, 3, Activation::Softmax, data.f64s(n * 3), data.f64s(3));
            layers.push(output.unwrap());
            let network = Network::new(layers).unwrap();
            let (x, labels) = (data.f64s(ROWS * n), data.labels(ROWS, 3));
            let batch = Batch::new(&x, Target::Labels(&labels));
            let errors = errors(&network, &batch, &loss);
            let worst = errors.iter().copied().fold(0.0, f64::max);
            assert!(worst <= 1e-6, "{kind:?}, {loss:?}: {errors:?}");
        }
    }
}

/// The check must be able to fail: the ReLU network's gradient is not the leaky one's.
#[test]
fn a_wrong_slope_is_found() {
    let mut data = Data::new(12);
    let mut network = network(Activation::Relu, Activation::Softmax, &mut data);
    let x = data.f64s(ROWS * SIZES[0]);
    let labels = data.labels(ROWS, SIZES[3]);
    let batch = Batch::new(&x, Target::Labels(&labels));
    let (_, of_relu) = network.gradients(&batch, &Loss::cross_entropy()).unwrap();
    network.layers[0].activation = Activation::LeakyRelu { slope: 1e-4 };
    let (_, of_leaky) = network.gradients(&batch, &Loss::cross_entropy()).unwrap();
    assert!(relative_error(&of_relu[0].weight, &of_leaky[0].weight) > 1e-6);
}

#[test]
fn f32_agrees_with_f64() {
    let mut data = Data::new(13);
    let wide = network(Activation::Tanh, Activation::Softmax, &mut data);
    let narrow = wide.cast::<f32>();
    let wide = narrow.cast::<f64>();
    let x = data.f32s(ROWS * SIZES[0]);
    let labels = data.labels(ROWS, SIZES[3]);
    let wide_x = support::widen(&x);
    let loss = Loss::cross_entropy();
    let (_, a) = narrow.gradients(&Batch::new(&x, Target::Labels(&labels)), &loss).unwrap();
    let (_, b) = wide.gradients(&Batch::new(&wide_x, Target::Labels(&labels)), &loss).unwrap();
    for (a, b) in a.iter().zip(&b) {
        assert!(relative_error(&a.weight, &b.weight) < 1e-5);
        assert!(relative_error(&a.bias, &b.bias) < 1e-5);
    }
}

/// With a gradient that is only the penalty's, SGD shrinks the weights geometrically.
#[test]
fn l2_alone_shrinks_weights_and_spares_biases() {
    let layer = Layer::new(1, 1, Activation::Identity, vec![1.0], vec![0.5]).unwrap();
    let mut network = Network::new(vec![layer]).unwrap();
    let batch = Batch { x: &[0.0], target: Target::Values(&[0.5]), sample_weights: None };
    let mut sgd = Optimizer::new(Rule::Sgd, 0.1);
    (sgd.l2, sgd.decay) = (0.5, Decay::WeightsOnly);
    for _ in 0..10 {
        assert_eq!(network.step(&batch, &Loss::Quadratic, &mut sgd).unwrap(), 0.0);
    }
    assert!((network.layers[0].weight[0] - 0.95f64.powi(10)).abs() < 1e-15);
    assert_eq!(network.layers[0].bias[0], 0.5);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let mut data = Data::new(14);
    let good = network(Activation::Tanh, Activation::Softmax, &mut data);
    let x = data.f64s(2 * SIZES[0]);
    let ce = Loss::cross_entropy();
    let text = |batch: &Batch<f64>, loss: &Loss| good.loss(batch, loss).unwrap_err().to_string();
    let labels = |labels| Batch::new(&x, Target::Labels(labels));

    assert!(good.loss(&labels(&[0, 2]), &ce).is_ok());
    assert!(text(&labels(&[0, 3]), &ce).contains("label 1"));
    assert!(text(&labels(&[0]), &ce).contains("labels"));
    assert!(text(&Batch { x: &x[1..], ..labels(&[0]) }, &ce).contains("rows of 4"));
    assert!(text(&Batch { x: &[], ..labels(&[]) }, &ce).contains("at least one row"));
    assert!(text(&Batch::new(&x, Target::Values(&[0.0; 5])), &ce).contains("target"));
    let weights = Batch { sample_weights: Some(&[1.0]), ..labels(&[0, 1]) };
    assert!(text(&weights, &ce).contains("sample weights"));
    let two = Loss::CrossEntropy { label_smoothing: 0.0, class_weights: Some(vec![1.0; 2]) };
    assert!(text(&labels(&[0, 1]), &two).contains("class weights"));
    assert!(text(&labels(&[0, 1]), &Loss::binary_cross_entropy()).contains("cannot follow"));

    let step = network(Activation::Step, Activation::Softmax, &mut data);
    assert!(step.forward(&x).is_ok());
    assert!(step.gradients(&labels(&[0, 1]), &ce).is_err());

    assert!(Network::<f32>::new(vec![]).is_err());
    assert!(Layer::new(2, 2, Activation::Relu, vec![0.0; 3], vec![0.0; 2]).is_err());
    assert!(Layer::new(2, 2, Activation::Relu, vec![0.0; 4], vec![0.0; 4]).is_err());
    assert!(Layer::new(2, 2, Activation::Maxout { units: 2 }, vec![0.0; 8], vec![0.0; 4]).is_ok());
    let layer = || Layer::new(2, 3, Activation::Relu, vec![0.0; 6], vec![0.0; 3]).unwrap();
    assert!(Network::new(vec![layer(), layer()]).is_err());

    let mut adam = Optimizer::new(Rule::adam(), 0.01);
    let mut trained = good.clone();
    trained.step(&labels(&[0, 1]), &ce, &mut adam).unwrap();
    let mut other = Network::new(vec![good.layers[0].clone()]).unwrap();
    let batch = Batch::new(&x, Target::Labels(&[0, 1]));
    assert!(other.step(&batch, &Loss::Quadratic, &mut adam).is_err());
}
