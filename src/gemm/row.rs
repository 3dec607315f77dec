//! x·W for a single row: a prediction that somebody waits for. No part of it is worth a call: a
//! small network takes a tenth of a microsecond, in which the general product of `rows.rs` has
//! just found its way to the first tile.

use super::active::{ALL, GROUP};
use super::blocking::{K_BLOCK, tile_panels};
use super::microkernel::{Operands, Rows, block_sums};
use super::rows::Forward;
use crate::activation::Activation;
use crate::simd::{Kernel, LINE, Simd};

/// One layer's forward product on a row, without z, for a level with micro-kernels: out = σ(x·w +
/// bias), bit for bit as for the row in any company. Softmax is the caller's.
pub(crate) struct RowForward<'a>(pub(crate) Forward<'a>);

impl Kernel for RowForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let f = &self.0;
        let n_panels = f.w.n_panels();
        assert!(f.x.rows == 1 && f.out.rows == 1 && f.z.is_none());
        assert!(f.x.cols == f.w.rows && f.out.cols == f.w.cols && f.bias.len() == n_panels);
        let mut p = 0;
        while p < n_panels {
            let panels = tile_panels::<S>(1, n_panels - p);
            // SAFETY: the panels are there, and the assertions are what `tile` asks for.
            unsafe {
                // `const` conditions, so that only the shapes of this level are compiled.
                if const { S::LANES == 8 } {
                    match panels {
                        1 if self.0.w.cols - p * LINE <= 8 => self.tile::<S, 1, 1>(s, p),
                        1 => self.tile::<S, 1, 2>(s, p),
                        2 => self.tile::<S, 2, 2>(s, p),
                        _ => self.tile::<S, 4, 2>(s, p),
                    }
                } else {
                    match panels {
                        1 => self.tile::<S, 1, 1>(s, p),
                        2 => self.tile::<S, 2, 1>(s, p),
                        3 => self.tile::<S, 3, 1>(s, p),
                        4 => self.tile::<S, 4, 1>(s, p),
                        _ => self.tile::<S, 8, 1>(s, p),
                    }
                }
            }
            p += panels;
        }
        let done = [Activation::Relu, Activation::Identity, Activation::Softmax];
        if !done.contains(&self.0.activation) {
            for p in 0..n_panels {
                self.0.activation.forward_here(s, self.0.out.panel_mut(p));
            }
        }
    }
}

impl RowForward<'_> {
    /// The outputs of P panels from panel `p` on, all blocks of the depth.
    ///
    /// # Safety
    /// The panels exist, and the shapes agree.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "see `microkernel::steps`")]
    unsafe fn tile<S: Simd, const P: usize, const H: usize>(&mut self, s: S, p: usize) {
        let Forward { x, inputs, w, bias, out, activation, .. } = &mut self.0;
        let k = w.rows;
        let mut totals = [[s.splat(0.0); H]; P];
        for q in 0..P {
            for h in 0..H {
                // +0 for −0: so a total is never −0, see `active.rs`.
                let bias = s.load(&bias[p + q].0[h * S::LANES..]);
                totals[q][h] = s.add(bias, s.splat(0.0));
            }
        }
        for k0 in (0..k).step_by(K_BLOCK) {
            let depth = K_BLOCK.min(k - k0);
            let groups = match inputs {
                Some(inputs) => inputs.groups(k0 / K_BLOCK),
                None => &ALL[..depth / GROUP],
            };
            // SAFETY: the block is inside x and w, whose geometry its constructor checked.
            let [sums] = unsafe {
                let operands = Operands {
                    a: x.as_ptr().add(k0 / LINE * x.ld * LINE),
                    a_hop: x.ld * LINE,
                    b: w.as_ptr().add((p * w.ld + k0) * LINE),
                    b_panel: w.ld * LINE,
                    k: depth,
                    groups,
                };
                block_sums::<S, Rows, 1, P, H>(s, operands)
            };
            for q in 0..P {
                for h in 0..H {
                    totals[q][h] = s.add(totals[q][h], sums[q][h]);
                }
            }
        }
        let relu = *activation == Activation::Relu;
        for q in 0..P {
            for h in 0..H {
                let z = totals[q][h];
                let a = if relu { s.max(s.splat(0.0), z) } else { z };
                s.store(a, &mut out.panel_mut(p + q)[0].0[h * S::LANES..]);
            }
        }
    }
}
