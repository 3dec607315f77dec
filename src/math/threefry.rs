//! Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy
//! as 1, 2, 3"), the generator of JAX: a function from (key, counter) to 64 random bits. It consists of
//! additions, rotations and exclusive ors, so a vector of counters takes as long as one.

use crate::simd::Simd;

/// Bits that a round rotates by.
const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
/// Skein's parity constant.
const PARITY: u32 = 0x1bd1_1bda;

/// 64 bits that choose a stream.
pub(crate) type Key = [u32; 2];

/// The random bits of one counter.
pub(crate) fn threefry(key: Key, counter: [u32; 2]) -> [u32; 2] {
    let keys = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for group in 0..5 {
        for round in 0..4 {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(ROTATIONS[(4 * group + round) % 8]) ^ x[0];
        }
        let next = group + 1;
        x[0] = x[0].wrapping_add(keys[next % 3]);
        x[1] = x[1].wrapping_add(keys[(next + 1) % 3]).wrapping_add(next as u32);
    }
    x
}

/// The same for a vector of counters.
#[inline(always)]
pub(crate) fn threefry_lanes<S: Simd>(s: S, key: Key, counter: [S::I; 2]) -> [S::I; 2] {
    let keys = [key[0], key[1], PARITY ^ key[0] ^ key[1]].map(|k| s.int_splat(k as i32));
    let mut x = [s.int_add(counter[0], keys[0]), s.int_add(counter[1], keys[1])];
    for group in 0..5 {
        for round in 0..4 {
            let by = ROTATIONS[(4 * group + round) % 8];
            x[0] = s.int_add(x[0], x[1]);
            // The right shift copies the sign bit; the mask removes the copies.
            let low = s.int_and(s.int_shr(x[1], 32 - by), s.int_splat((1 << by) - 1));
            x[1] = s.int_xor(s.int_or(s.int_shl(x[1], by), low), x[0]);
        }
        let next = group + 1;
        x[0] = s.int_add(x[0], keys[next % 3]);
        x[1] = s.int_add(s.int_add(x[1], keys[(next + 1) % 3]), s.int_splat(next as i32));
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, LINE, Level, dispatch};

    /// Known answers of the authors' Random123 library.
    #[test]
    fn known_answers() {
        let ones = u32::MAX;
        let pi = [0x243f_6a88, 0x85a3_08d3];
        for (counter, key, want) in [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([ones, ones], [ones, ones], [0x1cb9_96fc, 0xbb00_2be7]),
            (pi, [0x1319_8a2e, 0x0370_7344], [0xc492_3a9c, 0x483d_f7a0]),
        ] {
            assert_eq!(threefry(key, counter), want);
        }
    }

    #[test]
    fn lanes_are_single_counters() {
        struct Check;
        impl Kernel for Check {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let counters: Vec<u32> = (0..LINE as u32).map(|i| i.wrapping_mul(77_777)).collect();
                let floats: Vec<f32> = counters.iter().map(|&c| f32::from_bits(c)).collect();
                let key = [123, 456];
                let counter = [s.to_bits(s.load(&floats)), s.int_splat(9)];
                let mut out = [[0.0; LINE]; 2];
                for (bits, out) in threefry_lanes(s, key, counter).into_iter().zip(&mut out) {
                    s.store(s.from_bits(bits), out);
                }
                for lane in 0..S::LANES {
                    let want = threefry(key, [counters[lane], 9]);
                    assert_eq!(out.map(|o| o[lane].to_bits()), want);
                }
            }
        }
        Level::available().for_each(|level| dispatch(level, Check));
    }
}
