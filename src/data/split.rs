//! Parts of a data set: training, validation and test, and the folds of cross-validation.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a data set is well-formed, and there is one part per share"
)]

use std::collections::BTreeMap;

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::math::{Purpose, RandomStream};

impl Dataset {
    /// Splits the samples at random into parts with the given shares, which sum to 1. Each part
    /// keeps the samples in their order.
    ///
    /// ```
    /// # use deltarule::data::{synthetic, Dataset};
    /// let all = synthetic::moons(100, 0.1, 1)?;
    /// let [train, validation, test] = all.split([0.7, 0.2, 0.1], 1)?;
    /// assert_eq!([train.len(), validation.len(), test.len()], [70, 20, 10]);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when the shares are not positive numbers that sum to 1;
    /// [`Error::Shape`] when there are so few samples that a part would be empty.
    pub fn split<const N: usize>(&self, shares: [f64; N], seed: u64) -> Result<[Dataset; N]> {
        check_shares(&shares)?;
        self.parts(&deal(self.one_group(), &shares, seed))
    }

    /// As [`Dataset::split`], each class being split in these shares (to within one sample).
    ///
    /// # Errors
    /// As [`Dataset::split`]; [`Error::Config`] when the targets are not classes;
    /// [`Error::Shape`] when a class that has samples has so few that a part would have none.
    pub fn split_stratified<const N: usize>(
        &self,
        shares: [f64; N],
        seed: u64,
    ) -> Result<[Dataset; N]> {
        check_shares(&shares)?;
        let groups = self.classes("split_stratified")?;
        for (&class, group) in &groups {
            check_part_sizes(class, group.len(), &shares)?;
        }
        self.parts(&deal(groups, &shares, seed))
    }

    /// The `k` folds of cross-validation, drawn at random: each sample is held out once.
    ///
    /// ```
    /// # use deltarule::data::{synthetic, Dataset};
    /// let all = synthetic::moons(100, 0.1, 1)?;
    /// for fold in all.k_fold(5, 1)? {
    ///     let (train, held_out) = fold?;
    ///     assert_eq!((train.len(), held_out.len()), (80, 20));
    /// }
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when `k` is less than 2; [`Error::Shape`] when there are fewer than `k`
    /// samples.
    pub fn k_fold(&self, k: usize, seed: u64) -> Result<Folds<'_>> {
        check_folds(k, self.len(), "samples")?;
        Ok(self.folds(self.one_group(), k, seed))
    }

    /// As [`Dataset::k_fold`], each class being spread evenly over the folds.
    ///
    /// # Errors
    /// As [`Dataset::k_fold`]; [`Error::Config`] when the targets are not classes;
    /// [`Error::Shape`] when a class that has samples has fewer than `k`.
    pub fn k_fold_stratified(&self, k: usize, seed: u64) -> Result<Folds<'_>> {
        let groups = self.classes("k_fold_stratified")?;
        for (class, group) in &groups {
            check_folds(k, group.len(), &format!("samples of class {class}"))?;
        }
        Ok(self.folds(groups, k, seed))
    }

    fn folds(&self, groups: BTreeMap<u32, Vec<usize>>, k: usize, seed: u64) -> Folds<'_> {
        let shares = vec![1.0 / k as f64; k];
        Folds { data: self, parts: deal(groups, &shares, seed), next: 0 }
    }

    /// All samples as one group.
    fn one_group(&self) -> BTreeMap<u32, Vec<usize>> {
        BTreeMap::from([(0, (0..self.len()).collect())])
    }

    fn parts<const N: usize>(&self, parts: &[Vec<usize>]) -> Result<[Dataset; N]> {
        if let Some(part) = parts.iter().position(Vec::is_empty) {
            let got = format!("{} samples, none for part {part}", self.len());
            return Err(Error::shape("split", "at least 1 sample per part", got));
        }
        let parts: Vec<Dataset> =
            parts.iter().map(|part| self.select(part)).collect::<Result<_>>()?;
        Ok(parts.try_into().expect("one part per share"))
    }

    /// The samples of each class that occurs, as scikit-learn counts classes.
    fn classes(&self, option: &str) -> Result<BTreeMap<u32, Vec<usize>>> {
        let Targets::Classes { labels, .. } = self.targets() else {
            return Err(Error::config(option, "expected classes as targets, got values"));
        };
        let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, &label) in labels.iter().enumerate() {
            groups.entry(label).or_default().push(i);
        }
        Ok(groups)
    }
}

/// The folds of a cross-validation: an iterator over (training set, held-out set). The error is that
/// of [`Dataset::select`] when memory is short.
#[derive(Clone, Debug)]
pub struct Folds<'a> {
    data: &'a Dataset,
    parts: Vec<Vec<usize>>,
    next: usize,
}

impl Iterator for Folds<'_> {
    type Item = Result<(Dataset, Dataset)>;

    fn next(&mut self) -> Option<Self::Item> {
        let held_out = self.parts.get(self.next)?;
        let others = self.parts.iter().enumerate().filter(|(i, _)| *i != self.next);
        let mut train: Vec<usize> = others.flat_map(|(_, part)| part).copied().collect();
        train.sort_unstable();
        self.next += 1;
        let both = || Ok((self.data.select(&train)?, self.data.select(held_out)?));
        Some(both())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.parts.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Folds<'_> {}

/// Distributes each group's samples over the parts; a group's key is the counter of its shuffle.
///
/// Of a group of n samples a part with share s gets floor(n s). The rest is distributed, one sample
/// per part, to the parts that have received least of their share of all groups so far. So every
/// group is within one sample of its shares, and the parts as wholes stay close to theirs.
fn deal(groups: BTreeMap<u32, Vec<usize>>, shares: &[f64], seed: u64) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); shares.len()];
    let mut dealt = 0;
    for (key, mut group) in groups {
        RandomStream::new(seed, Purpose::Split, u64::from(key), 0).shuffle(&mut group);
        dealt += group.len();
        let mut sizes: Vec<usize> = shares.iter().map(|&s| whole_part(group.len(), s)).collect();
        let behind: Vec<f64> = shares
            .iter()
            .zip(parts.iter().map(Vec::len).zip(&sizes))
            .map(|(share, (had, gets))| share * dealt as f64 - (had + gets) as f64)
            .collect();
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|&a, &b| behind[b].total_cmp(&behind[a]));
        let left = group.len() - sizes.iter().sum::<usize>();
        order.iter().take(left).for_each(|&part| sizes[part] += 1);
        for (part, size) in parts.iter_mut().zip(sizes) {
            part.extend(group.drain(..size));
        }
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

/// The whole part of `n * share`, where 1e-9 absorbs the rounding of a product that is whole.
fn whole_part(n: usize, share: f64) -> usize {
    (n as f64 * share + 1e-9).floor() as usize
}

fn check_shares(shares: &[f64]) -> Result<()> {
    let sum: f64 = shares.iter().sum();
    if shares.iter().all(|&s| s > 0.0) && (sum - 1.0).abs() < 1e-9 {
        return Ok(());
    }
    Err(Error::config("shares", format!("expected positive numbers that sum to 1, got {shares:?}")))
}

/// Checks that every part gets samples of a class of `size` samples.
fn check_part_sizes(class: u32, size: usize, shares: &[f64]) -> Result<()> {
    match shares.iter().position(|&share| whole_part(size, share) == 0) {
        Some(part) => {
            let place = format!("class {class}, part {part} with share {}", shares[part]);
            Err(Error::shape(place, "at least 1 sample", format!("{size} of that class in all")))
        }
        None => Ok(()),
    }
}

fn check_folds(k: usize, n: usize, of: &str) -> Result<()> {
    if k < 2 {
        return Err(Error::config("k", format!("expected at least 2 folds, got {k}")));
    }
    if n < k {
        return Err(Error::shape("k_fold", format!("at least {k} {of}"), n));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;

    /// `counts[c]` samples of class c, the classes mixed; the feature is the sample's number.
    fn samples(counts: &[usize]) -> Dataset {
        let mut labels: Vec<u32> = Vec::new();
        let mut left = counts.to_vec();
        while left.iter().any(|&n| n > 0) {
            for (class, n) in left.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
                labels.push(class as u32);
                *n -= 1;
            }
        }
        let features = (0..labels.len()).map(|i| i as f32).collect();
        Dataset::from_f32(features, 1, Targets::Classes { labels, n_classes: counts.len() })
            .unwrap()
    }

    fn numbers(data: &Dataset) -> Vec<usize> {
        let Features::F32(x) = data.features() else { panic!() };
        x.iter().map(|&x| x as usize).collect()
    }

    fn count(data: &Dataset, class: u32) -> usize {
        let Targets::Classes { labels, .. } = data.targets() else { panic!() };
        labels.iter().filter(|&&l| l == class).count()
    }

    #[test]
    fn parts_cover_everything_once() {
        let all = samples(&[50, 50]);
        let parts = all.split([0.7, 0.2, 0.1], 3).unwrap();
        assert_eq!(parts.each_ref().map(Dataset::len), [70, 20, 10]);
        let mut seen: Vec<usize> = parts.iter().flat_map(numbers).collect();
        assert!(parts.iter().all(|part| numbers(part).is_sorted()));
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
        assert_eq!(parts, all.split([0.7, 0.2, 0.1], 3).unwrap());
        assert_ne!(parts, all.split([0.7, 0.2, 0.1], 4).unwrap());
        assert_eq!(samples(&[1, 2]).split([0.5, 0.5], 0).unwrap()[0].len(), 2);
    }

    #[test]
    fn strata_keep_their_shares() {
        let counts = [10, 37, 203, 50];
        let shares = [0.8, 0.1, 0.1];
        let parts = samples(&counts).split_stratified(shares, 1).unwrap();
        for (part, share) in parts.iter().zip(shares) {
            for (class, &n) in counts.iter().enumerate() {
                let (got, ideal) = (count(part, class as u32) as f64, n as f64 * share);
                assert!((got - ideal).abs() < 1.0, "class {class}: {got} of {ideal}");
            }
            assert!((part.len() as f64 - 300.0 * share).abs() <= 1.0, "{}", part.len());
        }
        // Ten classes of ten: what each class leaves over does not add up in one part.
        let [a, b, c] = samples(&[10; 10]).split_stratified([0.65, 0.2, 0.15], 1).unwrap();
        assert_eq!([a.len(), b.len(), c.len()], [65, 20, 15]);
    }

    #[test]
    fn folds_hold_each_sample_out_once() {
        let all = samples(&[7, 11, 5]);
        for folds in [all.k_fold(5, 1).unwrap(), all.k_fold_stratified(5, 1).unwrap()] {
            assert_eq!(folds.len(), 5);
            let mut held = Vec::new();
            for fold in folds {
                let (train, held_out) = fold.unwrap();
                assert_eq!(train.len() + held_out.len(), 23);
                assert!((4..=5).contains(&held_out.len()));
                let both = [numbers(&train), numbers(&held_out)].concat();
                assert_eq!(both.iter().collect::<std::collections::HashSet<_>>().len(), 23);
                held.extend(numbers(&held_out));
            }
            held.sort_unstable();
            assert!(held.into_iter().eq(0..23));
        }
        for fold in all.k_fold_stratified(5, 2).unwrap() {
            let (_, held_out) = fold.unwrap();
            assert!((1..=2).contains(&count(&held_out, 0)));
            assert!((2..=3).contains(&count(&held_out, 1)));
            assert_eq!(count(&held_out, 2), 1);
        }
    }

    /// As scikit-learn's `StratifiedKFold` and `train_test_split(stratify=y)` do: labels 1, 2, 3, 5,
    /// 6 and 7 are six classes.
    #[test]
    fn classes_without_samples_do_not_count() {
        let all = samples(&[0, 4, 4, 4, 0, 4, 4, 4, 0]);
        let (train, test) = all.split_stratified([0.5, 0.5], 1).map(|[a, b]| (a, b)).unwrap();
        for class in [1, 2, 3, 5, 6, 7] {
            assert_eq!((count(&train, class), count(&test, class)), (2, 2));
        }
        for fold in all.k_fold_stratified(4, 1).unwrap() {
            let (_, held_out) = fold.unwrap();
            assert!([1, 2, 3, 5, 6, 7].iter().all(|&class| count(&held_out, class) == 1));
        }
        // As many as can be said: nothing is made for each.
        let labels = Targets::Classes { labels: vec![0, 1, 0, 1], n_classes: usize::MAX };
        let all = Dataset::from_u8(vec![0; 4], 1, labels).unwrap();
        assert_eq!(all.split_stratified([0.5, 0.5], 1).unwrap()[0].len(), 2);
        assert_eq!(all.k_fold_stratified(2, 1).unwrap().len(), 2);
        assert!(all.k_fold(usize::MAX, 1).is_err());
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let all = samples(&[9, 10]);
        let text = |result: Result<[Dataset; 2]>| result.unwrap_err().to_string();
        assert_eq!(
            text(all.split([0.5, 0.6], 1)),
            "shares: expected positive numbers that sum to 1, got [0.5, 0.6]"
        );
        assert!(all.split([1.5, -0.5], 1).is_err() && all.split([f64::NAN], 1).is_err());
        assert_eq!(
            text(all.split([0.99, 0.01], 1)),
            "split: expected at least 1 sample per part, got 19 samples, none for part 1"
        );
        assert_eq!(
            text(all.split_stratified([0.9, 0.1], 1)),
            "class 0, part 1 with share 0.1: expected at least 1 sample, got 9 of that class in all"
        );
        let values = Targets::Values { values: vec![0.0; 4], n_outputs: 1 };
        let values = Dataset::from_u8(vec![0; 4], 1, values).unwrap();
        assert!(values.split_stratified([0.5, 0.5], 1).is_err());
        assert!(values.k_fold_stratified(2, 1).is_err());
        assert!(values.k_fold(1, 1).is_err() && values.k_fold(5, 1).is_err());
        let error = all.k_fold_stratified(10, 1).unwrap_err().to_string();
        assert_eq!(error, "k_fold: expected at least 10 samples of class 0, got 9");
        assert!(all.k_fold(usize::MAX, 1).is_err());
        // Many more classes than samples.
        for n_classes in [701, 1 << 40, usize::MAX] {
            let targets = Targets::Classes { labels: vec![0, 1, 1, 0, 700], n_classes };
            let data = Dataset::from_u8(vec![0; 5], 1, targets).unwrap();
            let error = text(data.split_stratified([0.5, 0.5], 1));
            assert!(error.starts_with("class 700, part 0"), "{error}");
            let error = data.k_fold_stratified(2, 1).unwrap_err().to_string();
            assert_eq!(error, "k_fold: expected at least 2 samples of class 700, got 1");
        }
    }
}
