//! The part of zip files that NPZ needs: stored and deflated members, sizes beyond 4 GiB, comments,
//! bytes in front of the archive. The crate `zip` brings eight crates; decompression and CRC-32 come
//! from `flate2`, which `.gz` needs anyway.
//!
//! The directory is never held but read for each call. A member that cannot be read (encrypted, or
//! compressed in another way) is refused when it is read, not before.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::source::{End, Source, open};
use crate::error::{Error, Result};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_BYTES: u64 = 22;
const END_64: u32 = 0x0606_4b50;
/// The fields of the first version; later ones may add some.
const END_64_BYTES: u64 = 56;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const END_64_LOCATOR_BYTES: u64 = 20;
/// Bytes of a name at most; NumPy's are the names of keyword arguments.
const MAX_NAME: u16 = 1024;
/// Bit 0 of a member's flags encrypts, 5 patches, 6 and 13 encrypt more.
const UNREADABLE: u16 = 0b10_0000_0110_0001;

/// An entry of the directory.
pub(super) struct Member {
    /// The name, cut off after [`MAX_NAME`] bytes.
    raw_name: Vec<u8>,
    is_cut: bool,
    flags: u16,
    method: u16,
    crc: u32,
    /// Bytes of the member, its bytes in the file, and the offset of its local header. None if the
    /// entry refers to a zip64 field that does not exist.
    sizes: Option<[u64; 3]>,
    /// Bytes in front of the archive, which its offsets do not count.
    shift: u64,
    /// Where the directory begins, behind all members.
    limit: u64,
}

/// Where the directory is.
struct Directory {
    entries: u64,
    start: u64,
    bytes: u64,
    shift: u64,
}

/// Calls `visit` with every entry of the directory.
pub(super) fn walk(path: &Path, mut visit: impl FnMut(Member) -> Result<()>) -> Result<()> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    let place = find_directory(path, length)?;
    let mut directory = source_at(path, place.start, place.bytes)?;
    for _ in 0..place.entries {
        visit(entry(&mut directory, &place)?)?;
    }
    match directory.position() == place.bytes {
        true => Ok(()),
        false => Err(directory.refuse("the directory is longer than its entries")),
    }
}

fn find_directory(path: &Path, length: u64) -> Result<Directory> {
    let at = find_end(path, length)?;
    let mut end = source_at(path, at, END_BYTES)?;
    end.skip(4)?;
    let [disk, first_disk, here, entries] = [end.u16()?, end.u16()?, end.u16()?, end.u16()?];
    let (bytes, start) = (end.u32()?, end.u32()?);
    if disk != first_disk || here != entries {
        return Err(end.refuse("not a zip file in one part"));
    }
    let may_be_64 = entries == u16::MAX || bytes == u32::MAX || start == u32::MAX;
    let large = if may_be_64 { find_end_64(path, at)? } else { None };
    // An archive without the larger record may have just so many entries.
    let small = [u64::from(entries), u64::from(bytes), u64::from(start), at];
    let [entries, bytes, start, end_at] = large.unwrap_or(small);
    let is_inside = |start: u64| start.checked_add(bytes).is_some_and(|end| end <= end_at);
    let begins_at = |start: u64| -> Result<bool> {
        Ok(source_at(path, start, 4)?.u32().is_ok_and(|found| found == DIRECTORY_ENTRY))
    };
    if is_inside(start) && (entries == 0 || begins_at(start)?) {
        return Ok(Directory { entries, start, bytes, shift: 0 });
    }
    // Something may stand in front of the archive: then the directory ends at its end record.
    let shift = end_at.checked_sub(bytes).and_then(|found| found.checked_sub(start));
    let found = shift.and_then(|shift| start.checked_add(shift));
    if let (Some(shift), Some(found)) = (shift, found)
        && begins_at(found)?
    {
        return Ok(Directory { entries, start: found, bytes, shift });
    }
    Err(end.refuse(format!("no directory of {bytes} bytes at {start}")))
}

/// Where the end record begins: at the end of the file, but for a comment.
fn find_end(path: &Path, length: u64) -> Result<u64> {
    let name = || path.display().to_string();
    let Some(last) = length.checked_sub(END_BYTES) else {
        return Err(Error::format(name(), "too short to be a zip file"));
    };
    let is_end = |tail: &[u8], at: u64| {
        let comment = tail.get(20..22).and_then(|bytes| bytes.try_into().ok());
        let comment = comment.map(|bytes| u64::from(u16::from_le_bytes(bytes)));
        tail.starts_with(&END.to_le_bytes()) && comment == Some(last.saturating_sub(at))
    };
    let first = last.saturating_sub(u64::from(u16::MAX));
    // At most 64 KiB, and no more than the file has.
    let mut tail = vec![0; usize::try_from(length.saturating_sub(first)).unwrap_or(0)];
    source_at(path, first, length)?.fill_with("zip end record", &mut tail)?;
    let mut starts = (0..tail.len()).rev().map(|i| (i, first.saturating_add(i as u64)));
    let found = starts.find(|&(i, at)| is_end(tail.get(i..).unwrap_or_default(), at));
    found.map(|(_, at)| at).ok_or_else(|| Error::format(name(), "not a zip file: no end record"))
}

/// Entries, bytes and first byte of the directory, and where the zip64 end record begins that states
/// them, if a locator that ends at `end` refers to one.
fn find_end_64(path: &Path, end: u64) -> Result<Option<[u64; 4]>> {
    let Some(locator_at) = end.checked_sub(END_64_LOCATOR_BYTES) else { return Ok(None) };
    let mut locator = source_at(path, locator_at, END_64_LOCATOR_BYTES)?;
    if locator.u32()? != END_64_LOCATOR {
        return Ok(None);
    }
    locator.skip(4)?;
    let stated = locator.u64()?;
    // What stands in front of the archive moves the record.
    for at in [stated, locator_at.saturating_sub(END_64_BYTES)] {
        let mut record = source_at(path, at, locator_at.saturating_sub(at))?;
        if record.u32().is_ok_and(|found| found == END_64) {
            record.skip(28)?;
            let (entries, bytes, start) = (record.u64()?, record.u64()?, record.u64()?);
            return Ok(Some([entries, bytes, start, at]));
        }
    }
    Err(locator.refuse(format!("no zip64 end record at {stated}")))
}

fn entry(directory: &mut Source, place: &Directory) -> Result<Member> {
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
    let raw_name = member_name(directory, name)?;
    let is_cut = name > MAX_NAME;
    let sizes = extra_sizes(directory, extra, [size, packed, offset])?;
    directory.skip(u64::from(comment))?;
    let Directory { start: limit, shift, .. } = *place;
    Ok(Member { raw_name, is_cut, flags, method, crc, sizes, shift, limit })
}

/// The name of `length` bytes, or as much of it as can be a name.
fn member_name(source: &mut Source, length: u16) -> Result<Vec<u8>> {
    let mut name = vec![0; usize::from(length.min(MAX_NAME))];
    source.fill_with("name", &mut name)?;
    source.skip(u64::from(length.saturating_sub(MAX_NAME)))?;
    Ok(name)
}

/// The three sizes; those that do not fit 32 bits come from the extra fields of `length` bytes.
/// Padding is skipped.
fn extra_sizes(source: &mut Source, length: u16, sizes: [u32; 3]) -> Result<Option<[u64; 3]>> {
    let mut sizes = sizes.map(|size| (size != u32::MAX).then_some(u64::from(size)));
    let mut left = u64::from(length);
    while let Some(rest) = left.checked_sub(4) {
        let (id, bytes) = (source.u16()?, u64::from(source.u16()?));
        left = rest;
        let Some(rest) = left.checked_sub(bytes) else { break };
        let mut unread = bytes;
        for size in sizes.iter_mut().filter(|size| id == 1 && size.is_none()) {
            let Some(rest) = unread.checked_sub(8) else { break };
            (*size, unread) = (Some(source.u64()?), rest);
        }
        source.skip(unread)?;
        left = rest;
    }
    source.skip(left)?;
    Ok(match sizes {
        [Some(size), Some(packed), Some(offset)] => Some([size, packed, offset]),
        _ => None,
    })
}

impl Member {
    /// The name; what is not UTF-8 in it (older archives name no encoding) as `\u{fffd}`.
    pub(super) fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.raw_name)
    }

    /// Whether the member's bytes are in the file as they are, so that its size is proven.
    pub(super) fn is_stored(&self) -> bool {
        self.method == 0
    }

    /// The number of the member's bytes.
    pub(super) fn size(&self) -> u64 {
        self.sizes.map_or(0, |[size, ..]| size)
    }

    /// The member's bytes, with an error at their end when they are not those that were stored.
    pub(super) fn open(&self, path: &Path) -> Result<Box<dyn Read>> {
        let name = self.name();
        let refuse = |reason: String| Err(Error::format(path.display().to_string(), reason));
        if self.is_cut {
            return refuse(format!("expected a name of at most {MAX_NAME} bytes, got {name:?}…"));
        }
        if self.flags & UNREADABLE != 0 || !matches!(self.method, 0 | 8) {
            let what = format!("{name:?}: flags {:#x}, method {}", self.flags, self.method);
            return refuse(format!("expected a stored or deflated member, got {what}"));
        }
        let Some([size, packed, offset]) = self.sizes else {
            return refuse(format!("{name:?}: its zip64 sizes are missing"));
        };
        if self.is_stored() && packed != size {
            return refuse(format!("{name:?}: stored, but {packed} bytes for {size}"));
        }
        let offset = offset.saturating_add(self.shift);
        let mut header = source_at(path, offset, self.limit.saturating_sub(offset))?;
        if header.u32()? != LOCAL_HEADER {
            return Err(header.refuse(format!("no local header of {name:?}")));
        }
        header.skip(22)?;
        let (n_name, n_extra) = (header.u16()?, header.u16()?);
        if member_name(&mut header, n_name)? != self.raw_name {
            return Err(header.refuse(format!("the local header of {name:?} differs")));
        }
        header.skip(u64::from(n_extra))?;
        let at = offset.saturating_add(header.position());
        if at.checked_add(packed).is_none_or(|end| end > self.limit) {
            return Err(header.refuse(format!("{name:?} is longer than the file")));
        }
        let packed = reader_at(path, at, packed)?;
        let reader: Box<dyn Read> = match self.is_stored() {
            true => Box::new(packed),
            false => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        };
        Ok(Box::new(Checked { reader, sum: flate2::Crc::new(), left: size, crc: self.crc }))
    }
}

/// A reader that fails at its end unless size and CRC-32 are those stated.
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
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(at)).map_err(|e| Error::io(path, e))?;
    Ok(BufReader::with_capacity(4 * 1024, file.take(length)))
}

fn source_at(path: &Path, at: u64, length: u64) -> Result<Source<'static>> {
    let reader = Box::new(reader_at(path, at, length)?);
    Ok(Source::new(reader, &path.display().to_string(), End::Unknown))
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
    use crate::format::test_folder::Folder;

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
        let folder = Folder::new("zip64");
        let path = folder.file("zip", zip64(b"the body"));
        let mut content = String::new();
        walk(&path, |member| {
            assert_eq!((&*member.name(), member.size()), ("a", 8));
            member.open(&path)?.read_to_string(&mut content).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(content, "the body");
    }
}
