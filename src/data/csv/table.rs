//! A table as it is read, row by row.

use std::io::Read;

use super::fields::{Field, Fields};
use super::labels::{Labels, MAX_NAMES};
use super::{Column, Csv, CsvData, Missing};
use crate::data::chunked_vec::ChunkedVec;
use crate::data::dataset::Dataset;
use crate::data::targets::Targets;
use crate::error::{Error, Result};

/// Ends each name; no UTF-8 text contains it.
const NAME_END: u8 = 0xff;

/// The options, the columns and all values so far.
pub(super) struct Table<'a> {
    options: &'a Csv,
    file: &'a str,
    keeps_values: bool,
    /// All column names, each followed by [`NAME_END`]. Empty without header.
    names: ChunkedVec<u8>,
    /// The number of columns, as soon as the first row is read.
    n_columns: Option<usize>,
    target: Option<usize>,
    /// In rising order.
    ignored: Vec<usize>,
    features: ChunkedVec<f32>,
    values: ChunkedVec<f32>,
    classes: ChunkedVec<u32>,
    labels: Labels,
    /// The label of the current row if it is new, which counts only if the row is kept.
    new_label: Option<NewLabel>,
    n_rows: usize,
    dropped_rows: usize,
}

/// The first occurrence of a label.
struct NewLabel {
    name: String,
    line: u64,
    column: usize,
}

impl<'a> Table<'a> {
    /// Reads all rows; without `keeps_values` it only checks them.
    pub(super) fn read(
        options: &'a Csv,
        reader: Box<dyn Read + '_>,
        file: &'a str,
        keeps_values: bool,
    ) -> Result<Self> {
        let mut table = Table {
            options,
            file,
            keeps_values,
            names: ChunkedVec::default(),
            n_columns: None,
            target: None,
            ignored: Vec::new(),
            features: ChunkedVec::default(),
            values: ChunkedVec::default(),
            classes: ChunkedVec::default(),
            labels: match &options.classes[..] {
                [] => Labels::default(),
                names => Labels::given(names),
            },
            new_label: None,
            n_rows: 0,
            dropped_rows: 0,
        };
        let mut fields = Fields::new(reader, file, options.delimiter);
        table.columns_by_index();
        if options.has_header {
            table.header(&mut fields)?;
        }
        while table.row(&mut fields)? {}
        match table.n_rows {
            0 => Err(table.refuse(format!("no rows ({} were dropped)", table.dropped_rows))),
            _ => Ok(table),
        }
    }

    /// Notes the columns that the options name by number.
    fn columns_by_index(&mut self) {
        if let Some(Column::Index(index)) = self.options.target {
            self.target = Some(index);
        }
        self.ignored.extend(self.options.ignored.iter().filter_map(|column| match column {
            Column::Index(index) => Some(*index),
            Column::Name(_) => None,
        }));
        self.ignored.sort_unstable();
    }

    /// Reads the names, and finds the columns that the options name.
    fn header(&mut self, fields: &mut Fields) -> Result<()> {
        let options = self.options;
        let mut wanted: Vec<(&Column, bool)> =
            options.target.iter().chain(&options.ignored).map(|column| (column, false)).collect();
        for index in 0usize.. {
            let Some(field) = fields.next()? else { return Err(self.refuse("no header")) };
            let name = std::str::from_utf8(field.text).ok().filter(|_| !field.is_cut);
            let Some(name) = name.map(str::trim) else {
                return Err(self.refuse(format!("header: column {index} is not a short text")));
            };
            for (i, (column, is_found)) in wanted.iter_mut().enumerate() {
                if !matches!(column, Column::Name(wanted) if wanted.trim() == name) {
                    continue;
                }
                if std::mem::replace(is_found, true) {
                    return Err(self.refuse(format!("header: two columns {name:?}")));
                }
                match options.target.as_ref().filter(|_| i == 0) {
                    Some(_) => self.target = Some(index),
                    None => self.ignored.push(index),
                }
            }
            if self.keeps_values {
                self.names.extend(name.as_bytes().iter().copied())?;
                self.names.push(NAME_END)?;
            }
            if field.ends_row {
                for (column, is_found) in wanted {
                    if let (Column::Name(name), false) = (column, is_found) {
                        return Err(self.refuse(format!("header: no column {name:?}")));
                    }
                }
                return self.fix_columns(index.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Sets the role of each column, once their number is known.
    fn fix_columns(&mut self, n_columns: usize) -> Result<()> {
        let last = n_columns.saturating_sub(1);
        let target = *self.target.get_or_insert(last);
        self.ignored.sort_unstable();
        self.ignored.dedup();
        if let Some(index) = self.ignored.iter().chain([&target]).find(|&&index| index > last) {
            return Err(self.refuse(format!("no column {index}: there are {n_columns}")));
        }
        if self.ignored.contains(&target) {
            return Err(self.refuse(format!("{} is the target and ignored", self.column(target))));
        }
        self.n_columns = Some(n_columns);
        match self.n_features() {
            0 => Err(self.refuse("no column is left for features")),
            _ => Ok(()),
        }
    }

    fn n_features(&self) -> usize {
        let others = self.ignored.len().saturating_add(1);
        self.n_columns.unwrap_or(0).saturating_sub(others)
    }

    /// Reads one row; false at the end.
    fn row(&mut self, fields: &mut Fields) -> Result<bool> {
        let before = (self.features.len(), self.values.len(), self.classes.len());
        let (mut is_kept, mut n_ignored) = (true, 0usize);
        for index in 0usize.. {
            let n_fields = index.saturating_add(1);
            let is_ignored = self.ignored.get(n_ignored) == Some(&index);
            let is_inside = self.n_columns.is_some_and(|n| n_fields < n);
            if is_inside
                && !is_ignored
                && self.target != Some(index)
                && let Some(number) = fields.whole_number()
            {
                self.keep_feature(number as f32)?;
                continue;
            }
            let Some(field) = fields.next()? else { return Ok(false) };
            let fits = |n: usize| if field.ends_row { n_fields == n } else { n_fields < n };
            if let Some(n) = self.n_columns.filter(|&n| !fits(n)) {
                let got = if field.ends_row { "" } else { "more than " };
                let reason =
                    format!("line {}: expected {n} fields, got {got}{n_fields}", field.line);
                return Err(self.refuse(reason));
            }
            if is_ignored {
                n_ignored = n_ignored.saturating_add(1);
            } else if self.target.map_or(field.ends_row, |target| index == target) {
                is_kept &= self.target_field(&field, index)?;
            } else {
                is_kept &= self.feature(&field, index)?;
            }
            if field.ends_row {
                if self.n_columns.is_none() {
                    self.fix_columns(n_fields)?;
                }
                break;
            }
        }
        let rows = if is_kept { &mut self.n_rows } else { &mut self.dropped_rows };
        *rows = rows.saturating_add(1);
        if let Some(label) = self.new_label.take().filter(|_| is_kept) {
            self.add_class(&label)?;
        }
        if !is_kept {
            self.features.truncate(before.0);
            self.values.truncate(before.1);
            self.classes.truncate(before.2);
        }
        Ok(true)
    }

    /// Adds a feature; returns whether its row is kept.
    fn feature(&mut self, field: &Field, index: usize) -> Result<bool> {
        let value = match (field.number(), self.options.missing) {
            (Some(value), _) => value,
            (None, Missing::DropRow) if field.is_missing() => return Ok(false),
            (None, Missing::Fill(value)) if field.is_missing() => value,
            _ => return Err(self.refuse_field(field, index, "a finite number")),
        };
        self.keep_feature(value)?;
        Ok(true)
    }

    fn keep_feature(&mut self, value: f32) -> Result<()> {
        if self.keeps_values { self.features.push(value) } else { Ok(()) }
    }

    /// Adds a target; returns whether its row is kept.
    fn target_field(&mut self, field: &Field, index: usize) -> Result<bool> {
        let label = std::str::from_utf8(field.text.trim_ascii()).ok();
        let label = label.filter(|_| !field.is_cut);
        // A class that was given may be called "NA".
        let is_given =
            self.labels.is_closed() && label.is_some_and(|l| self.labels.find(l).is_some());
        let is_missing = field.is_missing() && !is_given;
        if is_missing && self.options.missing == Missing::DropRow {
            return Ok(false);
        }
        if self.options.is_regression {
            let Some(value) = field.number() else {
                return Err(self.refuse_field(field, index, "a finite number"));
            };
            if self.keeps_values {
                self.values.push(value)?;
            }
            return Ok(true);
        }
        let Some(label) = label.filter(|_| !is_missing) else {
            return Err(self.refuse_field(field, index, "a class label"));
        };
        match self.labels.find(label) {
            Some(class) => self.keep_class(class)?,
            None if self.labels.is_closed() => {
                let n_classes = self.options.classes.len();
                let expected = format!("one of the {n_classes} classes given");
                return Err(self.refuse_field(field, index, &expected));
            }
            None => {
                let (name, line) = (label.to_string(), field.line);
                self.new_label = Some(NewLabel { name, line, column: index });
            }
        }
        Ok(true)
    }

    /// Adds the first sample of a new class.
    fn add_class(&mut self, NewLabel { name, line, column }: &NewLabel) -> Result<()> {
        match self.labels.add(name) {
            Some(class) => self.keep_class(class),
            None => {
                let field =
                    Field { text: name.as_bytes(), is_cut: false, ends_row: false, line: *line };
                let expected = format!("at most {MAX_NAMES} labels (name them to have more)");
                Err(self.refuse_field(&field, *column, &expected))
            }
        }
    }

    fn keep_class(&mut self, class: u32) -> Result<()> {
        if self.keeps_values { self.classes.push(class) } else { Ok(()) }
    }

    /// The table as a data set.
    pub(super) fn finish(self) -> Result<CsvData> {
        let n_columns = self.n_columns.unwrap_or(0);
        let (target, n_features) = (self.target.unwrap_or(0), self.n_features());
        let (class_names, final_numbers) = self.labels.finish();
        if !self.options.is_regression && class_names.len() < 2 {
            return Err(Error::format(self.file, "expected at least 2 classes, got 1"));
        }
        let mut names = all_names(&self.names, n_columns);
        let target_name = names.get_mut(target).map(std::mem::take).unwrap_or_default();
        let mut index = 0usize..;
        names.retain(|_| index.next().is_some_and(|i| i != target && !self.ignored.contains(&i)));
        let targets = if self.options.is_regression {
            Targets::Values { values: self.values.join()?, n_outputs: 1 }
        } else {
            let mut labels = self.classes.join()?;
            labels.iter_mut().for_each(|n| *n = *final_numbers.get(n).unwrap_or(n));
            Targets::Classes { labels, n_classes: class_names.len() }
        };
        let dataset = Dataset::from_f32(self.features.join()?, n_features, targets)?;
        let dropped_rows = self.dropped_rows;
        Ok(CsvData { dataset, feature_names: names, target_name, class_names, dropped_rows })
    }

    /// The name of a column in errors.
    fn column(&self, index: usize) -> String {
        let mut ends = 0usize;
        let name = self.names.iter().skip_while(|&byte| {
            let is_before = ends < index;
            ends = ends.saturating_add(usize::from(byte == NAME_END));
            is_before
        });
        let name: Vec<u8> = name.take_while(|&byte| byte != NAME_END).collect();
        match name.is_empty() {
            true => format!("column {index}"),
            false => format!("column {:?}", String::from_utf8_lossy(&name)),
        }
    }

    fn refuse_field(&self, field: &Field, index: usize, expected: &str) -> Error {
        let (line, column) = (field.line, self.column(index));
        let got = match (field.is_missing(), field.text.get(..40)) {
            (true, _) => "nothing".to_string(),
            (false, Some(start)) => format!("\"{}…\"", start.escape_ascii()),
            (false, None) => format!("\"{}\"", field.text.escape_ascii()),
        };
        self.refuse(format!("line {line}, {column}: expected {expected}, got {got}"))
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::format(self.file, reason)
    }
}

/// The name of each column; its number where there is no header.
fn all_names(names: &ChunkedVec<u8>, n_columns: usize) -> Vec<String> {
    let bytes: Vec<u8> = names.iter().collect();
    if bytes.is_empty() {
        return (0..n_columns).map(|index| index.to_string()).collect();
    }
    let names = bytes.split(|&byte| byte == NAME_END).take(n_columns);
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
