//! Files as memory: the only `unsafe` of the data layer, and all of it.

use crate::data::{Dataset, Targets, Values};
use crate::{Error, Result};
use memmap2::Mmap;
use std::fmt;
use std::fs::File;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

/// Values of a file that the system reads as they are used. Clones share the map.
pub(crate) struct Mapped<T> {
    map: Arc<Mmap>,
    /// The first byte, and how many values follow.
    start: usize,
    len: usize,
    kind: PhantomData<T>,
}

/// What any bytes are, and any alignment that a map and `start` have is good for.
///
/// # Safety
/// Every pattern of bits is a value.
unsafe trait Plain: Copy {}
// SAFETY: any byte.
unsafe impl Plain for u8 {}
// SAFETY: any bits; some are NaN.
unsafe impl Plain for f32 {}

impl<T> Mapped<T> {
    /// # Safety
    /// Nobody changes the file as long as the answer or a clone of it exists.
    unsafe fn open(path: &Path, offset: u64, len: usize) -> Result<Self>
    where
        T: Plain,
    {
        let refuse = |reason: String| Err(Error::format(path.display().to_string(), reason));
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
        if !metadata.is_file() {
            return refuse("not a regular file".into());
        }
        let n_bytes = len.checked_mul(size_of::<T>()).and_then(|n| u64::try_from(n).ok());
        let expected = n_bytes.and_then(|n| n.checked_add(offset));
        if expected != Some(metadata.len()) {
            let got = metadata.len();
            return refuse(format!("expected {offset} bytes and {len} values, got {got} bytes"));
        }
        let Ok(start) = usize::try_from(offset) else {
            return refuse(format!("{offset} bytes are too many for this machine"));
        };
        if !start.is_multiple_of(align_of::<T>()) {
            let align = align_of::<T>();
            return refuse(format!("expected an offset of a multiple of {align}, got {offset}"));
        }
        // SAFETY: nobody changes the file, says the caller.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        if map.len() as u64 != metadata.len() {
            return refuse("changed its size".into());
        }
        // Shuffled samples are not read in order; reading ahead would throw out what is needed.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Mapped { map: Arc::new(map), start, len, kind: PhantomData })
    }

    /// The values.
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: `open` compared offset and length with the map's and checked that the offset
        // suits the alignment (a map begins at a page); every pattern of bits is a value; the file
        // does not change, as `open`'s caller promised.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.start).cast(), self.len) }
    }
}

impl<T> Clone for Mapped<T> {
    fn clone(&self) -> Self {
        Mapped { map: self.map.clone(), ..*self }
    }
}

impl<T> fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped {{ {} values from byte {} }}", self.len, self.start)
    }
}

/// The values of a file that a data set is made of.
fn n_values(targets: &Targets, n_features: usize) -> Result<usize> {
    let rows = match targets {
        Targets::Classes { labels, .. } => labels.len(),
        Targets::Values { values, n_outputs } => values.len() / n_outputs.max(&1),
    };
    let too_many = || Error::shape("data set", "values that fit in memory's addresses", rows);
    rows.checked_mul(n_features).ok_or_else(too_many)
}

impl Dataset {
    /// A data set of byte features that stay in a file (feature `mmap`): the system reads what is
    /// used and forgets it when memory is short, so the file may be larger than memory. From byte
    /// `offset` to its end the file holds `n_features` bytes for each target, row after row (an
    /// IDX file of images is that from byte 16 on). Read as `byte / 255` unless
    /// [`Dataset::with_scale`] says otherwise.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be mapped, [`Error::Format`] when it has another length,
    /// and as [`Dataset::from_u8`].
    ///
    /// # Safety
    /// Nobody may change or shorten the file as long as the data set or a clone of it exists: the
    /// bytes would change under references to them, and those beyond a new end are no memory.
    pub unsafe fn map_u8(
        path: impl AsRef<Path>,
        offset: u64,
        n_features: usize,
        targets: Targets,
    ) -> Result<Dataset> {
        let len = n_values(&targets, n_features)?;
        // SAFETY: the caller's promise.
        let mapped = unsafe { Mapped::open(path.as_ref(), offset, len)? };
        Dataset::of_bytes(Values::Mapped(mapped), n_features, targets)
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
        Dataset::of_f32(Values::Mapped(mapped), n_features, targets)
    }
}
