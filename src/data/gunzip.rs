//! Gzip (RFC 1952) as a stream of members, each of which zeros may follow (the padding of tapes). GNU
//! gzip skips zeros at the end, Python's `gzip` also between members. Anything else behind the last
//! member is an error.
//!
//! The reader of `flate2` allocates the extra field that a header claims, up to 64 KiB for a file of
//! twelve bytes, and keeps names and comments. This one skips them.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Flags of a header: the fields behind its first ten bytes, in this order but for the first.
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// The decompressed bytes of `reader`.
pub(super) struct Gunzip<R> {
    reader: R,
    inflate: Decompress,
    /// The checksum of this member's decompressed bytes, or of its header, so far.
    crc: Crc,
    is_in_member: bool,
    is_behind_member: bool,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(reader: R) -> Self {
        let (inflate, crc) = (Decompress::new(false), Crc::new());
        Gunzip { reader, inflate, crc, is_in_member: false, is_behind_member: false }
    }

    /// What is buffered; empty at the end only.
    fn buffered(&mut self) -> io::Result<&[u8]> {
        // An interruption passed on would lose a half-read header.
        let is_end = loop {
            match self.reader.fill_buf() {
                Ok(bytes) => break bytes.is_empty(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        };
        // At the end the reader would be asked once more, and may be interrupted each time.
        if is_end { Ok(&[]) } else { self.reader.fill_buf() }
    }

    /// Passes over the zeros behind a member; whether anything follows.
    fn skip_padding(&mut self) -> io::Result<bool> {
        loop {
            let is_behind_member = self.is_behind_member;
            let buffered = self.buffered()?;
            let zeros = buffered.iter().take_while(|&&b| is_behind_member && b == 0).count();
            let (is_end, is_done) = (buffered.is_empty(), zeros < buffered.len());
            self.reader.consume(zeros);
            if is_end || is_done {
                return Ok(is_done);
            }
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let byte = *self.buffered()?.first().ok_or(ErrorKind::UnexpectedEof)?;
        self.reader.consume(1);
        self.crc.update(&[byte]);
        Ok(byte)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    fn header(&mut self) -> io::Result<()> {
        self.crc.reset();
        let [id1, id2, method, flags, ..] = self.bytes::<10>()?;
        if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & RESERVED != 0 {
            return Err(damaged("invalid gzip header"));
        }
        if flags & EXTRA != 0 {
            for _ in 0..u16::from_le_bytes(self.bytes()?) {
                self.byte()?;
            }
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && self.byte()? != 0 {}
        }
        let [low, high, ..] = self.crc.sum().to_le_bytes();
        if flags & HEADER_CRC != 0 && self.bytes()? != [low, high] {
            return Err(damaged("a gzip header does not have a matching checksum"));
        }
        self.crc.reset();
        self.inflate.reset(false);
        Ok(())
    }

    /// Inflates into `out`; the number of bytes, and whether they are the last of this member.
    fn body(&mut self, out: &mut [u8]) -> io::Result<(usize, bool)> {
        let before = (self.inflate.total_in(), self.inflate.total_out());
        let is_end = self.buffered()?.is_empty();
        let input = if is_end { &[] } else { self.reader.fill_buf()? };
        let status = self.inflate.decompress(input, out, FlushDecompress::None)?;
        let since = |now: u64, before| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
        let taken = since(self.inflate.total_in(), before.0);
        let made = since(self.inflate.total_out(), before.1);
        self.reader.consume(taken);
        self.crc.update(out.get(..made).unwrap_or_default());
        match status {
            Status::StreamEnd => Ok((made, true)),
            _ if taken > 0 || made > 0 => Ok((made, false)),
            _ if is_end => Err(ErrorKind::UnexpectedEof.into()),
            _ => Err(damaged("corrupt deflate stream")),
        }
    }

    fn trailer(&mut self) -> io::Result<()> {
        let (sum, amount) = (self.crc.sum(), self.crc.amount());
        let stated = (u32::from_le_bytes(self.bytes()?), u32::from_le_bytes(self.bytes()?));
        match stated == (sum, amount) {
            true => Ok(()),
            false => Err(damaged("corrupt gzip stream does not have a matching checksum")),
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            if !self.is_in_member {
                if !self.skip_padding()? {
                    break;
                }
                self.header()?;
                self.is_in_member = true;
            }
            let (made, is_last) = self.body(out)?;
            if is_last {
                self.trailer()?;
                (self.is_in_member, self.is_behind_member) = (false, true);
            }
            if made > 0 {
                return Ok(made);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use std::io::{BufReader, Write};

    fn packed(plain: &[u8], builder: GzBuilder) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8], buffer: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Gunzip::new(BufReader::with_capacity(buffer, bytes)).read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn plain() -> Vec<u8> {
        (0..100_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
    }

    #[test]
    fn members_of_any_header_are_read_in_chunks_of_any_size() {
        let plain = plain();
        let full = || GzBuilder::new().extra(vec![7; 300]).filename("a").comment("b");
        let members = [packed(&plain, full()), packed(b"", full()), packed(b"x", GzBuilder::new())];
        let whole = members.concat();
        for buffer in [1, 7, 8192] {
            assert!(unpacked(&whole, buffer).unwrap() == [&plain[..], b"x"].concat());
        }
        // The header's own checksum: the low half of its CRC-32.
        let mut head = packed(b"x", GzBuilder::new());
        head[3] = HEADER_CRC;
        let mut crc = Crc::new();
        crc.update(&head[..10]);
        let sum = (crc.sum() as u16).to_le_bytes();
        assert_eq!(unpacked(&[&head[..10], &sum, &head[10..]].concat(), 9).unwrap(), b"x");
        let wrong = [&head[..10], &[sum[0], !sum[1]], &head[10..]].concat();
        assert!(unpacked(&wrong, 9).is_err());
    }

    #[test]
    fn every_cut_and_every_flipped_byte_that_matters_is_an_error() {
        let plain = &plain()[..2000];
        let whole = packed(plain, GzBuilder::new().extra(vec![7; 9]).filename("name"));
        for cut in 1..whole.len() {
            assert_eq!(unpacked(&whole[..cut], 64).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x21;
            // Time, name and the like may be anything.
            if let Ok(got) = unpacked(&flipped, 64) {
                assert!(got == plain, "byte {at}");
            }
        }
        assert!(unpacked(&[&whole[..], &[1]].concat(), 64).is_err());
    }

    /// `gzip -dc` of GNU gzip 1.12 gives the same for zeros at the end, `gzip.decompress` of
    /// Python 3.11 for those between members too.
    #[test]
    fn zeros_behind_a_member_are_padding() {
        let (a, b) = (packed(b"ab", GzBuilder::new()), packed(b"c", GzBuilder::new()));
        for n in [1, 63, 64, 512, 10_240] {
            let zeros = vec![0; n];
            for buffer in [1, 64, 8192] {
                let padded = |parts: &[&[u8]]| unpacked(&parts.concat(), buffer);
                assert_eq!(padded(&[&a, &zeros]).unwrap(), b"ab");
                assert_eq!(padded(&[&a, &b, &zeros]).unwrap(), b"abc");
                assert_eq!(padded(&[&a, &zeros, &b, &zeros]).unwrap(), b"abc");
                assert!(padded(&[&a, &zeros, b"x"]).is_err());
                assert!(padded(&[&a, &zeros, &b[..b.len() - 1]]).is_err());
                assert!(padded(&[&zeros, &a]).is_err());
            }
        }
    }
}
