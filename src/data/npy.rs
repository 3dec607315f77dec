//! NPY, NumPy's format of one array, read strictly.
//!
//! ```text
//! 93 "NUMPY" major minor | length of the header (u16; u32 from version 2) | header | values
//! header: {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), } spaces newline
//! ```

mod header;

use std::io::Read;
use std::path::Path;

use super::source::{Source, parse_file, parse_stream};
use crate::error::Result;
use crate::format::{Array, read_array_data, with_room};
use header::{Header, parse_descr};

/// NumPy's own limit.
const MAX_HEADER: usize = 10_000;

/// Reads an NPY stream to its end, raw or gzip (feature `gzip`): floats of 2 (as f32, which holds
/// them), 4 or 8 bytes, integers of 1 to 8, and truth values, of either byte order. Fortran order
/// becomes C order.
///
/// Holds at most twice the array plus 64 KiB, and at most twice the bytes read of a file that is
/// refused, whatever the header claims.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) when the header is not NPY, names another type, or claims
/// another number of values than there are (trailing bytes are an error);
/// [`Error::Memory`](crate::Error::Memory) when the array does not fit;
/// [`Error::Io`](crate::Error::Io) when reading fails.
pub fn read_npy(reader: impl Read) -> Result<Array> {
    parse_stream(reader, parse)
}

/// Reads an NPY file, as [`read_npy`]. Allocates the array only, and only once the file is known
/// to hold it (twice the array for Fortran order).
///
/// # Errors
/// As [`read_npy`]; the error names the file.
pub fn read_npy_file(path: impl AsRef<Path>) -> Result<Array> {
    parse_file(path.as_ref(), parse)
}

pub(super) fn parse(source: &mut Source) -> Result<Array> {
    let [magic @ .., major, _minor] = source.bytes::<8>("NPY magic number")?;
    if magic != *b"\x93NUMPY" {
        return Err(source.refuse(format!("not NPY: starts with {:?}", magic.escape_ascii())));
    }
    let length = match major {
        1 => u32::from(u16::from_le_bytes(source.bytes("length of the header")?)),
        2 | 3 => u32::from_le_bytes(source.bytes("length of the header")?),
        _ => return Err(source.refuse(format!("NPY version: expected 1, 2 or 3, got {major}"))),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_HEADER {
        let reason = format!("expected a header of at most {MAX_HEADER} bytes, got {length}");
        return Err(source.refuse(reason));
    }
    let mut text = vec![0; length];
    source.fill_with("header", &mut text)?;
    let Some(Header { descr, is_fortran, shape }) = Header::parse(&text) else {
        let start = text.get(..80).unwrap_or(&text).escape_ascii();
        let expected = "expected a header with descr, fortran_order and shape";
        return Err(source.refuse(format!("{expected}, got {start}")));
    };
    let count = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    let Some(count) = count else {
        return Err(source.refuse(format!("the product of {shape:?} does not fit in memory")));
    };
    let Some((element_type, is_big)) = parse_descr(descr) else {
        let expected = "expected a real number of 1 to 8 bytes (f4, f8, u1, i8, …)";
        return Err(source.refuse(format!("type: {expected}, got {descr:?}")));
    };
    let fortran_shape = if is_fortran { Some(&shape[..]) } else { None };
    let mut body = Body { source, fortran_shape };
    let data = match is_big {
        true => read_array_data!(element_type, body, count, from_be_bytes),
        false => read_array_data!(element_type, body, count, from_le_bytes),
    };
    Ok(Array { shape, data })
}

/// The values of a file, and their shape if the first index runs fastest in it.
struct Body<'a, 's> {
    source: &'a mut Source<'s>,
    fortran_shape: Option<&'a [usize]>,
}

impl Body<'_, '_> {
    /// As [`Source::values`], the last index running fastest.
    fn values<T: Copy, const N: usize>(
        &mut self,
        count: usize,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let values = self.source.values(count, decode)?;
        match self.fortran_shape {
            // Empty also in the first of two passes.
            Some(shape) if shape.len() > 1 && !values.is_empty() => to_rows(&values, shape),
            _ => Ok(values),
        }
    }
}

/// Values whose first index runs fastest, so that the last one does.
fn to_rows<T: Copy>(values: &[T], shape: &[usize]) -> Result<Vec<T>> {
    let axes: Vec<(usize, usize)> = shape
        .iter()
        .scan(1usize, |next, &size| {
            let stride = *next;
            *next = stride.saturating_mul(size);
            Some((size, stride))
        })
        .collect();
    let mut rows = with_room(values.len(), format_args!("{} values", values.len()))?;
    gather(values, &axes, &mut rows);
    Ok(rows)
}

/// Appends what lies at `sum of index * stride` for all indices of the axes (size, stride), the
/// last running fastest; `values` begins at the origin.
fn gather<T: Copy>(values: &[T], axes: &[(usize, usize)], rows: &mut Vec<T>) {
    match axes {
        [] => {}
        [(size, stride)] => rows.extend(values.iter().step_by(*stride).take(*size)),
        [(size, stride), rest @ ..] => {
            for i in 0..*size {
                gather(values.get(i.saturating_mul(*stride)..).unwrap_or_default(), rest, rows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ArrayData;

    fn npy(header: &str, body: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), body].concat()
    }

    fn simple(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        npy(&header, body)
    }

    fn refused(file: &[u8], reason: &str) {
        let text = read_npy(file).unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
    }

    /// Written by NumPy: see tests/data/make_npy.py.
    #[test]
    fn files_of_numpy_are_read() {
        let whole = |bytes: &[u8]| read_npy(bytes).unwrap();
        let f4 = whole(include_bytes!("../../tests/data/f4_big_fortran.npy"));
        assert_eq!(f4.shape, [2, 3, 4]);
        assert_eq!(f4.data, ArrayData::F32((0..24).map(|i| i as f32 / 4.0).collect()));
        let i8 = whole(include_bytes!("../../tests/data/i8_version_2.npy"));
        assert_eq!(i8, Array { shape: vec![3], data: ArrayData::I64(vec![-1, 0, 1 << 40]) });
    }

    #[test]
    fn every_type_and_byte_order_is_read() {
        let third = ArrayData::F32(vec![0.333_251_95]);
        for (name, little, expected) in [
            ("u1", &[200][..], ArrayData::U8(vec![200])),
            ("b1", &[1], ArrayData::Bool(vec![true])),
            ("b1", &[0], ArrayData::Bool(vec![false])),
            ("f2", &[0x55, 0x35], third),
            ("i1", &[200], ArrayData::I8(vec![-56])),
            ("u2", &[1, 2], ArrayData::U16(vec![513])),
            ("i2", &[254, 255], ArrayData::I16(vec![-2])),
            ("u4", &[1, 0, 0, 0], ArrayData::U32(vec![1])),
            ("i4", &[254, 255, 255, 255], ArrayData::I32(vec![-2])),
            ("u8", &[1, 0, 0, 0, 0, 0, 0, 0], ArrayData::U64(vec![1])),
            ("i8", &[254, 255, 255, 255, 255, 255, 255, 255], ArrayData::I64(vec![-2])),
            ("f4", &0.1f32.to_le_bytes(), ArrayData::F32(vec![0.1])),
            ("f8", &0.1f64.to_le_bytes(), ArrayData::F64(vec![0.1])),
        ] {
            let big: Vec<u8> = little.iter().rev().copied().collect();
            for (order, body) in [('<', little), ('>', &big)] {
                let file = simple(&format!("{order}{name}"), "(1,)", body);
                assert_eq!(read_npy(&file[..]).unwrap().data, expected, "{order}{name}");
            }
        }
    }

    /// Spellings that `numpy.load` of NumPy 2 reads.
    #[test]
    fn every_spelling_of_a_type_is_read() {
        let read = |descr: &str, shape: &str, body: &[u8]| {
            read_npy(&simple(descr, shape, body)[..]).unwrap()
        };
        for descr in ["<u1", ">u1", "=u1", "u1", "B", "|B", "uint8"] {
            assert_eq!(read(descr, "(1,)", &[200]).data, ArrayData::U8(vec![200]), "{descr}");
        }
        for descr in ["=f4", "f4", "|f4", "f", "float32"] {
            let body = 0.1f32.to_ne_bytes();
            assert_eq!(read(descr, "(1,)", &body).data, ArrayData::F32(vec![0.1]), "{descr}");
        }
        for descr in ["?", "|?", "b1", "bool", "<b1"] {
            assert_eq!(read(descr, "(1,)", &[1]).data, ArrayData::Bool(vec![true]), "{descr}");
        }
        for (shape, sizes) in [("(3L,)", &[3][..]), ("(1L, 3L)", &[1, 3]), ("( 3 ,1, )", &[3, 1])] {
            assert_eq!(read("|u1", shape, &[1, 2, 3]).shape, sizes, "{shape}");
        }
        let python_2 = "{u'descr': u'|u1', u'fortran_order': False, u'shape': (2L,)}";
        assert_eq!(read_npy(&npy(python_2, &[1, 2])[..]).unwrap().shape, [2]);
    }

    #[test]
    fn every_version_is_read() {
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
        for padding in [0, 1, 300] {
            let header = format!("{header}{}\n", " ".repeat(padding));
            let length = header.len() as u32;
            let short = [&b"\x93NUMPY\x01\0"[..], &(length as u16).to_le_bytes()].concat();
            let long = |version| [b"\x93NUMPY", &[version, 0][..], &length.to_le_bytes()].concat();
            for head in [short, long(2), long(3)] {
                let file = [&head[..], header.as_bytes(), &[7, 8]].concat();
                assert_eq!(read_npy(&file[..]).unwrap().data, ArrayData::U8(vec![7, 8]));
            }
        }
    }

    #[test]
    fn shapes_are_read_in_both_orders() {
        let scalar = read_npy(&simple("|u1", "()", &[7])[..]).unwrap();
        assert_eq!(scalar, Array { shape: vec![], data: ArrayData::U8(vec![7]) });
        assert!(read_npy(&simple("|u1", "(0, 5)", &[])[..]).unwrap().data.is_empty());
        let fortran = "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"|u1\"}";
        let array = read_npy(&npy(fortran, &[1, 4, 2, 5, 3, 6])[..]).unwrap();
        assert_eq!(array.data, ArrayData::U8(vec![1, 2, 3, 4, 5, 6]));
        let empty = "{'shape': (0, 3), 'fortran_order': True, 'descr': '|u1'}";
        assert!(read_npy(&npy(empty, &[])[..]).unwrap().data.is_empty());
    }

    #[test]
    fn lying_headers_are_refused() {
        refused(b"\x93NUMPX\x01\x00", "not NPY");
        refused(b"\x93NUMPY\x04\x00", "NPY version: expected 1, 2 or 3, got 4");
        refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "at most 10000 bytes, got 4294967295");
        refused(b"\x93NUMPY\x01\x00\x20\x00{", "header: expected 32 bytes, got 1");
        refused(
            &simple("<f4", "(3,)", &[0; 11]),
            "expected 12 bytes of data after the header, got 11",
        );
        refused(&simple("<f4", "(3,)", &[0; 13]), "more than the 12 bytes");
        refused(&simple("<f4", "(1000000000000,)", &[0; 4]), "got 4");
        refused(&simple("|u1", "(4294967296, 4294967296)", &[]), "does not fit in memory");
        refused(&simple("<f8", "(2305843009213693952,)", &[]), "do not fit in memory");
        refused(&simple("|u1", "(18446744073709551616,)", &[]), "expected a header with");
        refused(&simple("|u1", &format!("({})", "1,".repeat(65)), &[1]), "expected a header with");
        for descr in ["<c8", "|O", "<U3", "<f16", "<float32", "<<f4", "", "<", "<M8[ns]", "é"] {
            refused(&simple(descr, "(1,)", &[0; 8]), "type: expected a real number");
        }
        for header in [
            "",
            "{}",
            "{'descr': '|u1', 'fortran_order': False}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,,)}",
            "{'descr': '|u1', 'fortran_order': 1, 'shape': (1,)}",
            "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'more': 'x'}",
            "{'descr': '|u1' 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} x",
        ] {
            refused(&npy(header, &[0]), "expected a header with");
        }
    }
}
