//! Some samples of a data set, as a data set.

use super::{Dataset, Store, check_len};
use crate::data::buffer::Buffer;
use crate::data::targets::select_rows;
use crate::error::{Error, Result};
use std::ops::Range;

impl Dataset {
    /// A copy of the samples of `indices`, in that order; an index may occur more than once.
    ///
    /// # Errors
    /// [`Error::Shape`] when `indices` is empty or holds an index that is not below `len()`;
    /// [`Error::Memory`] when the samples do not fit.
    pub fn select(&self, indices: &[usize]) -> Result<Dataset> {
        let n = self.n_features;
        let features = match &self.features {
            Store::U8 { data, scale, shift } => {
                let data = rows_of(data, n, indices)?;
                Store::U8 { data, scale: *scale, shift: *shift }
            }
            Store::F32(data) => Store::F32(rows_of(data, n, indices)?),
        };
        self.some(features, indices.iter().copied())
    }

    /// The first `n` samples and the others. Both share the features with this set; the targets
    /// are copied.
    ///
    /// # Errors
    /// [`Error::Shape`] when one of the two parts would be empty; [`Error::Memory`] when the targets
    /// do not fit.
    pub fn split_at(&self, n: usize) -> Result<(Dataset, Dataset)> {
        if n == 0 || n >= self.len {
            let expected = format!("a number of samples in 1..{}", self.len);
            return Err(Error::shape("split_at", expected, n));
        }
        Ok((self.part(0..n)?, self.part(n..self.len)?))
    }

    /// The samples of `range`, which shares the features.
    fn part(&self, range: Range<usize>) -> Result<Dataset> {
        let n = self.n_features;
        let values = range.start.saturating_mul(n)..range.end.saturating_mul(n);
        let outside = || Error::shape("samples", format!("at most {}", self.len), range.end);
        let features = match &self.features {
            Store::U8 { data, scale, shift } => {
                let data = data.part(values).ok_or_else(outside)?;
                Store::U8 { data, scale: *scale, shift: *shift }
            }
            Store::F32(data) => Store::F32(data.part(values).ok_or_else(outside)?),
        };
        self.some(features, range)
    }

    /// The set of these features, and the targets of `indices`.
    fn some(
        &self,
        features: Store,
        indices: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Dataset> {
        let len = indices.len();
        check_len(len)?;
        let targets = self.targets.select(indices)?.into();
        Ok(Dataset { features, n_features: self.n_features, len, targets })
    }
}

/// A copy of the rows of `indices`.
fn rows_of<T: Copy>(data: &Buffer<T>, width: usize, indices: &[usize]) -> Result<Buffer<T>> {
    Ok(select_rows(data, width, indices.iter().copied())?.into())
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

    #[test]
    fn parts_of_parts_are_those_rows_and_compare_by_value() {
        let labels: Vec<u32> = (0..10).collect();
        let targets = Targets::Classes { labels, n_classes: 10 };
        let all = Dataset::from_u8((0..20).collect(), 2, targets).unwrap();
        let all = all.with_scale(0.5, 1.0).unwrap();
        let (_, rest) = all.split_at(2).unwrap();
        let (rest, _) = rest.split_at(6).unwrap();
        let (_, part) = rest.split_at(3).unwrap();
        let copy = all.select(&[5, 6, 7]).unwrap();
        assert_eq!(part, copy);
        assert_eq!(format!("{part:?}"), format!("{copy:?}"));
        assert_eq!(part.matrix(), copy.matrix());
        drop((all, rest));
        let expected = Features::U8 { data: &[10, 11, 12, 13, 14, 15], scale: 0.5, shift: 1.0 };
        assert_eq!(part.features(), expected);
        // The scale is each set's own.
        let scaled = part.clone().with_scale(2.0, 0.0).unwrap();
        assert_eq!((part.features(), scaled.matrix().row(0)), (expected, &[20.0, 22.0][..]));
        assert_ne!(part, scaled);
        let (first, _) = scaled.split_at(1).unwrap();
        assert!(first.split_at(1).is_err());
    }

    #[test]
    fn clones_and_parts_are_the_same_memory() {
        fn values(data: &Dataset) -> &[f32] {
            match data.features() {
                Features::F32(values) => values,
                Features::U8 { .. } => unreachable!("made of f32"),
            }
        }
        let targets = |shift| Targets::Values { values: vec![shift; 4], n_outputs: 1 };
        let features: Vec<f32> = (0..12u8).map(f32::from).collect();
        let address = features.as_ptr();
        let all = Dataset::from_f32(features, 3, targets(0.0)).unwrap();
        let clone = all.clone();
        let other = all.with_targets(targets(1.0)).unwrap();
        for data in [&all, &clone, &other] {
            assert_eq!(values(data).as_ptr(), address);
        }
        assert!(std::ptr::eq(all.targets(), clone.targets()));
        let (a, b) = other.split_at(1).unwrap();
        assert_eq!(values(&a).as_ptr(), address);
        assert!(std::ptr::eq(values(&b), &values(&all)[3..]));
        assert_ne!(values(&all.select(&[0, 1, 2, 3]).unwrap()).as_ptr(), address);
    }
}
