//! Reading the text of a checkpoint: lines in one order, words with one space between them, and numbers
//! as they are written.

use std::iter::{Peekable, Zip};
use std::ops::RangeFrom;
use std::str::SplitTerminator;

/// Why a text is refused.
pub(super) type Reason<T> = std::result::Result<T, String>;

/// Counts are at most this: more steps than any run has.
const MOST: u64 = 1 << 40;

/// The values of a line, with one space between them.
pub(super) struct Words<'a>(Option<&'a str>);

impl<'a> Words<'a> {
    /// The words of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Words(Some(text))
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Option<&'a str> {
        self.0.take()
    }

    pub(super) fn word(&mut self) -> Reason<&'a str> {
        let rest = self.0.take().ok_or("ends too early")?;
        let (word, rest) = rest.split_once(' ').map_or((rest, None), |(w, rest)| (w, Some(rest)));
        self.0 = rest;
        Ok(word)
    }

    /// A whole number as it is written, so small that adding to it and summing up many cannot
    /// overflow.
    pub(super) fn count<T: TryFrom<u64>>(&mut self) -> Reason<T> {
        count_of(self.word()?)
    }

    /// The next word, which is not taken.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.0.and_then(|rest| rest.split(' ').next())
    }

    pub(super) fn bits(&mut self) -> Reason<f64> {
        let word = self.hex(16)?;
        let bits = u64::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no number"))?;
        Ok(f64::from_bits(bits))
    }

    pub(super) fn bits32(&mut self) -> Reason<f32> {
        let word = self.hex(8)?;
        let bits = u32::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no number"))?;
        Ok(f32::from_bits(bits))
    }

    /// A number that is finite and at least 0.
    pub(super) fn rate(&mut self) -> Reason<f32> {
        let rate = self.bits32()?;
        let is_rate = rate.is_finite() && rate >= 0.0;
        is_rate.then_some(rate).ok_or_else(|| format!("{rate} is no learning rate"))
    }

    /// A sum of weights: finite and at least 0.
    pub(super) fn weight(&mut self) -> Reason<f64> {
        match self.bits()? {
            weight if weight >= 0.0 && weight.is_finite() => Ok(weight),
            weight => Err(format!("{weight} is no sum of weights")),
        }
    }

    /// What weights are divided by: a power of two.
    pub(super) fn unit(&mut self) -> Reason<f64> {
        match self.weight()? {
            unit if unit.is_normal() && unit.to_bits() << 12 == 0 => Ok(unit),
            unit => Err(format!("{unit} is no power of two")),
        }
    }

    /// Words that are left.
    pub(super) fn len(&self) -> usize {
        self.0.map_or(0, |rest| rest.split(' ').count())
    }

    /// Exactly `digits` lower-case digits.
    fn hex(&mut self, digits: usize) -> Reason<&'a str> {
        let word = self.word()?;
        let is_hex = word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let fits = is_hex && word.len() == digits;
        fits.then_some(word).ok_or_else(|| format!("{word:?} is no number of {digits} digits"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// As [`Words::count`], of one word.
pub(super) fn count_of<T: TryFrom<u64>>(word: &str) -> Reason<T> {
    let number = word.parse::<u64>().ok().filter(|n| *n <= MOST && n.to_string() == word);
    number.and_then(|n| n.try_into().ok()).ok_or_else(|| format!("{word:?} is no count"))
}

/// The lines of a text, numbered from 1, in the one order that there is.
pub(super) struct Lines<'a>(Peekable<Zip<RangeFrom<usize>, SplitTerminator<'a, char>>>);

impl<'a> Lines<'a> {
    /// The lines without the spaces that fill the text up to a multiple of 8 bytes.
    pub(super) fn new(text: &'a str) -> Reason<Self> {
        let all = text.strip_suffix('\n').map(|all| all.trim_end_matches(' '));
        match all {
            Some(all)
                if text.len().is_multiple_of(8)
                    && text.len() - all.len() <= 8
                    && all.ends_with('\n') =>
            {
                Ok(Lines((1..).zip(all.split_terminator('\n')).peekable()))
            }
            _ => Err("does not end as it was written".into()),
        }
    }

    /// What `parse` makes of the values of the next line, if that has this key; it has to use them
    /// all.
    pub(super) fn if_next<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&mut Words<'a>) -> Reason<T>,
    ) -> Reason<Option<T>> {
        let Some((n, line)) = self.0.next_if(|(_, line)| line.split(' ').next() == Some(key))
        else {
            return Ok(None);
        };
        let mut words = line.split_once(' ').map_or(Words(None), |(_, rest)| Words::new(rest));
        let value = parse(&mut words).and_then(|value| match words.is_empty() {
            true => Ok(value),
            false => Err("has too many values".into()),
        });
        value.map(Some).map_err(|reason| format!("line {n}, {line:?}: {reason}"))
    }

    /// The same of a line that has to be there.
    pub(super) fn next<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&mut Words<'a>) -> Reason<T>,
    ) -> Reason<T> {
        match self.if_next(key, parse)? {
            Some(value) => Ok(value),
            None => Err(self.expected(&format!("{key:?}"))),
        }
    }

    /// After the last line.
    pub(super) fn end(&mut self) -> Reason<()> {
        match self.0.peek() {
            Some(_) => Err(self.expected("the end")),
            None => Ok(()),
        }
    }

    /// Why the next line is refused.
    fn expected(&mut self, what: &str) -> String {
        match self.0.peek() {
            Some((n, line)) => format!("line {n}, {line:?}: expected {what}"),
            None => format!("ends too early: expected {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        assert_eq!(Words::new("0 7").count::<u64>(), Ok(0));
        for bad in ["", "07", "+7", "-1", "7.0", " 7", "x", "1099511627777"] {
            assert!(Words::new(bad).count::<u64>().is_err(), "{bad:?}");
        }
        assert!(Words::new("256").count::<u8>().is_err());
        assert_eq!(Words::new("3ff8000000000000").bits(), Ok(1.5));
        assert_eq!(Words::new("3fc00000").rate(), Ok(1.5));
        for bad in
            ["3FC00000", "3fc0000", "03fc00000", "+fc00000", "bfc00000", "7fc00000", "7f800000"]
        {
            assert!(Words::new(bad).rate().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_are_taken_in_order() {
        let mut lines = Lines::new("a 1 2\nb\n       \n").unwrap();
        assert_eq!(lines.if_next("b", |_| Ok(())), Ok(None));
        assert_eq!(lines.next("a", |w| Ok((w.count::<u8>()?, w.count::<u8>()?))), Ok((1, 2)));
        assert_eq!(lines.next("a", |_| Ok(())).unwrap_err(), "line 2, \"b\": expected \"a\"");
        assert!(lines.end().is_err());
        assert_eq!(
            lines.next("b", |w| w.word().map(|_| ())).unwrap_err(),
            "line 2, \"b\": ends too early"
        );
    }
}
