//! Tables of text as spreadsheets and other programs write them. The right answers are those of
//! RFC 4180, of `pandas.read_csv(skipinitialspace=True)`, or what the caller declared.

#![cfg(feature = "csv")]

use deltarule::Result;
use deltarule::data::{Csv, CsvData, Features, Missing, Targets};

fn features(data: &CsvData) -> Vec<f32> {
    let Features::F32(values) = data.dataset.features() else { panic!("bytes") };
    values.to_vec()
}

fn labels(data: &CsvData) -> Vec<u32> {
    let Targets::Classes { labels, .. } = data.dataset.targets() else { panic!("values") };
    labels.clone()
}

fn read(csv: &Csv, text: &str) -> CsvData {
    csv.read(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text:?}"))
}

fn refused(answer: Result<CsvData>, reason: &str) {
    let text = answer.unwrap_err().to_string();
    assert!(text.contains(reason), "{text}");
}

const FLOWERS: &str = "id,width,length,kind\r\n\
    a,0.2,1.4,setosa\r\n\
    \"b, \"\"two\"\"\", 1.8 ,51e-1,virginica\r\n\
    c,7,-3,setosa";

#[test]
fn classes_by_name_or_number() {
    let flowers = read(&Csv::classification().ignore("id"), FLOWERS);
    assert_eq!(features(&flowers), [0.2, 1.4, 1.8, 5.1, 7.0, -3.0]);
    assert_eq!(labels(&flowers), [0, 1, 0]);
    assert_eq!(flowers.feature_names, ["width", "length"]);
    assert_eq!(flowers.target_name, "kind");
    assert_eq!(flowers.class_names, ["setosa", "virginica"]);
    let by_index = Csv::classification().ignore(0).target(3);
    assert_eq!(read(&by_index, FLOWERS), flowers);
    let given = Csv::classification().ignore("id").classes(["virginica", "setosa", "other"]);
    let given = read(&given, FLOWERS);
    assert_eq!(labels(&given), [1, 0, 1]);
    assert_eq!(given.class_names, ["virginica", "setosa", "other"]);

    let numbers = "2;0.5\n0;1.5\n";
    let csv = Csv::classification().header(false).delimiter(b';').target(0);
    let numbers = csv.read(numbers.as_bytes()).unwrap();
    assert_eq!((labels(&numbers), &numbers.feature_names[..]), (vec![2, 0], &["1".into()][..]));
    assert_eq!(numbers.class_names, ["0", "1", "2"]);
}

#[test]
fn regression_and_missing_values() {
    let text = "x,y,z\n1,2,3\n,5,6\n7,NA,9\n10,11,?\n";
    let read = |missing| Csv::regression().missing(missing).read(text.as_bytes());
    let error = read(Missing::Error).unwrap_err().to_string();
    assert_eq!(error, "stream: line 3, column \"x\": expected a finite number, got nothing");
    let dropped = read(Missing::DropRow).unwrap();
    assert_eq!((features(&dropped), dropped.dropped_rows), (vec![1.0, 2.0], 3));
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
    let refused = |csv: &Csv, text: &str, reason| refused(csv.read(text.as_bytes()), reason);
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

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_field() {
    let text = "x,kind\n1,a\n2,b\n";
    let plain = read(&Csv::classification(), text);
    assert_eq!(read(&Csv::classification(), &format!("\u{feff}{text}")), plain);
    // Pandas takes the mark off before a quote too.
    let quoted = "\u{feff}\"x\",\"kind\"\n1,a\n2,b\n";
    assert_eq!(read(&Csv::classification().target("kind"), quoted), plain);
    assert_eq!(
        read(&Csv::classification().ignore("x").header(true), "\u{feff}x,y,k\n1,2,a\n3,4,b")
            .feature_names,
        ["y"]
    );
    // Without a header it would be an extra class, or no number.
    let bare = Csv::classification().header(false).target(0);
    let data = read(&bare, "\u{feff}a,1\na,2\nb,3\n");
    assert_eq!(
        (labels(&data), &data.class_names[..]),
        (vec![0, 0, 1], &["a".into(), "b".into()][..])
    );
    let data = read(&Csv::regression().header(false), "\u{feff}1,2\n3,4");
    assert_eq!(features(&data), [1.0, 3.0]);
    // Only at the very start, and nothing at all is no table.
    assert_eq!(labels(&read(&bare, "a,1\n\u{feff}a,2\n")), [0, 1]);
    for text in ["\u{feff}", "\u{feff}\n", ""] {
        refused(bare.read(text.as_bytes()), "no rows");
    }
    for utf_16 in [&b"\xff\xfea\0,\0"[..], b"\xfe\xff\0a\0,"] {
        refused(bare.read(utf_16), "expected text in UTF-8, got UTF-16");
    }
}

#[test]
fn blanks_before_a_quoted_field_do_not_count() {
    let plain = read(&Csv::classification(), "x,kind\n1,a\n2,b\n3,a\n");
    for text in [
        "x, \"kind\"\n1, \"a\"\n2,\t\"b\"\n3,a\n",
        " \"x\" ,\"kind\" \n \"1\" ,\"a\" \n\"2\",   \"b\"\t\n  3, a\n",
        "x,kind\n1,\" a \"\n2,\"b\"\n3, \" a\" \n",
    ] {
        assert_eq!(read(&Csv::classification(), text), plain, "{text:?}");
    }
    // A delimiter, a quote and a line end inside the quotes are text.
    let text = "x,kind\n1, \"a,b\"\n2,  \"a \"\"b\"\"\"\n3, \"a\nb\"\n";
    let data = read(&Csv::classification(), text);
    assert_eq!(data.class_names, ["a\nb", "a \"b\"", "a,b"]);
    assert_eq!(labels(&data), [2, 1, 0]);
    // The caller's delimiter is no blank.
    let tabs = read(
        &Csv::classification().delimiter(b'\t'),
        "x\ty\tkind\n1\t \t\"a\"\n2\t3\tb\n".replace(" \t", "4\t").as_str(),
    );
    assert_eq!((features(&tabs), labels(&tabs)), (vec![1.0, 4.0, 2.0, 3.0], vec![0, 1]));
    let spaces = read(&Csv::classification().delimiter(b' '), "x kind\n1 \"a b\"\n2 \tb\n");
    assert_eq!(
        (labels(&spaces), &spaces.class_names[..]),
        (vec![0, 1], &["a b".into(), "b".into()][..])
    );
    let empty = Csv::regression().delimiter(b'\t').missing(Missing::Fill(9.0));
    assert_eq!(features(&read(&empty, "x\ty\tz\n\t\t1\n1\t\t2\n")), [9.0, 9.0, 1.0, 9.0]);
}

#[test]
fn lines_of_blanks_are_empty_lines() {
    let plain = read(&Csv::classification(), "x,kind\n1,a\n2,b\n");
    for text in [
        "   \nx,kind\n1,a\n2,b\n",
        "x,kind\n \n1,a\n\t \t\n2,b\n  ",
        "x,kind\r\n\r\n   \r\n1,a\r\n  \r\n\r\n2,b\r\n \r\n",
        "x,kind\r1,a\r  \r2,b",
    ] {
        assert_eq!(read(&Csv::classification(), text), plain, "{text:?}");
    }
    // They are counted all the same.
    refused(
        Csv::classification().read(&b"x,kind\n  \n\n1,a\n \nz,b\n"[..]),
        "line 6, column \"x\"",
    );
    refused(
        Csv::classification().read(&b"x,kind\r\n  \r\n1,a\r\nz,b\r\n"[..]),
        "line 4, column \"x\"",
    );
    // Blanks are a value that is missing where the row has a delimiter.
    refused(Csv::classification().read(&b"x,kind\n1,a\n , \n"[..]), "line 3, column \"x\"");
}

#[test]
fn class_numbers_have_no_limit_and_names_have() {
    let rows = |n: usize| (0..n).map(|i| format!("0.5,{}\n", (i * 7919) % n)).collect::<String>();
    for n in [1024, 1025, 2003, 65_536] {
        let data = read(&Csv::classification().header(false), &rows(n));
        assert!(labels(&data).into_iter().eq((0..n).map(|i| ((i * 7919) % n) as u32)));
        assert_eq!(data.class_names.len(), n);
    }
    let bare = Csv::classification().header(false);
    let one_name = rows(1025) + "0.5,x\n";
    refused(bare.read(one_name.as_bytes()), "line 1026, column 1: expected at most 1024 labels");
    // Named beforehand there may be any number of them.
    let names: Vec<String> = (0..3000).map(|i| format!("n{i}")).collect();
    let text: String = names.iter().rev().map(|name| format!("1,{name}\n")).collect();
    let data = read(&bare.classes(&names), &text);
    assert!(labels(&data).into_iter().eq((0..3000).rev()));
    assert_eq!(data.class_names, names);
}

#[test]
fn what_the_caller_declares_wins() {
    let text = "x,region\n1,NA\n2,EU\n3,null\n4,?\n";
    let names = ["EU", "NA", "null", "?"];
    for missing in [Missing::Error, Missing::DropRow, Missing::Fill(7.0)] {
        let data = read(&Csv::classification().classes(names).missing(missing), text);
        assert_eq!((labels(&data), data.dropped_rows), (vec![1, 0, 2, 3], 0), "{missing:?}");
    }
    // Not declared they are missing, and so is what was not declared.
    let data =
        read(&Csv::classification().missing(Missing::DropRow), &(text.to_string() + "5,AS\n"));
    assert_eq!((data.class_names, data.dropped_rows), (vec!["AS".into(), "EU".into()], 3));
    let two = Csv::classification().classes(["EU", "NA"]).missing(Missing::DropRow);
    assert_eq!(read(&two, text).dropped_rows, 2);
    let two = Csv::classification().classes(["EU", "NA"]);
    refused(
        two.read(text.as_bytes()),
        "line 4, column \"region\": expected a class label, got nothing",
    );
    // Numbers that are declared are names in the order given.
    let data = read(&Csv::classification().classes(["5", "3"]), "x,y\n1,3\n2,5\n");
    assert_eq!((labels(&data), &data.class_names[..]), (vec![1, 0], &["5".into(), "3".into()][..]));
    // Blanks around a declared name count no more than around one in the file.
    let data =
        read(&Csv::classification().target(" y ").classes([" a", "b "]), "x, y\n1,a\n2, b\n");
    assert_eq!(labels(&data), [0, 1]);
    assert_eq!(data.class_names, [" a", "b "]);
    refused(Csv::classification().classes(["a", " a"]).read(&b"x,y\n"[..]), "named twice");
    // A digit as the delimiter, though pixels are read in a hurry.
    let data = read(&Csv::regression().header(false).delimiter(b'0'), "10203\n40506\n");
    assert_eq!(features(&data), [1.0, 2.0, 4.0, 5.0]);
}

/// As `DataFrame.dropna()` before `y.unique()`.
#[test]
fn classes_of_dropped_rows_are_none() {
    for (csv, text) in [
        (Csv::classification(), "x,y\n1,a\n,c\n2,b\n"),
        (Csv::classification().target(0), "y,x\na,1\nc,\nb,2\n"),
    ] {
        let data = read(&csv.missing(Missing::DropRow), text);
        assert_eq!((data.class_names, data.dropped_rows), (vec!["a".into(), "b".into()], 1));
    }
    let numbers = "y,x\n1,1\n900,\n0,2\n";
    let data = read(&Csv::classification().target(0).missing(Missing::DropRow), numbers);
    assert_eq!(data.class_names, ["0", "1"]);
}

/// A file that was cut inside quotes: pandas says "EOF inside string".
#[test]
fn quotes_that_do_not_end_are_refused() {
    let csv = Csv::classification();
    for text in ["x,y\n1,\"a", "x,y\n1,a\n2,\"b\n3,c\n", "x,y\n1,a\n2, \"b\"\"", "x,y\n1,a\n2,\""] {
        refused(csv.read(text.as_bytes()), "a quoted field has no end");
    }
    let data = read(&csv, "x,y\n1,\"a\"\n2,\"b\"\"\"");
    assert_eq!(data.class_names, ["a", "b\""]);
    assert_eq!(read(&csv, "x,y\n1,a\"\n2,b").class_names, ["a\"", "b"]);
}
