//! Gradients of a predictor's outputs with respect to its inputs.

use super::Predictor;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::program::check::check_shape;
use crate::program::input_gradient::{Gradient, InputGradient, Inputs};
use crate::program::scratch::BLOCK_ROWS;
use crate::simd::check_float_environment;
use crate::storage::{MatMut, MatRef, Matrix};
use crate::threads::{Way, block_rows};

impl Predictor<'_> {
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
            shared.run(net, scratch, Inputs::Rows(x), dy, dx);
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
            shared.run(net, &mut scratch[0], Inputs::Repeated(x), dy, dx);
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
