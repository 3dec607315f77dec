//! The values of a data set, in memory or in a mapped file.

use std::ops::Deref;

/// A slice and its owner.
#[derive(Clone, Debug)]
pub(crate) enum Buffer<T> {
    Owned(Vec<T>),
    #[cfg(feature = "mmap")]
    Mapped(crate::storage::Mapped<T>),
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Buffer::Owned(values) => values,
            #[cfg(feature = "mmap")]
            Buffer::Mapped(mapped) => mapped.as_slice(),
        }
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
