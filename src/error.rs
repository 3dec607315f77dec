//! The error type of the crate. Error texts name the place, the expected value and the actual value.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Public functions return one instead of panicking on invalid user data.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A matrix, slice or data set of the wrong shape.
    Shape {
        /// The layer, argument or file.
        place: String,
        /// The expected shape, as text.
        expected: String,
        /// The actual shape, as text.
        got: String,
    },
    /// An invalid value in data of the right shape (a label out of range, NaN).
    Value {
        /// The argument, row and column.
        place: String,
        /// The expected values, as text.
        expected: String,
        /// The actual value, as text.
        got: String,
    },
    /// An invalid option or combination of options.
    Config {
        /// The option.
        option: String,
        /// Why it is invalid.
        reason: String,
    },
    /// A file or stream that violates its format.
    Format {
        /// The file's name, or "stream".
        file: String,
        /// What is wrong, with the expected and the actual value.
        reason: String,
    },
    /// A failure to read or write. The text includes that of the system's error. The
    /// [source](std::error::Error::source) is the source of the system's error, if any, so an error chain
    /// contains each text once.
    Io {
        /// The file, if any.
        path: Option<PathBuf>,
        /// The system's error.
        source: std::io::Error,
    },
    /// A size that overflows, or memory that cannot be allocated.
    Memory {
        /// What does not fit, as text.
        what: String,
    },
    /// A thread that flushes subnormal numbers to zero, or rounds other than to nearest: results would
    /// differ. Libraries that are built with `-ffast-math` can change a thread so.
    FloatEnvironment {
        /// What differs.
        reason: String,
    },
    /// A training step in which a loss, an activation, a gradient, a weight or a value of the optimiser's
    /// state is NaN or infinite. The step changed no parameter.
    NonFinite {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the run, counted from 1.
        step: u64,
        /// The first layer (counted from 0) whose output, gradient or new parameters are not finite; the
        /// number of layers if only the loss is not finite.
        layer: usize,
    },
    /// A requested SIMD level that cannot run on this machine.
    Level {
        /// The requested name.
        requested: String,
        /// Why it cannot run.
        reason: String,
    },
    /// An invalid number of threads, or a failure to start a thread.
    Threads {
        /// What failed.
        reason: String,
    },
}

impl Error {
    pub(crate) fn shape(
        place: impl Into<String>,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Error::Shape { place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn value(
        place: impl Into<String>,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Error::Value { place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn config(option: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Config { option: option.into(), reason: reason.into() }
    }

    pub(crate) fn format(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Format { file: file.into(), reason: reason.into() }
    }

    /// An [`Error::Memory`]; `what` is a plural, such as "3 x 4 values".
    pub(crate) fn memory(what: impl fmt::Display) -> Self {
        Error::Memory { what: what.to_string() }
    }

    pub(crate) fn float_environment(reason: impl Into<String>) -> Self {
        Error::FloatEnvironment { reason: reason.into() }
    }

    /// An [`Error::Io`] of a file.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: Some(path.to_path_buf()), source }
    }
}

/// Checks a condition of an option.
///
/// # Errors
/// [`Error::Config`] with the option and the reason if the condition does not hold.
pub(crate) fn check_option(holds: bool, option: &str, reason: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(option, reason)) }
}

/// Checks that an option lies in a half-open range, which NaN never does.
///
/// # Errors
/// [`Error::Config`] that names the option and the range.
pub(crate) fn check_range(option: &str, value: f32, range: Range<f32>) -> Result<()> {
    if range.contains(&value) {
        // Without a text: loops of callers come here in every step.
        return Ok(());
    }
    let Range { start, end } = range;
    let reason = format!("expected a number from {start} to below {end}, got {value}");
    Err(Error::config(option, reason))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { place, expected, got } | Error::Value { place, expected, got } => {
                write!(f, "{place}: expected {expected}, got {got}")
            }
            Error::Config { option, reason } => write!(f, "{option}: {reason}"),
            Error::Format { file, reason } => write!(f, "{file}: {reason}"),
            Error::Io { path: Some(path), source } => write!(f, "{}: {source}", path.display()),
            Error::Io { path: None, source } => write!(f, "stream: {source}"),
            Error::Memory { what } => write!(f, "memory: {what} do not fit"),
            Error::FloatEnvironment { reason } => {
                write!(f, "floating-point environment: {reason}")
            }
            Error::NonFinite { epoch, step, layer } => {
                write!(f, "training is no longer finite: epoch {epoch}, step {step}, layer {layer}")
            }
            Error::Level { requested, reason } => {
                write!(f, "SIMD level {requested:?}: {reason}")
            }
            Error::Threads { reason } => write!(f, "threads: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The text of the system's error is part of this error's text.
            Error::Io { source, .. } => source.source(),
            Error::Shape { .. }
            | Error::Value { .. }
            | Error::Config { .. }
            | Error::Format { .. }
            | Error::Memory { .. }
            | Error::FloatEnvironment { .. }
            | Error::NonFinite { .. }
            | Error::Level { .. }
            | Error::Threads { .. } => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Error::Io { path: None, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, ErrorKind};

    /// The texts of an error and its sources, as programs print them.
    fn chain(error: &Error) -> String {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        text
    }

    #[test]
    fn a_chain_contains_each_text_once() {
        assert_eq!(chain(&Error::memory("3 x 4 values")), "memory: 3 x 4 values do not fit");
        let reason = io::Error::from_raw_os_error(2).to_string();
        let file = Error::io(Path::new("a.csv"), io::Error::from_raw_os_error(2));
        assert_eq!(chain(&file), format!("a.csv: {reason}"));
        let stream = Error::from(io::Error::from(ErrorKind::TimedOut));
        assert_eq!(chain(&stream), format!("stream: {}", ErrorKind::TimedOut));
        // A user's reader fails with an error of this crate, which has a source.
        let inner = io::Error::other(Error::io(Path::new("b"), io::Error::other("why")));
        assert_eq!(chain(&Error::from(inner)), "stream: b: why");
        let cause = "x".parse::<f32>().unwrap_err();
        #[derive(Debug)]
        struct Outer(std::num::ParseFloatError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let outer = Error::from(io::Error::other(Outer(cause.clone())));
        assert_eq!(chain(&outer), format!("stream: outer: {cause}"));
    }
}
