//! Columns shifted and scaled to mean 0 and standard deviation 1, as measured on a training set.

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::storage::{MatMut, MatRef, Matrix};

/// `x -> (x - mean) / std` per column. Fit it on the training set and apply it to all sets.
///
/// The standard deviation is that of the population (divided by n). A constant column is only
/// shifted. Everything is computed in f64, so large values such as seconds since 1970 lose no digits.
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
    mean: Vec<f64>,
    std: Vec<f64>,
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
        let row_into = |r, out: &mut [f32]| {
            out.copy_from_slice(rows.row(r));
            Ok(())
        };
        Self::measure(rows.rows(), rows.cols(), row_into)
    }

    /// Measures `n` rows, which `row_into` writes out one at a time.
    fn measure(
        n: usize,
        n_columns: usize,
        row_into: impl Fn(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let mut row = vec![0f32; n_columns];
        let mut for_each = |f: &mut dyn FnMut(usize, &[f32]) -> Result<()>| {
            (0..n).try_for_each(|r| {
                row_into(r, &mut row)?;
                f(r, &row)
            })
        };
        // Two passes: the difference of two large sums would lose what is small between them.
        let mut mean = vec![0f64; n_columns];
        let mut first: Vec<f32> = Vec::new();
        // Whether a column is exactly constant, whatever rounding makes of its mean.
        let mut is_constant = vec![true; n_columns];
        for_each(&mut |r, row| {
            if let Some((c, x)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                let place = format!("standardizer: row {r}, column {c}");
                return Err(Error::value(place, "a finite number", x));
            }
            if r == 0 {
                first = row.to_vec();
            }
            mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
            let same = row.iter().zip(&first).map(|(x, first)| x == first);
            is_constant.iter_mut().zip(same).for_each(|(all, same)| *all &= same);
            Ok(())
        })?;
        mean.iter_mut().for_each(|m| *m /= n as f64);
        let mut square = vec![0f64; n_columns];
        for_each(&mut |_, row| {
            for ((square, mean), &x) in square.iter_mut().zip(&mean).zip(row) {
                *square += (f64::from(x) - mean) * (f64::from(x) - mean);
            }
            Ok(())
        })?;
        let std = square.iter().zip(is_constant).map(|(square, is_constant)| {
            let std = (square / n as f64).sqrt();
            if is_constant || !(std as f32).is_normal() { 1.0 } else { std }
        });
        let std = std.collect();
        Ok(Standardizer { mean, std })
    }

    /// Measures the (scaled) features of a data set. Holds one row at a time, so the data set may be a
    /// mapped file larger than memory.
    #[allow(clippy::expect_used, reason = "a data set with another feature cannot be made")]
    #[must_use]
    pub fn fit_features(data: &Dataset) -> Self {
        Self::measure(data.len(), data.n_features(), |r, out| data.row_into(r, out))
            .expect("a data set has finite features")
    }

    /// Measures the targets of a regression.
    ///
    /// # Errors
    /// [`Error::Config`] when the targets are classes.
    pub fn fit_targets(data: &Dataset) -> Result<Self> {
        let (values, n_outputs) = values_of(data)?;
        Self::fit(MatRef::new(values, data.len(), n_outputs)?)
    }

    /// The standardizer with these means and standard deviations.
    ///
    /// # Errors
    /// [`Error::Shape`] when the two differ in length or are empty; [`Error::Value`] when a number
    /// is not finite, or a standard deviation not positive.
    pub fn from_parts(mean: Vec<f64>, std: Vec<f64>) -> Result<Self> {
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
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The standard deviation of each column; 1 for a constant one.
    #[must_use]
    pub fn std(&self) -> &[f64] {
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
        self.each(rows, |x, mean, std| x * std + mean)
    }

    /// The data set with standardised features, as f32.
    ///
    /// # Errors
    /// [`Error::Shape`] when it has another number of features; [`Error::Value`] when f32 cannot hold
    /// a standardised feature.
    pub fn apply_to_features(&self, data: &Dataset) -> Result<Dataset> {
        let mut x: Matrix = data.matrix();
        self.apply(x.view_mut())?;
        Dataset::of_f32(x.into_vec().into(), data.n_features(), data.shared_targets())
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

    fn each(&self, mut rows: MatMut<'_>, f: impl Fn(f64, f64, f64) -> f64) -> Result<()> {
        if rows.cols() != self.mean.len() {
            let expected = format!("{} columns", self.mean.len());
            return Err(Error::shape("standardizer", expected, rows.cols()));
        }
        for r in 0..rows.rows() {
            for ((x, &mean), &std) in rows.row_mut(r).iter_mut().zip(&self.mean).zip(&self.std) {
                *x = f(f64::from(*x), mean, std) as f32;
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
        assert_eq!(scaler.mean(), [1.3604166666666666, 13.860416666666667]);
        for std in scaler.std() {
            assert!((std - 0.8382433475561988).abs() < 1e-15, "{std}");
        }
        scaler.apply(x.view_mut()).unwrap();
        let again = Standardizer::fit(x.view()).unwrap();
        assert!(again.mean().iter().all(|m| m.abs() < 1e-6));
        assert!(again.std().iter().all(|s| (s - 1.0).abs() < 1e-6));
        scaler.invert(x.view_mut()).unwrap();
        for (got, want) in x.as_slice().iter().zip(before.as_slice()) {
            assert!((got - want).abs() <= 2e-6 * want.abs().max(1.0), "{got} {want}");
        }
    }

    /// scikit-learn's `StandardScaler` on f64: means 1700000064 and 16777216.5, deviations 64 and
    /// sqrt(1.25); f32 has no such mean.
    #[test]
    fn large_numbers_lose_nothing() {
        let seconds = vec![1_700_000_000.0, 1_700_000_128.0];
        let mut x = Matrix::from_vec(2, 1, seconds.clone()).unwrap();
        let scaler = Standardizer::fit(x.view()).unwrap();
        assert_eq!((scaler.mean(), scaler.std()), (&[1_700_000_064.0][..], &[64.0][..]));
        scaler.apply(x.view_mut()).unwrap();
        assert_eq!(x.as_slice(), [-1.0, 1.0]);
        scaler.invert(x.view_mut()).unwrap();
        assert_eq!(x.as_slice(), seconds);

        let counts = vec![16_777_215.0, 16_777_216.0, 16_777_217.0, 16_777_218.0];
        // What f32 makes of the third.
        let exact: Vec<f64> = counts.iter().map(|&x: &f32| f64::from(x)).collect();
        let mut x = Matrix::from_vec(4, 1, counts).unwrap();
        let scaler = Standardizer::fit(x.view()).unwrap();
        let mean = exact.iter().sum::<f64>() / 4.0;
        let std = (exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        assert_eq!((scaler.mean()[0], scaler.std()[0]), (mean, std));
        scaler.apply(x.view_mut()).unwrap();
        for (got, x) in x.as_slice().iter().zip(exact) {
            assert_eq!(*got, ((x - mean) / std) as f32);
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
        assert!(Standardizer::from_parts(vec![f64::NAN], vec![1.0]).is_err());
        assert!(Standardizer::from_parts(vec![0.0], vec![0.0]).is_err());
        let scaler = Standardizer::fit(Matrix::zeros(1, 2).view()).unwrap();
        assert!(scaler.apply(Matrix::zeros(1, 3).view_mut()).is_err());
        let classes = Targets::Classes { labels: vec![0], n_classes: 2 };
        let classes = Dataset::from_u8(vec![1, 2], 2, classes).unwrap();
        assert!(Standardizer::fit_targets(&classes).is_err());
        assert!(scaler.apply_to_targets(&classes).is_err());
    }
}
