//! What layers do beside their products: passes over a block of rows while it is in the cache.
//! They know nothing of layers or training; none of them costs an instance of a tile.
//!
//! Lanes beyond the last column are padding, which may hold anything: sums over a row leave it out. What
//! maxout's backward pass leaves between its pieces are zeros, because products read the columns of its
//! deltas one after the other.

mod batch_norm;
mod dropout;
mod largest;
mod layer_norm;
mod maxout;

pub(crate) use batch_norm::{BatchNorm, Moments};
pub(crate) use dropout::Mask;
pub(crate) use largest::largest;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use maxout::{maxout, maxout_backward};

use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut};

/// What is added to a variance before its root, as in PyTorch.
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
