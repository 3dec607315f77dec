//! Predicting.

use super::check::check_shape;
use super::input_gradient::{GradientScratch, InputGradient, repeat};
use super::ops::Outputs;
use super::plan::Plan;
use super::row::RowProducts;
use super::scratch::{BLOCK_ROWS, Scratch, SplitWeights};
use crate::activation::{Activation, softmax_panels};
use crate::error::{Error, Result};
use crate::gemm::bf16::Precision;
use crate::network::{Mlp, MlpRef};
use crate::simd::{Kernel, Simd, check_float_environment, dispatch};
use crate::storage::{MatMut, MatRef, Matrix, PanelsMut, gather, scatter};
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

/// What gradients of the inputs need besides.
struct Gradient {
    shared: InputGradient,
    /// One per thread.
    scratch: Vec<GradientScratch>,
    /// Rows of zeros, for unit vectors.
    units: Option<Matrix>,
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
    /// Changes the parameters of the network, which becomes the predictor's own.
    ///
    /// # Errors
    /// Those of `change`, which then has changed nothing.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Mlp) -> Result<()>) -> Result<()> {
        let net = self.net.make_mut();
        change(net)?;
        self.scratch.iter_mut().for_each(Scratch::forget_weights);
        if let Some(split) = &mut self.split {
            split.fill(net);
        }
        if let Some(gradient) = &mut self.gradient {
            gradient.shared.copy_parameters(net);
        }
        Ok(())
    }

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

    /// Gradients with respect to the inputs: row r of `dx` (rows x n_in) becomes Jᵀ·dy, with J the Jacobian
    /// of the outputs at row r of `x` and dy row r of `dy` (rows x n_out). With dy = ∂L/∂y it is ∂L/∂x.
    /// The outputs are those of [`Predictor::predict_into`]: probabilities where the output layer is
    /// softmax. Products multiply f32 whatever the [`Predictor::precision`].
    ///
    /// The first call allocates, and transposes the weights. At a kink (ReLU, maxout) the derivative is
    /// that of training: 0 for ReLU at 0, of the first of equal units for maxout.
    ///
    /// ```
    /// use deltarule::{Activation, Matrix, Mlp};
    ///
    /// let mut net = Mlp::builder(2).dense(1, Activation::Identity).build()?;
    /// let weights = Matrix::from_vec(2, 1, vec![3.0, -2.0])?;
    /// net.set_parameters(0, weights.view(), &[0.5])?;
    /// let x = Matrix::from_vec(1, 2, vec![1.0, 1.0])?;
    /// let dy = Matrix::from_vec(1, 1, vec![1.0])?;
    /// let mut dx = Matrix::zeros(1, 2);
    /// net.predictor(1)?.input_gradient(&x, &dy, &mut dx)?;
    /// assert_eq!(dx.as_slice(), [3.0, -2.0]);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] when a shape does not fit or there are more rows than the predictor was made
    /// for, [`Error::Value`] when `x` or `dy` has a value that is not finite, [`Error::Config`] for a
    /// network with the step function, which has no derivative, [`Error::FloatEnvironment`] as
    /// [`Predictor::predict_into`], [`Error::Memory`] in the first call.
    pub fn input_gradient<'x>(
        &mut self,
        x: impl Into<MatRef<'x>>,
        dy: impl Into<MatRef<'x>>,
        dx: impl Into<MatMut<'x>>,
    ) -> Result<()> {
        self.input_gradient_views(x.into(), dy.into(), dx.into())
    }

    fn input_gradient_views(&mut self, x: MatRef, dy: MatRef, mut dx: MatMut) -> Result<()> {
        self.check_inputs(x)?;
        let (rows, n_in, n_out) = (x.rows(), self.net.n_in(), self.net.n_out());
        check_shape("dy", (rows, n_out), (dy.rows(), dy.cols()))?;
        check_shape("dx", (rows, n_in), (dx.rows(), dx.cols()))?;
        x.check_finite("x")?;
        dy.check_finite("dy")?;
        self.prepare_gradients()?;
        let Predictor { net, team, gradient: Some(gradient), .. } = self else { return Ok(()) };
        let net = &**net;
        // Forward, and the gradient of the inputs.
        let way = match (team.threads(), Way::guess(rows.saturating_mul(2 * net.n_parameters()))) {
            (1, _) | (_, Way::One) => Way::One,
            (_, Way::Team) => Way::Team,
        };
        let threads = if way == Way::One { 1 } else { team.threads() };
        let block = block_rows(rows, threads, BLOCK_ROWS);
        let Gradient { shared, scratch, .. } = gradient;
        team.run_rows(way, scratch, &mut dx, block, |scratch, range, dx| {
            let [x, dy] = [x, dy].map(|m| m.row_range(range.start, range.end));
            shared.run(net, scratch, |to| _ = gather(net.level, x, 0, to), dy, dx);
        });
        team.check()
    }

    /// The Jacobian at a row `x` of n_in values: element (i, j) of `jacobian` (n_out x n_in) becomes ∂yᵢ/∂xⱼ,
    /// with y as in [`Predictor::input_gradient`]. Allocates in the first call.
    ///
    /// # Errors
    /// As [`Predictor::input_gradient`].
    pub fn jacobian<'x>(&mut self, x: &[f32], jacobian: impl Into<MatMut<'x>>) -> Result<()> {
        let mut jacobian = jacobian.into();
        let (n_in, n_out) = (self.net.n_in(), self.net.n_out());
        let row = MatRef::new(x, 1, n_in)?;
        check_shape("jacobian", (n_out, n_in), (jacobian.rows(), jacobian.cols()))?;
        row.check_finite("x")?;
        self.prepare_gradients()?;
        let Predictor { net, rows, gradient: Some(gradient), .. } = self else { return Ok(()) };
        let (net, block) = (&**net, (*rows).min(BLOCK_ROWS));
        let Gradient { shared, scratch, units } = gradient;
        let units = match units {
            Some(units) => units,
            None => units.insert(Matrix::try_zeros(block, n_out)?),
        };
        // A block of rows at once: the row of inputs again and again, with a unit vector as dy each.
        for first in (0..n_out).step_by(block) {
            let n = block.min(n_out - first);
            let diagonal = |i: usize| i * n_out + first + i;
            (0..n).for_each(|i| units.as_mut_slice()[diagonal(i)] = 1.0);
            let (dy, dx) = (units.view().row_range(0, n), jacobian.row_range_mut(first, first + n));
            shared.run(net, &mut scratch[0], |to| repeat(net, x, to), dy, dx);
            (0..n).for_each(|i| units.as_mut_slice()[diagonal(i)] = 0.0);
        }
        Ok(())
    }

    fn prepare_gradients(&mut self) -> Result<()> {
        check_float_environment()?;
        if self.gradient.is_some() {
            return Ok(());
        }
        let net = &*self.net;
        if let Some(layer) = net.layers.iter().position(|l| l.spec.activation() == Activation::Step)
        {
            let reason = "the step function has no derivative";
            return Err(Error::config(format!("layer {layer}"), reason));
        }
        let shared = InputGradient::new(net)?;
        let block = self.rows.min(BLOCK_ROWS);
        let scratch = (0..self.team.threads()).map(|_| shared.scratch(net, block));
        let scratch = scratch.collect::<Result<_>>()?;
        self.gradient = Some(Gradient { shared, scratch, units: None });
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
