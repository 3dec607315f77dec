//! Some samples of a data set, as a data set.

use super::{Dataset, Store, check_len};
use crate::data::buffer::Buffer;
use crate::data::targets::select_rows;
use crate::error::{Error, Result};

impl Dataset {
    /// The samples of `indices`, in that order; an index may occur more than once.
    ///
    /// # Errors
    /// [`Error::Shape`] when `indices` is empty or holds an index that is not below `len()`;
    /// [`Error::Memory`] when the samples do not fit.
    pub fn select(&self, indices: &[usize]) -> Result<Dataset> {
        self.select_from(indices.iter().copied())
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
        Ok((self.select_from(0..n)?, self.select_from(n..self.len)?))
    }

    fn select_from(
        &self,
        indices: impl ExactSizeIterator<Item = usize> + Clone,
    ) -> Result<Dataset> {
        let (len, n_features) = (indices.len(), self.n_features);
        check_len(len)?;
        let features = match &self.features {
            Store::U8 { data, scale, shift } => {
                let data = Buffer::Owned(select_rows(data, n_features, indices.clone())?);
                Store::U8 { data, scale: *scale, shift: *shift }
            }
            Store::F32(data) => {
                Store::F32(Buffer::Owned(select_rows(data, n_features, indices.clone())?))
            }
        };
        Ok(Dataset { features, n_features, len, targets: self.targets.select(indices)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;
    use crate::data::targets::Targets;

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
