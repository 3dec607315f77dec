//! Numbers of 16 bits, read as the f32 that holds them exactly.

/// A half float (IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction).
pub(crate) fn from_f16(bits: u16) -> f32 {
    /// 2⁻²⁴, the smallest subnormal half float.
    const SUBNORMAL: f32 = 5.960_464_5e-8;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = match exponent {
        0 => (fraction as f32 * SUBNORMAL).to_bits(),
        // Infinity, or NaN with its payload.
        0x1f => 0xff << 23 | fraction << 13,
        // The exponents' biases are 127 and 15.
        _ => exponent.wrapping_add(127 - 15) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// A brain float: the upper half of an f32.
pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula of IEEE 754, in f64: (-1)^s 2^(e-15) (1 + f/1024), subnormals 2^-14 f/1024.
    #[test]
    fn every_half_float_is_its_formula() {
        for bits in 0..=u16::MAX {
            let (e, f) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let got = f64::from(from_f16(bits));
            match e {
                0x1f if f > 0.0 => assert!(got.is_nan()),
                0x1f => assert_eq!(got, sign * f64::INFINITY),
                0 => assert_eq!(got.to_bits(), (sign * f * 2f64.powi(-14)).to_bits()),
                _ => assert_eq!(got, sign * (1.0 + f) * 2f64.powi(e - 15)),
            }
        }
    }

    /// NumPy: `np.array([1, -2, 65504, 6.1e-5, 1/3], np.float16).view(np.uint16)`; PyTorch:
    /// `torch.tensor([1, -2, 1/3], dtype=torch.bfloat16).view(torch.int16)`.
    #[test]
    fn known_values() {
        let halves = [0x3c00, 0xc000, 0x7bff, 0x03ff, 0x3555].map(from_f16);
        assert_eq!(halves, [1.0, -2.0, 65504.0, 6.097_555e-5, 0.333_251_95]);
        assert_eq!([0x3f80, 0xc000, 0x3eab].map(from_bf16), [1.0, -2.0, 0.333_984_38]);
    }
}
