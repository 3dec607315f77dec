//! The header of a safetensors file: one JSON object, read strictly and without trust.
//!
//! A tensor may have any number of dimensions and any type, known or not; it is checked further when
//! it is read. The tensors have to fill the data without overlap or hole; no key twice; tensor names
//! without escapes (so they are borrowed, and a hostile header costs less memory than its size); at
//! most [`MAX_METADATA`] entries of metadata.

use super::entry::{Entry, read_entry};
use super::json::{Json, Numbers, Reason};
use crate::error::{Error, Result};
use std::borrow::Cow;

/// Bytes of a header at most: enough for 10,000 layers.
pub(crate) const MAX_HEADER: u64 = 1 << 20;
/// Entries of metadata at most.
const MAX_METADATA: usize = 256;
/// Characters that no entry of a tensor can do without: `"":{"dtype":"U8","shape":[],
/// "data_offsets":[0,1]}`. Bounds what is reserved for a header.
const MIN_ENTRY: usize = 49;
const _: () = assert!(size_of::<Entry>() <= MIN_ENTRY, "entries cost less than their text");

/// The metadata key of the checksum.
pub(crate) const CHECKSUM: &str = "deltarule.checksum";
/// What the checksum's digits count as in the checksum.
pub(crate) const NO_DIGITS: &str = "0000000000000000";

/// A parsed header.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    text: &'a str,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// In the order of their data, which they fill without a gap.
    pub(crate) entries: Vec<Entry<'a>>,
    /// Bytes of data.
    pub(crate) n_data: u64,
    /// Where in the header the 16 digits of the checksum begin.
    pub(crate) checksum_at: Option<usize>,
}

impl<'a> Header<'a> {
    /// Reads a header; `file` is for errors.
    pub(crate) fn parse(bytes: &'a [u8], file: &str) -> Result<Header<'a>> {
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
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| &**value)
    }

    /// Whether this crate wrote the file.
    pub(crate) fn is_ours(&self) -> bool {
        self.metadata.iter().any(|(key, _)| key.starts_with("deltarule."))
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// The sizes of a tensor's dimensions.
    pub(crate) fn shape(&self, entry: &Entry) -> Vec<usize> {
        let mut sizes = Vec::new();
        let all = |size: u64| sizes.push(usize::try_from(size).unwrap_or(usize::MAX));
        // It was read before without an error.
        let _ = self.shape_json(entry).each_number(all);
        sizes
    }

    /// The number of a tensor's dimensions.
    pub(crate) fn n_dims(&self, entry: &Entry) -> usize {
        self.shape_json(entry).numbers().map_or(0, |numbers| numbers.count)
    }

    /// Rows and columns of a tensor of one dimension (which is one row) or two.
    pub(crate) fn matrix(&self, entry: &Entry) -> Option<[usize; 2]> {
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
        assert_eq!(header.entry("eighths").unwrap().element_type, None);
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
