//! The one error type. Its texts name the place, what was expected and what came.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a public function of this crate answers.
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
    /// Reading or writing failed.
    Io {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// What the system said.
        source: std::io::Error,
    },
    /// Training produced a loss, an activation or a norm of gradients that is NaN or infinite.
    NonFinite {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the run, counted from 1.
        step: u64,
        /// The first layer (counted from 0) whose output is not finite, or whose gradients have no
        /// finite norm where they are to be clipped; the number of layers when only the loss is not
        /// finite.
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

    /// A [`Error::Io`] that names its file.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: Some(path.to_path_buf()), source }
    }
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
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Error::Io { path: None, source }
    }
}
