//! Safe functions for jobs whose workers each have a state and whose items each write a part of a
//! result.

use super::choice::Way;
use super::team::Team;
use crate::storage::{MatMut, PanelsMut, SharedSlice};
use std::ops::Range;

/// Rows per block, if `rows` (at least 1) are split into equal blocks of at most `max`, as few as
/// possible but the same number for each thread.
pub(crate) fn block_rows(rows: usize, threads: usize, max: usize) -> usize {
    rows.div_ceil(threads * rows.div_ceil(threads * max))
}

impl Team {
    /// Calls `work` for each element of `items`, with a worker's state and the element's index.
    ///
    /// # Panics
    /// If there are fewer states than threads.
    pub(crate) fn run_items<W: Send, I: Send>(
        &mut self,
        workers: &mut [W],
        items: &mut [I],
        work: impl Fn(&mut W, usize, &mut I) + Sync,
    ) {
        assert!(workers.len() >= self.threads());
        let n = items.len();
        let (workers, items) = (SharedSlice::new(workers), SharedSlice::new(items));
        self.run(n, &|worker, item| {
            // SAFETY: concurrent calls have different worker numbers, and each item is passed once;
            // both slices are borrowed for longer than the run.
            let (w, i) = unsafe { (workers.get(worker..worker + 1), items.get(item..item + 1)) };
            work(&mut w[0], item, &mut i[0]);
        });
    }

    /// Calls `work` for each block of `block` rows of `out`, with a worker's state and the block's range
    /// and rows.
    ///
    /// # Panics
    /// If there are fewer states than threads.
    pub(crate) fn run_rows<W: Send>(
        &mut self,
        way: Way,
        workers: &mut [W],
        out: &mut MatMut,
        block: usize,
        work: impl Fn(&mut W, Range<usize>, MatMut) + Sync,
    ) {
        assert!(workers.len() >= self.threads());
        let (rows, cols, stride) = (out.rows(), out.cols(), out.stride());
        let workers = SharedSlice::new(workers);
        let values = SharedSlice::new(out.as_mut_slice());
        self.run_by(way, rows.div_ceil(block), &|worker, item| {
            let range = item * block..rows.min((item + 1) * block);
            let end = (range.end - 1) * stride + cols;
            // SAFETY: concurrent calls have different worker numbers, and blocks of rows do not
            // overlap, since the stride is at least a row's length. Both slices are borrowed for longer
            // than the run.
            let (w, values) =
                unsafe { (workers.get(worker..worker + 1), values.get(range.start * stride..end)) };
            work(&mut w[0], range.clone(), MatMut::sub(values, range.len(), cols, stride));
        });
    }

    /// Splits the panels of `out` into one part per thread, and calls `work` for each with the part's
    /// range of panels.
    pub(crate) fn run_panels(
        &mut self,
        out: &mut PanelsMut,
        work: impl Fn(Range<usize>, PanelsMut) + Sync,
    ) {
        let n = out.n_panels();
        let parts = self.threads().min(n);
        let shared = out.shared();
        self.run(parts, &|_, part| {
            let range = n * part / parts..n * (part + 1) / parts;
            // SAFETY: the ranges do not overlap, each is passed once, and `out` is borrowed for longer
            // than the run.
            work(range.clone(), unsafe { shared.panels(range).write() });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Matrix;
    use crate::threads::Threads;

    #[test]
    fn blocks_of_rows_are_few_and_equal() {
        for (rows, threads, max, block) in [
            (1, 1, 96, 1),
            (1, 3, 96, 1),
            (96, 1, 96, 96),
            (97, 1, 96, 49),
            (128, 2, 256, 64),
            (1000, 2, 96, 84),
        ] {
            assert_eq!(block_rows(rows, threads, max), block, "{rows} {threads} {max}");
        }
    }

    #[test]
    fn items_and_rows_each_come_once() {
        let mut team = Team::new(Threads::N(3)).unwrap();
        let mut counts = [0usize; 3];
        let mut items = vec![0usize; 1000];
        team.run_items(&mut counts, &mut items, |count, i, item| {
            *count += 1;
            *item += i;
        });
        assert_eq!(counts.iter().sum::<usize>(), 1000);
        assert!(items.iter().enumerate().all(|(i, &item)| i == item));

        let mut out = Matrix::zeros(17, 3);
        team.run_rows(Way::Team, &mut counts, &mut out.view_mut(), 4, |_, range, mut rows| {
            for (i, r) in range.enumerate() {
                rows.row_mut(i).iter_mut().for_each(|x| *x += r as f32);
            }
        });
        assert!((0..17).all(|r| out.row(r) == [r as f32; 3]));
    }
}
