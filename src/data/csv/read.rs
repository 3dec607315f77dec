//! Reading a table from a stream or a file.

use std::io::Read;
use std::path::Path;

use super::table::Table;
use super::{Csv, CsvData, Missing};
use crate::data::source::{open, plain};
use crate::error::Result;
use crate::format::STREAM;

impl Csv {
    /// Reads a stream to its end, raw or gzip (feature `gzip`). Holds four bytes per value, and twice
    /// that for a moment at the end.
    ///
    /// # Errors
    /// [`Error::Config`] when the options contradict each other; [`Error::Format`], with line and
    /// column, when the table is not one that the options describe or the text is UTF-16;
    /// [`Error::Memory`] when the table does not fit; [`Error::Io`] when reading fails.
    ///
    /// [`Error::Config`]: crate::Error::Config
    /// [`Error::Format`]: crate::Error::Format
    /// [`Error::Memory`]: crate::Error::Memory
    /// [`Error::Io`]: crate::Error::Io
    pub fn read(&self, reader: impl Read) -> Result<CsvData> {
        self.check()?;
        let (reader, _) = plain(reader, STREAM)?;
        Table::read(self, reader, STREAM, true)?.finish()
    }

    /// Reads a file, as [`Csv::read`].
    ///
    /// # Errors
    /// As [`Csv::read`]; the error names the file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<CsvData> {
        self.check()?;
        let path = path.as_ref();
        let name = path.display().to_string();
        let (mut reader, is_gzip) = plain(open(path)?, &name)?;
        // Values could take more memory than their file: the first pass only checks.
        let may_grow = is_gzip || matches!(self.missing, Missing::Fill(_));
        let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        if may_grow && is_file {
            Table::read(self, reader, &name, false)?;
            (reader, _) = plain(open(path)?, &name)?;
        }
        Table::read(self, reader, &name, true)?.finish()
    }
}
