//! Tables of text: CSV, with or without a header, for classification or regression.
//!
//! The parser is `csv-core`, the heart of the `csv` crate: it works in buffers that we size, where
//! `csv` itself holds a whole row however long it is.

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

/// What to do about a missing value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Missing {
    /// An error that names the line and the column.
    #[default]
    Error,
    /// Leave its row out.
    DropRow,
    /// Take this value for a feature; a missing target is an error.
    Fill(f32),
}

/// A table that was read.
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

    /// The target column; else it is the last.
    pub fn target(mut self, column: impl Into<Column>) -> Self {
        self.target = Some(column.into());
        self
    }

    /// A column that is neither target nor feature; it may hold anything.
    pub fn ignore(mut self, column: impl Into<Column>) -> Self {
        self.ignored.push(column.into());
        self
    }

    /// Whether the first row holds names; else yes.
    pub fn header(mut self, has_header: bool) -> Self {
        self.has_header = has_header;
        self
    }

    /// The byte between two fields; else a comma.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// What to do about missing values; else they are errors.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;
    use crate::data::targets::Targets;

    const FLOWERS: &str = "id,width,length,kind\r\n\
        a,0.2,1.4,setosa\r\n\
        \"b, \"\"two\"\"\", 1.8 ,51e-1,virginica\r\n\
        c,7,-3,setosa";

    fn features(data: &CsvData) -> &[f32] {
        let Features::F32(values) = data.dataset.features() else { panic!() };
        values
    }

    fn labels(data: &CsvData) -> &[u32] {
        let Targets::Classes { labels, .. } = data.dataset.targets() else { panic!() };
        labels
    }

    #[test]
    fn classes_by_name_or_number() {
        let flowers = Csv::classification().ignore("id").read(FLOWERS.as_bytes()).unwrap();
        assert_eq!(features(&flowers), [0.2, 1.4, 1.8, 5.1, 7.0, -3.0]);
        assert_eq!(labels(&flowers), [0, 1, 0]);
        assert_eq!(flowers.feature_names, ["width", "length"]);
        assert_eq!(flowers.target_name, "kind");
        assert_eq!(flowers.class_names, ["setosa", "virginica"]);
        let by_index = Csv::classification().ignore(0).target(3);
        assert_eq!(by_index.read(FLOWERS.as_bytes()).unwrap(), flowers);
        let given = Csv::classification().ignore("id").classes(["virginica", "setosa", "other"]);
        let given = given.read(FLOWERS.as_bytes()).unwrap();
        assert_eq!(labels(&given), [1, 0, 1]);
        assert_eq!(given.class_names, ["virginica", "setosa", "other"]);

        let numbers = "2;0.5\n0;1.5\n";
        let csv = Csv::classification().header(false).delimiter(b';').target(0);
        let numbers = csv.read(numbers.as_bytes()).unwrap();
        assert_eq!(
            (labels(&numbers), &numbers.feature_names[..]),
            (&[2, 0][..], &["1".into()][..])
        );
        assert_eq!(numbers.class_names, ["0", "1", "2"]);
    }

    #[test]
    fn regression_and_missing_values() {
        let text = "x,y,z\n1,2,3\n,5,6\n7,NA,9\n10,11,?\n";
        let read = |missing| Csv::regression().missing(missing).read(text.as_bytes());
        let error = read(Missing::Error).unwrap_err().to_string();
        assert_eq!(error, "stream: line 3, column \"x\": expected a finite number, got nothing");
        let dropped = read(Missing::DropRow).unwrap();
        assert_eq!((features(&dropped), dropped.dropped_rows), (&[1.0, 2.0][..], 3));
        let values = Targets::Values { values: vec![3.0], n_outputs: 1 };
        assert_eq!(dropped.dataset.targets(), &values);
        let error = read(Missing::Fill(0.5)).unwrap_err().to_string();
        assert_eq!(error, "stream: line 5, column \"z\": expected a finite number, got nothing");
        let text = &text[..text.len() - 8];
        let filled = Csv::regression().missing(Missing::Fill(0.5)).read(text.as_bytes()).unwrap();
        assert_eq!(features(&filled), [1.0, 2.0, 0.5, 5.0, 7.0, 0.5]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |csv: &Csv, text: &str, reason: &str| {
            let error = csv.read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        let csv = Csv::classification();
        refused(&csv, "", "no header");
        refused(&csv, "a,b\n", "no rows (0 were dropped)");
        refused(&csv, "a,b\n1,0\n\n1,2,3\n", "line 4: expected 2 fields, got more than 2");
        refused(&csv, "a,b\n1,0\n1\n", "line 3: expected 2 fields, got 1");
        refused(
            &csv,
            "a,b\r\n1,0\r\nx,0\r\n",
            "line 3, column \"a\": expected a finite number, got \"x\"",
        );
        refused(&csv, "a,b\n1e99,0\n", "expected a finite number, got \"1e99\"");
        refused(&csv, "a,b\ninf,0\n", "got \"inf\"");
        refused(&csv, "a,b\n1,\n", "line 2, column \"b\": expected a class label, got nothing");
        refused(&csv, "a,b\n1,0\n", "stream: expected at least 2 classes, got 1");
        refused(&csv, "a\n1\n", "no column is left for features");
        refused(&csv.clone().target("c"), "a,b\n1,0\n", "no column \"c\"");
        refused(&csv.clone().target(2), "a,b\n1,0\n", "no column 2: there are 2");
        refused(&csv.clone().target("a"), "a,a\n1,0\n", "two columns \"a\"");
        refused(&csv.clone().target("a").ignore(0), "a,b\n1,0\n", "is the target and ignored");
        refused(&csv.clone().classes(["x"]), "a,b\n1,y\n", "one of the 1 classes given, got \"y\"");
        let long = format!("a,b\n{},0\n", "1".repeat(5000));
        refused(&csv, &long, "expected a finite number, got \"1111");
        let bare = csv.clone().header(false);
        refused(&bare, "1,2\n1\n", "line 2: expected 2 fields, got 1");
        refused(&bare, "x,2\n", "line 1, column 0: expected a finite number");
        refused(&bare.clone().target("a"), "1,2\n", "a name needs a header");
        refused(&csv.clone().target(1).ignore(1), "a,b\n", "the target cannot be ignored");
        refused(&csv.clone().delimiter(b'\n'), "a,b\n", "delimiter");
        refused(&csv.clone().missing(Missing::Fill(f32::NAN)), "a,b\n", "has to be finite");
        refused(&csv.clone().classes(["x", "x"]), "a,b\n", "named twice");
        refused(&Csv::regression().classes(["x"]), "a,b\n", "no classes");
        let bytes = [b"a,b\n1,", &[0xff][..], b"\n"].concat();
        let error = csv.read(&bytes[..]).unwrap_err().to_string();
        assert!(error.contains("expected a class label, got \"\\xff\""), "{error}");
    }

    #[test]
    fn long_texts_can_be_ignored() {
        let text = format!("a,b,c\n1,{},0\n2,{},1\n", "x".repeat(3000), "y".repeat(1024));
        let data = Csv::classification().ignore("b").read(text.as_bytes()).unwrap();
        assert_eq!(features(&data), [1.0, 2.0]);
    }
}
