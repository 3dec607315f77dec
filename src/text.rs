//! The text form of options that have several numbers: a name, and the numbers by name, as in
//! `momentum:lr=0.1,momentum=0.9,nesterov=false`. And values in `Debug` texts.
//!
//! An option lists its numbers once, as [`Field`]s, which are both written and read.

mod values;

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;
pub(crate) use values::{Values, are_listed};

/// An option with a text form.
pub(crate) trait TextForm: Copy {
    /// What it is called in errors.
    const OPTION: &'static str;

    /// The name before the colon.
    fn name(&self) -> &'static str;

    /// The numbers, in the order in which they are written.
    fn fields(&mut self) -> Vec<Field<'_>>;
}

/// A number of an option.
pub(crate) struct Field<'a> {
    name: &'static str,
    value: Value<'a>,
    presence: Presence,
}

/// Where the value of a field is.
pub(crate) enum Value<'a> {
    Real(&'a mut f32),
    OptionalReal(&'a mut Option<f32>),
    Count(&'a mut u64),
    OptionalCount(&'a mut Option<u64>),
    Size(&'a mut usize),
    /// One of two words; the second for true.
    Words(&'a mut bool, [&'static str; 2]),
}

/// Whether a field may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// It has no default.
    Required,
    /// It is always written; a text may leave it out.
    Written,
    /// Only what is not zero is written.
    UnlessZero,
}

impl<'a> Field<'a> {
    /// A number without a default.
    pub(crate) fn required(name: &'static str, value: Value<'a>) -> Self {
        Field { name, value, presence: Presence::Required }
    }

    /// A number that a text may leave out. An optional one is written where it is set.
    pub(crate) fn new(name: &'static str, value: Value<'a>) -> Self {
        Field { name, value, presence: Presence::Written }
    }

    /// A number of which only one that is not zero is written; a text may leave it out.
    pub(crate) fn unless_zero(name: &'static str, value: Value<'a>) -> Self {
        Field { name, value, presence: Presence::UnlessZero }
    }

    /// The text that is written, if any.
    fn written(&self) -> Option<String> {
        let text = self.value.text()?;
        let is_left_out = self.presence == Presence::UnlessZero && text == "0";
        (!is_left_out).then(|| format!("{}={text}", self.name))
    }
}

impl Value<'_> {
    fn text(&self) -> Option<String> {
        match self {
            Value::Real(x) => Some(real(**x)),
            Value::OptionalReal(x) => x.map(real),
            Value::Count(n) => Some(n.to_string()),
            Value::OptionalCount(n) => n.map(|n| n.to_string()),
            Value::Size(n) => Some(n.to_string()),
            Value::Words(is_second, words) => Some(words[usize::from(**is_second)].to_string()),
        }
    }

    /// Reads the text after `=`.
    ///
    /// # Errors
    /// What is expected.
    fn read(&mut self, text: &str) -> std::result::Result<(), String> {
        match self {
            Value::Real(x) => **x = number(text, "a number")?,
            Value::OptionalReal(x) => **x = Some(number(text, "a number")?),
            Value::Count(n) => **n = number(text, WHOLE)?,
            Value::OptionalCount(n) => **n = Some(number(text, WHOLE)?),
            Value::Size(n) => **n = number(text, WHOLE)?,
            Value::Words(is_second, words) => {
                let index = words.iter().position(|word| *word == text);
                let [first, second] = words;
                **is_second = index.ok_or_else(|| format!("{first} or {second}"))? == 1;
            }
        }
        Ok(())
    }
}

const WHOLE: &str = "a whole number";

fn number<T: FromStr>(text: &str, expected: &str) -> std::result::Result<T, String> {
    text.parse().map_err(|_| expected.to_string())
}

/// The shortest decimal number that is read as the same bits, with an exponent where there would be
/// many zeros. (Every NaN is `NaN`.)
pub(crate) fn real(x: f32) -> String {
    // Outside of this range a number has more zeros than an exponent has characters, or is above the
    // whole numbers that are exact.
    let is_plain = x == 0.0 || (1e-4..16_777_216.0).contains(&x.abs()) || !x.is_finite();
    if is_plain { x.to_string() } else { format!("{x:e}") }
}

/// Writes an option.
pub(crate) fn write<T: TextForm>(option: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut copy = *option;
    let fields: Vec<_> = copy.fields().iter().filter_map(Field::written).collect();
    let colon = if fields.is_empty() { "" } else { ":" };
    f.pad(&format!("{}{colon}{}", option.name(), fields.join(",")))
}

/// Reads an option: the one of `candidates` with the text's name, where fields that the text leaves
/// out have the values of the candidate.
///
/// # Errors
/// [`Error::Config`] with the names or fields that there are.
pub(crate) fn read<T: TextForm>(text: &str, candidates: &[T]) -> Result<T> {
    let refuse = |reason: String| Error::config(T::OPTION, reason);
    let (name, list) = match text.split_once(':') {
        Some((name, list)) => (name, Some(list)),
        None => (text, None),
    };
    let Some(mut found) = candidates.iter().copied().find(|candidate| candidate.name() == name)
    else {
        let names: Vec<_> = candidates.iter().map(T::name).collect();
        return Err(refuse(format!("expected one of {}; got {text:?}", names.join(", "))));
    };
    let mut fields = found.fields();
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let mut read = vec![false; fields.len()];
    for item in list.into_iter().flat_map(|list| list.split(',')) {
        let field = item.split_once('=').and_then(|(key, value)| {
            let i = names.iter().position(|name| *name == key)?;
            Some((i, value))
        });
        let Some((i, value)) = field else {
            let forms: Vec<_> = names.iter().map(|name| format!("{name}=…")).collect();
            let forms = forms.join(", ");
            return Err(refuse(format!(
                "expected {name}:… with {forms}; got {item:?} in {text:?}"
            )));
        };
        if std::mem::replace(&mut read[i], true) {
            return Err(refuse(format!("{} is given twice in {text:?}", names[i])));
        }
        fields[i].value.read(value).map_err(|expected| {
            refuse(format!("{}: expected {expected}, got {value:?}", names[i]))
        })?;
    }
    let missing = |(field, read): &(&Field, bool)| !read && field.presence == Presence::Required;
    if let Some((field, _)) = fields.iter().zip(read).find(missing) {
        return Err(refuse(format!("{name} needs {}=…; got {text:?}", field.name)));
    }
    drop(fields);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_bits() {
        for (x, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-8, "1e-8"),
            (-1e-10, "-1e-10"),
            (16_777_215.0, "16777215"),
            (f32::MAX, "3.4028235e38"),
            (f32::from_bits(1), "1e-45"),
            (f32::NEG_INFINITY, "-inf"),
            (f32::NAN, "NaN"),
        ] {
            assert_eq!(real(x), text);
            let back: f32 = text.parse().unwrap();
            assert!(back.to_bits() == x.to_bits() || x.is_nan() && back.is_nan(), "{text}");
        }
    }
}
