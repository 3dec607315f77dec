//! Bytes as operands: exact in one bf16 part, with the scale and the shift of their data set applied
//! to the sums of the product.
//!
//! x = scale · b + shift for a byte b, so X·W = scale · (B·W) + shift · (column sums of W), and
//! Xᵀ·D the same with B and D. What cancels in x must not be two large sums here, as with images
//! whose mean was taken off: so b is counted from `centre`, the byte whose x is nearest to zero.
//! −255 to 255 are exact in bf16 too (8 bits), and what is left of the shift is either at most half a
//! scale or of the sign of everything that is scaled. So each term is at most |x| + scale, and the
//! errors are those of f32 inputs.

/// What a byte stands for: x = scale · (byte − centre) + shift.
#[derive(Clone, Copy)]
pub(crate) struct Scaling {
    pub(super) centre: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
}

impl Scaling {
    /// Of a data set's x = scale · byte + shift.
    pub(crate) fn new(scale: f32, shift: f32) -> Self {
        // Casts saturate, and NaN is 0.
        let centre = f32::from((-shift / scale).round() as u8);
        Scaling { centre, scale, shift: centre.mul_add(scale, shift) }
    }

    /// Whether products need the sums of the columns of their right operands.
    pub(crate) fn has_shift(&self) -> bool {
        self.shift != 0.0
    }
}
