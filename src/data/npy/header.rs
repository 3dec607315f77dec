//! The header of an NPY file: a Python literal, and the type that it names.

use crate::format::ElementType;

/// NumPy's own limit.
const MAX_DIMS: usize = 64;

/// The types, with NumPy's three names: by kind and size, by a character, in words.
const NAMES: [(ElementType, &str, &str, &str); 12] = [
    (ElementType::Bool, "b1", "?", "bool"),
    (ElementType::U8, "u1", "B", "uint8"),
    (ElementType::I8, "i1", "b", "int8"),
    (ElementType::U16, "u2", "H", "uint16"),
    (ElementType::I16, "i2", "h", "int16"),
    (ElementType::U32, "u4", "I", "uint32"),
    (ElementType::I32, "i4", "i", "int32"),
    (ElementType::U64, "u8", "Q", "uint64"),
    (ElementType::I64, "i8", "q", "int64"),
    (ElementType::F16, "f2", "e", "float16"),
    (ElementType::F32, "f4", "f", "float32"),
    (ElementType::F64, "f8", "d", "float64"),
];

/// What `numpy.dtype(descr)` is, and whether its bytes are big-endian: `<f4`, as NumPy writes
/// it, and the other spellings that it reads. A byte order of `=` or `|`, or none, is the
/// machine's own.
pub(super) fn parse_descr(descr: &str) -> Option<(ElementType, bool)> {
    let (order, name) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "=" | "|"), name)) => (order, name),
        _ => ("", descr),
    };
    // The long names have no byte order.
    let is_name = |(_, size, code, long): &&(_, &str, &str, &str)| {
        [*size, *code].contains(&name) || order.is_empty() && *long == name
    };
    let &(element_type, ..) = NAMES.iter().find(is_name)?;
    let is_big = match order {
        "<" => false,
        ">" => true,
        _ => cfg!(target_endian = "big"),
    };
    Some((element_type, is_big))
}

/// The three entries of a header, in any order.
pub(super) struct Header<'a> {
    pub(super) descr: &'a str,
    pub(super) is_fortran: bool,
    pub(super) shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Reads the Python literal that NumPy writes; `None` for anything else.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut rest = Literal(std::str::from_utf8(text).ok()?);
        let (mut descr, mut is_fortran, mut shape) = (None, None, None);
        rest.skip("{")?;
        while rest.skip("}").is_none() {
            let key = rest.string()?;
            rest.skip(":")?;
            let is_new = match key {
                "descr" => descr.replace(rest.string()?).is_none(),
                "fortran_order" => is_fortran.replace(rest.boolean()?).is_none(),
                "shape" => shape.replace(rest.tuple()?).is_none(),
                _ => false,
            };
            if !is_new || (rest.skip(",").is_none() && !rest.0.trim_start().starts_with('}')) {
                return None;
            }
        }
        let is_end = rest.0.trim().is_empty();
        is_end.then_some(Header { descr: descr?, is_fortran: is_fortran?, shape: shape? })
    }
}

/// What is left of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn skip(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A string; Python 2 may have put `u` before it.
    fn string(&mut self) -> Option<&'a str> {
        let _ = self.skip("u");
        let quote = if self.skip("'").is_some() { '\'' } else { self.skip("\"").map(|()| '"')? };
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.skip("True").map(|()| true).or_else(|| self.skip("False").map(|()| false))
    }

    /// `()`, `(3,)`, `(3, 4)`, of at most [`MAX_DIMS`]; Python 2 wrote some numbers as `3L`.
    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.skip("(")?;
        let (inside, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let inside = inside.trim();
        if inside.is_empty() {
            return Some(Vec::new());
        }
        let sizes = inside.strip_suffix(',').unwrap_or(inside).split(',');
        let is_short = sizes.clone().take(MAX_DIMS.saturating_add(1)).count() <= MAX_DIMS;
        let size = |size: &str| {
            let size = size.trim();
            size.strip_suffix('L').unwrap_or(size).parse().ok()
        };
        is_short.then(|| sizes.map(size).collect())?
    }
}
