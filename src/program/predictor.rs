//! Predicting.

mod gradients;
mod parameters;

use super::check::check_shape;
use super::input_gradient::Gradient;
use super::ops::Outputs;
use super::plan::Plan;
use super::row::RowProducts;
use super::scratch::{BLOCK_ROWS, Scratch, SplitWeights};
use crate::activation::{Activation, softmax_panels};
use crate::error::{Error, Result};
use crate::gemm::bf16::Precision;
use crate::network::{Mlp, MlpRef};
use crate::simd::{Kernel, Simd, check_float_environment, dispatch};
use crate::storage::{MatMut, MatRef, Matrix, PanelsMut, scatter};
use crate::threads::{Choices, Team, Threads, Way, block_rows};
use std::fmt;

/// Predicts with a network again and again, without allocating after the first call.
///
/// A row's outputs are the same bits alone or in a call with a thousand others, and for any
/// number of threads. With more than one thread, some of the first calls are timed on one thread and on
/// all threads; later calls use the faster way, and the comparison is repeated from time to time.
///
/// ```
/// use deltarule::{Activation, Matrix, Mlp, Predictor, Threads};
///
/// let net = Mlp::builder(3).dense(2, Activation::Softmax).build()?;
/// let mut predictor = Predictor::new(&net, 100, Threads::One)?;
/// let x = Matrix::zeros(4, 3);
/// let mut out = Matrix::zeros(4, 2);
/// predictor.predict_into(&x, &mut out)?;
/// assert_eq!(out.row(0), [0.5, 0.5]);
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// A network in training predicts by [`Training::predict_into`](crate::Training::predict_into).
pub struct Predictor<'a> {
    net: MlpRef<'a>,
    plan: Plan,
    team: Team,
    /// Whether one thread or the team makes a call.
    choices: Choices,
    scratch: Vec<Scratch>,
    /// Rows that the scratch has room for.
    rows: usize,
    /// For a precision that is not f32.
    split: Option<SplitWeights>,
    /// The short way of a single row, where there is one.
    row: Option<RowProducts>,
    /// Made when gradients are first asked for.
    gradient: Option<Gradient>,
}

/// Multiply-adds below which no team is made at all: they take one thread a third of a microsecond
/// at 30 per nanosecond, less than any two cores need to meet, which is four cache lines on their way
/// from one to the other.
const TOO_SMALL: usize = 10_000;

/// Rows per thread below which a team shares out the outputs of each layer instead of the rows: such
/// calls are bound by reading the weights, and so each thread reads its part alone.
const FEW_ROWS: usize = 8;

/// Parameters from which that is faster: 2^18 are 1 MiB, the L2 of one core, and more than that comes
/// from L3 or memory faster over two cores than over one.
const SHARED_WEIGHTS: usize = 1 << 18;

impl fmt::Debug for Predictor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Predictor");
        text.field("net", &*self.net).field("rows", &self.rows);
        text.field("threads", &self.team.threads()).finish_non_exhaustive()
    }
}

impl<'a> Predictor<'a> {
    /// For calls of up to `rows` rows. `net` is any of `&Mlp`, `Mlp`, `Box<Mlp>`, `Arc<Mlp>`: an owned or
    /// shared network makes a `Predictor<'static>`, which can be stored in a struct.
    ///
    /// # Errors
    /// [`Error::Config`] for 0 rows, [`Error::Threads`] when threads cannot be had.
    pub fn new(net: impl Into<MlpRef<'a>>, rows: usize, threads: Threads) -> Result<Self> {
        Predictor::of(net.into(), rows, threads)
    }

    fn of(net: MlpRef<'a>, rows: usize, threads: Threads) -> Result<Self> {
        if rows == 0 {
            return Err(Error::config("rows of a predictor", "expected at least 1, got 0"));
        }
        threads.validate()?;
        let multiply_adds = rows.saturating_mul(net.n_parameters());
        let threads = match threads {
            _ if multiply_adds < TOO_SMALL => Threads::One,
            other => other.for_job(multiply_adds),
        };
        let team = Team::new(threads)?;
        let plan = Plan::new(&net, Outputs::OfLayer);
        let scratch = scratch(&net, &plan, rows, &team, None)?;
        let choices = Choices::new(rows, net.n_parameters());
        let row = RowProducts::new(&plan, net.level);
        let (split, gradient) = (None, None);
        Ok(Predictor { net, plan, team, choices, scratch, rows, split, row, gradient })
    }

    /// The same at another precision, with the network's weights split anew.
    ///
    /// # Errors
    /// [`Error::Memory`] when the memory for the split weights cannot be had.
    pub fn precision(mut self, precision: Precision) -> Result<Self> {
        let by = precision.split(self.net.level());
        self.row = RowProducts::new(&self.plan, self.net.level).filter(|_| by.is_none());
        self.split = by.map(|by| SplitWeights::new(&self.net, by)).transpose()?;
        self.scratch = scratch(&self.net, &self.plan, self.rows, &self.team, self.split.as_ref())?;
        Ok(self)
    }

    /// Writes the outputs of each row of `x` (rows x n_in) to `out` (rows x n_out):
    /// probabilities where the output layer is softmax.
    ///
    /// # Errors
    /// [`Error::Shape`] when a shape does not fit or there are more rows than the predictor was
    /// made for, [`Error::FloatEnvironment`] when the thread's floating-point environment is not
    /// the usual one.
    pub fn predict_into<'x, 'o>(
        &mut self,
        x: impl Into<MatRef<'x>>,
        out: impl Into<MatMut<'o>>,
    ) -> Result<()> {
        self.predict_views(x.into(), out.into())
    }

    fn predict_views(&mut self, x: MatRef, out: MatMut) -> Result<()> {
        self.check_inputs(x)?;
        let rows = x.rows();
        check_shape("outputs", (rows, self.net.n_out()), (out.rows(), out.cols()))?;
        check_float_environment()?;
        if self.team.threads() == 1 {
            return self.predict_by(Way::One, x, out);
        }
        let way = self.choices.of(rows).next();
        self.predict_by(way, x, out)?;
        self.choices.of(rows).done(rows);
        Ok(())
    }

    /// [`Predictor::predict_into`] of arguments that fit.
    fn predict_by(&mut self, way: Way, x: MatRef, mut out: MatMut) -> Result<()> {
        let (net, rows) = (&*self.net, x.rows());
        let threads = if way == Way::Team { self.team.threads() } else { 1 };
        let few = rows < (FEW_ROWS * threads).min(BLOCK_ROWS);
        if threads > 1 && few && net.n_parameters() >= SHARED_WEIGHTS && self.split.is_none() {
            let scratch = &mut self.scratch[0];
            let inputs = scratch.inputs(net, &self.plan, x);
            let mut a = scratch.forward_by_columns(net, &self.plan, inputs, &mut self.team);
            to_probabilities(net, &mut a);
            (0..rows).for_each(|r| scatter(a.view(), r, out.row_mut(r)));
            return self.team.check();
        }
        if let (1, Some(row)) = (rows, &self.row) {
            row.forward(net, &mut self.scratch[0], x, out.row_mut(0));
            return Ok(());
        }
        let block = block_rows(rows, threads, BLOCK_ROWS);
        let plan = &self.plan;
        let split = self.split.as_ref();
        self.team.run_rows(way, &mut self.scratch, &mut out, block, |scratch, range, out| {
            let x = x.row_range(range.start, range.end);
            predict_block((net, plan, split), scratch, x, out);
        });
        self.team.check()
    }
}

impl Predictor<'_> {
    /// The network.
    #[must_use]
    pub fn network(&self) -> &Mlp {
        &self.net
    }

    fn check_inputs(&self, x: MatRef) -> Result<()> {
        let (rows, n_in) = (x.rows(), self.net.n_in());
        if rows == 0 || rows > self.rows || x.cols() != n_in {
            let expected = format!("1 to {} rows of {n_in}", self.rows);
            return Err(Error::shape("inputs", expected, rows_of(x)));
        }
        Ok(())
    }
}

/// A scratch for each thread, for calls of up to `rows` rows.
fn scratch(
    net: &Mlp,
    plan: &Plan,
    rows: usize,
    team: &Team,
    split: Option<&SplitWeights>,
) -> Result<Vec<Scratch>> {
    let block = rows.min(BLOCK_ROWS);
    (0..team.threads()).map(|_| Scratch::new(net, plan, block, split)).collect()
}

/// The shape of inputs, for errors.
fn rows_of(x: MatRef) -> String {
    format!("{} rows of {}", x.rows(), x.cols())
}

/// The outputs of a block of rows, with the network's plan and, for a precision that is not f32, its weights.
pub(super) fn predict_block(
    (net, plan, split): (&Mlp, &Plan, Option<&SplitWeights>),
    scratch: &mut Scratch,
    x: MatRef,
    mut out: MatMut,
) {
    let mut a = match split {
        None => {
            let inputs = scratch.inputs(net, plan, x);
            scratch.forward(net, plan, inputs).0
        }
        Some(split) => scratch.forward_split(net, plan, x, split),
    };
    to_probabilities(net, &mut a);
    (0..x.rows()).for_each(|r| scatter(a.view(), r, out.row_mut(r)));
}

/// Where the output layer is softmax, every row becomes its softmax.
fn to_probabilities(net: &Mlp, a: &mut PanelsMut) {
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
    if net.output_activation() == Activation::Softmax {
        dispatch(net.level, Rows(a));
    }
}

impl Mlp {
    /// The outputs of each row of `x` (rows x n_in): rows x n_out, probabilities where the output
    /// layer is softmax. Uses [`Threads::Current`] where that is faster. For calls that never allocate
    /// see [`Predictor`].
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` has no rows or another number of columns, [`Error::Memory`] when
    /// the outputs do not fit in memory.
    pub fn predict<'x>(&self, x: impl Into<MatRef<'x>>) -> Result<Matrix> {
        let x = x.into();
        if x.rows() == 0 || x.cols() != self.n_in() {
            // Before the result is made: a view without columns may claim any number of rows.
            let expected = format!("at least one row of {}", self.n_in());
            return Err(Error::shape("inputs", expected, rows_of(x)));
        }
        let mut out = Matrix::try_zeros(x.rows(), self.n_out())?;
        let threads = match Way::guess(x.rows().saturating_mul(self.n_parameters())) {
            Way::One => Threads::One,
            Way::Team => Threads::Current,
        };
        Predictor::new(self, x.rows(), threads)?.predict_into(x, out.view_mut())?;
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
}
