//! The gradient of a bias and its update.

use super::blocking::K_BLOCK;
use super::store::UpdateRule;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::Panels;

/// The gradient of a layer's bias, the column sums of d, and its update: per block of samples one
/// chain of additions, like a product with a column of ones.
pub(crate) struct BiasBlock<'a> {
    /// batch x n
    pub(crate) d: Panels<'a>,
    /// n values, one line per panel
    pub(crate) bias: &'a mut [Line],
    /// optimiser state, shaped like the bias, as many as the rule has slots
    pub(crate) slots: [&'a mut [Line]; 2],
}

/// bias, slots = rule(bias, slots, column sums of d)
pub(crate) fn update_bias<R: UpdateRule>(level: Level, b: BiasBlock, rule: R) {
    assert!(b.bias.len() == b.d.n_panels());
    assert!(b.slots.iter().take(R::SLOTS).all(|s| s.len() == b.bias.len()));
    dispatch(level, BiasUpdate { b, rule });
}

struct BiasUpdate<'a, R> {
    b: BiasBlock<'a>,
    rule: R,
}

impl<R: UpdateRule> Kernel for BiasUpdate<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let BiasUpdate { b, rule } = self;
        for p in 0..b.bias.len() {
            let mut totals = Line::ZERO;
            for block in b.d.panel(p).chunks(K_BLOCK) {
                let mut sums = Line::ZERO;
                add_lines(s, block, &mut sums);
                add_lines(s, &[sums], &mut totals);
            }
            for lane in (0..LINE).step_by(S::LANES) {
                let total = s.load(&totals.0[lane..]);
                let mut slots = [total; 2];
                for (value, slot) in slots.iter_mut().zip(&b.slots).take(R::SLOTS) {
                    *value = s.load(&slot[p].0[lane..]);
                }
                let weight = s.load(&b.bias[p].0[lane..]);
                s.store(rule.update(s, weight, total, &mut slots), &mut b.bias[p].0[lane..]);
                let [first, second] = slots;
                if R::SLOTS > 0 {
                    s.store(first, &mut b.slots[0][p].0[lane..]);
                }
                if R::SLOTS > 1 {
                    s.store(second, &mut b.slots[1][p].0[lane..]);
                }
            }
        }
    }
}

/// sums += each line, in order.
#[inline(always)]
fn add_lines<S: Simd>(s: S, lines: &[Line], sums: &mut Line) {
    for lane in (0..LINE).step_by(S::LANES) {
        let mut sum = s.load(&sums.0[lane..]);
        for line in lines {
            sum = s.add(sum, s.load(&line.0[lane..]));
        }
        s.store(sum, &mut sums.0[lane..]);
    }
}
