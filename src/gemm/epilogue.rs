//! What happens to a tile's sums while they are in registers: bias and activation, ⊙ σ′, or the
//! optimiser's update of the very weights whose gradient the sums are.

use super::microkernel::Sums;
use super::store::UpdateRule;
use crate::simd::{LINE, Simd};
use crate::storage::{Panels, PanelsMut};

/// A vector's place relative to the epilogue's first element.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) panel: usize,
    pub(super) lane: usize,
}

/// Calls `f` for each vector of a tile and its place.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see `microkernel::chunk_sums`")]
pub(super) fn for_each<S: Simd, const MR: usize, const P: usize, const H: usize>(
    sums: &mut Sums<S, MR, P, H>,
    mut f: impl FnMut(&mut S::V, Place),
) {
    for row in 0..MR {
        for panel in 0..P {
            for h in 0..H {
                f(&mut sums[row][panel][h], Place { row, panel, lane: h * S::LANES });
            }
        }
    }
}

/// Memory that tiles read or write: element `place` is at `place.panel * panel + place.row * 16 +
/// place.lane`.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) ptr: *mut f32,
    /// Floats from one panel to the next.
    pub(super) panel: usize,
}

impl Field {
    /// The field of a whole matrix.
    pub(super) fn new(m: &mut PanelsMut) -> Self {
        Field { ptr: m.as_mut_ptr(), panel: m.ld * LINE }
    }

    /// The field of a matrix that nobody may write.
    pub(super) fn read_only(m: Panels) -> Self {
        Field { ptr: m.as_ptr().cast_mut(), panel: m.ld * LINE }
    }

    #[inline(always)]
    fn offset(&self, at: Place) -> usize {
        at.panel * self.panel + at.row * LINE + at.lane
    }

    /// The field from a tile's first element on.
    #[inline(always)]
    pub(super) fn tile(self, row: usize, panel: usize) -> Self {
        let ptr = self.ptr.wrapping_add(self.offset(Place { row, panel, lane: 0 }));
        Field { ptr, ..self }
    }

    /// # Safety
    /// The field is readable at `at`.
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd>(&self, s: S, at: Place) -> S::V {
        // SAFETY: by this function's contract.
        unsafe { s.load_ptr(self.ptr.add(self.offset(at))) }
    }

    /// # Safety
    /// The field is writable at `at`.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(&self, s: S, v: S::V, at: Place) {
        // SAFETY: by this function's contract.
        unsafe { s.store_ptr(v, self.ptr.add(self.offset(at))) }
    }
}

/// Takes the finished total of a vector.
pub(super) trait Epilogue: Copy {
    /// The epilogue of a tile: its places count from there. One address per tile and field, instead
    /// of one per vector.
    fn tile(self, row: usize, panel: usize) -> Self;

    /// # Safety
    /// The epilogue's fields are valid at `at`, and nobody else uses what it writes.
    unsafe fn finish<S: Simd>(self, s: S, total: S::V, at: Place);
}

/// Forward: A = max(floor, total), the identity or ReLU. Backward: D' = total ⊙ ReLU′.
///
/// One epilogue for the three, so that each tile is compiled once.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    pub(super) out: Field,
    /// Of the function, see [`FusedOp::floor`].
    pub(super) floor: f32,
    /// Backward: what forward kept of the layer below, if that has ReLU.
    pub(super) kept: Option<Field>,
}

impl Epilogue for Finish {
    #[inline(always)]
    fn tile(self, row: usize, panel: usize) -> Self {
        let kept = self.kept.map(|kept| kept.tile(row, panel));
        Finish { out: self.out.tile(row, panel), kept, ..self }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(self, s: S, total: S::V, at: Place) {
        // SAFETY: by this function's contract.
        unsafe {
            let total = match self.kept {
                Some(kept) => {
                    let positive = s.lt(s.splat(0.0), kept.load(s, at));
                    s.mul(total, s.select(positive, s.splat(1.0), s.splat(0.0)))
                }
                // The second one, where that is NaN.
                None => s.max(s.splat(self.floor), total),
            };
            self.out.store(s, total, at);
        }
    }
}

/// Update: the total is a gradient; the weight and its optimiser state change in place.
#[derive(Clone, Copy)]
pub(super) struct Update<R> {
    pub(super) weight: Field,
    pub(super) slots: [Field; 2],
    pub(super) rule: R,
}

impl<R: UpdateRule> Update<R> {
    /// The update of weights and the state of the rule, which are shaped like them.
    pub(super) fn new(w: &mut PanelsMut, slots: &mut [Option<PanelsMut>; 2], rule: R) -> Self {
        for slot in slots.iter().take(R::SLOTS) {
            assert!(slot.as_ref().is_some_and(|s| s.rows == w.rows && s.cols == w.cols));
        }
        let weight = Field::new(w);
        let slots = slots.each_mut().map(|slot| slot.as_mut().map_or(weight, Field::new));
        Update { weight, slots, rule }
    }
}

impl<R: UpdateRule> Epilogue for Update<R> {
    #[inline(always)]
    fn tile(self, row: usize, panel: usize) -> Self {
        let slots = self.slots.map(|slot| slot.tile(row, panel));
        Update { weight: self.weight.tile(row, panel), slots, ..self }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(self, s: S, total: S::V, at: Place) {
        let mut slots = [total; 2];
        // SAFETY: by this function's contract; a rule's unused slots are not touched.
        unsafe {
            for (value, field) in slots.iter_mut().zip(&self.slots).take(R::SLOTS) {
                *value = field.load(s, at);
            }
            let weight = self.rule.update(s, self.weight.load(s, at), total, &mut slots);
            self.weight.store(s, weight, at);
            for (value, field) in slots.into_iter().zip(&self.slots).take(R::SLOTS) {
                field.store(s, value, at);
            }
        }
    }
}
