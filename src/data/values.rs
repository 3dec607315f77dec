//! Where the values of a data set are: in its own memory, or in a file that is mapped.

use std::ops::Deref;

/// A slice and who keeps it.
#[derive(Clone, Debug)]
pub(crate) enum Values<T> {
    Owned(Vec<T>),
    #[cfg(feature = "mmap")]
    Mapped(crate::storage::Mapped<T>),
}

impl<T> Deref for Values<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Values::Owned(values) => values,
            #[cfg(feature = "mmap")]
            Values::Mapped(mapped) => mapped.as_slice(),
        }
    }
}

impl<T: PartialEq> PartialEq for Values<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
