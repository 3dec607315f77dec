//! The memory that a step writes, before `views` divides it: where buffers lie, and what belongs to a
//! batch and to the parameters.

use super::ops::{Buffer, Shape};
use super::state::{LayerState, PartRows, Slot};
use crate::gemm::ActiveInputs;
use crate::network::LayerParameters;
use crate::storage::PanelMatrix;

/// Where a buffer of a program lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The matrix that holds it; at any time it holds one buffer.
    pub(crate) matrix: usize,
    /// Columns in memory.
    pub(crate) cols: usize,
}

impl Place {
    /// A matrix for each buffer.
    pub(crate) fn of_each(shapes: &[Shape]) -> Vec<Place> {
        let place = |(matrix, shape): (usize, &Shape)| Place { matrix, cols: shape.cols() };
        shapes.iter().enumerate().map(place).collect()
    }
}

/// What the blocks of rows of a batch write.
pub(crate) struct BatchMemory<'a> {
    pub(crate) matrices: &'a mut [PanelMatrix],
    pub(crate) places: &'a [Place],
    pub(crate) parts: &'a mut [Option<PartRows>],
    pub(crate) labels: &'a mut [u32],
    pub(crate) losses: &'a mut [f64],
    /// One element per block.
    pub(crate) inputs: &'a mut [ActiveInputs],
}

/// What the parts of the columns of the first layer write.
pub(crate) struct ColumnMemory<'a> {
    /// A copy of the inputs per part.
    pub(crate) x: &'a mut [PanelMatrix],
    pub(crate) out: &'a mut PanelMatrix,
    pub(crate) z: Option<&'a mut PanelMatrix>,
    /// One element per part.
    pub(crate) inputs: &'a mut [ActiveInputs],
}

/// What the tiles of an update write.
pub(crate) struct ParameterMemory<'a> {
    pub(crate) layers: &'a mut [LayerParameters],
    pub(crate) states: &'a mut [LayerState],
    /// Empty where no gradients are kept.
    pub(crate) gradients: &'a mut [Slot],
}

/// A few buffers: an array.
pub(crate) trait Buffers {
    /// As many values.
    type Each<T>;
    fn list(&self) -> &[Buffer];
    /// What `get` returns for each. (The standard library's ways to map arrays are not inlined.)
    fn each<T>(self, get: impl Fn(Buffer) -> T) -> Self::Each<T>;
}

macro_rules! buffers {
    ($($n:literal: $($buffer:ident)*;)+) => {
        $(impl Buffers for [Buffer; $n] {
            type Each<T> = [T; $n];

            #[inline(always)]
            fn list(&self) -> &[Buffer] {
                self
            }

            #[inline(always)]
            fn each<T>(self, get: impl Fn(Buffer) -> T) -> [T; $n] {
                let [$($buffer),*] = self;
                _ = &get;
                [$(get($buffer)),*]
            }
        })+
    };
}
buffers! {
    0:;
    1: a;
    2: a b;
    3: a b c;
}
