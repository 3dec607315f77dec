//! Random networks, what they are trained with, and their rows.

use super::*;

/// What may stand around the layers of a network.
#[derive(Clone, Copy, PartialEq)]
pub enum Layers {
    /// Each row is on its own: no batch normalisation, no dropout.
    ByRow,
    /// Everything.
    All,
}

/// A random network and what it is trained with.
pub struct Case {
    pub data: Data,
    pub n_in: usize,
    pub n_out: usize,
    pub loss: Loss,
    /// Class labels or values.
    pub labels: bool,
    pub smoothing: f32,
    pub classes: Vec<f32>,
    pub net: Mlp,
}

impl Case {
    pub fn new(seed: u64, layers: Layers) -> Case {
        let levels: Vec<_> = Level::available().collect();
        let mut data = Data::new(seed);
        let (n_in, mut n_out) = (1 + data.below(40), 1 + data.below(20));
        let losses = [
            (Loss::CrossEntropy, Activation::Softmax),
            (Loss::BinaryCrossEntropy, Activation::Sigmoid),
            (Loss::MeanSquared, Activation::Identity),
            (Loss::Quadratic, Activation::Tanh),
            (Loss::Huber { delta: 0.5 }, Activation::Identity),
            (Loss::quantile(&[0.3]), Activation::Identity),
            (Loss::PoissonNll, Activation::Tanh),
            (Loss::Hinge, Activation::Identity),
        ];
        let (loss, output) = losses[data.below(losses.len())].clone();
        let of_values = matches!(loss, Loss::Quantile { .. } | Loss::PoissonNll);
        let of_labels = matches!(loss, Loss::CrossEntropy | Loss::Hinge);
        let labels = of_labels || !of_values && data.below(2) == 0;
        if loss == Loss::CrossEntropy {
            n_out += 1;
        }
        let mut builder = Mlp::builder(n_in);
        if layers == Layers::All && data.below(4) == 0 {
            builder = builder.dropout(0.25);
        }
        let (mut width, mut before) = (n_in, None);
        for _ in 0..data.below(4) {
            // Every other width is the one before, so that residual connections fit.
            if before.is_none() || data.below(2) == 0 {
                width = 1 + data.below(50);
            }
            let smooth = [Activation::Tanh, Activation::Sigmoid, Activation::Gelu];
            builder = match data.below(6) {
                5 => {
                    width = before.unwrap_or(n_in);
                    builder.affine()
                }
                0 => builder.maxout(width, 2 + data.below(2)),
                kind => {
                    let dense = builder.dense(width, smooth[data.below(3)]);
                    match (kind, layers) {
                        // Of few neurons it amplifies rounding, which only bits do not mind.
                        (1, Layers::ByRow) if width >= 8 => dense.layer_norm(),
                        (1, Layers::All) if width > 1 => dense.layer_norm(),
                        (2, Layers::All) => dense.batch_norm(),
                        _ => dense,
                    }
                }
            };
            if layers == Layers::All && data.below(3) == 0 {
                builder = builder.dropout(0.5);
            }
            if before == Some(width) && data.below(2) == 0 {
                builder = builder.residual(1);
            }
            before = Some(width);
        }
        let net = builder
            .dense(n_out, output)
            .seed(seed)
            .level(levels[data.below(levels.len())])
            .build()
            .unwrap();
        let weights = |data: &mut Data| (0..n_out).map(|_| data.uniform(0.2, 3.0) as f32).collect();
        let weighs = matches!(loss, Loss::CrossEntropy | Loss::BinaryCrossEntropy);
        let classes = if weighs && data.below(2) == 0 { weights(&mut data) } else { vec![] };
        let smooths = loss == Loss::CrossEntropy && data.below(2) == 0;
        let smoothing = if smooths { 0.1 } else { 0.0 };
        Case { data, n_in, n_out, loss, labels, smoothing, classes, net }
    }

    pub fn rows(&mut self, rows: usize) -> Rows {
        let classes = if self.n_out == 1 { 2 } else { self.n_out };
        Rows {
            n_in: self.n_in,
            n_out: self.n_out,
            x: self.data.f32s(rows * self.n_in),
            labels: self.data.labels(rows, classes).iter().map(|l| *l as u32).collect(),
            y: (0..rows * self.n_out).map(|_| self.data.uniform(0.0, 1.0) as f32).collect(),
            has_labels: self.labels,
        }
    }

    /// A trainer with some of the options.
    pub fn trainer(&mut self, optimizer: Optimizer) -> Trainer<'static> {
        // Decoupled decay and L2 are refused together.
        let decays = matches!(optimizer, Optimizer::AdamW(_));
        let trainer =
            Trainer::new(optimizer).loss(self.loss.clone()).class_weights(self.classes.clone());
        let trainer = trainer.label_smoothing(self.smoothing).threads(Threads::One);
        let trainer = match self.data.below(5) {
            0 if !decays => trainer.l2(0.01),
            1 => trainer.l1(0.001).decay_biases(false),
            _ => trainer,
        };
        match self.data.below(6) {
            0 => trainer.clip_norm(0.3),
            1 => trainer.clip_value(0.05),
            2 => trainer.max_norm(0.8),
            _ => trainer,
        }
    }

    pub fn start<'n>(&self, trainer: &Trainer, net: &'n mut Mlp) -> Training<'n> {
        match self.labels {
            true => trainer.session(net).unwrap(),
            false => trainer.session_values(net).unwrap(),
        }
    }
}

/// Rows with their targets.
#[derive(Clone)]
pub struct Rows {
    pub n_in: usize,
    pub n_out: usize,
    pub x: Vec<f32>,
    pub labels: Vec<u32>,
    pub y: Vec<f32>,
    pub has_labels: bool,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The rows with these numbers, in this order.
    pub fn pick(&self, rows: impl IntoIterator<Item = usize>) -> Rows {
        let mut out = Rows { x: vec![], labels: vec![], y: vec![], ..self.clone() };
        for r in rows {
            out.x.extend(&self.x[r * self.n_in..][..self.n_in]);
            out.y.extend(&self.y[r * self.n_out..][..self.n_out]);
            out.labels.push(self.labels[r]);
        }
        out
    }

    pub fn with<T>(&self, work: impl FnOnce(MatRef, BatchTargets) -> T) -> T {
        let x = MatRef::new(&self.x, self.len(), self.n_in).unwrap();
        let y = MatRef::new(&self.y, self.len(), self.n_out).unwrap();
        match self.has_labels {
            true => work(x, BatchTargets::Classes(&self.labels)),
            false => work(x, BatchTargets::Values(y)),
        }
    }

    pub fn step(&self, training: &mut Training, weights: Option<&[f32]>) -> deltarule::Result<f32> {
        self.with(|x, targets| match weights {
            None => training.step(x, targets),
            Some(weights) => training.step_weighted(x, targets, weights),
        })
    }

    pub fn dataset(&self) -> Dataset {
        let classes = self.n_out.max(2);
        let targets = match self.has_labels {
            true => Targets::Classes { labels: self.labels.clone(), n_classes: classes },
            false => Targets::Values { values: self.y.clone(), n_outputs: self.n_out },
        };
        Dataset::from_f32(self.x.clone(), self.n_in, targets).unwrap()
    }
}

/// An optimiser whose updates are as smooth in the gradients as theirs are.
pub fn smooth(data: &mut Data) -> Optimizer {
    match data.below(3) {
        0 => Sgd::new(0.03).into(),
        1 => Momentum::new(0.01, 0.9).into(),
        _ => Momentum::new(0.01, 0.9).nesterov().into(),
    }
}

pub fn any_optimizer(data: &mut Data) -> Optimizer {
    match data.below(9) {
        0 => Adam::new(0.01).into(),
        1 => AdamW::new(0.01).into(),
        2 => RmsProp::new(0.01).into(),
        3 => Adagrad::new(0.01).into(),
        4 => Lion::new(0.001).into(),
        _ => smooth(data),
    }
}
