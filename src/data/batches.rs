//! The order in which an epoch visits the samples: a pure function of (seed, epoch).

use crate::error::{Error, Result};
use crate::format::with_room;
use crate::math::{Purpose, RandomStream};

/// The indices of `len` samples in order.
///
/// # Errors
/// [`Error::Shape`] for 2^32 samples or more, [`Error::Memory`] when their numbers do not fit in
/// memory.
pub(crate) fn in_order(len: usize) -> Result<Vec<u32>> {
    let n =
        u32::try_from(len).map_err(|_| Error::shape("data set", "fewer than 2^32 samples", len))?;
    let mut order = with_room(len, format_args!("the numbers of {len} samples"))?;
    order.extend(0..n);
    Ok(order)
}

/// Fills `order` with a random permutation of `0..order.len()`, the same one for the same
/// `(seed, epoch)` on every machine. Nothing is allocated and no state is kept, so a run that
/// resumes in epoch 7 draws what the uninterrupted run drew.
///
/// Indices are `u32`: fewer than 2^32 samples, as a [`Dataset`](super::Dataset) guarantees.
///
/// ```
/// let mut order = [0; 5];
/// deltarule::data::shuffled(1, 0, &mut order);
/// let mut again = [9; 5];
/// deltarule::data::shuffled(1, 0, &mut again);
/// assert_eq!(order, again);
/// ```
pub fn shuffled(seed: u64, epoch: u64, order: &mut [u32]) {
    for (place, index) in order.iter_mut().zip(0..) {
        *place = index;
    }
    RandomStream::new(seed, Purpose::Shuffle, epoch, 0).shuffle(order);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, epoch: u64, n: usize) -> Vec<u32> {
        let mut order = vec![u32::MAX; n];
        shuffled(seed, epoch, &mut order);
        order
    }

    #[test]
    fn each_epoch_is_its_own_permutation() {
        let first = order(1, 0, 1000);
        assert_eq!(first, order(1, 0, 1000));
        assert_ne!(first, order(1, 1, 1000));
        assert_ne!(first, order(2, 0, 1000));
        for epoch in 0..3 {
            let mut sorted = order(1, epoch, 1000);
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..1000));
        }
    }

    #[test]
    fn samples_are_counted_in_32_bits() {
        assert_eq!(in_order(3).unwrap(), [0, 1, 2]);
        #[cfg(target_pointer_width = "64")]
        assert!(matches!(in_order(1 << 32), Err(Error::Shape { .. })));
    }

    /// Runs that were recorded with one version must repeat with the next.
    #[test]
    fn the_order_is_frozen() {
        assert_eq!(order(7, 3, 8), [5, 6, 2, 1, 0, 3, 7, 4]);
        assert_eq!(order(7, 3, 1), [0]);
        assert!(order(7, 3, 0).is_empty());
    }
}
