//! Some samples of a data set, as a set of their own.

use super::{Dataset, Store, check_len};
use crate::data::targets::Targets;
use crate::data::values::Values;
use crate::error::{Error, Result};

impl Dataset {
    /// The samples of `indices`, in that order; an index may come twice.
    ///
    /// # Errors
    /// [`Error::Shape`] when `indices` is empty or holds an index that is not below `len()`;
    /// [`Error::Memory`] when the samples do not fit.
    pub fn select(&self, indices: &[usize]) -> Result<Dataset> {
        check_len(indices.len())?;
        let features = match &self.features {
            Store::U8 { data, scale, shift } => {
                let data = Values::Owned(self.rows_of(data, self.n_features, indices)?);
                Store::U8 { data, scale: *scale, shift: *shift }
            }
            Store::F32(data) => {
                Store::F32(Values::Owned(self.rows_of(data, self.n_features, indices)?))
            }
        };
        let targets = match &self.targets {
            Targets::Classes { labels, n_classes } => Targets::Classes {
                labels: self.rows_of(labels, 1, indices)?,
                n_classes: *n_classes,
            },
            Targets::Values { values, n_outputs } => Targets::Values {
                values: self.rows_of(values, *n_outputs, indices)?,
                n_outputs: *n_outputs,
            },
        };
        Ok(Dataset { features, n_features: self.n_features, len: indices.len(), targets })
    }

    /// The first `n` samples and the others.
    ///
    /// # Errors
    /// [`Error::Shape`] when one of the two parts would be empty.
    pub fn split_at(&self, n: usize) -> Result<(Dataset, Dataset)> {
        if n == 0 || n >= self.len {
            let expected = format!("a number of samples in 1..{}", self.len);
            return Err(Error::shape("split_at", expected, n));
        }
        let all: Vec<usize> = (0..self.len).collect();
        let (first, second) = all.split_at(n);
        Ok((self.select(first)?, self.select(second)?))
    }

    /// Row `i` of `data`, whose rows are `width` long.
    pub(super) fn row_of<'a, T>(&self, data: &'a [T], width: usize, i: usize) -> Result<&'a [T]> {
        let found = i.checked_mul(width).and_then(|start| data.get(start..)?.get(..width));
        found.ok_or_else(|| Error::shape("sample", format!("an index below {}", self.len), i))
    }

    fn rows_of<T: Copy>(&self, data: &[T], width: usize, indices: &[usize]) -> Result<Vec<T>> {
        let mut out = Vec::new();
        let no_memory = |_| Error::memory(format!("{} x {width} values", indices.len()));
        out.try_reserve_exact(indices.len().saturating_mul(width)).map_err(no_memory)?;
        for &i in indices {
            out.extend_from_slice(self.row_of(data, width, i)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;

    #[test]
    fn selections_take_features_and_targets_along() {
        let values = Targets::Values { values: vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5], n_outputs: 2 };
        let all = Dataset::from_f32(vec![0.0, 1.0, 2.0], 1, values).unwrap();
        let some = all.select(&[2, 0, 2]).unwrap();
        assert_eq!(some.features(), Features::F32(&[2.0, 0.0, 2.0]));
        let expected = Targets::Values { values: vec![2.0, 2.5, 0.0, 0.5, 2.0, 2.5], n_outputs: 2 };
        assert_eq!(some.targets(), &expected);
        let (a, b) = all.split_at(1).unwrap();
        assert_eq!((a.len(), b.len()), (1, 2));
        assert_eq!(b, all.select(&[1, 2]).unwrap());
        assert!(all.select(&[]).is_err() && all.select(&[3]).is_err());
        assert!(all.split_at(0).is_err() && all.split_at(3).is_err());
        assert!(all.with_scale(1.0, 0.0).is_err());
    }
}
