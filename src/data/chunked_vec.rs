//! Values whose number is not known beforehand.

use crate::error::{Error, Result};
use crate::format::with_room;

/// Bytes of a chunk: with the 55 KiB of a gzip decoder, a refused stream stays under 64.
const CHUNK_BYTES: usize = 4 * 1024;

/// Values in chunks of one size, joined at the end. A growing vector holds its old and its new memory
/// while it moves: three times its values.
#[derive(Debug)]
pub(super) struct ChunkedVec<T> {
    /// Chunks of exactly `capacity` values.
    full: Vec<Vec<T>>,
    current: Vec<T>,
    capacity: usize,
}

impl<T> Default for ChunkedVec<T> {
    fn default() -> Self {
        let capacity = CHUNK_BYTES.checked_div(size_of::<T>()).unwrap_or(CHUNK_BYTES);
        ChunkedVec { full: Vec::new(), current: Vec::new(), capacity }
    }
}

impl<T: Copy> ChunkedVec<T> {
    /// Makes the first chunk hold `count` values, so that joining costs nothing. Only for a count
    /// that is proven, not claimed by a header.
    pub(super) fn reserve(&mut self, count: usize) -> Result<()> {
        self.current = with_room(count, format_args!("{count} values"))?;
        self.capacity = count;
        Ok(())
    }

    pub(super) fn push(&mut self, value: T) -> Result<()> {
        if self.current.len() == self.capacity || self.current.capacity() == 0 {
            self.next_chunk()?;
        }
        self.current.push(value);
        Ok(())
    }

    /// Makes `current` a chunk with room.
    #[cold]
    fn next_chunk(&mut self) -> Result<()> {
        let no_memory = |_| Error::memory(format!("{} more values", self.capacity));
        if !self.current.is_empty() {
            self.full.try_reserve(1).map_err(no_memory)?;
            self.full.push(std::mem::take(&mut self.current));
        }
        self.current.try_reserve_exact(self.capacity.max(1)).map_err(no_memory)
    }

    pub(super) fn extend(&mut self, mut values: impl ExactSizeIterator<Item = T>) -> Result<()> {
        while let Some(first) = values.next() {
            self.push(first)?;
            let room = self.capacity.saturating_sub(self.current.len());
            self.current.extend(values.by_ref().take(room));
        }
        Ok(())
    }

    /// All values as one vector.
    pub(super) fn join(mut self) -> Result<Vec<T>> {
        if self.full.is_empty() {
            return Ok(self.current);
        }
        self.full.push(self.current);
        let count = self.full.iter().map(Vec::len).fold(0, usize::saturating_add);
        let mut all = with_room(count, format_args!("{count} values"))?;
        self.full.iter().for_each(|chunk| all.extend_from_slice(chunk));
        Ok(all)
    }
}

#[cfg(any(test, feature = "csv"))]
impl<T: Copy> ChunkedVec<T> {
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
    fn chunks_join_in_order() {
        for n in [0, 1, 1023, 1024, 1025, 5000] {
            let mut values = ChunkedVec::default();
            values.extend(0..n.min(1500)).unwrap();
            (n.min(1500)..n).for_each(|i| values.push(i).unwrap());
            assert_eq!(values.len(), n as usize);
            assert!(values.iter().eq(0..n));
            assert!(values.join().unwrap().into_iter().eq(0..n));
        }
    }

    #[test]
    fn the_last_values_can_be_taken_back() {
        for (n, kept) in [(10, 3), (1024, 1024), (1025, 1024), (5000, 2048), (5000, 0), (3, 9)] {
            let mut values = ChunkedVec::default();
            values.extend(0..n).unwrap();
            values.truncate(kept as usize);
            values.push(-1).unwrap();
            assert!(values.join().unwrap().into_iter().eq((0..n.min(kept)).chain([-1])));
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for count in [usize::MAX, isize::MAX as usize / 4] {
            let reserved = ChunkedVec::<u64>::default().reserve(count);
            assert!(matches!(reserved, Err(Error::Memory { .. })), "{count}");
        }
    }
}
