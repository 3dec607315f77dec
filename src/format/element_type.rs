//! The type of the values in an array file.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementType {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl ElementType {
    const ALL: [Self; 13] = [
        Self::Bool,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
    ];

    /// The name in safetensors and the bytes of a value.
    fn name_and_size(self) -> (&'static str, u64) {
        match self {
            Self::Bool => ("BOOL", 1),
            Self::U8 => ("U8", 1),
            Self::I8 => ("I8", 1),
            Self::U16 => ("U16", 2),
            Self::I16 => ("I16", 2),
            Self::U32 => ("U32", 4),
            Self::I32 => ("I32", 4),
            Self::U64 => ("U64", 8),
            Self::I64 => ("I64", 8),
            Self::F16 => ("F16", 2),
            Self::Bf16 => ("BF16", 2),
            Self::F32 => ("F32", 4),
            Self::F64 => ("F64", 8),
        }
    }

    /// The type with this name in safetensors.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element_type| element_type.name() == name)
    }

    /// The name in safetensors.
    pub(crate) fn name(self) -> &'static str {
        self.name_and_size().0
    }

    /// Bytes of a value.
    pub(crate) fn size(self) -> u64 {
        self.name_and_size().1
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}
