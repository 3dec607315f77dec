//! The choice of threads as text.

use super::Threads;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

impl fmt::Display for Threads {
    /// `one`, `current`, or n as a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Threads::One => f.pad("one"),
            Threads::Current => f.pad("current"),
            Threads::N(n) => f.pad(&n.to_string()),
        }
    }
}

impl FromStr for Threads {
    type Err = Error;

    /// Reads what `Display` writes: `one`, `current`, or a number n for [`Threads::N`].
    ///
    /// ```
    /// use deltarule::Threads;
    ///
    /// assert_eq!("current".parse::<Threads>()?, Threads::Current);
    /// assert_eq!("4".parse::<Threads>()?, Threads::N(4));
    /// assert_eq!(Threads::N(4).to_string(), "4");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for another text. The number is checked by [`Threads::validate`], and where
    /// the threads are used.
    fn from_str(text: &str) -> Result<Threads> {
        match text {
            "one" => Ok(Threads::One),
            "current" => Ok(Threads::Current),
            n => n.parse().map(Threads::N).map_err(|_| {
                let reason = format!("expected one, current or a number of threads; got {n:?}");
                Error::config("threads", reason)
            }),
        }
    }
}
