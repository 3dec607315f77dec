//! The directory and the members of a zip file, as much as NPZ needs: stored and deflated members,
//! sizes beyond 4 GiB, no comment, no encryption. 200 lines here weigh less than the eight crates
//! behind `zip`; decompression and CRC-32 come from `flate2`, which `.gz` needs anyway.
//!
//! The directory is never held: it is walked again for each question.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::source::Source;
use crate::{Error, Result};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_BYTES: u64 = 22;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const END_64_LOCATOR_BYTES: u64 = 20;
/// NumPy's are the names of keyword arguments.
const MAX_NAME: u16 = 1024;

/// An entry of the directory.
pub(super) struct Member {
    pub(super) name: String,
    method: u16,
    crc: u32,
    packed: u64,
    pub(super) size: u64,
    /// Where its local header begins.
    offset: u64,
    /// Where the directory begins, behind all members.
    limit: u64,
}

/// Calls `visit` with every entry of the directory.
pub(super) fn walk(path: &Path, mut visit: impl FnMut(Member) -> Result<()>) -> Result<()> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    let (entries, start, bytes) = find_directory(path, length)?;
    let mut directory = source_at(path, start, bytes)?;
    for _ in 0..entries {
        visit(entry(&mut directory, start)?)?;
    }
    match directory.position() == bytes {
        true => Ok(()),
        false => Err(directory.refuse("the directory is longer than its entries")),
    }
}

/// Entries, first byte and bytes of the directory.
fn find_directory(path: &Path, length: u64) -> Result<(u64, u64, u64)> {
    let Some(at) = length.checked_sub(END_BYTES) else {
        return Err(Error::format(path.display().to_string(), "too short to be a zip file"));
    };
    let mut end = source_at(path, at, END_BYTES)?;
    if end.u32()? != END {
        return Err(end.refuse("not a zip file without comment: no end record at its end"));
    }
    let [disk, first_disk, here, entries] = [end.u16()?, end.u16()?, end.u16()?, end.u16()?];
    let (bytes, start) = (end.u32()?, end.u32()?);
    if end.u16()? != 0 || disk != first_disk || here != entries {
        return Err(end.refuse("not a zip file in one part without comment"));
    }
    let (entries, start, bytes, at) =
        if entries == u16::MAX || bytes == u32::MAX || start == u32::MAX {
            find_directory_64(path, at)?
        } else {
            (u64::from(entries), u64::from(start), u64::from(bytes), at)
        };
    match start.checked_add(bytes) {
        Some(end) if end <= at => Ok((entries, start, bytes)),
        _ => Err(end.refuse(format!("a directory of {bytes} bytes at {start} is not inside"))),
    }
}

/// As [`find_directory`], from the larger end record before the locator that ends at `end`; and
/// where that record begins.
fn find_directory_64(path: &Path, end: u64) -> Result<(u64, u64, u64, u64)> {
    let at = end.saturating_sub(END_64_LOCATOR_BYTES);
    let mut locator = source_at(path, at, END_64_LOCATOR_BYTES)?;
    if locator.u32()? != END_64_LOCATOR {
        return Err(locator.refuse("no zip64 locator before the end record"));
    }
    locator.skip(4)?;
    let at = locator.u64()?;
    let mut record = source_at(path, at, end.saturating_sub(at))?;
    if record.u32()? != END_64 {
        return Err(record.refuse(format!("no zip64 end record at {at}")));
    }
    record.skip(28)?;
    let (entries, bytes, start) = (record.u64()?, record.u64()?, record.u64()?);
    Ok((entries, start, bytes, at))
}

fn entry(directory: &mut Source, limit: u64) -> Result<Member> {
    if directory.u32()? != DIRECTORY_ENTRY {
        return Err(directory.refuse("an entry of the directory does not begin as one"));
    }
    directory.skip(4)?;
    let (flags, method) = (directory.u16()?, directory.u16()?);
    directory.skip(4)?;
    let crc = directory.u32()?;
    let (packed, size) = (directory.u32()?, directory.u32()?);
    let [name, extra, comment] = [directory.u16()?, directory.u16()?, directory.u16()?];
    directory.skip(8)?;
    let offset = directory.u32()?;
    let name = member_name(directory, name)?;
    // Bit 0 encrypts, 5 patches, 6 and 13 encrypt more.
    if flags & 0b10_0000_0110_0001 != 0 || !matches!(method, 0 | 8) {
        let what = format!("{name:?}: flags {flags:#x}, method {method}");
        return Err(directory.refuse(format!("expected a stored or deflated member, got {what}")));
    }
    let [size, packed, offset] = extra_sizes(directory, extra, [size, packed, offset])?;
    directory.skip(u64::from(comment))?;
    if method == 0 && packed != size {
        return Err(directory.refuse(format!("{name:?}: stored, but {packed} bytes for {size}")));
    }
    Ok(Member { name, method, crc, packed, size, offset, limit })
}

/// The name of `length` bytes.
fn member_name(source: &mut Source, length: u16) -> Result<String> {
    if length > MAX_NAME {
        let reason = format!("expected a name of at most {MAX_NAME} bytes, got {length}");
        return Err(source.refuse(reason));
    }
    let mut name = vec![0; usize::from(length)];
    source.fill_with("name", &mut name)?;
    String::from_utf8(name).map_err(|_| source.refuse("a member's name is not UTF-8"))
}

/// The three sizes, those that do not fit 32 bits from the extra fields of `length` bytes.
fn extra_sizes(source: &mut Source, length: u16, sizes: [u32; 3]) -> Result<[u64; 3]> {
    let mut sizes = sizes.map(|size| (size != u32::MAX).then_some(u64::from(size)));
    let mut left = u64::from(length);
    while let Some(rest) = left.checked_sub(4) {
        let (id, bytes) = (source.u16()?, u64::from(source.u16()?));
        let mut unread = bytes;
        for size in sizes.iter_mut().filter(|size| id == 1 && size.is_none()) {
            *size = Some(source.u64()?);
            unread = unread.checked_sub(8).ok_or_else(|| source.refuse("short zip64 sizes"))?;
        }
        source.skip(unread)?;
        left = rest.checked_sub(bytes).ok_or_else(|| source.refuse("extra fields too long"))?;
    }
    source.skip(left)?;
    let [Some(size), Some(packed), Some(offset)] = sizes else {
        return Err(source.refuse("a member's zip64 sizes are missing"));
    };
    Ok([size, packed, offset])
}

impl Member {
    /// Whether the member's bytes are in the file as they are, so that its size is proven.
    pub(super) fn is_stored(&self) -> bool {
        self.method == 0
    }

    /// The member's bytes, with an error at their end when they are not those that were stored.
    pub(super) fn open(&self, path: &Path) -> Result<Box<dyn Read>> {
        let mut header = source_at(path, self.offset, self.limit.saturating_sub(self.offset))?;
        if header.u32()? != LOCAL_HEADER {
            return Err(header.refuse(format!("no local header of {:?}", self.name)));
        }
        header.skip(22)?;
        let (name, extra) = (header.u16()?, header.u16()?);
        if member_name(&mut header, name)? != self.name {
            return Err(header.refuse(format!("the local header of {:?} differs", self.name)));
        }
        header.skip(u64::from(extra))?;
        let at = self.offset.saturating_add(header.position());
        if at.checked_add(self.packed).is_none_or(|end| end > self.limit) {
            return Err(header.refuse(format!("{:?} is longer than the file", self.name)));
        }
        let packed = reader_at(path, at, self.packed)?;
        let reader: Box<dyn Read> = match self.is_stored() {
            true => Box::new(packed),
            false => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        };
        Ok(Box::new(Checked { reader, sum: flate2::Crc::new(), left: self.size, crc: self.crc }))
    }
}

/// A reader whose end is an error unless size and CRC-32 are as stated.
struct Checked {
    reader: Box<dyn Read>,
    sum: flate2::Crc,
    left: u64,
    crc: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(out)?;
        self.sum.update(out.get(..got).unwrap_or_default());
        let left = self.left.checked_sub(got as u64);
        self.left = left.ok_or_else(|| wrong("the member is longer than stated"))?;
        if got == 0 && !out.is_empty() {
            if self.left != 0 {
                return Err(wrong("the member is shorter than stated"));
            }
            if self.sum.sum() != self.crc {
                return Err(wrong("the member's CRC-32 is not the one stated"));
            }
        }
        Ok(got)
    }
}

fn wrong(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// The `length` bytes of the file from `at`.
fn reader_at(path: &Path, at: u64, length: u64) -> Result<BufReader<io::Take<File>>> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    file.seek(SeekFrom::Start(at)).map_err(|e| Error::io(path, e))?;
    Ok(BufReader::with_capacity(4 * 1024, file.take(length)))
}

fn source_at(path: &Path, at: u64, length: u64) -> Result<Source<'static>> {
    Ok(Source::unbounded(Box::new(reader_at(path, at, length)?), &path.display().to_string()))
}

/// Little-endian fields.
impl Source<'_> {
    fn u16(&mut self) -> Result<u16> {
        self.bytes("zip directory").map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.bytes("zip directory").map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.bytes("zip directory").map(u64::from_le_bytes)
    }

    /// Passes over `n` bytes.
    fn skip(&mut self, n: u64) -> Result<()> {
        for _ in 0..n {
            self.bytes::<1>("zip directory")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored member whose sizes stand in zip64 fields, as in archives beyond 4 GiB.
    fn zip64(body: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(body);
        let [crc, max] = [crc.sum(), u32::MAX].map(u32::to_le_bytes);
        let size = (body.len() as u64).to_le_bytes();
        let sizes = [&[1, 0, 16, 0][..], &size, &size].concat();
        let with_offset = [&[1, 0, 24, 0][..], &size, &size, &[0; 8]].concat();
        let header = [&[0; 8][..], &crc, &max, &max, &[1, 0]].concat();
        let local = [b"PK\x03\x04\x2d\x00", &header[..], &[20, 0], b"a", &sizes, body].concat();
        let entry = [&header[..], &[28, 0], &[0; 10], &max, b"a", &with_offset].concat();
        let entry = [b"PK\x01\x02\x2d\x00\x2d\x00", &entry[..]].concat();
        let [start, bytes] = [local.len(), entry.len()].map(|n| (n as u64).to_le_bytes());
        let one = 1u64.to_le_bytes();
        let record = [b"PK\x06\x06", &[0; 20][..], &one, &one, &bytes, &start].concat();
        let at = ((local.len() + entry.len()) as u64).to_le_bytes();
        let locator = [b"PK\x06\x07", &[0; 4][..], &at, &[1, 0, 0, 0]].concat();
        let end = [b"PK\x05\x06", &[0; 4][..], &[255; 12], &[0; 2]].concat();
        [local, entry, record, locator, end].concat()
    }

    #[test]
    fn sizes_of_64_bits_are_read() {
        let path = std::env::temp_dir().join(format!("deltarule-zip64-{}", std::process::id()));
        std::fs::write(&path, zip64(b"the body")).unwrap();
        let mut content = String::new();
        walk(&path, |member| {
            assert_eq!((&member.name[..], member.size), ("a", 8));
            member.open(&path)?.read_to_string(&mut content).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(content, "the body");
        std::fs::remove_file(&path).unwrap();
    }
}
