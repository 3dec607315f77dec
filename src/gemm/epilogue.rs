//! What happens to a tile's sums while they are in registers: bias and activation, ⊙ σ′, or the
//! optimiser's update of the very weights whose gradient the sums are.

use crate::activation::Elementwise;
use crate::optim::Rule;
use crate::simd::{LINE, Simd};

/// A vector's place relative to the epilogue's first element.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) panel: usize,
    pub(super) lane: usize,
}

/// Memory that tiles read or write: element `place` is at `panel * panel_stride + row * 16 + lane`.
#[derive(Clone, Copy)]
pub(super) struct Field<P> {
    pub(super) ptr: P,
    /// Floats from one panel to the next.
    pub(super) panel: usize,
}

impl<P> Field<P> {
    #[inline(always)]
    fn offset(&self, at: Place) -> usize {
        at.panel * self.panel + at.row * LINE + at.lane
    }
}

impl Field<*const f32> {
    /// The field from a tile's first element on.
    #[inline(always)]
    fn tile(self, row: usize, panel: usize) -> Self {
        let ptr = self.ptr.wrapping_add(self.offset(Place { row, panel, lane: 0 }));
        Field { ptr, ..self }
    }

    /// # Safety
    /// The field is readable at `at`.
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, s: S, at: Place) -> S::V {
        // SAFETY: by this function's contract.
        unsafe { s.load_ptr(self.ptr.add(self.offset(at))) }
    }
}

impl Field<*mut f32> {
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
    /// The epilogue of a tile: its places count from there. One address a tile and field, instead
    /// of one a vector.
    fn tile(self, row: usize, panel: usize) -> Self;

    /// # Safety
    /// The epilogue's fields are valid at `at`, and nobody else uses what it writes.
    unsafe fn finish<S: Simd>(self, s: S, total: S::V, at: Place);
}

/// Forward: A = σ(total).
#[derive(Clone, Copy)]
pub(super) struct Activate<E> {
    pub(super) out: Field<*mut f32>,
    pub(super) op: E,
}

impl<E: Elementwise> Epilogue for Activate<E> {
    #[inline(always)]
    fn tile(self, row: usize, panel: usize) -> Self {
        Activate { out: self.out.tile(row, panel), ..self }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(self, s: S, total: S::V, at: Place) {
        // SAFETY: by this function's contract.
        unsafe { self.out.store(s, self.op.forward(s, total), at) }
    }
}

/// Backward: D' = total ⊙ σ′, the derivative from what forward kept.
#[derive(Clone, Copy)]
pub(super) struct TimesDerivative<E> {
    pub(super) out: Field<*mut f32>,
    pub(super) kept: Field<*const f32>,
    pub(super) op: E,
}

impl<E: Elementwise> Epilogue for TimesDerivative<E> {
    #[inline(always)]
    fn tile(self, row: usize, panel: usize) -> Self {
        let (out, kept) = (self.out.tile(row, panel), self.kept.tile(row, panel));
        TimesDerivative { out, kept, ..self }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(self, s: S, total: S::V, at: Place) {
        // SAFETY: by this function's contract.
        unsafe {
            let derivative = self.op.derivative(s, self.kept.load(s, at));
            self.out.store(s, s.mul(total, derivative), at);
        }
    }
}

/// Update: the total is a gradient; the weight and its optimiser state change in place.
#[derive(Clone, Copy)]
pub(super) struct Update<R> {
    pub(super) weight: Field<*mut f32>,
    pub(super) slots: [Field<*mut f32>; 2],
    pub(super) rule: R,
}

impl<R: Rule> Epilogue for Update<R> {
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
