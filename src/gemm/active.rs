//! Which inputs of a block of rows are not zero, so that the first layer's products leave out the
//! others: most pixels of a drawing are background.
//!
//! Leaving out an input that is 0 in every row changes no bit, as long as the other factor is
//! finite: a chain of fused multiply-adds starts at +0, and adding ±0 changes it only from −0 (a
//! product that underflowed) to +0, which the sum with the bias does not show: that is never −0,
//! see `rows.rs`. Where the other factor is not finite, 0 times it is NaN, and nothing is left out.

use super::blocking::K_BLOCK;
use super::microkernel::Chunks;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, RowsView, is_finite};

/// Inputs in a group, which is taken or left out as a whole: few enough that a drawing has many
/// empty ones, and a divisor of the run of 16.
const GROUP: usize = 4;
const GROUPS: usize = K_BLOCK / GROUP;

/// The active inputs of a block of rows.
pub(crate) struct ActiveInputs {
    /// Bit i of element p: column 16 p + i is not zero in some row.
    masks: Vec<u16>,
    /// For each block of the depth, the groups that have such a column, and how many. A last group of
    /// less than four columns is always among them.
    groups: Vec<([u8; GROUPS], usize)>,
    n_in: usize,
    sparse: bool,
}

/// Inputs from which a scan for zeros is worthwhile.
pub(crate) const MIN_SCAN_INPUTS: usize = 64;

/// An eighth: where less is zero, finding out that it is costs more than it saves.
const SPARSE: usize = 8;

impl ActiveInputs {
    /// All of `n_in` inputs are active.
    pub(crate) fn new(n_in: usize) -> Self {
        ActiveInputs {
            masks: vec![u16::MAX; n_in.div_ceil(LINE)],
            groups: vec![([0; GROUPS], 0); n_in.div_ceil(K_BLOCK)],
            n_in,
            sparse: false,
        }
    }

    /// The number of inputs.
    pub(super) fn n_in(&self) -> usize {
        self.n_in
    }

    /// Makes all inputs active.
    pub(crate) fn take_all(&mut self) {
        self.sparse = false;
    }

    /// Finds the inputs that are active in these rows. Returns whether leaving out the others is
    /// worthwhile.
    pub(crate) fn scan_zeros(&mut self, level: Level, x: RowsView) -> bool {
        assert!(x.cols() == self.n_in);
        dispatch(level, ScanZeros { x, masks: &mut self.masks });
        let (all, mut active) = (self.n_in / GROUP, 0);
        for (b, (groups, count)) in self.groups.iter_mut().enumerate() {
            let first = b * GROUPS;
            *count = 0;
            for g in first..(first + GROUPS).min(all) {
                let is_active = is_active(&self.masks, g);
                // Written always, kept where it is active: no branch to mispredict.
                groups[*count] = (g - first) as u8;
                *count += usize::from(is_active);
            }
            active += *count;
            if all < self.n_in.div_ceil(GROUP) && (first..first + GROUPS).contains(&all) {
                groups[*count] = (all - first) as u8;
                *count += 1;
            }
        }
        self.sparse = (all - active) * SPARSE >= all.max(1);
        self.sparse
    }

    /// Whether leaving out inputs is worthwhile.
    pub(crate) fn is_sparse(&self) -> bool {
        self.sparse
    }

    /// These inputs for a product with `w`, where leaving some out is worthwhile and changes no bit.
    ///
    /// `w` is matrices of `width` columns side by side, as in [`lanes`].
    pub(crate) fn without_zeros(&self, level: Level, w: Panels, width: usize) -> Option<&Self> {
        // A last group of less than four rows is never left out.
        let all = w.rows / GROUP;
        (self.sparse
            && is_finite::<GROUP>(level, w, width, |g| g >= all || is_active(&self.masks, g)))
        .then_some(self)
    }

    /// For the gradient xᵀ·d, once the deltas of these rows are there: takes all inputs for active
    /// where one is not finite.
    pub(crate) fn check_deltas(&mut self, level: Level, d: Panels) {
        self.sparse = self.sparse && is_finite::<LINE>(level, d, d.cols, |_| false);
    }

    /// The active groups of a block of the depth.
    fn groups(&self, block: usize) -> &[u8] {
        let (groups, count) = &self.groups[block];
        &groups[..*count]
    }

    /// Sets the depth steps of a block `k` deep, for rows whose runs are `a_hop` floats apart: those
    /// that are active, or all.
    #[inline(always)]
    pub(super) fn set_chunks(
        active: Option<&Self>,
        chunks: &mut Chunks,
        block: usize,
        k: usize,
        a_hop: usize,
    ) {
        match active {
            Some(active) => chunks.set_groups::<GROUP>(active.groups(block), k, a_hop),
            None => chunks.set_all(k, a_hop),
        }
    }

    /// Adds these inputs to the active ones of other rows.
    pub(crate) fn join(&self, masks: &mut [u16]) {
        masks.iter_mut().zip(&self.masks).for_each(|(all, mask)| *all |= mask);
    }
}

/// Whether a column of a whole group is not zero in some row.
#[inline(always)]
fn is_active(masks: &[u16], group: usize) -> bool {
    masks[group * GROUP / LINE] >> (group * GROUP % LINE) & 0xf != 0
}

struct ScanZeros<'a> {
    x: RowsView<'a>,
    masks: &'a mut [u16],
}

impl Kernel for ScanZeros<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (p, mask) in self.masks.iter_mut().enumerate() {
            let mut all = [s.int_splat(0); 2];
            for r in 0..self.x.rows() {
                let line = self.x.line(r, p);
                for (lane, bits) in (0..LINE).step_by(S::LANES).zip(&mut all) {
                    *bits = s.int_or(*bits, s.to_bits(s.load(&line.0[lane..])));
                }
            }
            let mut found = Line::ZERO;
            for (lane, bits) in (0..LINE).step_by(S::LANES).zip(all) {
                // −0 is zero too. Of several values the bits may mix to anything but zero.
                s.store(s.abs(s.from_bits(bits)), &mut found.0[lane..]);
            }
            let bit = |(i, x): (usize, &f32)| u16::from(x.to_bits() != 0) << i;
            *mask = found.0.iter().enumerate().map(bit).fold(0, |mask, bit| mask | bit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::rows::{Forward, forward};
    use crate::gemm::store::{Identity, StoreGradient};
    use crate::gemm::weights::{WeightBlock, update_weights};
    use crate::math::{Purpose, RandomStream};
    use crate::storage::PanelMatrix;

    /// Random values; those of the columns that `zero` names are ±0.
    fn matrix(rows: usize, cols: usize, seed: u64, zero: impl Fn(usize) -> bool) -> PanelMatrix {
        let mut stream = RandomStream::new(seed, Purpose::Init, 0, 0);
        let mut m = PanelMatrix::zeros(rows, cols).unwrap();
        for r in 0..rows {
            for c in 0..cols {
                let value = stream.normal() as f32;
                let value = if zero(c) { 0.0f32.copysign(value) } else { value };
                m.view_mut().panel_mut(c / LINE)[r].0[c % LINE] = value;
            }
        }
        m
    }

    /// A pattern with whole groups, panels and blocks of zeros, and single columns among others.
    fn zero(c: usize) -> bool {
        c.is_multiple_of(7)
            || (20..50).contains(&c)
            || (64..68).contains(&c)
            || (256..512).contains(&c)
            || c % 31 > 15
    }

    #[test]
    fn a_scan_finds_the_columns_that_are_not_zero() {
        for level in Level::available() {
            for (rows, cols) in [(1, 64), (5, 70), (10, 784), (3, 600)] {
                let x = matrix(rows, cols, 1, zero);
                let mut inputs = ActiveInputs::new(cols);
                assert!(inputs.scan_zeros(level, x.view().into()));
                for c in 0..cols {
                    assert_eq!(inputs.masks[c / LINE] >> (c % LINE) & 1 == 0, zero(c), "{c}");
                }
                for block in 0..cols.div_ceil(K_BLOCK) {
                    let depth = (cols - block * K_BLOCK).min(K_BLOCK);
                    let column = |g: usize, i| block * K_BLOCK + g * GROUP + i;
                    // What is left of less than a group is always taken.
                    let taken = |g| g == depth / GROUP || (0..GROUP).any(|i| !zero(column(g, i)));
                    let want = (0..depth.div_ceil(GROUP)).filter(|&g| taken(g));
                    let got = inputs.groups(block).iter().map(|&g| usize::from(g));
                    assert!(got.eq(want), "{cols} block {block}");
                }
                assert!(!inputs.scan_zeros(level, matrix(rows, cols, 1, |c| c == 3).view().into()));
            }
        }
    }

    fn bits(m: &PanelMatrix) -> Vec<u32> {
        let lines = (0..m.view().n_panels()).flat_map(|p| m.view().panel(p).iter());
        lines.flat_map(|line| line.0.map(f32::to_bits)).collect()
    }

    #[test]
    fn products_without_zeros_are_the_same_bits() {
        for level in Level::available() {
            for (rows, k, n) in [(1, 64, 10), (5, 70, 30), (10, 784, 30), (130, 600, 70)] {
                let x = matrix(rows, k, 1, zero);
                // Weights so small that their products underflow, some to −0.
                let mut w = matrix(k, n, 2, |_| false);
                let tiny = &mut w.view_mut();
                (0..k).step_by(3).for_each(|r| tiny.panel_mut(0)[r].0[0] = -1e-45);
                // A bias of −0.
                let bias = vec![Line([-0.0; LINE]); n.div_ceil(LINE)];
                let run = |w: &PanelMatrix, inputs: Option<&ActiveInputs>| {
                    let mut out = PanelMatrix::zeros(rows, n).unwrap();
                    let (x, w, activation) = (x.view().into(), w.view(), Identity);
                    let (out_view, z) = (out.view_mut(), None);
                    let bias = &bias;
                    forward(level, Forward { x, inputs, w, bias, out: out_view, z, activation });
                    bits(&out)
                };
                let mut inputs = ActiveInputs::new(k);
                inputs.scan_zeros(level, x.view().into());
                let some = inputs.without_zeros(level, w.view(), n);
                assert!(some.is_some());
                assert_eq!(run(&w, some), run(&w, None), "{} {rows} {k} {n}", level.name());
                // 0 times infinity is NaN, wherever it is among what would be left out.
                let mut left_out = 0;
                for first in (0..k / GROUP * GROUP).step_by(GROUP) {
                    if !(first..first + GROUP).all(zero) {
                        continue;
                    }
                    left_out += 1;
                    for bad in [f32::INFINITY, f32::NAN] {
                        let mut w = w.clone();
                        w.view_mut().panel_mut((n - 1) / LINE)[first + 3].0[(n - 1) % LINE] = bad;
                        assert!(inputs.without_zeros(level, w.view(), n).is_none(), "{k}: {first}");
                    }
                }
                assert!(left_out > 0);
                // Padding is no reason.
                for r in 0..k {
                    w.view_mut().panel_mut((n - 1) / LINE)[r].0[(n - 1) % LINE + 1..]
                        .fill(f32::NAN);
                }
                assert!(inputs.without_zeros(level, w.view(), n).is_some());
            }
        }
    }

    #[test]
    fn gradients_without_zeros_are_the_same_bits() {
        for level in Level::available() {
            for (rows, k, n) in [(1, 64, 10), (10, 784, 30), (300, 70, 40)] {
                let x = matrix(rows, k, 1, zero);
                let mut inputs = ActiveInputs::new(k);
                inputs.scan_zeros(level, x.view().into());
                let mut active = vec![0; k.div_ceil(LINE)];
                inputs.join(&mut active);
                let mut d = matrix(rows, n, 2, |_| false);
                let run = |active: &[u16]| {
                    let mut out = PanelMatrix::zeros(k, n).unwrap();
                    let (w, slots) = (out.view_mut(), [None, None]);
                    let (x, d) = (x.view(), d.view());
                    update_weights(
                        level,
                        WeightBlock { x, d, active, w, slots, wt: None },
                        StoreGradient,
                    );
                    bits(&out)
                };
                assert_eq!(run(&active), run(&[]), "{} {rows} {k} {n}", level.name());
                for r in 0..rows {
                    d.view_mut().panel_mut((n - 1) / LINE)[r].0[(n - 1) % LINE + 1..]
                        .fill(f32::NAN);
                }
                inputs.check_deltas(level, d.view());
                assert!(inputs.is_sparse(), "padding is no reason");
                d.view_mut().panel_mut((n - 1) / LINE)[rows - 1].0[(n - 1) % LINE] = f32::INFINITY;
                inputs.check_deltas(level, d.view());
                assert!(!inputs.is_sparse());
            }
        }
    }
}
