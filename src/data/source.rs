//! The bytes of a binary reader: of a stream or a file, raw or gzip.
//!
//! A header claims how many values follow. No claim alone makes a reader allocate:
//!
//! * a raw file must have exactly the length that its header claims;
//! * a `.gz` file is decompressed twice. The first pass keeps no byte and stops after the number of
//!   bytes that the header claims;
//! * a stream is kept in small chunks and joined once it has ended where it should.
//!
//! A refused file costs at most 64 KiB, and a refused stream the bytes that were read from it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::chunked_vec::ChunkedVec;
use crate::error::{Error, Result};
use crate::format::STREAM;

/// Bytes read at once, on the stack; a multiple of every value size.
const BUFFER: usize = 16 * 1024;

/// Bytes with a name for errors and a position.
pub(super) struct Source<'a> {
    reader: Box<dyn Read + 'a>,
    name: String,
    position: u64,
    end: End,
}

/// What is known of a source's end.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// Nothing: a stream.
    Unknown,
    /// A file of this many (decompressed) bytes.
    At(u64),
    /// Nothing, in the first of two passes: values are counted and dropped.
    DryRun,
}

/// Runs `parse` on a stream, raw or gzip.
pub(super) fn parse_stream<T>(
    reader: impl Read,
    parse: impl Fn(&mut Source) -> Result<T>,
) -> Result<T> {
    let (reader, _) = plain(reader, STREAM)?;
    parse(&mut Source::new(reader, STREAM, End::Unknown))
}

/// Runs `parse` on a file, raw or gzip.
pub(super) fn parse_file<T>(path: &Path, parse: impl Fn(&mut Source) -> Result<T>) -> Result<T> {
    let name = path.display().to_string();
    let file = open(path)?;
    let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
    let (reader, is_gzip) = plain(file, &name)?;
    if is_gzip && metadata.is_file() {
        drop(reader);
        return parse_twice(&name, || Ok(plain(open(path)?, &name)?.0), parse);
    }
    // The bytes of a pipe are gone once they are read, and nobody knows how many there are.
    let end = if metadata.is_file() { End::At(metadata.len()) } else { End::Unknown };
    parse(&mut Source::new(reader, &name, end))
}

/// Runs `parse` on compressed bytes, twice. [`Source::values`] returns no values the first time.
pub(super) fn parse_twice<'a, T>(
    name: &str,
    open: impl Fn() -> Result<Box<dyn Read + 'a>>,
    parse: impl Fn(&mut Source) -> Result<T>,
) -> Result<T> {
    let mut dry = Source::new(open()?, name, End::DryRun);
    parse(&mut dry)?;
    let length = dry.position;
    drop(dry);
    parse(&mut Source::new(open()?, name, End::At(length)))
}

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::io(path, e))
}

/// The decompressed bytes of a stream that is raw or gzip (told apart by the first two bytes), and
/// whether it is gzip.
pub(super) fn plain<'a>(
    mut reader: impl Read + 'a,
    name: &str,
) -> Result<(Box<dyn Read + 'a>, bool)> {
    let mut head = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut head).map_err(|e| read_failed(name, e))?;
    let is_gzip = head == [0x1f, 0x8b];
    let whole = io::Cursor::new(head).chain(reader);
    Ok((if is_gzip { gunzip(whole, name)? } else { Box::new(whole) }, is_gzip))
}

/// The error of a failed read. Damaged compression is an error of the file, any other of the system.
pub(super) fn read_failed(name: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            Error::format(name, format!("damaged compression: {error}"))
        }
        _ if name == STREAM => Error::from(error),
        _ => Error::io(Path::new(name), error),
    }
}

impl<'a> Source<'a> {
    /// A source of `reader`'s bytes, called `name` in errors.
    pub(super) fn new(reader: Box<dyn Read + 'a>, name: &str, end: End) -> Self {
        Source { reader, name: name.to_string(), position: 0, end }
    }

    /// The number of bytes read so far.
    #[cfg(feature = "npz")]
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// An [`Error::Format`] that names this source.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::format(self.name.as_str(), reason)
    }

    /// Reads until `buffer` is full or the source ends; returns the number of bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0usize;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(n) => filled = filled.saturating_add(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(read_failed(&self.name, e)),
            }
        }
        self.position = self.position.saturating_add(filled as u64);
        Ok(filled)
    }

    /// The next `N` bytes, which belong to `what`.
    pub(super) fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill_with(what, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `buffer`, which belongs to `what`.
    pub(super) fn fill_with(&mut self, what: &str, buffer: &mut [u8]) -> Result<()> {
        let got = self.fill(buffer)?;
        if got != buffer.len() {
            let expected = buffer.len();
            return Err(self.refuse(format!("{what}: expected {expected} bytes, got {got}")));
        }
        Ok(())
    }

    /// The `count` values of `N` bytes each, which have to fill the source to its end.
    pub(super) fn values<T: Copy, const N: usize>(
        &mut self,
        count: usize,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let fits = count.checked_mul(N.max(size_of::<T>())).filter(|&n| isize::try_from(n).is_ok());
        let (Some(_), Some(n_bytes)) = (fits, count.checked_mul(N)) else {
            return Err(self.refuse(format!("{count} values of {N} bytes do not fit in memory")));
        };
        let expected = format!("expected {n_bytes} bytes of data after the header");
        let mut values = ChunkedVec::default();
        if let End::At(end) = self.end {
            let rest = end.saturating_sub(self.position);
            if rest != n_bytes as u64 {
                return Err(self.refuse(format!("{expected}, got {rest}")));
            }
            values.reserve(count)?;
        }
        let mut buffer = [0u8; BUFFER];
        let mut rest = n_bytes;
        while rest > 0 {
            let part = buffer.get_mut(..rest.min(BUFFER)).unwrap_or_default();
            let got = self.fill(part)?;
            rest = rest.saturating_sub(got);
            if got < part.len() {
                let came = n_bytes.saturating_sub(rest);
                return Err(self.refuse(format!("{expected}, got {came}")));
            }
            if !matches!(self.end, End::DryRun) {
                values.extend(part.as_chunks::<N>().0.iter().map(|&bytes| decode(bytes)))?;
            }
        }
        if self.fill(&mut [0])? != 0 {
            let reason = format!("more than the {n_bytes} bytes of data it should hold");
            return Err(self.refuse(reason));
        }
        values.join()
    }
}

#[cfg(feature = "gzip")]
fn gunzip<'a>(reader: impl Read + 'a, _name: &str) -> Result<Box<dyn Read + 'a>> {
    // A file may hold several gzip members (`cat a.gz b.gz`, bgzip).
    let buffered = io::BufReader::with_capacity(8 * 1024, reader);
    Ok(Box::new(super::gunzip::Gunzip::new(buffered)))
}

#[cfg(not(feature = "gzip"))]
fn gunzip<'a>(_reader: impl Read + 'a, name: &str) -> Result<Box<dyn Read + 'a>> {
    Err(Error::format(name, "gzip data, which deltarule reads with its feature `gzip`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_many_buffers_come_in_order() {
        let bytes: Vec<u8> = (0..50_010).map(|i| (i * 7) as u8).collect();
        let read = |source: &mut Source| source.values(bytes.len() / 2, u16::from_be_bytes);
        let expected = bytes.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair));
        assert!(parse_stream(&bytes[..], read).unwrap().into_iter().eq(expected));
        assert!(parse_stream(&bytes[1..], read).is_err());
        assert!(parse_stream(&[&bytes[..], &[0]].concat()[..], read).is_err());
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        for count in [usize::MAX, usize::MAX / 8 + 1, isize::MAX as usize / 8 + 1] {
            let read = |source: &mut Source| source.values(count, u64::from_be_bytes);
            let text = parse_stream(&[0; 8][..], read).unwrap_err().to_string();
            assert!(text.contains("do not fit in memory"), "{text}");
        }
    }
}
