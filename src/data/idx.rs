//! IDX, the format of the MNIST files, read strictly.
//!
//! ```text
//! 00 00  type  n_dims | dim 0 (u32, big-endian) … dim n-1 | values, row-major, big-endian
//! type: 08 u8, 09 i8, 0b i16, 0c i32, 0d f32, 0e f64
//! ```

use std::io::Read;
use std::path::Path;

use super::source::{Source, parse_file, parse_stream};
use crate::error::Result;
use crate::format::{Array, ArrayData};

/// No known file has more than 4; the header's count is a byte.
const MAX_DIMS: u8 = 16;

/// Reads an IDX stream to its end, raw or gzip (feature `gzip`; told apart by the first bytes).
///
/// Holds at most twice the bytes read plus 64 KiB, whatever the header claims.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) when the header is not IDX, has 0 or more than 16
/// dimensions, or claims another number of values than there are (trailing bytes are an error);
/// [`Error::Io`](crate::Error::Io) when reading fails.
pub fn read_idx(reader: impl Read) -> Result<Array> {
    parse_stream(reader, parse)
}

/// Reads an IDX file, raw or gzip (feature `gzip`; told apart by the first bytes, not the name).
///
/// Allocates the array only, and only once the file is known to hold it.
///
/// # Errors
/// As [`read_idx`]; the error names the file.
pub fn read_idx_file(path: impl AsRef<Path>) -> Result<Array> {
    parse_file(path.as_ref(), parse)
}

fn parse(source: &mut Source) -> Result<Array> {
    let [zero0, zero1, kind, n_dims] = source.bytes("IDX magic number")?;
    if zero0 != 0 || zero1 != 0 {
        let reason = format!("not IDX: expected to start with 00 00, got {zero0:02x} {zero1:02x}");
        return Err(source.refuse(reason));
    }
    if !(1..=MAX_DIMS).contains(&n_dims) {
        return Err(source.refuse(format!("expected 1 to {MAX_DIMS} dimensions, got {n_dims}")));
    }
    let mut dims = Vec::with_capacity(usize::from(n_dims));
    let mut count = Some(1usize);
    for d in 0..n_dims {
        let dim = u32::from_be_bytes(source.bytes(&format!("size of dimension {d}"))?);
        let Ok(dim) = usize::try_from(dim) else {
            return Err(source.refuse(format!("dimension {d}: {dim} does not fit in memory")));
        };
        dims.push(dim);
        count = count.and_then(|n| n.checked_mul(dim));
    }
    let Some(count) = count else {
        return Err(source.refuse(format!("the product of {dims:?} does not fit in memory")));
    };
    let data = match kind {
        0x08 => ArrayData::U8(source.values(count, u8::from_be_bytes)?),
        0x09 => ArrayData::I8(source.values(count, i8::from_be_bytes)?),
        0x0b => ArrayData::I16(source.values(count, i16::from_be_bytes)?),
        0x0c => ArrayData::I32(source.values(count, i32::from_be_bytes)?),
        0x0d => ArrayData::F32(source.values(count, f32::from_be_bytes)?),
        0x0e => ArrayData::F64(source.values(count, f64::from_be_bytes)?),
        _ => {
            let reason = format!("IDX type: expected 08, 09, 0b, 0c, 0d or 0e, got {kind:02x}");
            return Err(source.refuse(reason));
        }
    };
    Ok(Array { shape: dims, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(kind: u8, dims: &[u32], body: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, kind, dims.len() as u8];
        dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
        file.extend(body);
        file
    }

    fn refused(file: &[u8], text: &str) {
        assert_eq!(read_idx(file).unwrap_err().to_string(), format!("stream: {text}"));
    }

    #[test]
    fn every_type_is_read() {
        let read = |kind, dims: &[u32], body: &[u8]| read_idx(&idx(kind, dims, body)[..]).unwrap();
        let bytes = read(8, &[2, 3], &[1, 2, 3, 4, 5, 255]);
        assert_eq!(bytes.shape, [2, 3]);
        assert_eq!(bytes.data, ArrayData::U8(vec![1, 2, 3, 4, 5, 255]));
        assert_eq!(read(9, &[2], &[1, 255]).data, ArrayData::I8(vec![1, -1]));
        assert_eq!(read(0xb, &[1, 1], &[1, 2]).data, ArrayData::I16(vec![258]));
        assert_eq!(read(0xc, &[1], &[255, 255, 255, 254]).data, ArrayData::I32(vec![-2]));
        assert_eq!(read(0xd, &[1], &1.5f32.to_be_bytes()).data, ArrayData::F32(vec![1.5]));
        assert_eq!(read(0xe, &[1], &1.5f64.to_be_bytes()).data, ArrayData::F64(vec![1.5]));
        assert_eq!(read(8, &[0, 28], &[]).data, ArrayData::U8(vec![]));
        assert_eq!(read(8, &[1; 16], &[7]).data, ArrayData::U8(vec![7]));
    }

    #[test]
    fn lying_headers_are_refused() {
        refused(b"", "IDX magic number: expected 4 bytes, got 0");
        refused(&[0, 0, 8], "IDX magic number: expected 4 bytes, got 3");
        refused(b"PK\x03\x04", "not IDX: expected to start with 00 00, got 50 4b");
        refused(&[0, 0, 8, 0], "expected 1 to 16 dimensions, got 0");
        refused(&idx(8, &[1; 17], &[1]), "expected 1 to 16 dimensions, got 17");
        refused(&[0, 0, 8, 2, 0, 0, 0, 1, 0], "size of dimension 1: expected 4 bytes, got 1");
        refused(&idx(7, &[1], &[1]), "IDX type: expected 08, 09, 0b, 0c, 0d or 0e, got 07");
        refused(&idx(8, &[2, 3], &[0; 5]), "expected 6 bytes of data after the header, got 5");
        refused(&idx(8, &[2, 3], &[0; 7]), "more than the 6 bytes of data it should hold");
        refused(&idx(8, &[0], &[0]), "more than the 0 bytes of data it should hold");
        refused(
            &idx(0xd, &[u32::MAX], &[0; 5]),
            "expected 17179869180 bytes of data after the header, got 5",
        );
        let largest = u32::MAX;
        refused(
            &idx(8, &[largest; 3], &[]),
            &format!("the product of {:?} does not fit in memory", [largest; 3]),
        );
        // Fits usize, but not isize.
        refused(
            &idx(8, &[largest; 2], &[]),
            "18446744065119617025 values of 1 bytes do not fit in memory",
        );
    }

    #[test]
    #[cfg(not(feature = "gzip"))]
    fn gzip_names_the_feature() {
        refused(&[0x1f, 0x8b, 8], "gzip data, which deltarule reads with its feature `gzip`");
    }
}
