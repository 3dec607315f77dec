//! Memory that may be refused.

use crate::error::{Error, Result};
use std::fmt::Display;

/// An empty vector with room for exactly `count` values.
///
/// # Errors
/// [`Error::Memory`] with `what`, a plural such as "3 x 4 values".
pub(crate) fn with_room<T>(count: usize, what: impl Display) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Error::memory(what))?;
    Ok(values)
}
