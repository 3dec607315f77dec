//! Sixteen floats in one cache line: the unit of all storage.

/// Floats in a [`Line`], and the width of a panel: one AVX-512 register, two AVX2 registers.
pub(crate) const LINE: usize = 16;

/// Sixteen floats in one cache line. A panel is a run of lines.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LINE]);

impl Line {
    pub(crate) const ZERO: Line = Line([0.0; LINE]);

    /// The largest of values from 0 on; infinity where one is NaN.
    pub(crate) fn largest(&self) -> f32 {
        let bits = self.0.iter().fold(0, |all, x| x.to_bits().max(all));
        f32::from_bits(bits.min(f32::INFINITY.to_bits()))
    }

    /// The same floats without the alignment.
    pub(crate) fn groups(lines: &[Line]) -> &[[f32; LINE]] {
        // SAFETY: a line is its array: same size, no padding, a stronger alignment.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len()) }
    }

    /// The same floats without the alignment.
    pub(crate) fn groups_mut(lines: &mut [Line]) -> &mut [[f32; LINE]] {
        // SAFETY: a line is its array: same size, no padding, a stronger alignment.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len()) }
    }
}
