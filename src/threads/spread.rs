//! Safe ways to run a job whose workers each have a state of their own and whose items each write
//! a part of a result of their own.

use super::choice::Way;
use super::team::Team;
use crate::storage::{MatMut, PanelsMut, SharedSlice};
use std::ops::Range;

/// Splits `rows` rows, at least one, into blocks of equal size for a team: as few as `most` rows a
/// block allow, but a whole number a thread. Returns the rows of a block.
pub(crate) fn block_rows(rows: usize, threads: usize, most: usize) -> usize {
    rows.div_ceil(threads * rows.div_ceil(threads * most))
}

impl Team {
    /// Calls `work` for each element of `items`, with its number and a worker's state. There must
    /// be a state for each thread.
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
            // SAFETY: no two calls at a time have the same worker number, and each item comes
            // once; both slices are borrowed for longer than the run.
            let (w, i) = unsafe { (workers.get(worker..worker + 1), items.get(item..item + 1)) };
            work(&mut w[0], item, &mut i[0]);
        });
    }

    /// Calls `work` for each block of `block` rows of `out`, with the block's range and rows and a
    /// worker's state. There must be a state for each thread.
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
            // SAFETY: no two calls at a time have the same worker number, and blocks of rows do
            // not overlap: a row ends before the next begins, since the stride is at least a
            // row's length. Both slices are borrowed for longer than the run.
            let (w, values) =
                unsafe { (workers.get(worker..worker + 1), values.get(range.start * stride..end)) };
            work(&mut w[0], range.clone(), MatMut::sub(values, range.len(), cols, stride));
        });
    }
}

impl Team {
    /// Calls `work` for each part of the panels of `out`, one part a thread, with the part's range
    /// of panels.
    pub(crate) fn run_panels(
        &mut self,
        out: &mut PanelsMut,
        work: impl Fn(Range<usize>, PanelsMut) + Sync,
    ) {
        let (rows, n) = (out.rows, out.n_panels());
        let parts = self.threads().min(n);
        let shared = out.shared();
        self.run(parts, &|_, part| {
            let range = n * part / parts..n * (part + 1) / parts;
            // SAFETY: the ranges do not overlap, each comes once, and `out` is borrowed for longer
            // than the run.
            work(range.clone(), unsafe { shared.block_mut(range, 0..rows) });
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
        for (rows, threads, most, block) in [
            (1, 1, 96, 1),
            (1, 3, 96, 1),
            (96, 1, 96, 96),
            (97, 1, 96, 49),
            (128, 2, 256, 64),
            (1000, 2, 96, 84),
        ] {
            assert_eq!(block_rows(rows, threads, most), block, "{rows} {threads} {most}");
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
