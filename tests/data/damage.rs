//! Damage to files: what a bad disk, a cut connection or an enemy might leave, drawn from a seed.

use crate::support::Data;

/// Damages a file in one to four places.
pub fn damage(file: &mut Vec<u8>, random: &mut Data) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(file.len().max(1));
        let end = (at + 1 + random.below(8)).min(file.len());
        match random.below(9) {
            0 if !file.is_empty() => file[at] ^= 1 << random.below(8),
            1 if !file.is_empty() => file[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => file.truncate(at),
            3 => file.extend_from_slice(&random.bits().to_le_bytes()[..1 + random.below(8)]),
            4 if at < end => file[at..end].fill([0, 0xff][random.below(2)]),
            5 if at < end => {
                let copy = file[at..end].to_vec();
                file.splice(at..at, copy);
            }
            6 if at < end => drop(file.drain(at..end)),
            7 if !file.is_empty() => file[at] = b'0' + random.below(10) as u8,
            // Signs, separators and quotes: what text formats are made of.
            _ if !file.is_empty() => file[at] = b"-.,()[]'\":{}\n\r eN?x"[random.below(19)],
            _ => {}
        }
    }
}
