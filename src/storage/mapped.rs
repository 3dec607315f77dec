//! Memory-mapped files.

use crate::error::{Error, Result};
use memmap2::Mmap;
use std::fmt;
use std::fs::File;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

/// The values of a memory-mapped file: the system reads pages when they are used. Clones share the map.
pub(crate) struct Mapped<T> {
    map: Arc<Mmap>,
    /// Offset of the first value, in bytes.
    start: usize,
    /// Number of values.
    len: usize,
    kind: PhantomData<T>,
}

/// A type whose values can be read from any bytes.
///
/// # Safety
/// Every pattern of bits is a valid value.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: every byte is valid.
unsafe impl Plain for u8 {}
// SAFETY: every pattern is valid; some are NaN.
unsafe impl Plain for f32 {}

impl<T> Mapped<T> {
    /// Maps a file of `offset` bytes followed by `len` values.
    ///
    /// # Safety
    /// Nobody changes the file while the returned map or a clone of it exists.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read or mapped; [`Error::Format`] if it is not a regular file
    /// of this length or `offset` is not a multiple of the alignment of `T`.
    pub(crate) unsafe fn open(path: &Path, offset: u64, len: usize) -> Result<Self>
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
        // SAFETY: the caller promises that nobody changes the file.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        if map.len() as u64 != metadata.len() {
            return refuse("changed its size".into());
        }
        // Shuffled samples are not read in order; read-ahead would evict pages that are needed.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Mapped { map: Arc::new(map), start, len, kind: PhantomData })
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: `open` checked offset and length against the map, and the offset against the
        // alignment (a map begins at a page); every pattern of bits is valid (`Plain`); the caller of
        // `open` promised that the file does not change.
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
