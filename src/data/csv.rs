//! Tables of text: CSV, with or without a header, for classification or regression.
//!
//! The parser is `csv-core`, which works in buffers of fixed size; the crate `csv` around it holds a
//! whole row of any length.

mod fields;
mod labels;
mod read;
mod table;

use super::dataset::Dataset;
use crate::error::{Error, Result};

/// Reads tables of numbers from text (feature `csv`): one column is the target, all others that
/// are not ignored are features.
///
/// Fields may be quoted as in RFC 4180; blanks around a field (before and behind its quotes, and
/// inside them) do not count, and neither do lines of blanks. The text is UTF-8, with or without a
/// byte-order mark. Empty fields and `NA`, `N/A`, `NaN`, `nan`, `null` and `?` are missing values,
/// except where [`Csv::classes`] gives a class that name.
///
/// ```
/// use deltarule::data::Csv;
/// let text = "width,length,kind\n0.2,1.4,setosa\n1.8,5.1,virginica\n";
/// let flowers = Csv::classification().target("kind").read(text.as_bytes())?;
/// assert_eq!(flowers.dataset.len(), 2);
/// assert_eq!(flowers.feature_names, ["width", "length"]);
/// assert_eq!(flowers.class_names, ["setosa", "virginica"]);
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct Csv {
    is_regression: bool,
    has_header: bool,
    delimiter: u8,
    target: Option<Column>,
    ignored: Vec<Column>,
    missing: Missing,
    classes: Vec<String>,
}

/// A column, by its name in the header or its number from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The name in the header.
    Name(String),
    /// The number, from 0.
    Index(usize),
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Column::Name(name.to_string())
    }
}

impl From<usize> for Column {
    fn from(index: usize) -> Self {
        Column::Index(index)
    }
}

/// The treatment of missing values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Missing {
    /// An error that names the line and the column.
    #[default]
    Error,
    /// Leave its row out.
    DropRow,
    /// Use this value for a feature; a missing target is an error.
    Fill(f32),
}

/// A table as a data set.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CsvData {
    /// The samples, as f32.
    pub dataset: Dataset,
    /// The names of the feature columns; their numbers where there is no header.
    pub feature_names: Vec<String>,
    /// The name of the target column; its number where there is no header.
    pub target_name: String,
    /// The name of each class; empty for regression.
    pub class_names: Vec<String>,
    /// Rows that were left out because of a missing value.
    pub dropped_rows: usize,
}

impl Csv {
    /// A reader of tables whose target column holds classes: whole numbers from 0 to 65,535, which
    /// are class numbers themselves, or else names, numbered in alphabetical order (at most 1,024
    /// unless given by [`Csv::classes`]). A label counts only if a row that is kept has it.
    pub fn classification() -> Self {
        Csv {
            is_regression: false,
            has_header: true,
            delimiter: b',',
            target: None,
            ignored: Vec::new(),
            missing: Missing::Error,
            classes: Vec::new(),
        }
    }

    /// A reader of tables whose target column holds numbers.
    pub fn regression() -> Self {
        Csv { is_regression: true, ..Csv::classification() }
    }

    /// Sets the target column; the default is the last.
    pub fn target(mut self, column: impl Into<Column>) -> Self {
        self.target = Some(column.into());
        self
    }

    /// Ignores a column, which may hold anything.
    pub fn ignore(mut self, column: impl Into<Column>) -> Self {
        self.ignored.push(column.into());
        self
    }

    /// Sets whether the first row holds names; the default is true.
    pub fn header(mut self, has_header: bool) -> Self {
        self.has_header = has_header;
        self
    }

    /// Sets the byte between two fields; the default is a comma.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Sets how missing values are treated; by default they are errors.
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// The names of the classes in the order of their numbers, so that training and test files
    /// number them alike; any other label is an error.
    pub fn classes(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.classes = names.into_iter().map(Into::into).collect();
        self
    }

    fn check(&self) -> Result<()> {
        let refuse = |option: &str, reason: &str| Err(Error::config(option, reason));
        let is_name = |column: &Column| matches!(column, Column::Name(_));
        if !self.has_header && self.target.iter().chain(&self.ignored).any(is_name) {
            return refuse("column", "a name needs a header; give the number instead");
        }
        if self.target.as_ref().is_some_and(|target| self.ignored.contains(target)) {
            return refuse("ignore", "the target cannot be ignored");
        }
        if matches!(self.delimiter, b'"' | b'\n' | b'\r') {
            return refuse("delimiter", "cannot be a quote or a line end");
        }
        if matches!(self.missing, Missing::Fill(value) if !value.is_finite()) {
            return refuse("missing", "the value to fill in has to be finite");
        }
        if self.is_regression && !self.classes.is_empty() {
            return refuse("classes", "a regression has no classes");
        }
        let mut names: Vec<&str> = self.classes.iter().map(|name| name.trim_ascii()).collect();
        names.sort_unstable();
        if names.is_sorted_by(|a, b| a < b) { Ok(()) } else { refuse("classes", "named twice") }
    }
}
