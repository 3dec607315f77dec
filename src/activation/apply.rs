//! Activations over lines and slices.
//!
//! Vectors are processed one at a time: the processor overlaps them, and the constants of a polynomial
//! just fit AVX2's sixteen registers (unrolled by four, the code spilled and was slower). A tail is
//! processed in a padded buffer by the same operations, so an element's bits depend neither on its
//! position nor on the length.

use super::elementwise::{Elementwise, Keeps, Visit};
use super::table::Activation;
use crate::error::{Error, Result};
use crate::gemm::{ElementwiseOp, FusedOp};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

/// A function of one vector.
pub(super) trait Map: Copy {
    /// f(x)
    fn map<S: Simd>(self, s: S, x: S::V) -> S::V;
}

/// The forward pass of an activation.
impl<E: Elementwise> Map for E {
    #[inline(always)]
    fn map<S: Simd>(self, s: S, x: S::V) -> S::V {
        self.forward(s, x)
    }
}

/// x = f(x) for groups of [`LINE`] floats.
#[inline(always)]
fn map_groups<S: Simd, M: Map>(s: S, f: M, groups: &mut [[f32; LINE]]) {
    for group in groups {
        for i in (0..LINE).step_by(S::LANES) {
            let part = &mut group[i..];
            s.store(f.map(s, s.load(part)), part);
        }
    }
}

/// d = d · σ′(kept) for groups of [`LINE`] floats.
#[inline(always)]
fn backward_groups<S: Simd, E: Elementwise>(
    s: S,
    e: E,
    kept: &[[f32; LINE]],
    d: &mut [[f32; LINE]],
) {
    for (kept, d) in kept.iter().zip(d) {
        for i in (0..LINE).step_by(S::LANES) {
            let part = &mut d[i..];
            let slope = e.derivative(s, s.load(&kept[i..]));
            s.store(s.mul(s.load(part), slope), part);
        }
    }
}

/// A copy of a tail, padded with zeros.
#[inline(always)]
fn padded(tail: &[f32]) -> [f32; LINE] {
    let mut group = [0.0; LINE];
    group[..tail.len()].copy_from_slice(tail);
    group
}

/// x = f(x) over a slice.
struct MapSlice<'a, M> {
    f: M,
    x: &'a mut [f32],
}

impl<M: Map> Kernel for MapSlice<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (groups, tail) = self.x.as_chunks_mut::<LINE>();
        map_groups(s, self.f, groups);
        if !tail.is_empty() {
            let mut group = [padded(tail)];
            map_groups(s, self.f, &mut group);
            tail.copy_from_slice(&group[0][..tail.len()]);
        }
    }
}

/// d = d · σ′(kept) over slices of equal length.
struct BackwardSlice<'a, E> {
    e: E,
    kept: &'a [f32],
    d: &'a mut [f32],
}

impl<E: Elementwise> Kernel for BackwardSlice<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (kept, kept_tail) = self.kept.as_chunks::<LINE>();
        let (d, d_tail) = self.d.as_chunks_mut::<LINE>();
        backward_groups(s, self.e, kept, d);
        if !d_tail.is_empty() {
            let mut group = [padded(d_tail)];
            backward_groups(s, self.e, &[padded(kept_tail)], &mut group);
            d_tail.copy_from_slice(&group[0][..d_tail.len()]);
        }
    }
}

/// x = f(x) over a slice of any length, at a level.
pub(super) fn map_slice<M: Map>(level: Level, f: M, x: &mut [f32]) {
    dispatch(level, MapSlice { f, x });
}

impl Activation {
    /// Replaces each z in `x` by σ(z).
    pub fn forward(self, level: Level, x: &mut [f32]) {
        struct Run<'a>(Level, &'a mut [f32]);
        impl Visit for Run<'_> {
            type Output = ();
            fn visit<E: Elementwise>(self, e: E) {
                map_slice(self.0, e, self.1);
            }
        }
        self.with(Run(level, x));
    }

    /// Multiplies each element of `d` by σ′(z). `kept` holds σ(z), the results of [`forward`]; for
    /// [`Gelu`] and [`Silu`] it holds z.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ.
    ///
    /// [`forward`]: Activation::forward
    /// [`Gelu`]: Activation::Gelu
    /// [`Silu`]: Activation::Silu
    pub fn backward(self, level: Level, kept: &[f32], d: &mut [f32]) -> Result<()> {
        if kept.len() != d.len() {
            let place = format!("{}: kept and d", self.name());
            return Err(Error::shape(place, format!("{} elements", kept.len()), d.len()));
        }
        self.multiply_derivative(level, kept, d);
        Ok(())
    }

    fn multiply_derivative(self, level: Level, kept: &[f32], d: &mut [f32]) {
        struct Run<'a>(Level, &'a [f32], &'a mut [f32]);
        impl Visit for Run<'_> {
            type Output = ();
            fn visit<E: Elementwise>(self, e: E) {
                dispatch(self.0, BackwardSlice { e, kept: self.1, d: self.2 });
            }
        }
        assert_eq!(kept.len(), d.len(), "kept and d");
        self.with(Run(level, kept, d));
    }

    /// What backward needs of a layer with this activation.
    pub(crate) fn keeps(self) -> Keeps {
        constants(self).0
    }

    /// [`ElementwiseOp::forward_lines`] inside of a kernel.
    #[inline(always)]
    pub(crate) fn forward_at<S: Simd>(self, s: S, x: &mut [Line]) {
        struct Run<'a, S>(S, &'a mut [f32]);
        impl<S: Simd> Visit for Run<'_, S> {
            type Output = ();
            #[inline(always)]
            fn visit<E: Elementwise>(self, e: E) {
                self.0.enter(MapSlice { f: e, x: self.1 });
            }
        }
        self.with(Run(s, Line::groups_mut(x).as_flattened_mut()));
    }
}

/// The constants of the function.
#[inline(always)]
fn constants(activation: Activation) -> (Keeps, Option<FusedOp>) {
    struct Constants;
    impl Visit for Constants {
        type Output = (Keeps, Option<FusedOp>);
        #[inline(always)]
        fn visit<E: Elementwise>(self, _: E) -> Self::Output {
            (E::KEEPS, E::FUSED)
        }
    }
    activation.with(Constants)
}

impl ElementwiseOp for Activation {
    #[inline]
    fn fused(self) -> Option<FusedOp> {
        constants(self).1
    }

    fn forward_lines(self, level: Level, x: &mut [Line]) {
        self.forward(level, Line::groups_mut(x).as_flattened_mut());
    }

    fn backward_lines(self, level: Level, kept: &[Line], d: &mut [Line]) {
        let (kept, d) = (Line::groups(kept).as_flattened(), Line::groups_mut(d).as_flattened_mut());
        self.multiply_derivative(level, kept, d);
    }
}
