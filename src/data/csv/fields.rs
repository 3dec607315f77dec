//! The fields of a CSV stream, one at a time through a buffer of fixed size.

use std::io::{ErrorKind, Read};

use csv_core::ReadFieldResult;

use crate::data::source::read_failed;
use crate::error::{Error, Result};

/// Longer than any number; labels and column names have to fit.
const MAX_FIELD: usize = 1024;

/// The byte-order marks: what a text of each encoding may begin with.
const UTF_8: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

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
    /// Line feeds that the parser did not see.
    skipped_lines: u64,
    is_at_start: bool,
    is_at_end: bool,
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

impl Field<'_> {
    /// The finite number that the field is, if it is one.
    pub(super) fn number(&self) -> Option<f32> {
        let number: f32 = std::str::from_utf8(self.text.trim_ascii()).ok()?.parse().ok()?;
        number.is_finite().then_some(number).filter(|_| !self.is_cut)
    }

    /// Whether the field is a missing value.
    pub(super) fn is_missing(&self) -> bool {
        let text = self.text.trim_ascii();
        let tokens = ["", "?", "na", "n/a", "nan", "null"];
        !self.is_cut && tokens.iter().any(|token| text.eq_ignore_ascii_case(token.as_bytes()))
    }
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
            skipped_lines: 0,
            is_at_start: true,
            is_at_end: false,
        }
    }

    /// The next field; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'_>>> {
        if let Some(length) = self.plain_field() {
            let start = self.unread.0;
            let end = start.saturating_add(length);
            self.unread.0 = end.saturating_add(1);
            let line = self.line();
            let text = self.input.get(start..end).unwrap_or_default();
            return Ok(Some(Field { text, is_cut: false, ends_row: false, line }));
        }
        self.skip_blanks()?;
        let is_quoted = self.unread().first() == Some(&b'"');
        let (mut filled, mut is_cut, mut is_open) = (0usize, false, false);
        loop {
            if self.unread.0 == self.unread.1 {
                self.unread = (0, self.read()?);
            }
            let input = self.input.get(self.unread.0..self.unread.1).unwrap_or_default();
            let room = self.field.get_mut(filled..).unwrap_or_default();
            let (result, n_in, n_out) = self.core.read_field(input, room);
            self.unread.0 = self.unread.0.saturating_add(n_in);
            filled = filled.saturating_add(n_out);
            let taken = input.get(..n_in).unwrap_or_default();
            // The first quote, each pair inside and the last one: an even number, or no end.
            is_open ^= taken.iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
            match result {
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::OutputFull => (filled, is_cut) = (0, true),
                ReadFieldResult::End => return Ok(None),
                ReadFieldResult::Field { record_end: ends_row } => {
                    // A line feed that ends the row belongs to the next line already.
                    let line = self.line().saturating_sub(u64::from(taken.last() == Some(&b'\n')));
                    if is_quoted && is_open && input.is_empty() {
                        let reason = format!("line {line}: a quoted field has no end");
                        return Err(Error::format(self.name, reason));
                    }
                    self.is_inside_row = !ends_row;
                    let text = self.field.get(..filled).unwrap_or_default();
                    return Ok(Some(Field { text, is_cut, ends_row, line }));
                }
            }
        }
    }

    /// The next field, if it is a whole number of at most 7 digits in the middle of a row: pixels and
    /// counts, which f32 holds exactly. Needs no parser, as [`Fields::plain_field`].
    pub(super) fn whole_number(&mut self) -> Option<u32> {
        let input = self.input.get(self.unread.0..self.unread.1).filter(|_| self.is_inside_row)?;
        let mut number = 0u32;
        for (n_digits, &byte) in input.iter().take(8).enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 && byte != self.delimiter {
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

    fn unread(&self) -> &[u8] {
        self.input.get(self.unread.0..self.unread.1).unwrap_or_default()
    }

    /// The line of what comes next, from 1.
    fn line(&self) -> u64 {
        self.core.line().saturating_add(self.skipped_lines)
    }

    /// Passes over blanks before a field, which the parser would take for its first characters: a
    /// quote behind them would be no quote. Before a row also over line ends, so that a line of
    /// blanks is an empty one.
    fn skip_blanks(&mut self) -> Result<()> {
        let (delimiter, is_inside_row) = (self.delimiter, self.is_inside_row);
        let is_blank = |byte: &u8| match byte {
            b' ' | b'\t' => *byte != delimiter,
            b'\r' | b'\n' => !is_inside_row,
            _ => false,
        };
        loop {
            let unread = self.unread();
            let blanks = unread.iter().take_while(|byte| is_blank(byte));
            let (n, lines) = blanks.fold((0usize, 0u64), |(n, lines), &byte| {
                (n.saturating_add(1), lines.saturating_add(u64::from(byte == b'\n')))
            });
            let is_done = n < unread.len();
            self.unread.0 = self.unread.0.saturating_add(n);
            self.skipped_lines = self.skipped_lines.saturating_add(lines);
            if is_done {
                return Ok(());
            }
            self.unread = (0, self.read()?);
            if self.unread.1 == 0 {
                return Ok(());
            }
        }
    }

    /// Bytes read into `input`; 0 at the end. A byte-order mark is not among them.
    fn read(&mut self) -> Result<usize> {
        if !std::mem::take(&mut self.is_at_start) {
            return self.read_at(0);
        }
        // As many as the mark has, however few the reader gives at once.
        let mut n = 0usize;
        while n < UTF_8.len() {
            match self.read_at(n)? {
                0 => break,
                more => n = n.saturating_add(more),
            }
        }
        let start = self.input.get(..n).unwrap_or_default();
        if UTF_16.iter().any(|mark| start.starts_with(mark)) {
            return Err(Error::format(self.name, "expected text in UTF-8, got UTF-16"));
        }
        if start.starts_with(UTF_8) {
            self.input.copy_within(UTF_8.len()..n, 0);
            n = n.saturating_sub(UTF_8.len());
            // Nothing but the mark has come so far.
            if n == 0 {
                return self.read_at(0);
            }
        }
        Ok(n)
    }

    /// Bytes read into `input` from `start` on; 0 at the end, after which the reader is not asked
    /// again.
    fn read_at(&mut self, start: usize) -> Result<usize> {
        while !self.is_at_end {
            match self.reader.read(self.input.get_mut(start..).unwrap_or_default()) {
                Ok(0) => self.is_at_end = true,
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(read_failed(self.name, e)),
            }
        }
        Ok(0)
    }
}
