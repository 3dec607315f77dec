//! The values of a data set, in memory or in a mapped file.

use crate::text::Values;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A part of a slice, and the slice's owner. Clones and parts share the owner, so none of them copies
/// a value, and the values stay in memory while one of them exists.
#[derive(Clone)]
pub(crate) struct Buffer<T> {
    owner: Owner<T>,
    /// The part of the owner's values, inside of them.
    part: Range<usize>,
}

#[derive(Clone)]
enum Owner<T> {
    Memory(Arc<Vec<T>>),
    #[cfg(feature = "mmap")]
    Mapped(crate::storage::Mapped<T>),
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        Buffer { part: 0..values.len(), owner: Owner::Memory(Arc::new(values)) }
    }
}

#[cfg(feature = "mmap")]
impl<T> From<crate::storage::Mapped<T>> for Buffer<T> {
    fn from(mapped: crate::storage::Mapped<T>) -> Self {
        Buffer { part: 0..mapped.as_slice().len(), owner: Owner::Mapped(mapped) }
    }
}

impl<T> Buffer<T> {
    /// The values of `range`, without a copy; none where the range is not inside this part.
    pub(super) fn part(&self, range: Range<usize>) -> Option<Self>
    where
        T: Clone,
    {
        let start = self.part.start.checked_add(range.start)?;
        let end = self.part.start.checked_add(range.end)?;
        let is_inside = start <= end && end <= self.part.end;
        is_inside.then(|| Buffer { owner: self.owner.clone(), part: start..end })
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let all = match &self.owner {
            Owner::Memory(values) => values.as_slice(),
            #[cfg(feature = "mmap")]
            Owner::Mapped(mapped) => mapped.as_slice(),
        };
        // Always inside: nothing changes the owner's length.
        all.get(self.part.clone()).unwrap_or_default()
    }
}

impl<T: fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Memory(_) => Values(self).fmt(f),
            // The whole file would be read.
            #[cfg(feature = "mmap")]
            Owner::Mapped(mapped) => write!(f, "{:?} of {mapped:?}", self.part),
        }
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
