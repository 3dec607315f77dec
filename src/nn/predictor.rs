//! Predicting.

use super::Mlp;
use super::forward::{BLOCK_ROWS, Outputs, Scratch, SplitWeights};
use crate::activation::{Activation, softmax_panels};
use crate::gemm::{PanelsMut, Precision, scatter};
use crate::simd::{Kernel, Simd, check_float_environment, dispatch};
use crate::threads::{Team, Threads, block_rows};
use crate::{Error, MatMut, MatRef, Matrix, Result};
use std::fmt;

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

/// Whether more than one thread pays for the outputs of so many rows.
pub(crate) fn pays(net: &Mlp, rows: usize) -> bool {
    rows.saturating_mul(net.n_parameters()) >= TEAM_FROM
}

impl fmt::Debug for Predictor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Predictor");
        text.field("net", &self.net).field("rows", &self.rows);
        text.field("threads", &self.team.threads()).finish_non_exhaustive()
    }
}

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
        let threads = if pays(net, rows) { threads } else { Threads::One };
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
    /// made for, [`Error::FloatEnvironment`] when the thread's floating-point environment is not
    /// the usual one.
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
            let mut a = scratch.forward_by_columns(net, inputs, &mut self.team);
            if softmax {
                softmax_rows(net, &mut a);
            }
            (0..rows).for_each(|r| scatter(a.view(), r, out.row_mut(r)));
            return self.team.check();
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
        });
        self.team.check()
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
    /// [`Error::Shape`] when `x` has no rows or another number of columns, [`Error::Memory`] when
    /// the outputs do not fit in memory.
    pub fn predict(&self, x: MatRef) -> Result<Matrix> {
        if x.rows() == 0 || x.cols() != self.n_in() {
            // Before the result is made: a view without columns may claim any number of rows.
            let expected = format!("at least one row of {}", self.n_in());
            return Err(Error::shape("inputs", expected, rows_of(x)));
        }
        let mut out = Matrix::try_zeros(x.rows(), self.n_out())?;
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
}
