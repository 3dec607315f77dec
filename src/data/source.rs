//! Where a binary reader's bytes come from: a stream or a file, raw or gzip, and never trusted.
//!
//! A header says how many values follow. Nothing is allocated because of that alone:
//!
//! * a raw file must be exactly as long as its header says before anything is allocated;
//! * a `.gz` file is decompressed twice, first without keeping a byte, up to the number of bytes
//!   that its header claims and no further;
//! * a stream is kept in small chunks as it comes, and joined once it has ended where it should.
//!
//! So a file that is refused costs a fixed 64 KiB at most, and a stream that is refused costs
//! what really came, whatever its header claims.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;

use super::chunked_vec::ChunkedVec;
use crate::error::{Error, Result};

/// Bytes read at once, on the stack; a multiple of every value size.
const BUFFER: usize = 16 * 1024;

/// Bytes with a name for errors, a position, and what is known of their end.
pub(super) struct Source<'a> {
    reader: Box<dyn Read + 'a>,
    name: String,
    position: u64,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    /// A stream.
    Unknown,
    /// A file of this many (decompressed) bytes.
    At(u64),
    /// The first of two passes: values are checked for their number and dropped.
    DryRun,
}

/// Runs `parse` on a stream, raw or gzip (told apart by the first two bytes).
pub(super) fn parse_stream<T>(
    mut reader: impl Read,
    parse: impl Fn(&mut Source) -> Result<T>,
) -> Result<T> {
    let head = head(&mut reader)?;
    let is_gzip = is_gzip(&head);
    let whole = io::Cursor::new(head).chain(reader);
    let whole = if is_gzip { gunzip(whole, "stream")? } else { Box::new(whole) };
    parse(&mut Source::new(whole, "stream", End::Unknown))
}

/// Runs `parse` on a file, raw or gzip (told apart by the first two bytes).
pub(super) fn parse_file<T>(path: &Path, parse: impl Fn(&mut Source) -> Result<T>) -> Result<T> {
    let io_error = |e| Error::io(path, e);
    let open = || File::open(path).map_err(io_error);
    let mut file = open()?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() {
        // A pipe: what is read once is gone.
        return parse_stream(file, parse).map_err(|e| renamed(e, path));
    }
    let is_gzip = is_gzip(&head(&mut file).map_err(io_error)?);
    let name = path.display().to_string();
    if is_gzip {
        return parse_twice(&name, || gunzip(open()?, &name), parse);
    }
    file.rewind().map_err(io_error)?;
    parse(&mut Source::new(Box::new(file), &name, End::At(metadata.len())))
}

/// Runs `parse` on what is compressed, twice: [`Source::values`] returns nothing the first time,
/// so `parse` may not look into them.
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

/// Runs `parse` on a reader of exactly `length` bytes that a file is known to hold.
#[cfg(feature = "npz")]
pub(super) fn parse_known<T>(
    name: &str,
    reader: Box<dyn Read + '_>,
    length: u64,
    parse: impl Fn(&mut Source) -> Result<T>,
) -> Result<T> {
    parse(&mut Source::new(reader, name, End::At(length)))
}

/// The first two bytes, or fewer at the end.
fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(2);
    reader.take(2).read_to_end(&mut head)?;
    Ok(head)
}

/// The error of a failed read: damaged compression is the file's fault, anything else the system's.
pub(super) fn read_failed(name: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            Error::format(name, format!("damaged compression: {error}"))
        }
        _ if name == "stream" => Error::from(error),
        _ => Error::io(Path::new(name), error),
    }
}

/// The plain bytes of a stream that is raw or gzip, and whether it is gzip.
#[cfg(feature = "csv")]
pub(super) fn plain<'a>(
    mut reader: impl Read + 'a,
    name: &str,
) -> Result<(Box<dyn Read + 'a>, bool)> {
    let head = head(&mut reader).map_err(|e| read_failed(name, e))?;
    let is_gzip = is_gzip(&head);
    let whole = io::Cursor::new(head).chain(reader);
    Ok((if is_gzip { gunzip(whole, name)? } else { Box::new(whole) }, is_gzip))
}

/// The error of a stream that has a path after all.
fn renamed(error: Error, path: &Path) -> Error {
    match error {
        Error::Format { reason, .. } => Error::format(path.display().to_string(), reason),
        Error::Io { source, .. } => Error::io(path, source),
        other => other,
    }
}

fn is_gzip(head: &[u8]) -> bool {
    head == [0x1f, 0x8b]
}

impl<'a> Source<'a> {
    /// A source of `reader`'s bytes, called `name` in errors.
    fn new(reader: Box<dyn Read + 'a>, name: &str, end: End) -> Self {
        Source { reader, name: name.to_string(), position: 0, end }
    }

    /// A source whose header fields are wanted, and no values.
    #[cfg(feature = "npz")]
    pub(super) fn unbounded(reader: Box<dyn Read + 'a>, name: &str) -> Self {
        Source::new(reader, name, End::Unknown)
    }

    /// How many bytes were read.
    #[cfg(feature = "npz")]
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// An [`Error::Format`] that names this source.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::format(self.name.as_str(), reason)
    }

    /// Reads until `buffer` is full or the source ends; how many bytes came.
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

    /// The `count` values of `N` bytes that fill the source to its end.
    pub(super) fn values<T: Copy, const N: usize>(
        &mut self,
        count: usize,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let fits = count.checked_mul(N.max(size_of::<T>())).filter(|&n| isize::try_from(n).is_ok());
        let (Some(_), Some(n_bytes)) = (fits, count.checked_mul(N)) else {
            return Err(self.refuse(format!("{count} values of {N} bytes do not fit in memory")));
        };
        let mut values = ChunkedVec::default();
        if let End::At(end) = self.end {
            let rest = end.saturating_sub(self.position);
            if rest != n_bytes as u64 {
                let expected = format!("expected {n_bytes} bytes of data after the header");
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
                let expected = format!("expected {n_bytes} bytes of data after the header");
                return Err(self.refuse(format!("{expected}, got {came}")));
            }
            if !matches!(self.end, End::DryRun) {
                values.extend(part.as_chunks::<N>().0.iter().map(|&bytes| decode(bytes)))?;
            }
        }
        if self.fill(&mut [0])? != 0 {
            return Err(
                self.refuse(format!("more than the {n_bytes} bytes of data it should hold"))
            );
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

    /// A reader that gives one byte at a time and interrupts between them.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let n = self.0.len().min(out.len()).min(1);
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn streams_come_in_chunks_of_any_size() {
        let bytes: Vec<u8> = (0..50_010).map(|i| (i * 7) as u8).collect();
        let read = |source: &mut Source| source.values(bytes.len() / 2, u16::from_be_bytes);
        let expected: Vec<u16> =
            bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
        assert_eq!(parse_stream(&bytes[..], read).unwrap(), expected);
        assert_eq!(parse_stream(Trickle(&bytes, false), read).unwrap(), expected);
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
