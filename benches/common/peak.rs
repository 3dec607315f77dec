//! How many f32 multiply-adds one core can do here and now: the number that "% of peak" is of.

use deltarule::Level;
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

/// Sums in flight: an FMA takes 4 cycles and two start each cycle, so at least 8; 12 leave room in
/// the 16 registers of AVX2.
const SUMS: usize = 12;
/// Multiply-adds a sum and round: about 0.1 ms, short enough to fall between interruptions.
const DEPTH: usize = 40_000;
const ROUNDS: usize = 300;

/// FLOP a nanosecond (GFLOP/s) of one core at a level: the best of many short rounds, measured
/// once a run. The portable level has no instruction set of its own, so it is held against the
/// best one.
pub fn peak(level: Level) -> f64 {
    static PEAKS: [OnceLock<f64>; 2] = [OnceLock::new(), OnceLock::new()];
    let level = if level == Level::portable() { Level::best() } else { level };
    *PEAKS[usize::from(level.name() == "avx512")].get_or_init(|| {
        let round = |_| {
            let start = Instant::now();
            let lanes = chains(level);
            2.0 * (SUMS * DEPTH * lanes) as f64 / start.elapsed().as_nanos() as f64
        };
        (0..ROUNDS).map(round).fold(0.0, f64::max)
    })
}

/// Runs the chains once; answers the lanes of a vector.
fn chains(level: Level) -> usize {
    match level.name() {
        #[cfg(target_arch = "x86_64")]
        "avx512" => {
            // SAFETY: a `Level` of this name exists only on a CPU that has AVX-512 F.
            unsafe { x86::avx512() };
            16
        }
        #[cfg(target_arch = "x86_64")]
        "avx2" => {
            // SAFETY: a `Level` of this name exists only on a CPU that has AVX2 and FMA.
            unsafe { x86::avx2() };
            8
        }
        _ => {
            let mut sums = [[black_box(1.0f32); 4]; SUMS];
            for _ in 0..DEPTH {
                sums.as_flattened_mut().iter_mut().for_each(|x| *x = *x * 0.999 + 0.001);
            }
            black_box(sums);
            4
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{DEPTH, SUMS, black_box};
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};

    #[target_feature(enable = "avx512f")]
    pub fn avx512() {
        let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
        let mut sums = [_mm512_set1_ps(1.0); SUMS];
        for _ in 0..DEPTH {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() {
        let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
        let mut sums = [_mm256_set1_ps(1.0); SUMS];
        for _ in 0..DEPTH {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }
}
