//! The gradient of a bias and its update.

use super::blocking::K_BLOCK;
use super::epilogue::{Epilogue, Field, Place, Update};
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
    let field = |lines: &mut [Line]| Field { ptr: lines.as_mut_ptr().cast(), panel: LINE };
    let epilogue = Update { weight: field(b.bias), slots: b.slots.map(field), rule };
    dispatch(level, BiasUpdate { d: b.d, epilogue });
}

struct BiasUpdate<'a, R> {
    d: Panels<'a>,
    epilogue: Update<R>,
}

impl<R: UpdateRule> Kernel for BiasUpdate<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for panel in 0..self.d.n_panels() {
            let mut totals = Line::ZERO;
            for block in self.d.panel(panel).chunks(K_BLOCK) {
                let mut sums = Line::ZERO;
                add_lines(s, block, &mut sums);
                add_lines(s, &[sums], &mut totals);
            }
            let epilogue = self.epilogue.tile(0, panel);
            for lane in (0..LINE).step_by(S::LANES) {
                let total = s.load(&totals.0[lane..]);
                // SAFETY: `update_bias` checked that the fields have a line for each panel, and they
                // are exclusively ours.
                unsafe { epilogue.finish(s, total, Place { row: 0, panel: 0, lane }) };
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
