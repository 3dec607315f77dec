//! How many bf16 multiply-adds the tile unit of one core can do here and now.

use deltarule::{Hardware, Level, Precision};

/// FLOP a nanosecond of one core's tiles: the best of many short rounds; none without AMX.
pub fn peak() -> Option<f64> {
    (Precision::Bf16.hardware(Level::best()) == Hardware::Amx).then(measure)
}

#[cfg(not(target_arch = "x86_64"))]
fn measure() -> f64 {
    f64::NAN
}

#[cfg(target_arch = "x86_64")]
fn measure() -> f64 {
    use std::arch::asm;
    use std::time::Instant;

    /// Products a round: about 0.1 ms.
    const PRODUCTS: usize = 4 * 4_000;
    /// Palette 1, and 16 rows of 64 bytes for each of eight tiles (Intel's manual, volume 1, 18.4).
    #[repr(C, align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for tile in 0..8 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    let round = |_| {
        // SAFETY: `peak` has asked the library, which has the system's permission for tiles.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &config);
            asm!("tilezero tmm4", "tilezero tmm6");
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3");
            let start = Instant::now();
            for _ in 0..PRODUCTS / 4 {
                asm!("tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm6");
                asm!("tdpbf16ps tmm2, tmm4, tmm6", "tdpbf16ps tmm3, tmm4, tmm6");
            }
            let flops = PRODUCTS * 2 * 16 * 16 * 32;
            let speed = flops as f64 / start.elapsed().as_nanos() as f64;
            asm!("tilerelease");
            speed
        }
    };
    (0..300).map(round).fold(0.0, f64::max)
}
