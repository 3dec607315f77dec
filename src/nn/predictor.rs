//! Predicting and evaluating.

use super::Mlp;
use super::forward::{BLOCK_ROWS, Outputs, Scratch, SplitWeights, argmax};
use crate::activation::{Activation, softmax_panels};
use crate::data::{Dataset, Features, Targets};
use crate::gemm::{PanelsMut, Precision, RowSource, Tensor, gather, padded_rows, scatter};
use crate::loss::{BlockTargets, Loss, Output, Weighting};
use crate::metrics::{ConfusionMatrix, Evaluation};
use crate::simd::{Kernel, Simd, check_float_environment, dispatch};
use crate::threads::{Team, Threads, block_rows};
use crate::{Error, MatMut, MatRef, Matrix, Result};
use std::ops::Range;

/// Predicts with a network again and again, without allocating after the first call.
///
/// A row's outputs are the same bits alone or in a call with a thousand others, and for any
/// number of threads.
pub struct Predictor<'a> {
    net: &'a Mlp,
    team: Team,
    scratch: Vec<Scratch>,
    /// Rows that the scratch has room for.
    rows: usize,
    /// For a precision that is not f32.
    split: Option<SplitWeights>,
    /// Whether a single row can take the short way.
    plain: bool,
}

/// Multiply-adds from which a second thread pays: at 30 a nanosecond on one core, 0.3 Mflop take
/// as long as it takes two threads to meet (docs/performance.md).
const TEAM_FROM: usize = 300_000;

/// Rows a thread below which a team shares out the outputs of each layer instead of the rows: such
/// calls are bound by reading the weights, and so each thread reads its part alone.
const FEW_ROWS: usize = 8;

/// Parameters from which that pays: 2^18 are 1 MiB, the L2 of one core, and more than that comes
/// from L3 or memory faster over two cores than over one.
const SHARED_WEIGHTS: usize = 1 << 18;

impl<'a> Predictor<'a> {
    /// For calls of up to `rows` rows.
    ///
    /// # Errors
    /// [`Error::Config`] for 0 rows, [`Error::Threads`] when threads cannot be had.
    pub fn new(net: &'a Mlp, rows: usize, threads: Threads) -> Result<Self> {
        if rows == 0 {
            return Err(Error::config("rows of a predictor", "expected at least 1, got 0"));
        }
        threads.validate()?;
        let threads = match threads {
            _ if rows.saturating_mul(net.n_parameters()) < TEAM_FROM => Threads::One,
            other => other,
        };
        let team = Team::new(threads)?;
        let scratch = scratch(net, rows, &team, None)?;
        Ok(Predictor { net, team, scratch, rows, split: None, plain: net.is_plain() })
    }

    /// The same at another precision, with the network's weights split anew.
    ///
    /// # Errors
    /// [`Error::Config`] when the memory for the split weights cannot be had.
    pub fn precision(mut self, precision: Precision) -> Result<Self> {
        let by = precision.split(self.net.level());
        self.plain = by.is_none() && self.net.is_plain();
        self.split = by.map(|by| SplitWeights::new(self.net, by)).transpose()?;
        self.scratch = scratch(self.net, self.rows, &self.team, self.split.as_ref())?;
        Ok(self)
    }

    /// Writes the outputs of each row of `x` (rows x n_in) to `out` (rows x n_out):
    /// probabilities where the output layer is softmax.
    ///
    /// # Errors
    /// [`Error::Shape`] when a shape does not fit or there are more rows than the predictor was
    /// made for, [`Error::Config`] when the thread's floating-point environment is not the usual
    /// one.
    pub fn predict_into(&mut self, x: MatRef, mut out: MatMut) -> Result<()> {
        let (n_in, n_out) = (self.net.n_in(), self.net.n_out());
        let rows = x.rows();
        if rows == 0 || rows > self.rows || x.cols() != n_in {
            let expected = format!("1 to {} rows of {n_in}", self.rows);
            return Err(Error::shape("inputs", expected, rows_of(x)));
        }
        if (out.rows(), out.cols()) != (rows, n_out) {
            let got = format!("{} x {}", out.rows(), out.cols());
            return Err(Error::shape("outputs", format!("{rows} x {n_out}"), got));
        }
        check_float_environment()?;
        let (net, threads) = (self.net, self.team.threads());
        let softmax = net.layers[net.layers.len() - 1].activation == Activation::Softmax;
        let few = rows < (FEW_ROWS * threads).min(BLOCK_ROWS);
        if threads > 1 && few && net.n_parameters() >= SHARED_WEIGHTS && self.split.is_none() {
            let scratch = &mut self.scratch[0];
            let inputs = scratch.inputs(net, x);
            let mut a = scratch.forward_by_columns(net, inputs, &mut self.team)?;
            if softmax {
                softmax_rows(net, &mut a);
            }
            (0..rows).for_each(|r| scatter(a.view(), r, out.row_mut(r)));
            return Ok(());
        }
        if rows == 1 && self.plain {
            self.scratch[0].forward_row(net, x, out.row_mut(0));
            return Ok(());
        }
        let block = block_rows(rows, threads, BLOCK_ROWS);
        self.team.run_rows(&mut self.scratch, &mut out, block, |scratch, range, mut out| {
            let x = x.row_range(range.start, range.end);
            let mut a = match &self.split {
                None => {
                    let inputs = scratch.inputs(net, x);
                    scratch.forward(net, inputs, Outputs::OfLayer).0
                }
                Some(split) => scratch.forward_split(net, x, split),
            };
            if softmax {
                softmax_rows(net, &mut a);
            }
            (0..range.len()).for_each(|r| scatter(a.view(), r, out.row_mut(r)));
        })
    }
}

/// A scratch for each thread, for calls of up to `rows` rows.
fn scratch(
    net: &Mlp,
    rows: usize,
    team: &Team,
    split: Option<&SplitWeights>,
) -> Result<Vec<Scratch>> {
    let block = rows.min(BLOCK_ROWS);
    (0..team.threads()).map(|_| Scratch::new(net, block, split)).collect()
}

/// The shape of inputs, for errors.
fn rows_of(x: MatRef) -> String {
    format!("{} rows of {}", x.rows(), x.cols())
}

/// Every row becomes its softmax.
fn softmax_rows(net: &Mlp, a: &mut PanelsMut) {
    struct Rows<'a, 'b>(&'b mut PanelsMut<'a>);
    impl Kernel for Rows<'_, '_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for r in 0..self.0.rows {
                softmax_panels(s, self.0, r);
            }
        }
    }
    dispatch(net.level, Rows(a));
}

impl Mlp {
    /// The outputs of each row of `x` (rows x n_in): rows x n_out, probabilities where the output
    /// layer is softmax. Uses [`Threads::Current`] where that pays. For calls that never allocate
    /// see [`Predictor`].
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` has no rows or another number of columns.
    pub fn predict(&self, x: MatRef) -> Result<Matrix> {
        if x.rows() == 0 || x.cols() != self.n_in() {
            // Before the result is made: a view without columns may claim any number of rows.
            let expected = format!("at least one row of {}", self.n_in());
            return Err(Error::shape("inputs", expected, rows_of(x)));
        }
        let mut out = Matrix::zeros(x.rows(), self.n_out());
        Predictor::new(self, x.rows(), Threads::Current)?.predict_into(x, out.view_mut())?;
        Ok(out)
    }

    /// A predictor for calls of up to `rows` rows on the calling thread, which never allocates
    /// after this. For more threads see [`Predictor::new`].
    ///
    /// # Errors
    /// [`Error::Config`] for 0 rows.
    pub fn predictor(&self, rows: usize) -> Result<Predictor<'_>> {
        Predictor::new(self, rows, Threads::One)
    }

    /// Loss on a data set, and for classes accuracy and confusion matrix. The loss is
    /// [`Loss::for_output`] of the output layer.
    ///
    /// # Errors
    /// [`Error::Shape`] when the data set's features or targets do not fit the network.
    pub fn evaluate(&self, data: &Dataset) -> Result<Evaluation> {
        let loss = Loss::for_output(self.layers[self.layers.len() - 1].activation);
        evaluate(self, data, loss, &mut Team::new(Threads::Current)?)
    }
}

/// The rows of a data set in an order.
#[derive(Clone, Copy)]
pub(crate) struct Ordered<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) n: usize,
    /// The sample of each row; `None` is the data set's own order.
    pub(crate) order: Option<&'a [u32]>,
    pub(crate) scaling: Option<(f32, f32)>,
}

impl<T: crate::gemm::Value> RowSource for Ordered<'_, T> {
    type Value = T;
    fn row(&self, r: usize) -> &[T] {
        let sample = self.order.map_or(r, |order| order[r] as usize);
        &self.values[sample * self.n..][..self.n]
    }
    fn scattered(&self, r: usize) -> Option<&[T]> {
        let sample = *self.order?.get(r)? as usize;
        Some(&self.values[sample * self.n..][..self.n])
    }
    fn scaling(&self) -> Option<(f32, f32)> {
        self.scaling
    }
}

/// Copies rows of a data set, in an order, from row `first` on; answers whether all are finite.
pub(crate) fn gather_features(
    net: &Mlp,
    data: &Dataset,
    order: Option<&[u32]>,
    first: usize,
    out: PanelsMut,
) -> bool {
    let n = data.n_features();
    match data.features() {
        Features::F32(values) => {
            gather(net.level, Ordered { values, n, order, scaling: None }, first, out)
        }
        Features::U8 { data: values, scale, shift } => {
            let scaling = Some((scale, shift));
            gather(net.level, Ordered { values, n, order, scaling }, first, out)
        }
    }
}

/// Checks that a data set fits a network and a loss.
pub(crate) fn check_data(net: &Mlp, data: &Dataset, loss: Loss) -> Result<()> {
    if data.n_features() != net.n_in() {
        return Err(Error::shape(
            "data set",
            format!("{} features a sample, the network's inputs", net.n_in()),
            data.n_features(),
        ));
    }
    let n_out = net.n_out();
    // One output decides between two classes, except that softmax over one is always 1.
    let classes = if n_out == 1 && loss != Loss::CrossEntropy { 2 } else { n_out };
    match data.targets() {
        Targets::Values { values, n_outputs }
            if loss == Loss::BinaryCrossEntropy && *n_outputs == n_out =>
        {
            match values.iter().find(|y| !(0.0..=1.0).contains(*y)) {
                None => Ok(()),
                Some(y) => Err(Error::value("targets", "probabilities, 0 to 1", y)),
            }
        }
        Targets::Classes { n_classes, .. } if *n_classes > classes => Err(Error::shape(
            "data set",
            format!("at most {classes} classes, the network's outputs"),
            format!("{n_classes} classes"),
        )),
        Targets::Values { n_outputs, .. } if *n_outputs != n_out => Err(Error::shape(
            "data set",
            format!("{n_out} targets a sample, the network's outputs"),
            n_outputs,
        )),
        Targets::Values { .. } if loss == Loss::CrossEntropy => {
            Err(Error::config("loss", "cross-entropy needs class labels, got target values"))
        }
        _ => Ok(()),
    }
}

/// What a block of a data set adds up to.
#[derive(Default)]
struct Part {
    loss: f64,
    predicted: Vec<u32>,
}

/// Loss and, for classes, the confusion matrix. Blocks have a fixed size and their losses are
/// added in order, so the answer does not depend on the threads.
pub(crate) fn evaluate(
    net: &Mlp,
    data: &Dataset,
    loss: Loss,
    team: &mut Team,
) -> Result<Evaluation> {
    check_data(net, data, loss)?;
    let blocks = data.len().div_ceil(BLOCK_ROWS);
    let n_out = net.n_out();
    struct Worker {
        scratch: Scratch,
        y: Tensor,
        losses: Vec<f64>,
    }
    let mut workers = (0..team.threads())
        .map(|_| {
            let lines = padded_rows(BLOCK_ROWS);
            Ok(Worker {
                scratch: Scratch::new(net, BLOCK_ROWS, None)?,
                y: Tensor::zeros(lines, n_out, lines)?,
                losses: vec![0.0; BLOCK_ROWS],
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut parts: Vec<Part> = (0..blocks).map(|_| Part::default()).collect();
    let activation = net.layers[net.layers.len() - 1].activation;
    let outputs = if loss.is_on_logits() { Outputs::Logits } else { Outputs::OfLayer };
    team.run_items(&mut workers, &mut parts, |w, block, part| {
        let range = block * BLOCK_ROWS..data.len().min((block + 1) * BLOCK_ROWS);
        let rows = range.len();
        let inputs = match data.features() {
            Features::F32(values) => {
                let n = data.n_features();
                let values = &values[range.start * n..range.end * n];
                w.scratch.inputs(net, MatRef::sub(values, rows, n))
            }
            Features::U8 { .. } => w.scratch.fill(net, rows, |to| {
                gather_features(net, data, None, range.start, to);
            }),
        };
        let (a, d) = w.scratch.forward(net, inputs, outputs);
        let one_output = a.cols == 1;
        // With one output for two classes, the second from a half on: p = ½ where z = 0.
        let half = if outputs == Outputs::Logits { 0.0 } else { 0.5 };
        part.predicted.extend((0..rows).map(|r| match one_output {
            true => u32::from(a.view().panel(0)[r].0[0] >= half),
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
    })?;
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
    y: &'a mut Tensor,
) -> BlockTargets<'a> {
    match targets {
        Targets::Classes { labels, .. } => BlockTargets::Classes(&labels[range]),
        Targets::Values { values, n_outputs } => {
            let source = Ordered { values, n: *n_outputs, order: None, scaling: None };
            gather(net.level, source, range.start, y.view_mut().rows(0..range.len()));
            BlockTargets::Values(y.view().rows(0..range.len()))
        }
    }
}
