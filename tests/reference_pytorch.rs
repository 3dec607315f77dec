//! `reference` against frozen PyTorch values: two programs that share nothing agree, so the
//! oracle of the other tests and the fixtures are both right.

mod support;

use deltarule::reference::{
    Activation, Batch, Layer, Loss, Network, Optimizer, Real, Rule, Target, activation_backward,
    activation_forward,
};
use support::fixtures::{Case, Fixtures, Spec, Tensors};
use support::{assert_close, relative_error};

/// In f64 both round some hundred times on the way.
const TOLERANCE_F64: f64 = 1e-12;
/// The same in f32.
const TOLERANCE_F32: f64 = 5e-6;

fn activation(spec: Spec) -> Activation {
    match spec.name() {
        "identity" => Activation::Identity,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { slope: spec.number("slope") },
        "elu" => Activation::Elu { alpha: spec.number("alpha") },
        "selu" => Activation::Selu,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "hard_tanh" => Activation::HardTanh,
        "softmax" => Activation::Softmax,
        "maxout" => Activation::Maxout { units: spec.number("pieces") as usize },
        other => panic!("activation {other}"),
    }
}

fn loss(spec: Spec) -> Loss {
    match spec.name() {
        "cross_entropy" => Loss::CrossEntropy {
            label_smoothing: if spec.has("label_smoothing") {
                spec.number("label_smoothing")
            } else {
                0.0
            },
            class_weights: spec.numbers("class_weights"),
        },
        "binary_cross_entropy" => {
            Loss::BinaryCrossEntropy { positive_weights: spec.numbers("positive_weights") }
        }
        "mean_squared_error" => Loss::MeanSquaredError,
        "quadratic" => Loss::Quadratic,
        "mean_absolute_error" => Loss::MeanAbsoluteError,
        "huber" => Loss::Huber { delta: spec.number("delta") },
        other => panic!("loss {other}"),
    }
}

fn optimizer<T: Real>(spec: Spec) -> Optimizer<T> {
    let betas = || {
        let betas = spec.numbers("betas").expect("betas");
        [betas[0], betas[1]]
    };
    let epsilon = || spec.number("epsilon");
    let rule = match spec.name() {
        "sgd" => Rule::Sgd,
        "momentum" => Rule::Momentum { momentum: spec.number("momentum") },
        "nesterov" => Rule::Nesterov { momentum: spec.number("momentum") },
        "rmsprop" => Rule::RmsProp { alpha: spec.number("alpha"), epsilon: epsilon() },
        "adagrad" => Rule::Adagrad { epsilon: epsilon() },
        "adam" => Rule::Adam { betas: betas(), epsilon: epsilon() },
        "adamw" => Rule::AdamW {
            betas: betas(),
            epsilon: epsilon(),
            weight_decay: spec.number("weight_decay"),
        },
        other => panic!("optimizer {other}"),
    };
    let mut optimizer = Optimizer::new(rule, spec.number("lr"));
    if spec.has("l2") {
        optimizer.l2 = spec.number("l2");
    }
    optimizer
}

/// The network of a case, and its batch, in precision T.
struct Run<T> {
    network: Network<T>,
    x: Vec<T>,
    labels: Vec<usize>,
    values: Vec<T>,
    sample_weights: Option<Vec<T>>,
}

impl<T: Real> Run<T> {
    fn new(fixtures: &Fixtures, case: &Case) -> Self {
        let cast =
            |v: Vec<f32>| -> Vec<T> { v.into_iter().map(|x| T::from_f64(x.into())).collect() };
        let parameter = |name| cast(fixtures.parameter(case.net, name));
        let [n_in, hidden, n_out] = ["n_in", "hidden", "n_out"].map(|name| fixtures.size(name));
        let layer = |n_in, n_out, spec, w, b| {
            Layer::new(n_in, n_out, activation(spec), parameter(w), parameter(b)).unwrap()
        };
        let network = Network::new(vec![
            layer(n_in, hidden, case.hidden, "w1", "b1"),
            layer(hidden, n_out, case.output, "w2", "b2"),
        ]);
        let values = if case.target == "labels" { vec![] } else { fixtures.data(case.target) };
        let weighted = case.loss.has("sample_weights");
        Run {
            network: network.unwrap(),
            x: cast(fixtures.data("x")),
            labels: fixtures.labels(),
            values: cast(values),
            sample_weights: weighted.then(|| cast(fixtures.data("sample_weights"))),
        }
    }

    fn batch(&self) -> Batch<'_, T> {
        let target = if self.values.is_empty() {
            Target::Labels(&self.labels)
        } else {
            Target::Values(&self.values)
        };
        Batch { x: &self.x, target, sample_weights: self.sample_weights.as_deref() }
    }
}

/// Which of the two runs of PyTorch belongs to T.
fn expected<T: Real>(tensors: Tensors, name: &str) -> Vec<f64> {
    if size_of::<T>() == 4 {
        tensors.f32(name).into_iter().map(f64::from).collect()
    } else {
        tensors.f64(name)
    }
}

fn check<T: Real + Into<f64>>(
    place: &str,
    name: &str,
    got: &[T],
    tensors: Tensors,
    tolerance: f64,
) {
    assert_close(format!("{place}: {name}"), got, &expected::<T>(tensors, name), tolerance);
}

fn cases<T: Real + Into<f64>>(tolerance: f64) {
    let fixtures = Fixtures::load();
    for case in fixtures.cases() {
        let run = Run::<T>::new(&fixtures, &case);
        let (network, batch, loss) = (&run.network, run.batch(), loss(case.loss));
        let check = |name, got: &[T]| check(case.name, name, got, case.expected, tolerance);

        let outputs = network.layer_outputs(&run.x).unwrap();
        check("logits", &outputs[1].z);
        check("output", &network.forward(&run.x).unwrap());
        let (value, gradients) = network.gradients(&batch, &loss).unwrap();
        check("loss", &[value]);
        check("loss", &[network.loss(&batch, &loss).unwrap()]);
        check("dw1", &gradients[0].weight);
        check("db1", &gradients[0].bias);
        check("dw2", &gradients[1].weight);
        check("db2", &gradients[1].bias);
        check("dx", &network.input_gradient(&gradients));
    }
}

fn optimizers<T: Real + Into<f64>>(tolerance: f64) {
    let fixtures = Fixtures::load();
    for entry in fixtures.optimizers() {
        let run = Run::<T>::new(&fixtures, &entry.case);
        let mut optimizer = optimizer::<T>(entry.optimizer);
        let mut network = run.network.clone();
        let mut steps = 0;
        let mut value = T::ZERO;
        for (after, tensors) in entry.after {
            while steps < after {
                value = network.step(&run.batch(), &loss(entry.case.loss), &mut optimizer).unwrap();
                steps += 1;
            }
            let place = format!("{} after {after}", entry.case.name);
            let check = |name, got: &[T]| check(&place, name, got, tensors, tolerance);
            check("loss", &[value]);
            check("w1", &network.layers[0].weight);
            check("b1", &network.layers[0].bias);
            check("w2", &network.layers[1].weight);
            check("b2", &network.layers[1].bias);
        }
    }
}

#[test]
fn forward_loss_and_gradients_in_f64() {
    cases::<f64>(TOLERANCE_F64);
}

#[test]
fn forward_loss_and_gradients_in_f32() {
    cases::<f32>(TOLERANCE_F32);
}

#[test]
fn optimizers_in_f64() {
    optimizers::<f64>(TOLERANCE_F64);
}

#[test]
fn optimizers_in_f32() {
    optimizers::<f32>(TOLERANCE_F32);
}

/// Point by point, so that a wrong convention at a kink cannot hide behind larger values. The
/// bound is absolute below 1, because PyTorch computes tails such as GELU(−8) as 1 + erf, which
/// cancels; and it is 1e-13 because PyTorch's softplus is z itself from z = 20 on.
#[test]
fn activations_and_derivatives_at_points() {
    for entry in Fixtures::load().pointwise() {
        let activation = activation(entry.activation);
        let z = support::widen(&entry.z);
        let a = activation_forward(activation, &z, z.len());
        let derivative = activation_backward(activation, &vec![1.0; z.len()], &z, z.len());
        for (name, got) in [("a", a), ("derivative", derivative)] {
            for ((z, got), want) in z.iter().zip(got).zip(entry.expected.f64(name)) {
                let error = (got - want).abs() / want.abs().max(1.0);
                assert!(error <= 1e-13, "{activation:?} at {z}: {name} is {got:e}, not {want:e}");
            }
        }
    }
}

/// The comparison above must be able to fail: one weight changed by 1e-9 is found.
#[test]
fn a_small_error_is_found() {
    let fixtures = Fixtures::load();
    let case = &fixtures.cases()[2];
    let mut run = Run::<f64>::new(&fixtures, case);
    run.network.layers[0].weight[11] += 1e-9;
    let (_, gradients) = run.network.gradients(&run.batch(), &loss(case.loss)).unwrap();
    let error = relative_error(&gradients[1].weight, &case.expected.f64("dw2"));
    assert!(error > TOLERANCE_F64 && error < 1e-7, "{error}");
}
