//! Reading a table from a stream or a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::table::Table;
use super::{Csv, CsvData, Missing};
use crate::data::source::plain;
use crate::error::{Error, Result};

impl Csv {
    /// Reads a stream to its end, raw or gzip (feature `gzip`). Holds four bytes a value; at the
    /// end, twice that for a moment.
    ///
    /// # Errors
    /// [`Error::Config`] when the options contradict each other; [`Error::Format`], naming line and
    /// column, when a row has another number of fields than the first, a field is not a finite
    /// number, a quoted field has no end, a column that was named is not there, a label is too many,
    /// or there are no rows or fewer than two classes, or when the text is UTF-16; [`Error::Memory`]
    /// when the table does not fit; [`Error::Io`] when reading fails.
    pub fn read(&self, reader: impl Read) -> Result<CsvData> {
        self.check()?;
        let (reader, _) = plain(reader, "stream")?;
        Table::read(self, reader, "stream", true)?.finish()
    }

    /// Reads a file, as [`Csv::read`].
    ///
    /// # Errors
    /// As [`Csv::read`]; the error names the file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<CsvData> {
        self.check()?;
        let path = path.as_ref();
        let name = path.display().to_string();
        let file = || File::open(path).map_err(|e| Error::io(path, e));
        let (mut reader, is_gzip) = plain(file()?, &name)?;
        // Values could take more memory than their file: see first whether all of it is sound.
        let may_grow = is_gzip || matches!(self.missing, Missing::Fill(_));
        let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        if may_grow && is_file {
            Table::read(self, reader, &name, false)?;
            (reader, _) = plain(file()?, &name)?;
        }
        Table::read(self, reader, &name, true)?.finish()
    }
}
