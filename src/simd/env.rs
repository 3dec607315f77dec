//! The floating-point environment that the numeric contract needs: round to nearest, subnormals
//! kept. A host (or a library it loads, built with `-ffast-math`) may have changed it.

use crate::error::{Error, Result};

/// Checks this thread's floating-point environment; a few cycles, so every entry can afford it.
///
/// # Errors
/// [`Error::FloatEnvironment`] when it flushes subnormals to zero or rounds other than to nearest: results
/// would differ from those of an ordinary thread.
#[inline]
pub(crate) fn check_float_environment() -> Result<()> {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        /// Flush to zero, denormals are zero, and the two bits of the rounding mode.
        const CHANGED: u32 = 1 << 15 | 1 << 6 | 3 << 13;
        let mut mxcsr = 0u32;
        // SAFETY: stores this thread's MXCSR, 4 bytes, and changes nothing else.
        unsafe {
            std::arch::asm!(
                "stmxcsr [{}]",
                in(reg) &raw mut mxcsr,
                options(nostack, preserves_flags)
            );
        }
        if mxcsr & CHANGED == 0 {
            return Ok(());
        }
    }
    by_computing()
}

/// What arithmetic itself says.
#[cold]
fn by_computing() -> Result<()> {
    let failed = |reason: &str| Err(Error::float_environment(reason));
    let tiny = std::hint::black_box(f32::MIN_POSITIVE);
    // Halving the smallest normal number gives a subnormal, unless outputs are flushed; doubling
    // that gives it back, unless inputs are.
    let half = std::hint::black_box(tiny * 0.5);
    if half * 2.0 != tiny {
        return failed("this thread flushes subnormal numbers to zero (FTZ or DAZ is set)");
    }
    // 1 + 2^-24 is a tie that goes to 1 only to nearest even; 1 + 3 * 2^-25 goes to the next
    // number only to nearest or upwards; its negative only to nearest or downwards.
    let one = std::hint::black_box(1.0f32);
    let tie = std::hint::black_box(f32::EPSILON * 0.5);
    let above = std::hint::black_box(f32::EPSILON * 0.75);
    if one + tie != 1.0 || one + above == 1.0 || -one - above == -1.0 {
        return failed("this thread does not round to nearest");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_environment_passes() {
        check_float_environment().unwrap();
        by_computing().unwrap();
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_changed_environment_is_found() {
        // MXCSR: bit 15 flush to zero, bit 6 denormals are zero, bits 13 and 14 rounding.
        for changed in [0x1f80 | 1 << 15, 0x1f80 | 1 << 6, 0x1f80 | 1 << 13, 0x1f80 | 3 << 13] {
            let verdict = std::thread::spawn(move || {
                let (usual, mut now) = (0x1f80u32, 0u32);
                // SAFETY: loads and stores this thread's MXCSR; the usual value is put back
                // before anything else runs.
                unsafe {
                    std::arch::asm!("ldmxcsr [{}]", in(reg) &changed);
                    std::arch::asm!("stmxcsr [{}]", in(reg) &mut now);
                }
                let verdict = check_float_environment();
                // SAFETY: as above.
                unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &usual) };
                assert_eq!(now, changed);
                verdict.is_err()
            });
            assert!(verdict.join().unwrap(), "MXCSR {changed:x}");
        }
    }
}
