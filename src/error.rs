//! The one error type. Its texts name the place, what was expected and what came.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a public function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong on user data. No public function panics on it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A matrix, slice or data set has the wrong shape.
    Shape {
        /// Where: a layer, an argument, a file.
        place: String,
        /// The shape that was expected, in words.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// A value inside otherwise well-shaped data is not allowed (a label out of range, NaN).
    Value {
        /// Where: the argument, row and column.
        place: String,
        /// What was expected, in words.
        expected: String,
        /// What came.
        got: String,
    },
    /// An option, or a combination of options, that makes no sense.
    Config {
        /// The option.
        option: String,
        /// Why it was refused.
        reason: String,
    },
    /// A file or stream that is not what its format says.
    Format {
        /// The file's name, or "stream".
        file: String,
        /// What is wrong, with the expected and the found value.
        reason: String,
    },
    /// Reading or writing failed. The text says what the system said, so that in a chain of errors
    /// the [source](std::error::Error::source) is what the system's error was caused by, if that
    /// is known: nothing is said twice.
    Io {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// What the system said.
        source: std::io::Error,
    },
    /// A size that overflows, or memory that the system does not give.
    Memory {
        /// What there is no room for, in words.
        what: String,
    },
    /// A thread whose floating-point environment differs from the usual one: results would differ
    /// from those of an ordinary thread.
    FloatEnvironment {
        /// What differs.
        reason: String,
    },
    /// A step would have made a loss, an activation, a gradient, a weight or the optimiser's state NaN
    /// or infinite. It updated nothing.
    NonFinite {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the run, counted from 1.
        step: u64,
        /// The first layer (counted from 0) whose output, gradient or new parameters are not finite;
        /// the number of layers when only the loss is not.
        layer: usize,
    },
    /// A SIMD level that was asked for and cannot run here.
    Level {
        /// The name that was asked for.
        requested: String,
        /// Why it cannot run.
        reason: String,
    },
    /// A thread that could not be started, or a number of threads that makes no sense.
    Threads {
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    /// A [`Error::Shape`].
    pub(crate) fn shape(
        place: impl Into<String>,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Error::Shape { place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// A [`Error::Value`].
    pub(crate) fn value(
        place: impl Into<String>,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Error::Value { place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// A [`Error::Config`].
    pub(crate) fn config(option: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Config { option: option.into(), reason: reason.into() }
    }

    /// A [`Error::Format`].
    pub(crate) fn format(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Format { file: file.into(), reason: reason.into() }
    }

    /// A [`Error::Memory`]: `what` is a plural, such as "3 x 4 values".
    pub(crate) fn memory(what: impl fmt::Display) -> Self {
        Error::Memory { what: what.to_string() }
    }

    /// A [`Error::FloatEnvironment`].
    pub(crate) fn float_environment(reason: impl Into<String>) -> Self {
        Error::FloatEnvironment { reason: reason.into() }
    }

    /// A [`Error::Io`] that names its file.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: Some(path.to_path_buf()), source }
    }
}

/// Checks that an option lies in a half-open range, which NaN never does.
///
/// # Errors
/// [`Error::Config`] that names the option and the range.
pub(crate) fn check_range(option: &str, value: f32, range: std::ops::Range<f32>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let std::ops::Range { start, end } = range;
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
            // The system's error itself is in our text already.
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
    fn a_chain_says_everything_once() {
        let reason = io::Error::from_raw_os_error(2).to_string();
        let text = chain(&Error::io(Path::new("a.csv"), io::Error::from_raw_os_error(2)));
        assert_eq!(text, format!("a.csv: {reason}"));
        let text = chain(&Error::from(io::Error::from(ErrorKind::TimedOut)));
        assert_eq!(text, format!("stream: {}", ErrorKind::TimedOut));
        // A reader of the caller's fails with an error of ours, which has a cause of its own.
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
        let text = chain(&Error::from(io::Error::other(Outer(cause.clone()))));
        assert_eq!(text, format!("stream: outer: {cause}"));
    }

    #[test]
    fn memory_and_float_environment_are_errors_of_their_own() {
        let text = Error::memory("3 x 4 values").to_string();
        assert_eq!(text, "memory: 3 x 4 values do not fit");
        let text = Error::float_environment("rounds up").to_string();
        assert_eq!(text, "floating-point environment: rounds up");
    }
}
