//! Columns shifted and scaled to mean 0 and standard deviation 1, as measured on a training set.

use super::{Dataset, Targets};
use crate::{Error, MatMut, MatRef, Matrix, Result};

/// `x -> (x - mean) / std`, a mean and a standard deviation a column. Fit it on the training set
/// and apply it to every other one.
///
/// The standard deviation is that of the population (divided by n). A column that is constant is
/// only shifted.
///
/// ```
/// use deltarule::{Matrix, data::Standardizer};
/// let mut x = Matrix::from_vec(2, 2, vec![1.0, 7.0, 3.0, 7.0])?;
/// let scaler = Standardizer::fit(x.view())?;
/// scaler.apply(x.view_mut())?;
/// assert_eq!(x.as_slice(), [-1.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standardizer {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Standardizer {
    /// Measures the columns of `rows`, in f64.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are no rows or no columns; [`Error::Value`] when a value is not
    /// finite.
    pub fn fit(rows: MatRef<'_>) -> Result<Self> {
        if rows.rows() == 0 || rows.cols() == 0 {
            let got = format!("{} x {}", rows.rows(), rows.cols());
            return Err(Error::shape("standardizer", "at least 1 row and 1 column", got));
        }
        let all = || (0..rows.rows()).map(|r| rows.row(r));
        for (r, row) in all().enumerate() {
            if let Some((c, x)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                let place = format!("standardizer: row {r}, column {c}");
                return Err(Error::value(place, "a finite number", x));
            }
        }
        // Two passes: the difference of two large sums would lose what is small between them.
        let n = rows.rows() as f64;
        let mut mean = vec![0f64; rows.cols()];
        all().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x)));
        mean.iter_mut().for_each(|m| *m /= n);
        let mut square = vec![0f64; rows.cols()];
        for row in all() {
            for ((square, mean), &x) in square.iter_mut().zip(&mean).zip(row) {
                *square += (f64::from(x) - mean) * (f64::from(x) - mean);
            }
        }
        let std = square.iter().enumerate().map(|(c, square)| {
            // Exactly constant, whatever rounding made of its mean.
            let is_constant = all().all(|row| row.get(c) == rows.row(0).get(c));
            let std = (square / n).sqrt() as f32;
            if is_constant || !std.is_normal() { 1.0 } else { std }
        });
        let std = std.collect();
        Ok(Standardizer { mean: mean.iter().map(|&m| m as f32).collect(), std })
    }

    /// Measures the features of a data set, as they are after the scaling of bytes.
    #[allow(clippy::expect_used, reason = "a data set with another feature cannot be made")]
    pub fn fit_features(data: &Dataset) -> Self {
        Self::fit(data.matrix().view()).expect("a data set has finite features")
    }

    /// Measures the targets of a regression.
    ///
    /// # Errors
    /// [`Error::Config`] when the targets are classes.
    pub fn fit_targets(data: &Dataset) -> Result<Self> {
        let (values, n_outputs) = values_of(data)?;
        Self::fit(MatRef::new(values, data.len(), n_outputs)?)
    }

    /// The standardizer with these means and standard deviations, for example from a saved model.
    ///
    /// # Errors
    /// [`Error::Shape`] when the two differ in length or are empty; [`Error::Value`] when a number
    /// is not finite, or a standard deviation not positive.
    pub fn from_parts(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        if mean.is_empty() || mean.len() != std.len() {
            let got = format!("{} means and {} deviations", mean.len(), std.len());
            return Err(Error::shape("standardizer", "a mean and a deviation a column", got));
        }
        if let Some((c, m)) = mean.iter().enumerate().find(|(_, m)| !m.is_finite()) {
            let place = format!("standardizer: mean of column {c}");
            return Err(Error::value(place, "a finite number", m));
        }
        if let Some((c, s)) = std.iter().enumerate().find(|(_, s)| !s.is_finite() || **s <= 0.0) {
            let place = format!("standardizer: deviation of column {c}");
            return Err(Error::value(place, "a positive number", s));
        }
        Ok(Standardizer { mean, std })
    }

    /// The mean of each column.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each column; 1 for a constant one.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Standardises each row in place.
    ///
    /// # Errors
    /// [`Error::Shape`] when `rows` has another number of columns.
    pub fn apply(&self, rows: MatMut<'_>) -> Result<()> {
        self.each(rows, |x, mean, std| (x - mean) / std)
    }

    /// Undoes [`Standardizer::apply`], up to rounding: predictions back to the targets' units.
    ///
    /// # Errors
    /// As [`Standardizer::apply`].
    pub fn invert(&self, rows: MatMut<'_>) -> Result<()> {
        self.each(rows, |x, mean, std| x.mul_add(std, mean))
    }

    /// The data set with standardised features, as f32.
    ///
    /// # Errors
    /// [`Error::Shape`] when it has another number of features; [`Error::Value`] when a feature is
    /// so far out that f32 cannot hold it any more.
    pub fn apply_to_features(&self, data: &Dataset) -> Result<Dataset> {
        let mut x: Matrix = data.matrix();
        self.apply(x.view_mut())?;
        Dataset::from_f32(x.into_vec(), data.n_features(), data.targets().clone())
    }

    /// The data set with standardised regression targets.
    ///
    /// # Errors
    /// [`Error::Config`] when the targets are classes; [`Error::Shape`] when there is another
    /// number of outputs; [`Error::Value`] as [`Standardizer::apply_to_features`].
    pub fn apply_to_targets(&self, data: &Dataset) -> Result<Dataset> {
        let (values, n_outputs) = values_of(data)?;
        let mut values = values.to_vec();
        self.apply(MatMut::new(&mut values, data.len(), n_outputs)?)?;
        data.with_targets(Targets::Values { values, n_outputs })
    }

    fn each(&self, mut rows: MatMut<'_>, f: impl Fn(f32, f32, f32) -> f32) -> Result<()> {
        if rows.cols() != self.mean.len() {
            let expected = format!("{} columns", self.mean.len());
            return Err(Error::shape("standardizer", expected, rows.cols()));
        }
        for r in 0..rows.rows() {
            for ((x, &mean), &std) in rows.row_mut(r).iter_mut().zip(&self.mean).zip(&self.std) {
                *x = f(*x, mean, std);
            }
        }
        Ok(())
    }
}

fn values_of(data: &Dataset) -> Result<(&[f32], usize)> {
    match data.targets() {
        Targets::Values { values, n_outputs } => Ok((values, *n_outputs)),
        Targets::Classes { .. } => {
            Err(Error::config("standardizer", "expected values as targets, got classes"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NumPy: `x.astype(np.float64).mean(0)`, `.std(0)`, for x[i][c] = ((37 i) % 23 + 100 c) / 8.
    #[test]
    fn columns_are_measured_as_by_numpy() {
        let x = (0..60).flat_map(|i| (0..2).map(move |c| ((37 * i) % 23 + 100 * c) as f32 / 8.0));
        let mut x = Matrix::from_vec(60, 2, x.collect()).unwrap();
        let before = x.clone();
        let scaler = Standardizer::fit(x.view()).unwrap();
        assert_eq!(scaler.mean(), [1.3604167, 13.860416]);
        assert_eq!(scaler.std(), [0.83824337, 0.83824337]);
        scaler.apply(x.view_mut()).unwrap();
        let again = Standardizer::fit(x.view()).unwrap();
        assert!(again.mean().iter().all(|m| m.abs() < 1e-6));
        assert!(again.std().iter().all(|s| (s - 1.0).abs() < 1e-6));
        scaler.invert(x.view_mut()).unwrap();
        for (got, want) in x.as_slice().iter().zip(before.as_slice()) {
            assert!((got - want).abs() <= 2e-6 * want.abs().max(1.0), "{got} {want}");
        }
    }

    #[test]
    fn constant_and_tiny_columns_are_only_shifted() {
        // 0.1 is not a whole number of ulps of the sum: the f64 mean differs from it.
        let mut x = Matrix::zeros(7, 3);
        for r in 0..7 {
            let tiny = f32::from_bits(r as u32);
            x.view_mut().row_mut(r).copy_from_slice(&[0.1, -3e38, tiny]);
        }
        let scaler = Standardizer::fit(x.view()).unwrap();
        assert_eq!(scaler.std(), [1.0, 1.0, 1.0]);
        scaler.apply(x.view_mut()).unwrap();
        assert!(x.as_slice().iter().all(|x| x.abs() < 1e-40));
    }

    #[test]
    fn data_sets_are_standardised_whole() {
        let values = Targets::Values { values: vec![1.0, 10.0, 3.0, 20.0], n_outputs: 2 };
        let data = Dataset::from_u8(vec![0, 255], 1, values).unwrap();
        let features = Standardizer::fit_features(&data);
        assert_eq!((features.mean(), features.std()), (&[0.5][..], &[0.5][..]));
        let data = features.apply_to_features(&data).unwrap();
        assert_eq!(data.matrix().as_slice(), [-1.0, 1.0]);
        let targets = Standardizer::fit_targets(&data).unwrap();
        let data = targets.apply_to_targets(&data).unwrap();
        let expected = Targets::Values { values: vec![-1.0, -1.0, 1.0, 1.0], n_outputs: 2 };
        assert_eq!(data.targets(), &expected);
        let saved = (targets.mean().to_vec(), targets.std().to_vec());
        assert_eq!(Standardizer::from_parts(saved.0, saved.1).unwrap(), targets);
    }

    #[test]
    fn bad_input_is_named() {
        let text = |result: Result<Standardizer>| result.unwrap_err().to_string();
        let nan = Matrix::from_vec(2, 1, vec![0.0, f32::NAN]).unwrap();
        assert_eq!(
            text(Standardizer::fit(nan.view())),
            "standardizer: row 1, column 0: expected a finite number, got NaN"
        );
        assert!(Standardizer::fit(Matrix::zeros(0, 1).view()).is_err());
        assert!(Standardizer::fit(Matrix::zeros(1, 0).view()).is_err());
        assert!(Standardizer::from_parts(vec![], vec![]).is_err());
        assert!(Standardizer::from_parts(vec![0.0], vec![1.0, 1.0]).is_err());
        assert!(Standardizer::from_parts(vec![f32::NAN], vec![1.0]).is_err());
        assert!(Standardizer::from_parts(vec![0.0], vec![0.0]).is_err());
        let scaler = Standardizer::fit(Matrix::zeros(1, 2).view()).unwrap();
        assert!(scaler.apply(Matrix::zeros(1, 3).view_mut()).is_err());
        let classes = Targets::Classes { labels: vec![0], n_classes: 2 };
        let classes = Dataset::from_u8(vec![1, 2], 2, classes).unwrap();
        assert!(Standardizer::fit_targets(&classes).is_err());
        assert!(scaler.apply_to_targets(&classes).is_err());
    }
}
