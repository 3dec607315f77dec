//! The safetensors container: 8 bytes with the length of the header, the header, the data.
//!
//! The `safetensors` crate is only the reference of the tests: it brings `serde` and `serde_json`,
//! accepts more (holes, unknown keys, any numbers, no checksum) and holds a second copy of the model.
//!
//! A file is read in two passes. The first compares the checksum and finds numbers that are not
//! finite, with a fixed amount of memory. Only the second builds anything.

use super::array::{Array, read_array_data};
use super::chunked_bytes::{ChunkedBytes, STREAM, read_error, take_some};
use super::element_type::ElementType;
use super::entry::Entry;
use super::header::{CHECKSUM, Header, MAX_HEADER, NO_DIGITS};
use super::reserve::with_room;
use crate::error::{Error, Result};
use crate::math::Hasher;
use crate::simd::LINE;
use crate::storage::{PanelMatrix, fill_from_bytes};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at once in the first pass; a multiple of 4.
const BUFFER: usize = 32 * 1024;
/// Dimensions of an array at most, as in NumPy.
const MAX_DIMS: usize = 64;

/// A file that passed all checks, before its values are read.
pub(crate) struct Contents<'a> {
    header: Header<'a>,
    reader: &'a mut dyn ReadSeek,
    /// Where the data begins.
    data_at: u64,
    file: &'a str,
}

impl<'a> Contents<'a> {
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::format(self.file, reason)
    }

    /// A value of the metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.get(key)
    }

    /// Name, rows and columns of each tensor of F32, in the order of the data. One dimension is
    /// one row; none and more than two are 0 x 0, which no network has.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = (&'a str, usize, usize)> + '_ {
        let entries = self.header.entries.iter().filter(|e| e.is_f32());
        entries.map(|e| {
            let [rows, cols] = self.header.matrix(e).unwrap_or_default();
            (e.name, rows, cols)
        })
    }

    /// The name of each tensor, and whether its values are floats of any size.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&'a str, bool)> + '_ {
        self.header
            .entries
            .iter()
            .map(|e| (e.name, e.element_type.is_some_and(ElementType::is_float)))
    }

    /// Refuses tensors that no network has: of another type than F32, or with values that are not
    /// finite. (U8 is skipped: checkpoints have some.)
    pub(crate) fn check_finite(&self) -> Result<()> {
        let other =
            |e: &&Entry| !matches!(e.element_type, Some(ElementType::F32 | ElementType::U8));
        if let Some(e) = self.header.entries.iter().find(other) {
            return Err(self.refuse(format!("{:?}: expected F32, got {}", e.name, e.type_name())));
        }
        self.header.entries.iter().try_for_each(|e| self.check_entry(e))
    }

    /// Checks that all values of a tensor are finite.
    fn check_entry(&self, entry: &Entry) -> Result<()> {
        if entry.is_finite {
            return Ok(());
        }
        let place = format!("{}: {}", self.file, entry.name);
        Err(Error::value(place, "finite numbers", "others"))
    }

    /// Checks a tensor: its type, its shape, and that all its numbers are finite.
    pub(crate) fn check_shape(&self, name: &str, target: Target) -> Result<()> {
        let Some(found) = self.header.entry(name) else {
            return Err(self.refuse(format!("there is no tensor {name:?}")));
        };
        if !found.is_f32() {
            return Err(self.refuse(format!("{name:?}: expected F32, got {}", found.type_name())));
        }
        let (n_dims, sizes, expected) = match target {
            Target::Matrix(t) => (2, [t.cols(), t.rows()], format!("{} x {}", t.cols(), t.rows())),
            Target::Row(t) => (1, [1, t.cols()], t.cols().to_string()),
        };
        if (self.header.n_dims(found), self.header.matrix(found)) != (n_dims, Some(sizes)) {
            let place = format!("{}: {name}", self.file);
            return Err(Error::shape(place, expected, self.shape_text(found)));
        }
        self.check_entry(found)
    }

    /// A tensor's sizes, for an error.
    fn shape_text(&self, entry: &Entry) -> String {
        match self.header.n_dims(entry) {
            0 => "a scalar".into(),
            1..=MAX_DIMS => {
                let sizes = self.header.shape(entry);
                sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
            }
            n => format!("{n} dimensions"),
        }
    }

    /// The bytes of a tensor of U8.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        match self.header.entry(name) {
            Some(&entry) if entry.element_type == Some(ElementType::U8) => {
                self.values(entry, |[byte]| byte)
            }
            _ => Err(self.refuse(format!("there are no bytes {name:?}"))),
        }
    }

    /// The values of a tensor, `N` bytes each.
    fn values<T, const N: usize>(
        &mut self,
        entry: Entry,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        // The file is known to hold them.
        let count = entry.n_bytes().checked_div(N).unwrap_or(0);
        let mut values = with_room(count, format_args!("{count} values of {:?}", entry.name))?;
        let start = self.data_at.saturating_add(entry.start);
        let mut buffer = [0u8; BUFFER];
        let mut rest = entry.n_bytes();
        let mut read = || {
            self.reader.seek(SeekFrom::Start(start))?;
            while rest > 0 {
                let part = buffer.get_mut(..rest.min(BUFFER)).unwrap_or_default();
                self.reader.read_exact(part)?;
                values.extend(part.as_chunks::<N>().0.iter().map(|bytes| decode(*bytes)));
                rest = rest.saturating_sub(part.len());
            }
            Ok(())
        };
        read().map_err(|e| read_error(self.file, e))?;
        Ok(values)
    }

    /// A tensor as an array.
    pub(crate) fn array(&mut self, name: &str) -> Result<Array> {
        let Some(&entry) = self.header.entry(name) else {
            return Err(self.refuse(format!("there is no tensor {name:?}")));
        };
        let n_dims = self.header.n_dims(&entry);
        if n_dims > MAX_DIMS {
            let expected = format!("expected at most {MAX_DIMS} dimensions, got {n_dims}");
            return Err(self.refuse(format!("{name:?}: {expected}")));
        }
        let Some(element_type) = entry.element_type else {
            let reason = "expected F16, BF16, F32, F64, BOOL or integers, got another type";
            return Err(self.refuse(format!("{name:?}: {reason}")));
        };
        let data = read_array_data!(element_type, self, entry, from_le_bytes);
        Ok(Array { shape: self.header.shape(&entry), data })
    }

    /// Reads all tensors of F32, in the order of the data, into the matrices that `target` returns,
    /// whose shapes were checked. `None` skips a tensor.
    pub(crate) fn read<'t>(
        self,
        mut target: impl FnMut(&str) -> Option<&'t mut PanelMatrix>,
    ) -> Result<()> {
        let mut buffer = Vec::new();
        let mut read = || {
            self.reader.seek(SeekFrom::Start(self.data_at))?;
            for entry in &self.header.entries {
                let Some(t) = target(entry.name).filter(|_| entry.is_f32()) else {
                    let n_bytes = i64::try_from(entry.n_bytes()).unwrap_or(i64::MAX);
                    self.reader.seek(SeekFrom::Current(n_bytes))?;
                    continue;
                };
                for panel in 0..t.cols().div_ceil(LINE) {
                    buffer.resize(t.panel_len(panel), 0.0);
                    fill_from_bytes(&mut buffer, |bytes| self.reader.read_exact(bytes))?;
                    t.import_panel(panel, &buffer);
                }
            }
            Ok(())
        };
        read().map_err(|e| read_error(self.file, e))
    }
}

/// The destination of a tensor.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// columns x rows
    Matrix(&'a PanelMatrix),
    /// one dimension
    Row(&'a PanelMatrix),
}

/// A reader for two passes.
trait ReadSeek: Read + Seek {}
impl<R: Read + Seek> ReadSeek for R {}

/// Reads a file.
pub(crate) fn read_file<T>(path: &Path, visit: impl FnOnce(Contents) -> Result<T>) -> Result<T> {
    let name = path.display().to_string();
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
    if !metadata.is_file() {
        // A pipe cannot be rewound.
        return read_once(&mut file, &name, visit);
    }
    let refuse = |reason: String| Err(Error::format(name.as_str(), reason));
    let head = head(&mut file, &name)?;
    let n_header = header_length(head, &name)?;
    let rest = metadata.len().saturating_sub(8);
    if n_header as u64 > rest {
        return refuse(format!("header of {n_header} bytes, got {rest}"));
    }
    let mut bytes = vec![0; n_header];
    file.read_exact(&mut bytes).map_err(|e| read_error(&name, e))?;
    let header = Header::parse(&bytes, &name)?;
    let (expected, got) = (header.n_data, rest.saturating_sub(n_header as u64));
    if expected != got {
        return refuse(format!("expected {expected} bytes of data, got {got}"));
    }
    let data_at = (n_header as u64).saturating_add(8);
    read_checked((head, &bytes), header, (&mut file, data_at), &name, visit)
}

/// Reads a stream, to its end.
pub(crate) fn read_stream<T>(
    mut reader: impl Read,
    visit: impl FnOnce(Contents) -> Result<T>,
) -> Result<T> {
    read_once(&mut reader, STREAM, visit)
}

/// Reads a stream that cannot be rewound.
fn read_once<T>(
    reader: &mut dyn Read,
    file: &str,
    visit: impl FnOnce(Contents) -> Result<T>,
) -> Result<T> {
    let head = head(reader, file)?;
    let bytes =
        ChunkedBytes::take(reader, header_length(head, file)? as u64, file)?.chunks.concat();
    let header = Header::parse(&bytes, file)?;
    let mut data = ChunkedBytes::take(reader, header.n_data, file)?;
    if !take_some(reader, 1).map_err(|e| read_error(file, e))?.is_empty() {
        return Err(Error::format(file, "more bytes than its header announces"));
    }
    read_checked((head, &bytes), header, (&mut data, 0), file, visit)
}

/// The first 8 bytes.
fn head(reader: &mut dyn Read, file: &str) -> Result<[u8; 8]> {
    let mut head = [0; 8];
    reader.read_exact(&mut head).map_err(|e| read_error(file, e))?;
    Ok(head)
}

/// The length of the header, if it is allowed.
fn header_length(bytes: [u8; 8], file: &str) -> Result<usize> {
    match u64::from_le_bytes(bytes) {
        n @ 0..=MAX_HEADER => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        n => Err(Error::format(file, format!("header of {n} bytes, expected up to {MAX_HEADER}"))),
    }
}

/// Checks the values, which begin at the position of `reader`, `data_at`; then lets `visit` read them.
/// `head` and `bytes` precede them.
fn read_checked<R: Read + Seek, T>(
    (head, bytes): ([u8; 8], &[u8]),
    mut header: Header,
    (reader, data_at): (&mut R, u64),
    file: &str,
    visit: impl FnOnce(Contents) -> Result<T>,
) -> Result<T> {
    let refuse = |reason: String| Err(Error::format(file, reason));
    let mut hasher = Hasher::new();
    hasher.update(&head);
    match header.checksum_at {
        Some(at) => {
            let end = at.saturating_add(NO_DIGITS.len());
            hasher.update(bytes.get(..at).unwrap_or_default());
            hasher.update(NO_DIGITS.as_bytes());
            hasher.update(bytes.get(end..).unwrap_or_default());
        }
        None if header.is_ours() => return refuse(format!("no {CHECKSUM:?} in the metadata")),
        None => {}
    }
    for entry in &mut header.entries {
        let is_finite = first_pass(reader, entry, &mut hasher).map_err(|e| read_error(file, e))?;
        entry.is_finite = is_finite;
    }
    if let Some(expected) = header.get(CHECKSUM) {
        let got = format!("{:016x}", hasher.finish());
        if expected != got {
            return refuse(format!("damaged: its checksum is {got}, expected {expected}"));
        }
    }
    visit(Contents { header, reader, data_at, file })
}

/// The first pass over a tensor's values; returns whether all values of F32 are finite.
fn first_pass(reader: &mut dyn Read, entry: &Entry, hasher: &mut Hasher) -> io::Result<bool> {
    let mut buffer = [0u8; BUFFER];
    let mut rest = entry.n_bytes();
    let mut is_finite = true;
    while rest > 0 {
        let part = buffer.get_mut(..rest.min(BUFFER)).unwrap_or_default();
        reader.read_exact(part)?;
        hasher.update(part);
        rest = rest.saturating_sub(part.len());
        if entry.is_f32() {
            // All bits of the exponent are set; without a branch, so that it is vectorised.
            const EXPONENT: u32 = 0x7f80_0000;
            let bits = part.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b));
            is_finite &= !bits.fold(false, |found, b| found | (b & EXPONENT == EXPONENT));
        }
    }
    Ok(is_finite)
}
