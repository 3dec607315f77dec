//! The words of a checkpoint's text.

use std::borrow::Cow;

/// The reason why a text is refused.
pub(super) type Reason<T> = std::result::Result<T, String>;

/// The largest count: more steps than any run has, and so small that sums of counts do not overflow.
const MAX_COUNT: u64 = 1 << 40;

pub(super) fn hex64(x: f64) -> String {
    format!("{:016x}", x.to_bits())
}

pub(super) fn hex32(x: f32) -> String {
    format!("{:08x}", x.to_bits())
}

pub(super) fn bits64(word: &str) -> Reason<f64> {
    let bits = u64::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no number"))?;
    Ok(f64::from_bits(bits))
}

pub(super) fn bits32(word: &str) -> Reason<f32> {
    let bits = u32::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no number"))?;
    Ok(f32::from_bits(bits))
}

pub(super) fn count<T: TryFrom<u64>>(word: &str) -> Reason<T> {
    let number = word.parse().ok().filter(|n: &u64| *n <= MAX_COUNT);
    number.and_then(|n| n.try_into().ok()).ok_or_else(|| format!("{word:?} is no count"))
}

/// A number that is finite and at least 0.
pub(super) fn rate(word: &str) -> Reason<f32> {
    match bits32(word)? {
        rate if rate >= 0.0 && rate.is_finite() => Ok(rate),
        rate => Err(format!("{rate} is no learning rate")),
    }
}

/// A sum of weights: finite and at least 0.
pub(super) fn weight(word: &str) -> Reason<f64> {
    match bits64(word)? {
        weight if weight >= 0.0 && weight.is_finite() => Ok(weight),
        weight => Err(format!("{weight} is no sum of weights")),
    }
}

/// The unit of weights: a power of two.
pub(super) fn unit(word: &str) -> Reason<f64> {
    match weight(word)? {
        unit if unit.is_normal() && unit.to_bits() << 12 == 0 => Ok(unit),
        unit => Err(format!("{unit} is no power of two")),
    }
}

/// A cell of a confusion matrix: `TRUTH,PREDICTED,COUNT`.
pub(super) fn cell(word: &str) -> Reason<(u32, u32, u64)> {
    match word.split(',').collect::<Vec<_>>()[..] {
        [truth, predicted, n] => Ok((count(truth)?, count(predicted)?, count(n)?)),
        _ => Err(format!("{word:?} is no cell")),
    }
}

/// A line in the form in which it is written now. Version 0.1 wrote all K² counts of an epoch's
/// confusion matrix, row by row, without commas.
pub(super) fn current_form(line: &str) -> Cow<'_, str> {
    if !line.starts_with("epoch ") {
        return line.into();
    }
    let words: Vec<&str> = line.split(' ').collect();
    let (head, counts) = words.split_at(words.len().min(8));
    let k: usize = head.get(7).map_or(0, |k| count(k).unwrap_or(0));
    let is_current = counts.iter().any(|word| word.contains(','));
    if is_current || k.checked_mul(k) != Some(counts.len()) {
        return line.into();
    }
    let cells = counts.iter().enumerate().filter(|(_, n)| **n != "0");
    let cells = cells.map(|(i, n)| format!(" {},{},{n}", i / k, i % k));
    Cow::Owned(head.join(" ") + &cells.collect::<String>())
}
