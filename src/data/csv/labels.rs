//! From the texts of class labels to class numbers.

use std::collections::BTreeMap;

/// Distinct labels that a file may bring: what their names cost is bounded by it. More can be
/// named beforehand.
pub(super) const MAX_CLASSES: usize = 1024;
/// The largest label that is taken for a class number.
const MAX_NUMBER: u32 = u16::MAX as u32;

/// The names of the classes met so far, numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Labels {
    numbers: BTreeMap<String, u32>,
    /// Whether the names were given, so that no other may come.
    is_closed: bool,
}

impl Labels {
    /// The classes with these names, in this order.
    pub(super) fn given(names: &[String]) -> Self {
        Labels { numbers: names.iter().cloned().zip(0..).collect(), is_closed: true }
    }

    /// The number of the class `name`; `None` when it is one too many.
    pub(super) fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        if self.is_closed || self.numbers.len() >= MAX_CLASSES {
            return None;
        }
        let number = u32::try_from(self.numbers.len()).ok()?;
        self.numbers.insert(name.to_string(), number);
        Some(number)
    }

    /// The names of the classes in their final order, and the final number of each number handed
    /// out. Names that are all whole numbers up to 65,535 are class numbers already; else classes
    /// are numbered in the order of their names.
    pub(super) fn finish(self) -> (Vec<String>, Vec<u32>) {
        let mut place = vec![0; self.numbers.len()];
        let as_numbers: Option<Vec<u32>> =
            self.numbers.keys().map(|name| class_number(name)).collect();
        let sorted: Vec<u32> = match as_numbers {
            Some(numbers) if !self.is_closed => numbers,
            _ if self.is_closed => self.numbers.values().copied().collect(),
            _ => (0..).take(self.numbers.len()).collect(),
        };
        for (&number, &class) in self.numbers.values().zip(&sorted) {
            if let Some(place) = place.get_mut(number as usize) {
                *place = class;
            }
        }
        let n_classes =
            sorted.iter().max().map_or(0, |&largest| largest as usize).saturating_add(1);
        let mut names: Vec<String> = (0..n_classes).map(|class| class.to_string()).collect();
        for (name, class) in self.numbers.into_keys().zip(sorted) {
            if let Some(place) = names.get_mut(class as usize) {
                *place = name;
            }
        }
        (names, place)
    }
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
        let numbers: Vec<u32> = names.iter().map(|name| labels.number(name).unwrap()).collect();
        let (names, place) = labels.finish();
        (names, numbers.into_iter().map(|n| place[n as usize]).collect())
    }

    #[test]
    fn whole_numbers_are_classes_themselves() {
        let (names, numbers) = classes(&["3", "0", "10", "3"]);
        assert_eq!(numbers, [3, 0, 10, 3]);
        assert_eq!(names.len(), 11);
        assert_eq!((&names[3][..], &names[7][..]), ("3", "7"));
    }

    #[test]
    fn names_are_numbered_in_their_order() {
        assert_eq!(classes(&["b", "a", "b"]), (vec!["a".into(), "b".into()], vec![1, 0, 1]));
        assert_eq!(classes(&["2", "x"]).1, [0, 1]);
        assert_eq!(classes(&["01", "1"]).1, [0, 1]);
        assert_eq!(classes(&["70000", "5"]).1, [1, 0]);
        assert_eq!(classes(&["-1", "1"]).1, [0, 1]);
    }

    #[test]
    fn given_names_are_the_only_ones() {
        let mut labels = Labels::given(&["no".into(), "1".into()]);
        assert_eq!(
            [labels.number("1"), labels.number("no"), labels.number("x")],
            [Some(1), Some(0), None]
        );
        assert_eq!(labels.finish(), (vec!["no".into(), "1".into()], vec![0, 1]));
        let mut labels = Labels::default();
        assert!((0..MAX_CLASSES).all(|i| labels.number(&i.to_string()).is_some()));
        assert!(labels.number("7").is_some() && labels.number("one more").is_none());
    }
}
