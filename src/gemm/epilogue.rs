//! What happens to a tile's sums while they are in registers: bias and activation, ⊙ σ′, or the
//! optimiser's update of the very weights whose gradient the sums are.

use crate::activation::Elementwise;
use crate::optim::Rule;
use crate::simd::Simd;

/// A vector's place relative to the epilogue's first element.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) panel: usize,
    pub(super) lane: usize,
}

/// Strided memory that tiles read or write: element `place` is at
/// `panel * panel_stride + row * row_stride + lane`.
#[derive(Clone, Copy)]
pub(super) struct Field<P> {
    pub(super) ptr: P,
    /// Floats from one row to the next: 16, or 0 where every row reads the same line (a bias).
    pub(super) row: usize,
    /// Floats from one panel to the next.
    pub(super) panel: usize,
}

impl<P> Field<P> {
    #[inline(always)]
    fn offset(&self, at: Place) -> usize {
        at.panel * self.panel + at.row * self.row + at.lane
    }
}

impl Field<*const f32> {
    /// # Safety
    /// The field is readable at `at`.
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd>(&self, s: S, at: Place) -> S::V {
        // SAFETY: by this function's contract.
        unsafe { s.load_ptr(self.ptr.add(self.offset(at))) }
    }
}

impl Field<*mut f32> {
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

    /// The same field, to read.
    pub(super) fn as_const(self) -> Field<*const f32> {
        Field { ptr: self.ptr, row: self.row, panel: self.panel }
    }
}

/// Takes the finished total of a vector.
pub(super) trait Epilogue: Copy {
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
