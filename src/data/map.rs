//! Data sets in memory-mapped files.

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::storage::Mapped;
use std::path::Path;

/// The number of values in the file.
fn n_values(targets: &Targets, n_features: usize) -> Result<usize> {
    let rows = targets.len();
    let too_many = || Error::shape("data set", "values that fit in memory's addresses", rows);
    rows.checked_mul(n_features).ok_or_else(too_many)
}

impl Dataset {
    /// A data set of byte features that stay in a file (feature `mmap`), which may be larger than
    /// memory. From byte `offset` to its end the file holds `n_features` bytes per target, row after
    /// row (as an IDX file of images from byte 16 on). Read as [`Dataset::from_u8`] reads them.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be mapped, [`Error::Format`] when it has another length,
    /// and as [`Dataset::from_u8`].
    ///
    /// # Safety
    /// Nobody may change or shorten the file while the data set or a clone of it exists: its bytes
    /// would change under references, and bytes beyond a new end are no memory.
    pub unsafe fn map_u8(
        path: impl AsRef<Path>,
        offset: u64,
        n_features: usize,
        targets: Targets,
    ) -> Result<Dataset> {
        let len = n_values(&targets, n_features)?;
        // SAFETY: the caller's promise.
        let mapped = unsafe { Mapped::open(path.as_ref(), offset, len)? };
        Dataset::of_bytes(mapped.into(), n_features, targets)
    }

    /// A data set of f32 features that stay in a file, as [`Dataset::map_u8`]: little-endian, from
    /// an offset that is a multiple of 4. The file is read once, to see that every number is
    /// finite.
    ///
    /// # Errors
    /// As [`Dataset::map_u8`] and [`Dataset::from_f32`]; [`Error::Config`] on a machine that is
    /// big-endian.
    ///
    /// # Safety
    /// As [`Dataset::map_u8`].
    pub unsafe fn map_f32(
        path: impl AsRef<Path>,
        offset: u64,
        n_features: usize,
        targets: Targets,
    ) -> Result<Dataset> {
        if cfg!(target_endian = "big") {
            let reason = "files of f32 are little-endian, this machine is not";
            return Err(Error::config("map_f32", reason));
        }
        let len = n_values(&targets, n_features)?;
        // SAFETY: the caller's promise.
        let mapped = unsafe { Mapped::open(path.as_ref(), offset, len)? };
        Dataset::of_f32(mapped.into(), n_features, targets.into())
    }
}
