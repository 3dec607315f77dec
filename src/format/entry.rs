//! One tensor in the header of a safetensors file.

use super::json::{Json, Numbers, Reason};

/// Characters of a type's name.
const TYPE_NAME: std::ops::RangeInclusive<usize> = 2..=16;

/// What the values of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
    pub(crate) fn name(self) -> &'static str {
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
    pub(crate) fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64 | Kind::F16 | Kind::Bf16)
    }
}

/// One tensor of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    /// Where the values begin and end in the data.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Where in the header the shape's array stands; a header has at most [`MAX_HEADER`](super::header::MAX_HEADER) bytes.
    pub(crate) shape_at: (u32, u32),
    pub(crate) kind: Kind,
    /// Whether all values of F32 are finite: filled in as they are read.
    pub(crate) is_finite: bool,
}

impl Entry<'_> {
    /// Bytes of the values; fits, because [`Header::parse`](super::header::Header::parse) checked.
    pub(crate) fn n_bytes(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }
}

/// Reads `{"dtype":..., "shape":[...], "data_offsets":[begin, end]}`, in any order.
pub(crate) fn read_entry<'a>(json: &mut Json<'a>, name: &'a str) -> Reason<Entry<'a>> {
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
