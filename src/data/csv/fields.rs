//! The fields of a CSV stream, one at a time through a buffer of fixed size.

use std::io::{ErrorKind, Read};

use csv_core::ReadFieldResult;

use crate::Result;
use crate::data::source::read_failed;

/// Longer than any number; labels and column names have to fit.
const MAX_FIELD: usize = 1024;

/// Reads fields; holds one of them.
pub(super) struct Fields<'a> {
    reader: Box<dyn Read + 'a>,
    core: csv_core::Reader,
    name: &'a str,
    input: Vec<u8>,
    /// What of `input` is not read yet.
    unread: (usize, usize),
    field: Vec<u8>,
    delimiter: u8,
    /// Whether the next field is neither the first of the file nor of its row.
    is_inside_row: bool,
}

/// One field.
pub(super) struct Field<'a> {
    /// Its text without quotes.
    pub(super) text: &'a [u8],
    /// Whether `text` is only its end: it is longer than 1,024 bytes.
    pub(super) is_cut: bool,
    /// Whether it is the last of its row.
    pub(super) ends_row: bool,
    /// The line it ends on, from 1.
    pub(super) line: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn new(reader: Box<dyn Read + 'a>, name: &'a str, delimiter: u8) -> Self {
        Fields {
            reader,
            core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            name,
            input: vec![0; 4 * 1024],
            unread: (0, 0),
            field: vec![0; MAX_FIELD],
            delimiter,
            is_inside_row: false,
        }
    }

    /// The next field; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'_>>> {
        if let Some(length) = self.plain_field() {
            let start = self.unread.0;
            let end = start.saturating_add(length);
            self.unread.0 = end.saturating_add(1);
            let text = self.input.get(start..end).unwrap_or_default();
            return Ok(Some(Field {
                text,
                is_cut: false,
                ends_row: false,
                line: self.core.line(),
            }));
        }
        let (mut filled, mut is_cut) = (0usize, false);
        loop {
            if self.unread.0 == self.unread.1 {
                self.unread = (0, self.read()?);
            }
            let input = self.input.get(self.unread.0..self.unread.1).unwrap_or_default();
            let room = self.field.get_mut(filled..).unwrap_or_default();
            let (result, n_in, n_out) = self.core.read_field(input, room);
            self.unread.0 = self.unread.0.saturating_add(n_in);
            filled = filled.saturating_add(n_out);
            match result {
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::OutputFull => (filled, is_cut) = (0, true),
                ReadFieldResult::End => return Ok(None),
                ReadFieldResult::Field { record_end: ends_row } => {
                    // A line feed that ends the row belongs to the next line already.
                    let last = input.get(..n_in).and_then(<[u8]>::last);
                    let line = self.core.line().saturating_sub(u64::from(last == Some(&b'\n')));
                    self.is_inside_row = !ends_row;
                    let text = self.field.get(..filled).unwrap_or_default();
                    return Ok(Some(Field { text, is_cut, ends_row, line }));
                }
            }
        }
    }

    /// The next field, when it is a whole number of at most 7 digits in the middle of a row: pixels
    /// and counts, which f32 holds exactly. Scanned and read in one go, as [`Fields::plain_field`].
    pub(super) fn whole_number(&mut self) -> Option<u32> {
        let input = self.input.get(self.unread.0..self.unread.1).filter(|_| self.is_inside_row)?;
        let mut number = 0u32;
        for (n_digits, &byte) in input.iter().take(8).enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                number = number.wrapping_mul(10).wrapping_add(u32::from(digit));
            } else if byte == self.delimiter && n_digits > 0 {
                self.unread.0 = self.unread.0.saturating_add(n_digits).saturating_add(1);
                return Some(number);
            } else {
                break;
            }
        }
        None
    }

    /// The length of the next field, when it needs no parser: in the middle of a row, short,
    /// without quotes, and wholly in `input` up to the delimiter. Then the parser, which begins a
    /// field before it, also begins a field behind it, and never needs to see it.
    fn plain_field(&self) -> Option<usize> {
        let input = self.input.get(self.unread.0..self.unread.1).filter(|_| self.is_inside_row)?;
        let is_special = |&byte: &u8| byte == self.delimiter || byte < b' ' || byte == b'"';
        let length = input.iter().take(32).position(is_special)?;
        (input.get(length) == Some(&self.delimiter)).then_some(length)
    }

    /// Bytes read into `input`; 0 at the end.
    fn read(&mut self) -> Result<usize> {
        loop {
            match self.reader.read(&mut self.input) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(read_failed(self.name, e)),
            }
        }
    }
}
