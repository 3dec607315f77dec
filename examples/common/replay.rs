//! A replay buffer (Lin 1992): the last transitions, from which batches are drawn.

use super::numbers::Numbers;

/// Keeps the last items up to a capacity, and draws from them with equal probability.
#[derive(Clone, Debug)]
pub struct Replay<T> {
    items: Vec<T>,
    capacity: usize,
    /// The place of the oldest item, once all are taken.
    oldest: usize,
}

impl<T> Replay<T> {
    /// An empty one, for this number of items, at least 1.
    pub fn new(capacity: usize) -> Self {
        Replay { items: Vec::with_capacity(capacity), capacity: capacity.max(1), oldest: 0 }
    }

    /// Adds an item, instead of the oldest where the buffer is full.
    pub fn push(&mut self, item: T) {
        if self.items.len() < self.capacity {
            self.items.push(item);
        } else {
            self.items[self.oldest] = item;
            self.oldest = (self.oldest + 1) % self.capacity;
        }
    }

    /// Draws without end, with replacement; nothing from an empty buffer.
    pub fn draw<'a>(&'a self, numbers: &'a mut Numbers) -> impl Iterator<Item = &'a T> {
        std::iter::from_fn(move || self.items.get(numbers.below(self.items.len())))
    }
}
