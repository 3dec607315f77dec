//! The bytes of a stream, in chunks.

use crate::error::{Error, Result};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// The name of a stream in errors.
pub(crate) const STREAM: &str = "stream";

/// The error of a failed read. An early end is an error of the file, any other of the system.
pub(crate) fn read_error(file: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => Error::format(file, "ends too early"),
        ErrorKind::OutOfMemory => Error::memory(format!("the bytes of {file}")),
        _ if file == STREAM => Error::from(error),
        _ => Error::io(Path::new(file), error),
    }
}

/// Bytes of a stream, never joined, which would take twice their memory.
pub(crate) struct ChunkedBytes {
    pub(crate) chunks: Vec<Vec<u8>>,
    /// The bytes before the end of each chunk.
    ends: Vec<u64>,
    at: u64,
}

impl ChunkedBytes {
    /// The next `n` bytes; beyond 4 KiB never with more memory than twice the bytes read.
    pub(crate) fn take(reader: &mut dyn Read, n: u64, file: &str) -> Result<Self> {
        let mut taken = ChunkedBytes { chunks: Vec::new(), ends: Vec::new(), at: 0 };
        let mut so_far = 0u64;
        while so_far < n {
            let size = n.saturating_sub(so_far).min(so_far.clamp(4096, 1 << 20));
            let chunk = take_some(reader, size).map_err(|e| read_error(file, e))?;
            if (chunk.len() as u64) < size {
                return Err(Error::format(file, "ends too early"));
            }
            so_far = so_far.saturating_add(size);
            taken.chunks.push(chunk);
            taken.ends.push(so_far);
        }
        Ok(taken)
    }
}

/// The next `n` bytes, or fewer at the end.
pub(crate) fn take_some(reader: &mut dyn Read, n: u64) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::new();
    let capacity = usize::try_from(n).unwrap_or(4096);
    chunk.try_reserve_exact(capacity).map_err(|_| ErrorKind::OutOfMemory)?;
    reader.take(n).read_to_end(&mut chunk)?;
    Ok(chunk)
}

impl Read for ChunkedBytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let index = self.ends.partition_point(|&end| end <= self.at);
        let (Some(chunk), Some(&end)) = (self.chunks.get(index), self.ends.get(index)) else {
            return Ok(0);
        };
        let rest = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let from = chunk.get(chunk.len().saturating_sub(rest)..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at = self.at.saturating_add(n as u64);
        Ok(n)
    }
}

impl Seek for ChunkedBytes {
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
    fn chunks_are_read_like_what_they_came_from() {
        let bytes: Vec<u8> = (0..50_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let mut chunks = ChunkedBytes::take(&mut &bytes[..], bytes.len() as u64, "f").unwrap();
        let mut want = io::Cursor::new(&bytes);
        for (to, n) in [
            (SeekFrom::Start(0), 50_000),
            (SeekFrom::Start(4095), 2),
            (SeekFrom::Current(1000), 30_000),
            (SeekFrom::Current(-31_000), 1),
            (SeekFrom::End(-5), 5),
            (SeekFrom::Start(8192), 8192),
        ] {
            assert_eq!(chunks.seek(to).unwrap(), want.seek(to).unwrap());
            let (mut a, mut b) = (vec![0; n], vec![0; n]);
            chunks.read_exact(&mut a).unwrap();
            want.read_exact(&mut b).unwrap();
            assert_eq!(a, b);
        }
        assert_eq!(chunks.seek(SeekFrom::Start(60_000)).unwrap(), 60_000);
        assert_eq!(chunks.read(&mut [0]).unwrap(), 0);
        assert!(chunks.seek(SeekFrom::Current(-60_001)).is_err());
        assert!(ChunkedBytes::take(&mut &bytes[..], 50_001, "f").is_err());
    }
}
