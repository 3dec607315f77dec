//! What came out of a stream, in the pieces in which it came.

use super::safetensors::failed;
use crate::error::{Error, Result};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

/// Bytes of a stream, never joined: that would need all of them twice.
pub(crate) struct Pieces {
    pub(crate) pieces: Vec<Vec<u8>>,
    /// The bytes before the end of each piece.
    ends: Vec<u64>,
    at: u64,
}

impl Pieces {
    /// The next `n` bytes; beyond a few KiB never more memory than what came.
    pub(crate) fn take(reader: &mut dyn Read, n: u64, file: &str) -> Result<Self> {
        let mut taken = Pieces { pieces: Vec::new(), ends: Vec::new(), at: 0 };
        let mut so_far = 0u64;
        while so_far < n {
            let size = n.saturating_sub(so_far).min(so_far.clamp(4096, 1 << 20));
            let piece = take_some(reader, size).map_err(|e| failed(file, e))?;
            if (piece.len() as u64) < size {
                return Err(Error::format(file, "ends too early"));
            }
            so_far = so_far.saturating_add(size);
            taken.pieces.push(piece);
            taken.ends.push(so_far);
        }
        Ok(taken)
    }
}

/// The next `n` bytes, or fewer at the end.
pub(crate) fn take_some(reader: &mut dyn Read, n: u64) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    let capacity = usize::try_from(n).unwrap_or(4096);
    piece.try_reserve_exact(capacity).map_err(|_| ErrorKind::OutOfMemory)?;
    reader.take(n).read_to_end(&mut piece)?;
    Ok(piece)
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let index = self.ends.partition_point(|&end| end <= self.at);
        let (Some(piece), Some(&end)) = (self.pieces.get(index), self.ends.get(index)) else {
            return Ok(0);
        };
        let rest = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let from = piece.get(piece.len().saturating_sub(rest)..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at = self.at.saturating_add(n as u64);
        Ok(n)
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.ends.last().copied().unwrap_or(0);
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => end.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_like_what_they_came_from() {
        let bytes: Vec<u8> = (0..50_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let mut pieces = Pieces::take(&mut &bytes[..], bytes.len() as u64, "f").unwrap();
        let mut want = io::Cursor::new(&bytes);
        for (to, n) in [
            (SeekFrom::Start(0), 50_000),
            (SeekFrom::Start(4095), 2),
            (SeekFrom::Current(1000), 30_000),
            (SeekFrom::Current(-31_000), 1),
            (SeekFrom::End(-5), 5),
            (SeekFrom::Start(8192), 8192),
        ] {
            assert_eq!(pieces.seek(to).unwrap(), want.seek(to).unwrap());
            let (mut a, mut b) = (vec![0; n], vec![0; n]);
            pieces.read_exact(&mut a).unwrap();
            want.read_exact(&mut b).unwrap();
            assert_eq!(a, b);
        }
        assert_eq!(pieces.seek(SeekFrom::Start(60_000)).unwrap(), 60_000);
        assert_eq!(pieces.read(&mut [0]).unwrap(), 0);
        assert!(pieces.seek(SeekFrom::Current(-60_001)).is_err());
        assert!(Pieces::take(&mut &bytes[..], 50_001, "f").is_err());
    }
}
