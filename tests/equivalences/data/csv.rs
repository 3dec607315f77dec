//! What a program may write around the same table.

use super::*;
use deltarule::data::{Csv, CsvData};

const NAMES: [&str; 5] = ["a", "b c", "d,e", "f\"g", "h\ni"];

/// How a field is written.
#[derive(Clone, Debug)]
struct Style {
    is_quoted: bool,
    before: &'static str,
    behind: &'static str,
}

fn style() -> impl Strategy<Value = Style> {
    let blanks = || prop::sample::select(vec!["", "", " ", "\t", "   "]);
    (any::<bool>(), blanks(), blanks()).prop_map(|(is_quoted, before, behind)| Style {
        is_quoted,
        before,
        behind,
    })
}

#[derive(Clone, Debug)]
struct Row {
    values: [i16; 2],
    class: usize,
    styles: [Style; 3],
    /// Before the row.
    empty_lines: Vec<&'static str>,
}

fn row() -> impl Strategy<Value = Row> {
    let empty_lines = prop::collection::vec(prop::sample::select(vec!["", " ", "\t  "]), 0..3);
    let styles = [style(), style(), style()];
    (any::<[i16; 2]>(), 0..NAMES.len(), styles, empty_lines)
        .prop_map(|(values, class, styles, empty_lines)| Row { values, class, styles, empty_lines })
}

fn field(text: &str, style: &Style) -> String {
    let needs_quotes = text.contains([',', '"', '\n']);
    let body = match style.is_quoted || needs_quotes {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    format!("{}{body}{}", style.before, style.behind)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tables_are_the_same_by_every_way(
        rows in prop::collection::vec(row(), 2..40),
        has_mark: bool,
        has_header: bool,
        ends_line: bool,
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        most in 2usize..300,
    ) {
        let mut text = String::from(if has_mark { "\u{feff}" } else { "" });
        if has_header {
            text += "x, \"y\" ,kind";
            text += line_end;
        }
        for (i, row) in rows.iter().enumerate() {
            for blanks in &row.empty_lines {
                text += blanks;
                text += line_end;
            }
            let [x, y] = row.values.map(|value| (f32::from(value) / 8.0).to_string());
            let fields = [&x[..], &y, NAMES[row.class]];
            let fields: Vec<String> =
                fields.iter().zip(&row.styles).map(|(text, style)| field(text, style)).collect();
            text += &fields.join(",");
            if ends_line || i + 1 < rows.len() {
                text += line_end;
            }
        }
        let csv = Csv::classification().classes(NAMES).header(has_header);
        let read = |reader: &mut dyn Read| csv.read(reader);
        let answers = ways(text.as_bytes(), most, read, |path| csv.read_file(path));
        for data in answers {
            let CsvData { dataset, feature_names, target_name, .. } = &data;
            let deltarule::data::Features::F32(values) = dataset.features() else { unreachable!() };
            let want = rows.iter().flat_map(|row| row.values.map(|x| f32::from(x) / 8.0));
            prop_assert!(values.iter().copied().eq(want), "{:?}", text);
            let Targets::Classes { labels, .. } = dataset.targets() else { unreachable!() };
            let want = rows.iter().map(|row| row.class as u32);
            prop_assert!(labels.iter().copied().eq(want), "{:?}", text);
            if has_header {
                prop_assert_eq!(feature_names, &["x", "y"]);
                prop_assert_eq!(target_name, "kind");
            }
        }
    }
}
