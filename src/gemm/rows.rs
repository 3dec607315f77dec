//! The products whose result has a row a sample: X·W (forward) and D·Wᵀ (backward).

use super::blocking::{K_BLOCK, balanced, max_rows, tile_panels};
use super::epilogue::{Activate, Epilogue, Field, Place, TimesDerivative, zeros};
use super::microkernel::{Operands, Rows, block_sums};
use super::portable;
use super::tiles::{Panels, PanelsMut};
use crate::activation::{Activation, Elementwise, Visit, backward_lines, forward_lines, hard::Identity};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

/// One layer's forward product on a block of rows.
pub(crate) struct Forward<'a> {
    /// m x k
    pub(crate) x: Panels<'a>,
    /// k x n
    pub(crate) w: Panels<'a>,
    /// n values, one line a panel
    pub(crate) bias: &'a [Line],
    /// m x n
    pub(crate) out: PanelsMut<'a>,
    /// m x n: where z = x·w + b goes when backward will need it
    pub(crate) z: Option<PanelsMut<'a>>,
    pub(crate) activation: Activation,
}

/// out = σ(x·w + bias)
pub(crate) fn forward(level: Level, mut f: Forward) {
    let (m, n) = (f.x.rows, f.w.cols);
    assert!(f.x.cols == f.w.rows && f.out.rows == m && f.out.cols == n);
    assert!(f.bias.len() == f.w.n_panels());
    assert!(f.z.as_ref().is_none_or(|z| z.rows == m && z.cols == n));
    let bias = Field { ptr: f.bias.as_ptr().cast::<f32>(), row: 0, panel: LINE };
    struct Run<'a, 'b>(&'b mut Forward<'a>, Level, Field<*const f32>);
    impl Visit for Run<'_, '_> {
        type Output = ();
        fn visit<E: Elementwise>(self, op: E) {
            let Run(f, level, bias) = self;
            let out = field(&mut f.out);
            let (x, w) = (f.x, f.w);
            if E::LIGHT && f.z.is_none() {
                let epilogue = Activate { out, op };
                let after = NoAfter;
                dispatch(level, Product { x, w, base: bias, totals: out, epilogue, after });
            } else {
                let after = HeavyForward { op, out: &mut f.out, z: f.z.as_mut() };
                let epilogue = Activate { out, op: Identity };
                dispatch(level, Product { x, w, base: bias, totals: out, epilogue, after });
            }
        }
    }
    f.activation.with(Run(&mut f, level, bias));
}

/// One layer's backward product on a block of rows.
pub(crate) struct BackwardInput<'a> {
    /// m x n: the deltas of the layer above
    pub(crate) d: Panels<'a>,
    /// n x k: the transposed weights
    pub(crate) wt: Panels<'a>,
    /// m x k: what the layer below kept in its forward pass
    pub(crate) kept: Panels<'a>,
    /// m x k: the deltas of the layer below
    pub(crate) out: PanelsMut<'a>,
    /// of the layer below
    pub(crate) activation: Activation,
}

/// out = (d·wᵀ) ⊙ σ′(kept)
pub(crate) fn backward_input(level: Level, mut b: BackwardInput) {
    let (m, k) = (b.d.rows, b.wt.cols);
    assert!(b.d.cols == b.wt.rows && b.out.rows == m && b.out.cols == k);
    assert!(b.kept.rows == m && b.kept.cols == k);
    struct Run<'a, 'b>(&'b mut BackwardInput<'a>, Level);
    impl Visit for Run<'_, '_> {
        type Output = ();
        fn visit<E: Elementwise>(self, op: E) {
            let Run(b, level) = self;
            let out = field(&mut b.out);
            let (x, w) = (b.d, b.wt);
            if E::LIGHT_DERIVATIVE {
                let kept = Field { ptr: b.kept.as_ptr(), row: LINE, panel: b.kept.ld * LINE };
                let epilogue = TimesDerivative { out, kept, op };
                let after = NoAfter;
                dispatch(level, Product { x, w, base: zeros(), totals: out, epilogue, after });
            } else {
                let after = HeavyDerivative { op, out: &mut b.out, kept: b.kept };
                let epilogue = Activate { out, op: Identity };
                dispatch(level, Product { x, w, base: zeros(), totals: out, epilogue, after });
            }
        }
    }
    b.activation.with(Run(&mut b, level));
}

/// The field of a whole matrix.
fn field(m: &mut PanelsMut) -> Field<*mut f32> {
    Field { ptr: m.as_mut_ptr(), row: LINE, panel: m.ld * LINE }
}

/// Work too long for the tile's registers: it runs over a panel's rows right after their last
/// tile, while they are in L1.
trait After {
    fn panel<S: Simd>(&mut self, s: S, panel: usize);
}

/// Nothing is left to do.
struct NoAfter;

impl After for NoAfter {
    #[inline(always)]
    fn panel<S: Simd>(&mut self, _: S, _: usize) {}
}

/// An activation with a polynomial, or whose input is kept for backward.
struct HeavyForward<'a, 'b, E> {
    op: E,
    out: &'b mut PanelsMut<'a>,
    z: Option<&'b mut PanelsMut<'a>>,
}

impl<E: Elementwise> After for HeavyForward<'_, '_, E> {
    #[inline(always)]
    fn panel<S: Simd>(&mut self, s: S, panel: usize) {
        let lines = self.out.panel_mut(panel);
        if let Some(z) = &mut self.z {
            z.panel_mut(panel).copy_from_slice(lines);
        }
        forward_lines(s, self.op, lines);
    }
}

/// A derivative with a polynomial.
struct HeavyDerivative<'a, 'b, E> {
    op: E,
    out: &'b mut PanelsMut<'a>,
    kept: Panels<'a>,
}

impl<E: Elementwise> After for HeavyDerivative<'_, '_, E> {
    #[inline(always)]
    fn panel<S: Simd>(&mut self, s: S, panel: usize) {
        backward_lines(s, self.op, self.kept.panel(panel), self.out.panel_mut(panel));
    }
}

/// `epilogue(base + x·w)`, where x·w is summed block by block into `totals`.
///
/// The constructors above checked that all shapes agree, so every field is valid at every place of
/// the m x n result.
struct Product<'a, E, A> {
    x: Panels<'a>,
    w: Panels<'a>,
    base: Field<*const f32>,
    totals: Field<*mut f32>,
    epilogue: E,
    after: A,
}

impl<E: Epilogue, A: After> Kernel for Product<'_, E, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if !S::MICROKERNEL {
            portable::rows(s, self.x, self.w, self.base, self.epilogue);
            (0..self.w.n_panels()).for_each(|p| self.after.panel(s, p));
            return;
        }
        let (k, n_panels) = (self.x.cols, self.w.n_panels());
        let mut base = self.base;
        for k0 in (0..k).step_by(K_BLOCK) {
            let block = Block { k0, k: K_BLOCK.min(k - k0), last: k0 + K_BLOCK >= k, base };
            let mut p = 0;
            while p < n_panels {
                let panels = tile_panels::<S>(self.x.rows, n_panels - p);
                // SAFETY: the panels p..p + panels exist.
                unsafe {
                    match panels {
                        1 if S::LANES == 8 && self.w.cols - p * LINE <= 8 => {
                            self.stripe::<S, 1, 1>(s, &block, p)
                        }
                        1 if S::LANES == 8 => self.stripe::<S, 1, 2>(s, &block, p),
                        2 if S::LANES == 8 => self.stripe::<S, 2, 2>(s, &block, p),
                        4 if S::LANES == 8 => self.stripe::<S, 4, 2>(s, &block, p),
                        1 if S::LANES == 16 => self.stripe::<S, 1, 1>(s, &block, p),
                        2 if S::LANES == 16 => self.stripe::<S, 2, 1>(s, &block, p),
                        3 if S::LANES == 16 => self.stripe::<S, 3, 1>(s, &block, p),
                        4 if S::LANES == 16 => self.stripe::<S, 4, 1>(s, &block, p),
                        8 if S::LANES == 16 => self.stripe::<S, 8, 1>(s, &block, p),
                        _ => unreachable!("tile_panels answers from its table"),
                    }
                }
                if block.last {
                    (p..p + panels).for_each(|p| self.after.panel(s, p));
                }
                p += panels;
            }
            base = self.totals.as_const();
        }
    }
}

/// One block of the depth.
struct Block {
    k0: usize,
    k: usize,
    last: bool,
    /// What the block's sums are added to.
    base: Field<*const f32>,
}

impl<E: Epilogue, A> Product<'_, E, A> {
    /// All rows of P panels for one block, H vectors a panel.
    ///
    /// # Safety
    /// The panels `panel..panel + P` exist.
    #[inline(always)]
    unsafe fn stripe<S: Simd, const P: usize, const H: usize>(
        &self,
        s: S,
        block: &Block,
        panel: usize,
    ) {
        for (row, rows) in balanced(self.x.rows, max_rows::<S>(P)) {
            let most = max_rows::<S>(P);
            // SAFETY: `balanced` stays inside the rows; the panels are the caller's promise.
            unsafe {
                match rows {
                    1 => self.tile::<S, 1, P, H>(s, block, row, panel),
                    2 if most >= 2 => self.tile::<S, 2, P, H>(s, block, row, panel),
                    3 if most >= 3 => self.tile::<S, 3, P, H>(s, block, row, panel),
                    4 if most >= 4 => self.tile::<S, 4, P, H>(s, block, row, panel),
                    5 if most >= 5 => self.tile::<S, 5, P, H>(s, block, row, panel),
                    6 if most >= 6 => self.tile::<S, 6, P, H>(s, block, row, panel),
                    7 if most >= 7 => self.tile::<S, 7, P, H>(s, block, row, panel),
                    8 if most >= 8 => self.tile::<S, 8, P, H>(s, block, row, panel),
                    _ => unreachable!("balanced keeps to the most"),
                }
            }
        }
    }

    /// One tile for one block.
    ///
    /// # Safety
    /// The rows and panels exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const P: usize, const H: usize>(
        &self,
        s: S,
        block: &Block,
        row: usize,
        panel: usize,
    ) {
        let (x, w) = (&self.x, &self.w);
        // SAFETY: rows, panels and the block's depth are inside x and w, whose geometry their
        // constructors checked; the fields are valid there (see `Product`), and the result is
        // exclusively ours.
        unsafe {
            let operands = Operands {
                a: x.as_ptr().add((block.k0 / LINE * x.ld + row) * LINE),
                a_hop: x.ld * LINE,
                b: w.as_ptr().add((panel * w.ld + block.k0) * LINE),
                b_panel: w.ld * LINE,
                k: block.k,
            };
            let sums = block_sums::<S, Rows, MR, P, H>(s, operands);
            for (r, row_sums) in sums.into_iter().enumerate() {
                for (p, panel_sums) in row_sums.into_iter().enumerate() {
                    for (h, sum) in panel_sums.into_iter().enumerate() {
                        let at = Place { row: row + r, panel: panel + p, lane: h * S::LANES };
                        let total = s.add(block.base.load(s, at), sum);
                        if block.last {
                            self.epilogue.finish(s, total, at);
                        } else {
                            self.totals.store(s, total, at);
                        }
                    }
                }
            }
        }
    }
}
