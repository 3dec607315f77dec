//! What only the crate itself can see of training: its padding, over random networks and options.

mod padding;
mod refused;

use super::trainer::Trainer;
use super::training::Training;
use crate::activation::Activation;
use crate::gemm::bf16::Precision;
use crate::loss::Loss;
use crate::math::{Purpose, RandomStream};
use crate::network::{Mlp, MlpBuilder};
use crate::optim::{Adagrad, Adam, AdamW, Lion, Momentum, Optimizer, RmsProp, Sgd};
use crate::program::BatchTargets;
use crate::simd::Level;
use crate::storage::MatRef;
use crate::threads::Threads;

/// Random numbers of a test.
struct Dice(RandomStream);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(RandomStream::new(seed, Purpose::Init, 0, 0))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.0.normal() as f32).collect()
    }
}

/// A random network, its trainer and its batches.
struct Case {
    net: Mlp,
    trainer: Trainer<'static>,
    regression: bool,
    seed: u64,
    rows: usize,
    weighted: bool,
    accumulates: bool,
    words: String,
}

/// A batch that somebody holds.
struct Rows {
    x: Vec<f32>,
    labels: Vec<u32>,
    values: Vec<f32>,
    weights: Vec<f32>,
}

/// Widths of layers: `of_sixteen` modulo 16; large ones have bf16 parts.
fn width(dice: &mut Dice, of_sixteen: usize, large: bool) -> usize {
    let panels = if large { 4 } else { dice.pick(&[0, 0, 1, 2]) };
    (16 * panels + of_sixteen).max(1)
}

/// Hidden layers of every kind, with what may stand around them.
fn layers(dice: &mut Dice, of_sixteen: usize, large: bool) -> MlpBuilder {
    let hidden = 1 + dice.below(3);
    let mut widths = vec![width(dice, of_sixteen, large)];
    let mut builder = Mlp::builder(widths[0]);
    if dice.one_in(6) {
        builder = builder.dropout(0.25);
    }
    let functions: Vec<_> = Activation::ALL
        .into_iter()
        .filter(|a| !matches!(a, Activation::Softmax | Activation::Step))
        .collect();
    for layer in 1..=hidden {
        // The width of the layer before, so that a residual connection fits, or another.
        let any = dice.below(16);
        let affine = dice.one_in(5);
        let n = match dice.below(3) {
            _ if affine => widths[layer - 1],
            0 => widths[layer - 1],
            1 => width(dice, of_sixteen, large),
            _ => width(dice, any, large),
        };
        builder = match dice.below(3) {
            _ if affine => builder.affine(),
            0 => builder.maxout(n, 2 + dice.below(3)),
            norm => {
                let builder = builder.dense(n, dice.pick(&functions));
                match (norm, dice.below(2)) {
                    (1, 0) => builder.layer_norm(),
                    (1, _) => builder.batch_norm(),
                    _ => builder,
                }
            }
        };
        if dice.one_in(3) {
            builder = builder.dropout(0.25);
        }
        let sources: Vec<_> = (0..layer).filter(|&from| widths[from] == n).collect();
        if !sources.is_empty() && dice.one_in(2) {
            builder = builder.residual(layer - dice.pick(&sources));
        }
        widths.push(n);
    }
    builder
}

fn optimizer(dice: &mut Dice) -> Optimizer {
    match dice.below(9) {
        0 => Momentum::new(0.03, 0.9).nesterov().into(),
        1 => Adam::new(0.01).into(),
        2 => AdamW::new(0.01).into(),
        3 => RmsProp::new(0.01).into(),
        4 => Adagrad::new(0.02).into(),
        5 => Lion::new(0.002).into(),
        _ => Sgd::new(0.05).into(),
    }
}

/// Options that change the update, and how many batches make one.
fn adjusted(
    dice: &mut Dice,
    mut trainer: Trainer<'static>,
    own_decay: bool,
) -> (Trainer<'static>, usize) {
    match dice.below(5) {
        0 => trainer = trainer.clip_norm(0.01),
        1 => trainer = trainer.clip_norm(3.0),
        2 => trainer = trainer.clip_value(0.1),
        _ => {}
    }
    match dice.below(4) {
        0 => trainer = trainer.l1(0.001),
        1 if !own_decay => trainer = trainer.l2(0.01),
        2 if !own_decay => trainer = trainer.weight_decay(0.1),
        _ => {}
    }
    if dice.one_in(3) {
        trainer = trainer.max_norm(0.7);
    }
    if dice.one_in(4) {
        trainer = trainer.decay_biases(false);
    }
    let batches = if dice.one_in(3) { 2 } else { 1 };
    (trainer.accumulate(batches), batches)
}

/// Calls `check` with `n` cases per level and width modulo 16, with seeds from `first` on.
fn for_cases(first: u64, n: u64, mut check: impl FnMut(&Case)) {
    for level in Level::available() {
        for of_sixteen in 0..16 {
            for seed in 0..n {
                check(&Case::new(first + 1000 * of_sixteen as u64 + seed, level, of_sixteen));
            }
        }
    }
}

impl Case {
    /// The case of a seed, with the inputs' width and often others' `of_sixteen` modulo 16.
    fn new(seed: u64, level: Level, of_sixteen: usize) -> Case {
        let mut dice = Dice::new(seed);
        let large = dice.one_in(5);
        // A first layer whose columns two threads share out.
        let columns = dice.one_in(8);
        let builder = match columns {
            true => {
                let n = 33 + of_sixteen;
                Mlp::builder(304 + of_sixteen)
                    .dense(n, dice.pick(&[Activation::Relu, Activation::Silu]))
            }
            false => layers(&mut dice, of_sixteen, large),
        };
        let any = dice.below(16);
        let n_out = if dice.one_in(2) { width(&mut dice, any, false) } else { 3 };
        let (output, loss) = dice.pick(&[
            (Activation::Softmax, Loss::CrossEntropy),
            (Activation::Softmax, Loss::CrossEntropy),
            (Activation::Sigmoid, Loss::BinaryCrossEntropy),
            (Activation::Identity, Loss::MeanSquared),
            (Activation::Gelu, Loss::Quadratic),
            (Activation::Tanh, Loss::MeanAbsolute),
            (Activation::Softplus, Loss::Huber { delta: 0.5 }),
            (Activation::Identity, Loss::quantile(&[0.3])),
        ]);
        let net = builder.dense(n_out, output).level(level).seed(seed).build().unwrap();
        let on_labels = matches!(loss, Loss::CrossEntropy | Loss::BinaryCrossEntropy);
        let optimizer = optimizer(&mut dice);
        let own_decay = matches!(optimizer, Optimizer::AdamW(_) | Optimizer::Lion(_));
        let rows = match columns {
            true => dice.pick(&[7, 13]),
            false => dice.pick(&[2, 3, 5, 6, 7, 13, 16, 33, 40]),
        };
        let threads = match columns || dice.one_in(3) {
            true => Threads::N(2),
            false => Threads::One,
        };
        let trainer = Trainer::new(optimizer).loss(loss.clone()).batch_size(rows).seed(seed);
        let trainer = trainer.threads(threads);
        let (mut trainer, batches) = match columns {
            true => (trainer, 1),
            false => adjusted(&mut dice, trainer, own_decay),
        };
        if loss == Loss::CrossEntropy && dice.one_in(3) {
            trainer = trainer.label_smoothing(0.1);
        }
        if on_labels && dice.one_in(3) {
            trainer = trainer.class_weights((0..n_out).map(|c| 0.5 + c as f32).collect::<Vec<_>>());
        }
        if large {
            // Other ones than bf16 are f32 without AMX.
            trainer = trainer.precision(dice.pick(&Precision::ALL));
        }
        let (weighted, accumulates) = (dice.one_in(4), batches > 1);
        let level = level.name();
        let words = format!("case {seed} of {of_sixteen} at {level}: {net:?}, {loss}, {rows} rows");
        Case { net, trainer, regression: !on_labels, seed, rows, weighted, accumulates, words }
    }

    /// Batch `i`, of rows a few of which are missing now and then.
    fn batch(&self, i: u64) -> Rows {
        let mut dice = Dice::new(self.seed ^ (i + 1) << 32);
        let rows =
            if dice.one_in(3) { self.rows } else { 2.max(self.rows - dice.below(self.rows)) };
        let (n_in, n_out) = (self.net.n_in(), self.net.n_out());
        let mut x = dice.normals(rows * n_in);
        if dice.one_in(2) {
            // Inputs that are zero in all rows, for products that leave them out.
            x.iter_mut().enumerate().filter(|(i, _)| i % n_in % 32 > 8).for_each(|(_, x)| *x = 0.0);
        }
        let labels = (0..rows).map(|_| dice.below(n_out.max(1)) as u32).collect();
        let values = dice.normals(rows * n_out);
        let weights = (0..rows).map(|_| dice.pick(&[0.5, 1.0, 3.0])).collect();
        Rows { x, labels, values, weights }
    }

    fn start<'n>(&self, net: &'n mut Mlp) -> Training<'n> {
        match self.regression {
            true => self.trainer.session_values(net).unwrap(),
            false => self.trainer.session(net).unwrap(),
        }
    }

    /// Four steps. `touch` gets the session before each and at the end. Returns the result of each step.
    fn run(&self, mut touch: impl FnMut(&mut Training, usize)) -> (Vec<Option<u32>>, Shown) {
        let mut net = self.net.clone();
        let mut training = self.start(&mut net);
        let steps = (0..4).map(|i| {
            touch(&mut training, i);
            self.step(&mut training, &self.batch(i as u64))
        });
        let steps = steps.collect();
        touch(&mut training, 4);
        let shown = Shown::of(&training, &self.batch(9).x);
        (steps, shown)
    }

    /// A step on a batch: the bits of its loss, or nothing where it is refused.
    fn step(&self, training: &mut Training, batch: &Rows) -> Option<u32> {
        let (n_in, n_out) = (self.net.n_in(), self.net.n_out());
        let rows = batch.labels.len();
        let x = MatRef::new(&batch.x, rows, n_in).unwrap();
        let targets = match self.regression {
            true => BatchTargets::Values(MatRef::new(&batch.values, rows, n_out).unwrap()),
            false => BatchTargets::Classes(&batch.labels),
        };
        let loss = match self.weighted {
            true => training.step_weighted(x, targets, &batch.weights),
            false => training.step(x, targets),
        };
        loss.ok().map(f32::to_bits)
    }
}

/// Everything that a session shows to the outside: its network's parameters, files, digest and
/// predictions, and its checkpoint.
#[derive(PartialEq)]
struct Shown {
    digest: u64,
    model: Option<Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    predictions: Vec<u32>,
}

impl Shown {
    fn of(training: &Training, x: &[f32]) -> Shown {
        let net = training.network();
        let (mut model, mut checkpoint) = (Vec::new(), Vec::new());
        let model = net.write_to(&mut model).is_ok().then_some(model);
        let checkpoint = training.write_checkpoint(&mut checkpoint).is_ok().then_some(checkpoint);
        let x = MatRef::new(x, x.len() / net.n_in(), net.n_in()).unwrap();
        let predictions = net.predict(x).unwrap().as_slice().iter().map(|p| p.to_bits()).collect();
        Shown { digest: net.digest(), model, checkpoint, predictions }
    }
}

/// What differs first, in words.
fn assert_same(place: &str, got: &Shown, want: &Shown) {
    assert!(got.digest == want.digest, "{place}: parameters");
    assert!(got.predictions == want.predictions, "{place}: predictions");
    assert!(got.model == want.model, "{place}: the file of the network");
    assert!(got.checkpoint == want.checkpoint, "{place}: the checkpoint");
}
