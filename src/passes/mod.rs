//! Passes over a block of rows while it is in the cache: the parts of a layer that are no product. They
//! do not depend on layers or training, and need no instances of the products' tiles.
//!
//! Padding lanes may hold any value, and sums over a row leave them out. Exception: maxout's backward
//! pass writes zeros to the padding between its units, because products read the columns of its deltas
//! in sequence.

mod affine;
mod batch_norm;
mod dropout;
mod largest;
mod layer_norm;
mod maxout;

pub(crate) use affine::Affine;
pub(crate) use batch_norm::{BatchNorm, Moments};
pub(crate) use dropout::DropoutMask;
pub(crate) use largest::largest;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use maxout::{maxout, maxout_backward};

use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut};

/// Added to a variance before the square root, as in PyTorch.
pub(crate) const EPSILON: f32 = 1e-5;

/// out += x
pub(crate) fn add(level: Level, x: Panels, mut out: PanelsMut) {
    assert!(x.rows == out.rows && x.cols == out.cols);
    for p in 0..x.n_panels() {
        dispatch(level, Add { x: x.panel(p), out: out.panel_mut(p) });
    }
}

/// out = x
pub(crate) fn copy(x: Panels, mut out: PanelsMut) {
    assert!(x.rows == out.rows && x.cols == out.cols);
    (0..x.n_panels()).for_each(|p| out.panel_mut(p).copy_from_slice(x.panel(p)));
}

struct Add<'a> {
    x: &'a [Line],
    out: &'a mut [Line],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.x.iter().zip(self.out) {
            for lane in (0..LINE).step_by(S::LANES) {
                let sum = s.add(s.load(&out.0[lane..]), s.load(&x.0[lane..]));
                s.store(sum, &mut out.0[lane..]);
            }
        }
    }
}
