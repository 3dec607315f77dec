//! One tensor in the header of a safetensors file.

use super::element_type::ElementType;
use super::json::{Json, Numbers, Reason};

/// Characters of a type's name.
const TYPE_NAME: std::ops::RangeInclusive<usize> = 2..=16;

/// One tensor of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    /// The range of the values in the data.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The position of the shape's array in the header; a header has at most [`MAX_HEADER`](super::header::MAX_HEADER) bytes.
    pub(crate) shape_at: (u32, u32),
    /// None for a type that this crate does not read.
    pub(crate) element_type: Option<ElementType>,
    /// Whether all values of F32 are finite: filled in as they are read.
    pub(crate) is_finite: bool,
}

impl Entry<'_> {
    pub(crate) fn is_f32(&self) -> bool {
        self.element_type == Some(ElementType::F32)
    }

    /// The name of the type, for an error.
    pub(crate) fn type_name(&self) -> &'static str {
        type_name(self.element_type)
    }

    /// Bytes of the values; fits, because [`Header::parse`](super::header::Header::parse) checked.
    pub(crate) fn n_bytes(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }
}

fn type_name(element_type: Option<ElementType>) -> &'static str {
    element_type.map_or("another type", ElementType::name)
}

/// Reads `{"dtype":..., "shape":[...], "data_offsets":[begin, end]}`, in any order.
pub(crate) fn read_entry<'a>(json: &mut Json<'a>, name: &'a str) -> Reason<Entry<'a>> {
    let (mut element_type, mut shape, mut offsets) = (None, None, None);
    json.members(|json| {
        let (key, _) = json.string()?;
        json.expect(b':')?;
        let twice = match &*key {
            "dtype" => {
                let (text, _) = json.string()?;
                if !TYPE_NAME.contains(&text.len()) {
                    return Err(format!("{name:?}: {text:?} is no type"));
                }
                element_type.replace(ElementType::named(&text)).is_some()
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
    let (Some(element_type), Some((shape, at)), Some(offsets)) = (element_type, shape, offsets)
    else {
        return Err(format!("{name:?}: expected dtype, shape and data_offsets"));
    };
    let Numbers { count: 2, values: [start, end], .. } = offsets else {
        return Err(format!("{name:?}: expected two data_offsets"));
    };
    // The size of a value of an unknown type is unknown.
    let fits = match element_type.map(ElementType::size) {
        Some(size) => {
            let n_bytes = shape.product.and_then(|n| n.checked_mul(size));
            n_bytes.is_some_and(|n| start.checked_add(n) == Some(end))
        }
        None => start <= end,
    };
    if !fits {
        let at = json.text.get(at.0..at.1).unwrap_or_default();
        let at = at.get(..40).unwrap_or(at);
        let type_name = type_name(element_type);
        return Err(format!(
            "{name:?}: {type_name} of shape {at} are not the bytes {start}..{end}"
        ));
    }
    let (Ok(shape_start), Ok(shape_end), Ok(_)) =
        (u32::try_from(at.0), u32::try_from(at.1), isize::try_from(end))
    else {
        return Err(format!("{name:?}: too large for this machine"));
    };
    Ok(Entry {
        name,
        start,
        end,
        shape_at: (shape_start, shape_end),
        element_type,
        is_finite: true,
    })
}
