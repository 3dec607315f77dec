//! The header of a safetensors file: one JSON object, read strictly and without trust.
//!
//! Any tensor may stand in it, of any number of dimensions and any type of values, known or not;
//! whether it can be used is judged when it is asked for. The tensors have to fill the data without
//! overlap or hole; no key twice; tensor names without escapes (so they are borrowed, and a hostile
//! header costs less than its own size); at most [`MAX_METADATA`] entries of metadata.

use super::json::{Json, Numbers, Reason};
use crate::{Error, Result};
use std::borrow::Cow;

/// Bytes of a header at most: enough for 10,000 layers.
pub(super) const MAX_HEADER: u64 = 1 << 20;
/// Entries of metadata at most.
const MAX_METADATA: usize = 256;
/// Characters that no entry of a tensor can do without: `"":{"dtype":"U8","shape":[],
/// "data_offsets":[0,1]}`. Bounds what is reserved for a header.
const MIN_ENTRY: usize = 49;
const _: () = assert!(size_of::<Entry>() <= MIN_ENTRY, "entries cost less than their text");
/// Characters of a type's name.
const TYPE_NAME: std::ops::RangeInclusive<usize> = 2..=16;

/// The metadata key of the checksum.
pub(super) const CHECKSUM: &str = "deltarule.checksum";
/// What the checksum's digits count as in the checksum.
pub(super) const NO_DIGITS: &str = "0000000000000000";

/// What the values of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F64,
    F16,
    Bf16,
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// Values that this crate has no use for.
    Other,
}

impl Kind {
    /// Each that is known, with its name and the bytes of a value.
    const ALL: [(Kind, &'static str, u8); 13] = [
        (Kind::F32, "F32", 4),
        (Kind::F64, "F64", 8),
        (Kind::F16, "F16", 2),
        (Kind::Bf16, "BF16", 2),
        (Kind::Bool, "BOOL", 1),
        (Kind::U8, "U8", 1),
        (Kind::I8, "I8", 1),
        (Kind::U16, "U16", 2),
        (Kind::I16, "I16", 2),
        (Kind::U32, "U32", 4),
        (Kind::I32, "I32", 4),
        (Kind::U64, "U64", 8),
        (Kind::I64, "I64", 8),
    ];

    fn named(name: &str) -> Kind {
        Kind::ALL
            .iter()
            .find(|(_, known, _)| *known == name)
            .map_or(Kind::Other, |(kind, ..)| *kind)
    }

    /// The name in a header.
    pub(super) fn name(self) -> &'static str {
        Kind::ALL
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or("another type", |(_, name, _)| name)
    }

    /// Bytes of a value, where they are known.
    fn size(self) -> Option<u64> {
        Kind::ALL.iter().find(|(kind, ..)| *kind == self).map(|(.., size)| u64::from(*size))
    }

    /// Whether the values are floats.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64 | Kind::F16 | Kind::Bf16)
    }
}

/// One tensor of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// Where the values begin and end in the data.
    pub(super) start: u64,
    end: u64,
    /// Where in the header the shape's array stands; a header has at most [`MAX_HEADER`] bytes.
    shape_at: (u32, u32),
    pub(super) kind: Kind,
    /// Whether all values of F32 are finite: filled in as they are read.
    pub(super) is_finite: bool,
}

impl Entry<'_> {
    /// Bytes of the values; fits, because [`Header::parse`] checked.
    pub(super) fn n_bytes(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }
}

/// What a header says.
#[derive(Debug)]
pub(super) struct Header<'a> {
    text: &'a str,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// In the order of their data, which they fill without a gap.
    pub(super) entries: Vec<Entry<'a>>,
    /// Bytes of data.
    pub(super) n_data: u64,
    /// Where in the header the 16 digits of the checksum begin.
    pub(super) checksum_at: Option<usize>,
}

impl<'a> Header<'a> {
    /// Reads a header; `file` is for errors.
    pub(super) fn parse(bytes: &'a [u8], file: &str) -> Result<Header<'a>> {
        let refuse = |reason: String| Error::format(file, format!("header: {reason}"));
        let text = str::from_utf8(bytes).map_err(|e| refuse(e.to_string()))?;
        let mut header =
            Header { text, metadata: vec![], entries: vec![], n_data: 0, checksum_at: None };
        let n_entries = bytes.iter().filter(|&&b| b == b'{').count();
        header.entries.reserve_exact(n_entries.min(bytes.len() / MIN_ENTRY));
        let mut json = Json { text, at: 0 };
        header.object(&mut json).map_err(|reason| refuse(format!("byte {}: {reason}", json.at)))?;
        header.check().map_err(refuse)?;
        Ok(header)
    }

    /// A value of the metadata.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| &**value)
    }

    /// Whether this crate wrote the file.
    pub(super) fn is_ours(&self) -> bool {
        self.metadata.iter().any(|(key, _)| key.starts_with("deltarule."))
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// The sizes of a tensor's dimensions, as far as they are sizes at all here.
    pub(super) fn shape(&self, entry: &Entry) -> Vec<usize> {
        let mut sizes = Vec::new();
        let all = |size: u64| sizes.push(usize::try_from(size).unwrap_or(usize::MAX));
        // It was read before without an error.
        let _ = self.shape_json(entry).each_number(all);
        sizes
    }

    /// The number of a tensor's dimensions.
    pub(super) fn n_dims(&self, entry: &Entry) -> usize {
        self.shape_json(entry).numbers().map_or(0, |numbers| numbers.count)
    }

    /// Rows and columns of a tensor of one dimension (which is one row) or two.
    pub(super) fn matrix(&self, entry: &Entry) -> Option<[usize; 2]> {
        let sizes = match self.shape_json(entry).numbers() {
            Ok(Numbers { count: 1, values: [n, _], .. }) => [1, n],
            Ok(Numbers { count: 2, values, .. }) => values,
            _ => return None,
        };
        Some(sizes.map(|size| usize::try_from(size).unwrap_or(usize::MAX)))
    }

    fn shape_json(&self, entry: &Entry) -> Json<'a> {
        let at = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let text = self.text.get(at(entry.shape_at.0)..at(entry.shape_at.1)).unwrap_or_default();
        Json { text, at: 0 }
    }

    fn object(&mut self, json: &mut Json<'a>) -> Reason<()> {
        if !json.text.starts_with('{') {
            return Err("expected { as the first byte".into());
        }
        let mut seen_metadata = false;
        json.members(|json| {
            let (name, is_plain) = json.string()?;
            json.expect(b':')?;
            if name == "__metadata__" {
                if std::mem::replace(&mut seen_metadata, true) {
                    return Err("__metadata__ comes twice".into());
                }
                return self.read_metadata(json);
            }
            match name {
                Cow::Borrowed(name) if is_plain => {
                    let entry = read_entry(json, name)?;
                    // Within what was reserved: every entry has a brace and MIN_ENTRY bytes.
                    self.entries.push(entry);
                    Ok(())
                }
                _ => Err(format!("escapes in the tensor name {name:?} are not supported")),
            }
        })?;
        json.space();
        match json.rest() {
            "" => Ok(()),
            _ => Err("expected the end of the header".into()),
        }
    }

    fn read_metadata(&mut self, json: &mut Json<'a>) -> Reason<()> {
        json.members(|json| {
            if self.metadata.len() >= MAX_METADATA {
                return Err(format!("more than {MAX_METADATA} entries of metadata"));
            }
            let (key, _) = json.string()?;
            json.expect(b':')?;
            json.space();
            let start = json.at.saturating_add(1);
            let (value, is_plain) = json.string()?;
            if self.metadata.iter().any(|(k, _)| *k == key) {
                return Err(format!("the metadata {key:?} comes twice"));
            }
            if key == CHECKSUM {
                let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if !is_plain || value.len() != 16 || !value.bytes().all(is_digit) {
                    return Err(format!("expected a checksum of 16 hex digits, got {value:?}"));
                }
                self.checksum_at = Some(start);
            }
            self.metadata.push((key, value));
            Ok(())
        })
    }

    /// No name twice; the data without overlap or hole.
    fn check(&mut self) -> Reason<()> {
        self.entries.sort_unstable_by_key(|e| e.name);
        for (a, b) in self.entries.iter().zip(self.entries.iter().skip(1)) {
            if a.name == b.name {
                return Err(format!("the tensor {:?} comes twice", a.name));
            }
        }
        // Empty ones before what begins where they are.
        self.entries.sort_unstable_by_key(|e| (e.start, e.end));
        for entry in &self.entries {
            if entry.start != self.n_data {
                let (name, end) = (entry.name, self.n_data);
                let what = if entry.start > end { "a hole" } else { "an overlap" };
                let got = entry.start;
                return Err(format!("{what} before {name:?}: expected offset {end}, got {got}"));
            }
            self.n_data = entry.end;
        }
        Ok(())
    }
}

/// Reads `{"dtype":..., "shape":[...], "data_offsets":[begin, end]}`, in any order.
fn read_entry<'a>(json: &mut Json<'a>, name: &'a str) -> Reason<Entry<'a>> {
    let (mut kind, mut shape, mut offsets) = (None, None, None);
    json.members(|json| {
        let (key, _) = json.string()?;
        json.expect(b':')?;
        let twice = match &*key {
            "dtype" => {
                let (text, _) = json.string()?;
                if !TYPE_NAME.contains(&text.len()) {
                    return Err(format!("{name:?}: {text:?} is no type"));
                }
                kind.replace(Kind::named(&text)).is_some()
            }
            "shape" => {
                json.space();
                let at = json.at;
                shape.replace((json.numbers()?, (at, json.at))).is_some()
            }
            "data_offsets" => offsets.replace(json.numbers()?).is_some(),
            other => return Err(format!("{name:?}: unknown key {other:?}")),
        };
        if twice { Err(format!("{name:?}: {key:?} comes twice")) } else { Ok(()) }
    })?;
    let (Some(kind), Some((shape, at)), Some(offsets)) = (kind, shape, offsets) else {
        return Err(format!("{name:?}: expected dtype, shape and data_offsets"));
    };
    let Numbers { count: 2, values: [start, end], .. } = offsets else {
        return Err(format!("{name:?}: expected two data_offsets"));
    };
    // Of a type that is not known nobody knows how many bytes its values take.
    let fits = match kind.size() {
        Some(size) => {
            let n_bytes = shape.product.and_then(|n| n.checked_mul(size));
            n_bytes.is_some_and(|n| start.checked_add(n) == Some(end))
        }
        None => start <= end,
    };
    if !fits {
        let at = json.text.get(at.0..at.1).unwrap_or_default();
        let at = at.get(..40).unwrap_or(at);
        let kind = kind.name();
        return Err(format!("{name:?}: {kind} of shape {at} are not the bytes {start}..{end}"));
    }
    let (Ok(shape_start), Ok(shape_end), Ok(_)) =
        (u32::try_from(at.0), u32::try_from(at.1), isize::try_from(end))
    else {
        return Err(format!("{name:?}: too large for this machine"));
    };
    Ok(Entry { name, start, end, shape_at: (shape_start, shape_end), kind, is_finite: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, reason: &str) {
        let error = Header::parse(text.as_bytes(), "f").unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }

    fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
        format!(r#"{name:?}:{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offsets}]}}"#)
    }

    #[test]
    fn what_fits_is_read() {
        let text = format!(
            " {{ {}, \"__metadata__\" : {{\"k\\u00e9\\ud83d\\ude00\\n\":\"\\\"v\\\\\"}},{} }}  ",
            entry("b", "F32", "2, 3", "8,32"),
            entry("a", "F32", "2", "0,8")
        );
        assert!(Header::parse(text.as_bytes(), "f").is_err(), "a space before the brace");
        let header = Header::parse(text.trim_start().as_bytes(), "f").unwrap();
        assert_eq!(header.get("ké😀\n"), Some("\"v\\"));
        assert_eq!((header.n_data, header.is_ours()), (32, false));
        let names: Vec<_> = header.entries.iter().map(|e| (e.name, header.shape(e))).collect();
        assert_eq!(names, [("a", vec![2]), ("b", vec![2, 3])]);
        assert_eq!(Header::parse(b"{}", "f").unwrap().n_data, 0);
    }

    #[test]
    fn any_tensor_may_stand_beside_others() {
        let all = [
            entry("scalar", "I64", "", "0,8"),
            entry("empty", "F32", "0, 5", "8,8"),
            entry("images", "U8", "2,3,4", "8,32"),
            entry("bf16", "BF16", "2", "32,36"),
            entry("truth", "BOOL", "1", "36,37"),
            entry("eighths", "F8_E4M3", "3", "37,40"),
            entry("quarters", "F4", "3", "40,42"),
            entry("nothing", "F32", "0", "42,42"),
        ];
        let text = format!("{{{}}}", all.join(","));
        let header = Header::parse(text.as_bytes(), "f").unwrap();
        assert_eq!((header.n_data, header.entries.len()), (42, 8));
        let shape = |name: &str| header.shape(header.entry(name).unwrap());
        assert_eq!((shape("scalar"), shape("images")), (vec![], vec![2, 3, 4]));
        let matrix = |name: &str| header.matrix(header.entry(name).unwrap());
        assert_eq!([matrix("empty"), matrix("images")], [Some([0, 5]), None]);
        assert_eq!(header.entry("eighths").unwrap().kind, Kind::Other);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let one = |dtype, shape, offsets| format!("{{{}}}", entry("a", dtype, shape, offsets));
        let two = |a, b| format!("{{{},{}}}", entry("a", "F32", "1", a), entry("b", "F32", "1", b));
        refused("", "expected {");
        refused("{", "expected '\"'");
        refused("{}x", "end of the header");
        refused("{},", "end of the header");
        refused("{\"a\"", "expected ':'");
        refused("{\"a", "without end");
        refused("{\"\u{1}\":1}", "control");
        refused("{\"\\x\":1}", "escape");
        refused("{\"\\ud800\":1}", "surrogate");
        refused("{\"\\ud800\\u0041\":1}", "surrogate");
        refused("{\"a\\n\":1}", "escapes in the tensor name");
        refused(&one("F32", "1", "0,4").replace("}}", ",}}"), "expected '\"'");
        refused(&one("", "1", "0,2"), "\"\" is no type");
        refused(&one("F8_E5", "1", "4,2"), "not the bytes 4..2");
        refused(&one("F32", "", "0,8"), "not the bytes 0..8");
        refused(&one("F32", "1,1,2", "0,4"), "F32 of shape [1,1,2] are not the bytes 0..4");
        refused(&one("I64", "1", "0,4"), "not the bytes 0..4");
        refused(&one("F32", "0", "0,4"), "not the bytes 0..4");
        refused(&one("F32", "1", "0,8"), "not the bytes 0..8");
        refused(&one("F32", "1", "4,0"), "not the bytes 4..0");
        refused(&one("F32", "1", "0,4,8"), "two data_offsets");
        refused(&one("F32", "01", "0,4"), "leading zero");
        refused(&one("F32", "-1", "0,4"), "whole number");
        refused(&one("F32", "1.0", "0,4"), "expected , or ]");
        refused(&one("F32", "1e0", "0,4"), "expected , or ]");
        refused(&one("F32", "18446744073709551616", "0,4"), "whole number");
        refused(&one("F32", "4294967296,4294967296", "0,0"), "not the bytes");
        refused(&one("F32", "2305843009213693952", "0,9223372036854775808"), "too large");
        refused(&one("F32", "1", "18446744073709551612,18446744073709551615"), "not the bytes");
        refused(&one("F32", "1", "4,8"), "a hole");
        refused(&two("0,4", "8,12"), "a hole");
        refused(&two("0,4", "0,4"), "an overlap");
        refused(&two("0,4", "3,7"), "an overlap");
        refused(&two("0,4", "4,8").replace("\"b\"", "\"a\""), "\"a\" comes twice");
        let twice = one("F32", "1", "0,4").replace("\"shape\":[1]", "\"dtype\":\"F32\"");
        refused(&twice, "\"dtype\" comes twice");
        refused(&one("F32", "1", "0,4").replace("shape", "form"), "unknown key");
        refused("{\"a\":{}}", "expected dtype, shape");
        refused("{\"a\":3}", "expected '{'");
        refused("{\"__metadata__\":{\"a\":1}}", "expected '\"'");
        refused("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", "comes twice");
        refused("{\"__metadata__\":{},\"__metadata__\":{}}", "comes twice");
        for sum in ["0123456789abcdeF", "123", "\\u0030123456789abcdef"] {
            let text = format!("{{\"__metadata__\":{{{CHECKSUM:?}:\"{sum}\"}}}}");
            refused(&text, "16 hex digits");
        }
        let many: Vec<_> = (0..=MAX_METADATA).map(|i| format!("\"{i}\":\"\"")).collect();
        refused(&format!("{{\"__metadata__\":{{{}}}}}", many.join(",")), "more than 256");
        assert!(Header::parse(b"{\"\xff\":1}", "f").is_err());
    }
}
