//! Every optimiser and what goes with it, on the fast path: against PyTorch's frozen values, and
//! against the reference path where PyTorch's file has none.

mod support;

use deltarule::reference;
use deltarule::{
    Activation, Adagrad, Adam, AdamW, BatchTargets, Level, Lion, MatRef, Mlp, Momentum, Optimizer,
    RmsProp, Sgd, Threads, Trainer,
};
use support::fixtures::{Fixtures, Spec};
use support::{Data, assert_close, assert_same_bits, widen};

/// Twenty steps in f32 against PyTorch's in f64; Adagrad's first steps are all of the rate's size
/// whatever the gradient's, so that its roundings show most.
const TOLERANCE: f64 = 1e-5;

fn net(f: &Fixtures, level: Level) -> Mlp {
    let [n_in, hidden, n_out] = ["n_in", "hidden", "n_out"].map(|name| f.size(name));
    let mut net = Mlp::builder(n_in)
        .dense(hidden, Activation::Tanh)
        .dense(n_out, Activation::Softmax)
        .level(level)
        .build()
        .unwrap();
    f.set_parameters("plain", &mut net);
    net
}

fn trainer(spec: Spec) -> Trainer<'static> {
    let number = |name| spec.number(name) as f32;
    let lr = number("lr");
    let betas = || spec.numbers("betas").map(|b| (b[0] as f32, b[1] as f32)).unwrap();
    let optimizer: Optimizer = match spec.name() {
        "sgd" => Sgd::new(lr).into(),
        "momentum" => Momentum::new(lr, number("momentum")).into(),
        "nesterov" => Momentum::new(lr, number("momentum")).nesterov().into(),
        "rmsprop" => RmsProp::new(lr).alpha(number("alpha")).epsilon(number("epsilon")).into(),
        "adagrad" => Adagrad::new(lr).epsilon(number("epsilon")).into(),
        "adam" => Adam::new(lr).betas(betas().0, betas().1).epsilon(number("epsilon")).into(),
        "adamw" => AdamW::new(lr)
            .betas(betas().0, betas().1)
            .epsilon(number("epsilon"))
            .weight_decay(number("weight_decay"))
            .into(),
        other => panic!("optimizer {other}"),
    };
    let trainer = Trainer::new(optimizer);
    if spec.has("l2") { trainer.l2(number("l2")) } else { trainer }
}

fn check(place: &str, net: &Mlp, expected: impl Fn(&str) -> Vec<f64>) {
    for (layer, w, b) in [(0, "w1", "b1"), (1, "w2", "b2")] {
        let got = net.weights(layer).unwrap();
        assert_close(format!("{place}: {w}"), got.as_slice(), &expected(w), TOLERANCE);
        let got = net.biases(layer).unwrap();
        assert_close(format!("{place}: {b}"), &got, &expected(b), TOLERANCE);
    }
}

#[test]
fn every_optimiser_follows_pytorch_at_every_level() {
    let f = Fixtures::load();
    let (x, labels) = (f.data("x"), f.labels());
    let x = MatRef::new(&x, f.size("rows"), f.size("n_in")).unwrap();
    let labels: Vec<u32> = labels.iter().map(|&l| l as u32).collect();
    let mut seen = 0;
    for entry in f.optimizers() {
        for level in Level::available() {
            // Once as it is, and once through the second path (a limit that is never reached).
            for deferred in [false, true] {
                let mut net = net(&f, level);
                let trainer = trainer(entry.optimizer);
                let trainer = if deferred { trainer.clip_norm(1e30) } else { trainer };
                let trainer = trainer.batch_size(6).threads(Threads::One);
                let mut steps = 0;
                for (after, tensors) in &entry.after {
                    // A session borrows the network, so each snapshot is a run of its own.
                    let mut copy = net.clone();
                    let mut training = trainer.session(&mut copy).unwrap();
                    while steps < *after {
                        training.step(x, BatchTargets::Classes(&labels)).unwrap();
                        steps += 1;
                    }
                    drop(training);
                    let place = format!("{} after {after}, {level:?}", entry.case.name);
                    check(&place, &copy, |name| tensors.f64(name));
                    steps = 0;
                    net = self::net(&f, level);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 9 * 4 * 2, "{seen}");
}

/// A random problem, for both paths.
struct Problem {
    x: Vec<f32>,
    labels: Vec<u32>,
    parameters: [(Vec<f32>, Vec<f32>); 2],
}

const SHAPE: [usize; 3] = [37, 40, 5];
const ROWS: usize = 12;

impl Problem {
    fn new() -> Self {
        let mut data = Data::new(4);
        let mut tensor = |a, b| -> Vec<f32> { data.f32s(a * b).iter().map(|x| x * 0.4).collect() };
        let [n_in, hidden, n_out] = SHAPE;
        let parameters =
            [(tensor(n_in, hidden), tensor(1, hidden)), (tensor(hidden, n_out), tensor(1, n_out))];
        let x = data.f32s(ROWS * n_in);
        let labels = data.labels(ROWS, n_out).iter().map(|&l| l as u32).collect();
        Problem { x, labels, parameters }
    }

    fn net(&self) -> Mlp {
        let mut net = Mlp::builder(SHAPE[0])
            .dense(SHAPE[1], Activation::Tanh)
            .dense(SHAPE[2], Activation::Softmax)
            .build()
            .unwrap();
        for (layer, (w, b)) in self.parameters.iter().enumerate() {
            let w = MatRef::new(w, SHAPE[layer], SHAPE[layer + 1]).unwrap();
            net.set_parameters(layer, w, b).unwrap();
        }
        net
    }

    fn reference(&self) -> reference::Network<f64> {
        let activations = [reference::Activation::Tanh, reference::Activation::Softmax];
        let layers = self.parameters.iter().zip(activations).enumerate();
        let layers = layers.map(|(i, ((w, b), activation))| {
            reference::Layer::new(SHAPE[i], SHAPE[i + 1], activation, widen(w), widen(b)).unwrap()
        });
        reference::Network::new(layers.collect()).unwrap()
    }

    fn train(&self, trainer: Trainer, steps: usize) -> Mlp {
        let mut net = self.net();
        let mut training = trainer.batch_size(ROWS).session(&mut net).unwrap();
        let x = MatRef::new(&self.x, ROWS, SHAPE[0]).unwrap();
        for _ in 0..steps {
            training.step(x, BatchTargets::Classes(&self.labels)).unwrap();
        }
        drop(training);
        net
    }

    /// Gradients of the reference path, and its network, for steps by hand.
    fn step_by_hand(&self, n: &mut reference::Network<f64>, f: &mut dyn FnMut(&mut [f64], &[f64])) {
        let gradients = self.gradients(n);
        for (layer, g) in n.layers.iter_mut().zip(&gradients) {
            f(&mut layer.weight, &g.weight);
            f(&mut layer.bias, &g.bias);
        }
    }

    fn gradients(&self, n: &reference::Network<f64>) -> Vec<reference::Gradients<f64>> {
        let (x, labels) = (widen(&self.x), self.labels.iter().map(|&l| l as usize));
        let labels: Vec<usize> = labels.collect();
        let batch = reference::Batch::new(&x, reference::Target::Labels(&labels));
        n.gradients(&batch, &reference::Loss::cross_entropy()).unwrap().1
    }
}

fn same(place: &str, net: &Mlp, n: &reference::Network<f64>, tolerance: f64) {
    for (i, layer) in n.layers.iter().enumerate() {
        let got = net.weights(i).unwrap();
        assert_close(format!("{place}: w{i}"), got.as_slice(), &layer.weight, tolerance);
        assert_close(format!("{place}: b{i}"), &net.biases(i).unwrap(), &layer.bias, tolerance);
    }
}

#[test]
fn penalties_decay_and_lion_follow_the_reference() {
    let p = Problem::new();
    let (x, labels) = (widen(&p.x), p.labels.iter().map(|&l| l as usize).collect::<Vec<_>>());
    let batch = reference::Batch::new(&x, reference::Target::Labels(&labels));
    let run = |rule, lr, set: &dyn Fn(&mut reference::Optimizer<f64>)| {
        let mut n = p.reference();
        let mut optimizer = reference::Optimizer::new(rule, lr);
        set(&mut optimizer);
        for _ in 0..10 {
            n.step(&batch, &reference::Loss::cross_entropy(), &mut optimizer).unwrap();
        }
        n
    };
    use reference::{Decay, Rule};
    let n = run(Rule::Sgd, 0.1, &|o| (o.l1, o.l2) = (0.003, 0.02));
    same("l1 and l2", &p.train(Trainer::new(Sgd::new(0.1)).l1(0.003).l2(0.02), 10), &n, 3e-6);
    let n = run(Rule::Sgd, 0.1, &|o| {
        (o.l2, o.decay) = (0.05, Decay::WeightsOnly);
    });
    let trainer = Trainer::new(Sgd::new(0.1)).l2(0.05).decay_biases(false);
    same("l2 of weights", &p.train(trainer, 10), &n, 3e-6);
    // For plain SGD decoupled decay and L2 are the same.
    let trainer = Trainer::new(Sgd::new(0.1)).weight_decay(0.05).decay_biases(false);
    same("decay of weights", &p.train(trainer, 10), &n, 3e-6);
    let adamw = Rule::AdamW { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.1 };
    let n = run(adamw, 0.01, &|o| o.decay = Decay::WeightsOnly);
    let trainer = Trainer::new(AdamW::new(0.01).weight_decay(0.1)).decay_biases(false);
    same("adamw of weights", &p.train(trainer, 10), &n, 2e-5);
    // Lion's sign magnifies a rounding wherever a momentum is near zero: few steps.
    let lion = Rule::Lion { betas: [0.9, 0.99], weight_decay: 0.1 };
    let n = run(lion, 0.001, &|_| ());
    same("lion", &p.train(Trainer::new(Lion::new(0.001).weight_decay(0.1)), 10), &n, 2e-5);
}

#[test]
fn clipping_and_max_norm_by_hand() {
    let p = Problem::new();
    // By value.
    let mut n = p.reference();
    for _ in 0..3 {
        p.step_by_hand(&mut n, &mut |w, g| {
            w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.5 * g.clamp(-0.01, 0.01));
        });
    }
    same("value", &p.train(Trainer::new(Sgd::new(0.5)).clip_value(0.01), 3), &n, 3e-6);
    // By norm: PyTorch's factor is limit / (norm + 1e-6).
    let mut n = p.reference();
    for _ in 0..3 {
        let gradients = p.gradients(&n);
        let all = gradients.iter().flat_map(|g| g.weight.iter().chain(&g.bias));
        let norm = all.map(|g| g * g).sum::<f64>().sqrt();
        let factor = (0.1 / (norm + 1e-6)).min(1.0);
        assert!(factor < 1.0);
        p.step_by_hand(&mut n, &mut |w, g| {
            w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.5 * factor * g);
        });
    }
    same("norm", &p.train(Trainer::new(Sgd::new(0.5)).clip_norm(0.1), 3), &n, 3e-6);
    // Max-norm: no column is longer, those that were not are untouched.
    let free = p.train(Trainer::new(Sgd::new(0.5)), 1);
    let limited = p.train(Trainer::new(Sgd::new(0.5)).max_norm(1.3), 1);
    let mut shortened = 0;
    for layer in 0..2 {
        let (free, limited) = (free.weights(layer).unwrap(), limited.weights(layer).unwrap());
        let column = |m: &deltarule::Matrix, c: usize| -> Vec<f64> {
            (0..m.rows()).map(|r| f64::from(m.view().row(r)[c])).collect()
        };
        for c in 0..free.cols() {
            let (free, limited) = (column(&free, c), column(&limited, c));
            let norm = free.iter().map(|x| x * x).sum::<f64>().sqrt();
            let factor = (1.3 / norm).min(1.0);
            shortened += usize::from(factor < 1.0);
            let want: Vec<f64> = free.iter().map(|x| x * factor).collect();
            assert_close(format!("layer {layer}, column {c}"), &limited, &want, 1e-6);
        }
    }
    assert!(shortened > 5 && shortened < 45, "{shortened}");
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let p = Problem::new();
    for optimizer in [Optimizer::from(Sgd::new(0.3)), Adam::new(0.01).into()] {
        let whole = p.train(Trainer::new(optimizer), 4);
        let mut net = p.net();
        let trainer = Trainer::new(optimizer).batch_size(5).accumulate(3);
        let mut training = trainer.session(&mut net).unwrap();
        for _ in 0..4 {
            for rows in [0..5, 5..10, 10..ROWS] {
                let x = &p.x[rows.start * SHAPE[0]..rows.end * SHAPE[0]];
                let x = MatRef::new(x, rows.len(), SHAPE[0]).unwrap();
                training.step(x, BatchTargets::Classes(&p.labels[rows])).unwrap();
            }
        }
        drop(training);
        for layer in 0..2 {
            let (got, want) = (net.weights(layer).unwrap(), whole.weights(layer).unwrap());
            assert_close("accumulated", got.as_slice(), want.as_slice(), 2e-5);
        }
    }
}

#[test]
fn a_left_over_accumulation_is_flushed() {
    let p = Problem::new();
    let mut net = p.net();
    let before = net.digest();
    let trainer = Trainer::new(Sgd::new(0.3)).batch_size(ROWS).accumulate(3);
    let mut training = trainer.session(&mut net).unwrap();
    let x = MatRef::new(&p.x, ROWS, SHAPE[0]).unwrap();
    training.step(x, BatchTargets::Classes(&p.labels)).unwrap();
    assert_eq!(training.network().digest(), before);
    training.flush().unwrap();
    let flushed = training.network().weights(0).unwrap();
    training.flush().unwrap();
    assert_same_bits(
        "no second time",
        flushed.as_slice(),
        training.network().weights(0).unwrap().as_slice(),
    );
    let once = p.train(Trainer::new(Sgd::new(0.3)), 1);
    assert_close("one", flushed.as_slice(), once.weights(0).unwrap().as_slice(), 1e-6);
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    let mut data = Data::new(8);
    let (rows, n_in) = (64, 200);
    let x = data.f32s(rows * n_in);
    let labels: Vec<u32> = data.labels(rows, 10).iter().map(|&l| l as u32).collect();
    let digest = |level: Level, threads: usize| {
        let mut net = Mlp::builder(n_in)
            .dense(300, Activation::Relu)
            .dense(100, Activation::Relu)
            .dense(10, Activation::Softmax)
            .level(level)
            .build()
            .unwrap();
        let trainer = Trainer::new(RmsProp::new(0.003))
            .batch_size(rows)
            .l1(1e-4)
            .clip_norm(0.5)
            .max_norm(1.5)
            .accumulate(2)
            .threads(Threads::N(threads));
        let mut training = trainer.session(&mut net).unwrap();
        let x = MatRef::new(&x, rows, n_in).unwrap();
        for _ in 0..6 {
            training.step(x, BatchTargets::Classes(&labels)).unwrap();
        }
        drop(training);
        net.digest()
    };
    for level in Level::available() {
        let one = digest(level, 1);
        for threads in [2, 3, 5] {
            assert_eq!(digest(level, threads), one, "{level:?} on {threads} threads");
        }
    }
    if let (Some(a), Some(b)) = (Level::avx2(), Level::avx512()) {
        assert_eq!(digest(a, 1), digest(b, 1));
    }
}

#[test]
fn contradictory_options_are_refused() {
    let p = Problem::new();
    let refused = |trainer: Trainer| {
        let mut net = p.net();
        let error = trainer.session(&mut net).err().map(|e| e.to_string());
        error.unwrap_or_else(|| panic!("was not refused"))
    };
    let sgd = || Trainer::new(Sgd::new(0.1));
    for trainer in [
        sgd().l1(-1.0),
        sgd().l2(f32::NAN),
        sgd().weight_decay(f32::INFINITY),
        sgd().weight_decay(10.0),
        sgd().l2(0.1).weight_decay(0.1),
        Trainer::new(AdamW::new(0.1)).l2(0.1),
        Trainer::new(AdamW::new(0.1)).weight_decay(0.1),
        Trainer::new(Lion::new(0.1).weight_decay(0.1)).weight_decay(0.1),
        sgd().clip_value(0.0),
        sgd().clip_norm(-1.0),
        sgd().clip_norm(1.0).clip_value(1.0),
        sgd().max_norm(0.0),
        sgd().accumulate(0),
        Trainer::new(RmsProp::new(0.1).alpha(1.0)),
        Trainer::new(Adagrad::new(0.1).epsilon(0.0)),
        Trainer::new(Lion::new(f32::NAN)),
    ] {
        assert!(!refused(trainer).is_empty());
    }
}
