//! XXH64, the checksum of the crate's files.
//!
//! Reasons for the choice: it is faster than memory, so it costs little beside a copy; every step is a
//! bijection of a lane, so an error within one word is missed with a probability of 2⁻⁶⁴; and it is
//! public and stable, with implementations in every language. It detects accidents, not attacks.
//!
//! <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>, seed 0.

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

/// The hash of bytes that arrive in chunks of any size.
#[derive(Clone)]
pub(crate) struct Hasher {
    lanes: [u64; 4],
    /// The bytes of an incomplete stripe of 32.
    rest: [u8; 32],
    n_rest: usize,
    total: u64,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let lanes = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
        Hasher { lanes, rest: [0; 32], n_rest: 0, total: 0 }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.total = self.total.wrapping_add(bytes.len() as u64);
        if self.n_rest > 0 {
            let room = self.rest.get_mut(self.n_rest..).unwrap_or_default();
            let n = room.len().min(bytes.len());
            let (head, tail) = bytes.split_at(n);
            room.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
            bytes = tail;
            self.n_rest = self.n_rest.saturating_add(n);
            if self.n_rest < 32 {
                return;
            }
            let stripe = self.rest;
            self.stripe(&stripe);
            self.n_rest = 0;
        }
        let (stripes, tail) = bytes.as_chunks::<32>();
        stripes.iter().for_each(|stripe| self.stripe(stripe));
        self.rest.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        self.n_rest = tail.len();
    }

    #[inline]
    fn stripe(&mut self, stripe: &[u8; 32]) {
        let (words, _) = stripe.as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut hash = if self.total >= 32 {
            let turns = [a.rotate_left(1), b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)];
            let sum = turns.into_iter().fold(0u64, u64::wrapping_add);
            self.lanes
                .iter()
                .fold(sum, |hash, &lane| (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4))
        } else {
            P5
        };
        hash = hash.wrapping_add(self.total);
        let (words, tail) = self.rest.get(..self.n_rest).unwrap_or_default().as_chunks::<8>();
        for word in words {
            hash ^= round(0, u64::from_le_bytes(*word));
            hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        }
        let (halves, tail) = tail.as_chunks::<4>();
        for half in halves {
            hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(P1);
            hash = hash.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        }
        for byte in tail {
            hash ^= u64::from(*byte).wrapping_mul(P5);
            hash = hash.rotate_left(11).wrapping_mul(P1);
        }
        hash = (hash ^ hash >> 33).wrapping_mul(P2);
        hash = (hash ^ hash >> 29).wrapping_mul(P3);
        hash ^ hash >> 32
    }
}

#[inline]
fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> u64 {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Published values, and one that the reference implementation computed.
    #[test]
    fn it_is_xxh64() {
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(hash(b"abc"), 0x44bc_2cf5_ad77_0999);
        let long = b"The quick brown fox jumps over the lazy dog";
        assert_eq!(hash(long), 0x0b24_2d36_1fda_71bc);
    }

    #[test]
    fn the_size_of_chunks_does_not_matter() {
        let bytes: Vec<u8> = (0..1000).map(|i| ((i * 31) >> 2) as u8).collect();
        for len in [0, 1, 31, 32, 33, 64, 95, 1000] {
            assert_eq!(hash(&bytes[..len]), xxhash_rust::xxh64::xxh64(&bytes[..len], 0));
            for chunk in [1, 3, 7, 31, 32, 33, 100] {
                let mut hasher = Hasher::new();
                bytes[..len].chunks(chunk).for_each(|c| hasher.update(c));
                assert_eq!(hasher.finish(), hash(&bytes[..len]), "{len} bytes by {chunk}");
            }
        }
    }
}
