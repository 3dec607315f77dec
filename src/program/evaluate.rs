//! Evaluating a network on a data set.

use super::batch::{BatchTargets, gather_features};
use super::check::check_data;
use super::ops::Outputs;
use super::plan::Plan;
use super::scratch::{BLOCK_ROWS, Scratch, argmax};
use crate::activation::Activation;
use crate::data::{Dataset, Features, Targets};
use crate::error::{Error, Result};
use crate::loss::{BlockTargets, Loss, Output, Weighting};
use crate::metrics::{ConfusionMatrix, Evaluation};
use crate::network::Mlp;
use crate::storage::{MatRef, PanelMatrix, gather, padded_rows};
use crate::threads::{Team, Threads};
use std::ops::Range;

impl Mlp {
    /// Loss on a data set, and for classes accuracy and confusion matrix. The loss is
    /// [`Loss::for_output`] of the output layer; a network that was trained with another one is
    /// compared with its history by [`Mlp::evaluate_with`].
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the data set's features or targets do not fit the network.
    pub fn evaluate(&self, data: &Dataset) -> Result<Evaluation> {
        self.evaluate_with(data, Loss::for_output(self.output_activation()))
    }

    /// The same with a loss: the mean over the samples, without label smoothing and without weights
    /// of classes or samples.
    ///
    /// ```
    /// use deltarule::data::{Dataset, Targets};
    /// use deltarule::{Activation, Loss, Mlp, Sgd, Trainer};
    ///
    /// let targets = Targets::Values { values: vec![0.0, 2.0, 4.0], n_outputs: 1 };
    /// let data = Dataset::from_f32(vec![0.0, 1.0, 2.0], 1, targets)?;
    /// let mut net = Mlp::builder(1).dense(1, Activation::Identity).build()?;
    /// let mut trainer = Trainer::new(Sgd::new(0.1)).loss(Loss::MeanAbsolute).validation(&data);
    /// let history = trainer.fit(&mut net, &data)?;
    /// let validation = history.epochs[0].validation.as_ref().map(|v| v.loss);
    /// assert_eq!(validation, Some(net.evaluate_with(&data, Loss::MeanAbsolute)?.loss));
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Mlp::evaluate`]; [`Error::Config`](crate::Error::Config) when the loss does not fit the output layer or the
    /// kind of targets, [`Error::Value`](crate::Error::Value) when targets of binary cross-entropy are no probabilities.
    pub fn evaluate_with(&self, data: &Dataset, loss: Loss) -> Result<Evaluation> {
        // What a step lacks for training, it does not need here.
        let activation = match self.output_activation() {
            Activation::Step => Activation::Identity,
            other => other,
        };
        loss.check_output(activation, self.n_out())?;
        let threads = Threads::Current.for_job(multiply_adds(self, data));
        evaluate(self, data, &loss, &mut Team::new(threads)?)
    }
}

/// About the multiply-adds of an evaluation.
pub(crate) fn multiply_adds(net: &Mlp, data: &Dataset) -> usize {
    data.len().saturating_mul(net.n_parameters())
}

/// What a block of a data set adds up to.
#[derive(Default)]
struct Part {
    loss: f64,
    predicted: Vec<u32>,
    /// The error of a function of the caller's.
    error: Option<Error>,
}

/// Loss and, for classes, the confusion matrix. Blocks have a fixed size and their losses are
/// added in order, so the result does not depend on the threads.
pub(crate) fn evaluate(
    net: &Mlp,
    data: &Dataset,
    loss: &Loss,
    team: &mut Team,
) -> Result<Evaluation> {
    check_data(net, data, loss)?;
    let blocks = data.len().div_ceil(BLOCK_ROWS);
    let n_out = net.n_out();
    struct Worker {
        scratch: Scratch,
        y: PanelMatrix,
        losses: Vec<f64>,
    }
    let outputs = if loss.is_on_logits() { Outputs::Logits } else { Outputs::OfLayer };
    let plan = Plan::new(net, outputs);
    loss.reserve(team.threads(), n_out);
    let mut workers = (0..team.threads())
        .map(|_| {
            let lines = padded_rows(BLOCK_ROWS);
            Ok(Worker {
                scratch: Scratch::new(net, &plan, BLOCK_ROWS, None)?,
                y: PanelMatrix::with_stride(lines, loss.n_targets(n_out), lines)?,
                losses: vec![0.0; BLOCK_ROWS],
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut parts: Vec<Part> = (0..blocks).map(|_| Part::default()).collect();
    let activation = net.output_activation();
    team.run_items(&mut workers, &mut parts, |w, block, part| {
        let range = block * BLOCK_ROWS..data.len().min((block + 1) * BLOCK_ROWS);
        let (first, rows) = (range.start, range.len());
        let inputs = match data.features() {
            Features::F32(values) => {
                let n = data.n_features();
                let values = &values[range.start * n..range.end * n];
                w.scratch.inputs(net, &plan, MatRef::sub(values, rows, n))
            }
            Features::U8 { .. } => w.scratch.fill(net, rows, |to| {
                gather_features(net, data, None, range.start, to);
            }),
        };
        let (a, d) = w.scratch.forward(net, &plan, inputs);
        let one_output = a.cols == 1;
        let threshold = loss.threshold();
        part.predicted.extend((0..rows).map(|r| match one_output {
            true => u32::from(a.view().panel(0)[r].0[0] >= threshold),
            false => argmax(a.view(), r),
        }));
        let targets = block_targets(net, data.targets(), range, &mut w.y);
        let losses = &mut w.losses[..rows];
        let weighting = Weighting::default();
        loss.backward(
            net.level,
            Output { a, z: None, targets, d, losses, scale: 1.0, weighting, activation },
        );
        part.loss = losses.iter().sum();
        part.error = loss.non_finite_row(losses, |r| first + r);
    });
    team.check()?;
    if let Some(error) = parts.iter_mut().find_map(|part| part.error.take()) {
        return Err(error);
    }
    let mean = parts.iter().map(|p| p.loss).sum::<f64>() / data.len() as f64;
    match data.targets() {
        Targets::Classes { labels, .. } => {
            let mut confusion = ConfusionMatrix::new(n_out.max(2))?;
            let predicted = parts.iter().flat_map(|p| &p.predicted);
            labels.iter().zip(predicted).try_for_each(|(&t, &p)| confusion.add(t, p))?;
            Ok(Evaluation::of_classes(mean, confusion))
        }
        _ => Ok(Evaluation::of_regression(mean)),
    }
}

/// The targets of a range of samples.
fn block_targets<'a>(
    net: &Mlp,
    targets: &'a Targets,
    range: Range<usize>,
    y: &'a mut PanelMatrix,
) -> BlockTargets<'a> {
    match targets.into() {
        BatchTargets::Classes(labels) => BlockTargets::Classes(&labels[range]),
        BatchTargets::Values(values) => {
            gather(net.level, values, range.start, y.view_mut().rows(0..range.len()));
            BlockTargets::Values(y.view().rows(0..range.len()))
        }
    }
}
