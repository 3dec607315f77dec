//! Values that come one after the other, nobody knows how many.

use crate::{Error, Result};

/// Bytes of a piece: with the 55 KiB of a gzip decoder, a refused stream stays under 64.
const PIECE_BYTES: usize = 4 * 1024;

/// Values kept in pieces of one size, joined at the end. A growing vector would hold both its old
/// and its new place while it moves: three times what came.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    /// Pieces of exactly `capacity` values.
    full: Vec<Vec<T>>,
    current: Vec<T>,
    capacity: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        let capacity = PIECE_BYTES.checked_div(size_of::<T>()).unwrap_or(PIECE_BYTES);
        Pieces { full: Vec::new(), current: Vec::new(), capacity }
    }
}

impl<T: Copy> Pieces<T> {
    /// Makes the first piece hold `count` values: then joining costs nothing. Only for a count
    /// that is known and not merely claimed.
    pub(super) fn reserve(&mut self, count: usize) -> Result<()> {
        let no_memory = |_| Error::memory(format!("{count} values"));
        self.current.try_reserve_exact(count).map_err(no_memory)?;
        self.capacity = count;
        Ok(())
    }

    pub(super) fn push(&mut self, value: T) {
        if self.current.len() == self.capacity {
            self.full.push(std::mem::take(&mut self.current));
        }
        if self.current.capacity() == 0 {
            self.current.reserve_exact(self.capacity);
        }
        self.current.push(value);
    }

    pub(super) fn extend(&mut self, mut values: impl ExactSizeIterator<Item = T>) {
        while let Some(first) = values.next() {
            self.push(first);
            let room = self.capacity.saturating_sub(self.current.len());
            self.current.extend(values.by_ref().take(room));
        }
    }

    /// All values as one vector.
    pub(super) fn join(mut self) -> Vec<T> {
        if self.full.is_empty() {
            return self.current;
        }
        self.full.push(self.current);
        self.full.concat()
    }
}

#[cfg(any(test, feature = "csv"))]
impl<T: Copy> Pieces<T> {
    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.full.len().saturating_mul(self.capacity).saturating_add(self.current.len())
    }

    /// Drops all values behind the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.len().saturating_sub(self.current.len()) > len {
            self.current = self.full.pop().unwrap_or_default();
        }
        let before = self.len().saturating_sub(self.current.len());
        self.current.truncate(len.saturating_sub(before));
    }

    /// All values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.full.iter().chain([&self.current]).flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_in_order() {
        for n in [0, 1, 1023, 1024, 1025, 5000] {
            let mut pieces = Pieces::default();
            pieces.extend(0..n.min(1500));
            (n.min(1500)..n).for_each(|i| pieces.push(i));
            assert_eq!(pieces.len(), n as usize);
            assert!(pieces.iter().eq(0..n));
            assert!(pieces.join().into_iter().eq(0..n));
        }
    }

    #[test]
    fn the_last_values_can_be_taken_back() {
        for (n, kept) in [(10, 3), (1024, 1024), (1025, 1024), (5000, 2048), (5000, 0), (3, 9)] {
            let mut pieces = Pieces::default();
            pieces.extend(0..n);
            pieces.truncate(kept as usize);
            pieces.push(-1);
            assert!(pieces.join().into_iter().eq((0..n.min(kept)).chain([-1])));
        }
    }
}
