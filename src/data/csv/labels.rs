//! From the texts of class labels to class numbers.

use std::collections::BTreeMap;

/// Distinct names in a file at most, which bounds their memory. [`Csv::classes`](super::Csv::classes)
/// has no such limit, and neither have class numbers as long as no label is a name.
pub(super) const MAX_NAMES: usize = 1024;
/// The largest class number.
const MAX_NUMBER: u32 = u16::MAX as u32;

/// The classes so far. A label that is a class number has that number; names have the numbers above
/// [`MAX_NUMBER`], in the order of their first occurrence, until [`Labels::finish`].
#[derive(Debug, Default)]
pub(super) struct Labels {
    names: BTreeMap<String, u32>,
    /// A bit per class number, up to the largest that occurred; set if the number occurred.
    numbers: Vec<u64>,
    n_numbers: usize,
    /// All names, if the caller gave them.
    given: Option<Vec<String>>,
}

impl Labels {
    /// The classes with these names, in this order. Blanks around a name do not count, as in the
    /// file.
    pub(super) fn given(names: &[String]) -> Self {
        let numbers = names.iter().map(|name| name.trim_ascii().to_string()).zip(0..);
        Labels { names: numbers.collect(), given: Some(names.to_vec()), ..Labels::default() }
    }

    /// Whether no other labels may come than those that are known.
    pub(super) fn is_closed(&self) -> bool {
        self.given.is_some()
    }

    /// The number of the class `name`, if it is known.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        if self.is_closed() {
            return self.names.get(name).copied();
        }
        match class_number(name) {
            Some(number) => self.is_met(number).then_some(number),
            None => self.names.get(name).copied(),
        }
    }

    /// The number of the new class `name`; `None` when it is one too many.
    pub(super) fn add(&mut self, name: &str) -> Option<u32> {
        let n_classes = self.names.len().saturating_add(self.n_numbers);
        let number = class_number(name);
        let is_named = number.is_none() || !self.names.is_empty();
        if self.is_closed() || (is_named && n_classes >= MAX_NAMES) {
            return None;
        }
        if let Some(number) = number {
            let (word, bit) = place(number);
            self.numbers.resize(self.numbers.len().max(word.saturating_add(1)), 0);
            *self.numbers.get_mut(word)? |= bit;
            self.n_numbers = self.n_numbers.saturating_add(1);
            return Some(number);
        }
        let number =
            u32::try_from(self.names.len()).ok()?.checked_add(MAX_NUMBER)?.checked_add(1)?;
        self.names.insert(name.to_string(), number);
        Some(number)
    }

    fn is_met(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.numbers.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The names of the classes in their final order, and the final number of each class whose number
    /// changes. Labels that are all whole numbers up to 65,535 are class numbers already; else classes
    /// are numbered in the order of their names.
    pub(super) fn finish(self) -> (Vec<String>, BTreeMap<u32, u32>) {
        if let Some(names) = self.given {
            return (names, BTreeMap::new());
        }
        let mut met = (0..=MAX_NUMBER).filter(|&number| self.is_met(number));
        if self.names.is_empty() {
            let n_classes = met.next_back().map_or(0, |largest| largest.saturating_add(1));
            return ((0..n_classes).map(|class| class.to_string()).collect(), BTreeMap::new());
        }
        // Numbers among names are names.
        let numbers: Vec<(String, u32)> = met.map(|number| (number.to_string(), number)).collect();
        let mut names = self.names;
        names.extend(numbers);
        let final_numbers = names.values().copied().zip(0..).collect();
        (names.into_keys().collect(), final_numbers)
    }
}

/// The word and the bit of a class number.
fn place(number: u32) -> (usize, u64) {
    ((number / u64::BITS) as usize, 1 << (number % u64::BITS))
}

/// The class a name is the number of: digits without a sign or leading zeros.
fn class_number(name: &str) -> Option<u32> {
    let number = name.parse().ok().filter(|&number: &u32| number <= MAX_NUMBER)?;
    (number.to_string() == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str]) -> (Vec<String>, Vec<u32>) {
        let mut labels = Labels::default();
        let number = |name: &&str| labels.find(name).or_else(|| labels.add(name)).unwrap();
        let mut numbers: Vec<u32> = names.iter().map(number).collect();
        let (names, final_numbers) = labels.finish();
        numbers.iter_mut().for_each(|n| *n = *final_numbers.get(n).unwrap_or(n));
        (names, numbers)
    }

    #[test]
    fn labels_become_numbers() {
        for (labels, names, numbers) in [
            (&["1", "0", "3", "1"][..], &["0", "1", "2", "3"][..], &[1, 0, 3, 1][..]),
            (&["b", "a", "b"], &["a", "b"], &[1, 0, 1]),
            (&["2", "x"], &["2", "x"], &[0, 1]),
            (&["01", "1"], &["01", "1"], &[0, 1]),
            (&["70000", "5"], &["5", "70000"], &[1, 0]),
            (&["-1", "1"], &["-1", "1"], &[0, 1]),
            (&["10", "9", "b", "10", "a"], &["10", "9", "a", "b"], &[0, 1, 3, 0, 2]),
        ] {
            let got = classes(labels);
            assert!(got.0 == names && got.1 == numbers, "{labels:?}: {got:?}");
        }
    }

    #[test]
    fn names_are_limited_and_numbers_are_not() {
        let mut labels = Labels::default();
        assert!((0..MAX_NAMES).all(|i| labels.add(&i.to_string()).is_some()));
        assert!(labels.find("7").is_some() && labels.find("1024").is_none());
        // A name would make names of all of them.
        assert!(labels.add("one more").is_none() && labels.add("65535").is_some());
        let (names, final_numbers) = labels.finish();
        assert!(names.len() == 65_536 && final_numbers.is_empty());

        let mut labels = Labels::default();
        assert!((0..MAX_NAMES - 1).all(|i| labels.add(&format!("{i}x")).is_some()));
        assert!(labels.add("7").is_some() && labels.add("8").is_none());
    }
}
