//! Phase 2 of a training step: the gradient of a tile of parameters, from activations and deltas that
//! nobody writes any more, and the update in its store.

use super::columns::Columns;
use super::compile::Program;
use super::ops::Buffer;
use super::state::PartRows;
use super::step::Step;
use super::tiles::Tile;
use super::views::{TileMut, VectorMut};
use crate::gemm::bf16::{self, Scaling, SplitPart};
use crate::gemm::{
    BiasBlock, Transposed, UpdateRule, WeightBlock, transpose, update_bias, update_weights,
};
use crate::simd::{LINE, Level, Line};
use crate::storage::{PanelMatrix, Panels, PanelsMut, lanes};

/// What the tasks of phase 2 read.
pub(crate) struct Phase2<'a> {
    pub(crate) level: Level,
    pub(crate) program: &'a Program,
    /// The buffers of the program.
    pub(crate) matrices: &'a [PanelMatrix],
    pub(crate) parts: &'a [Option<PartRows>],
    /// Where the inputs are that the team has copied, if it shares out columns.
    pub(crate) columns: Option<&'a Columns>,
    pub(crate) rows: usize,
    /// What the bytes stand for that the first layer's operand holds, where it holds bytes.
    pub(crate) scaling: Option<Scaling>,
    /// The inputs that are not zero in the whole batch; empty where that does not matter.
    pub(crate) active: &'a [u16],
    pub(crate) step: &'a Step<'a>,
}

/// Memory of the shape of a tile's weights, that takes their gradient.
pub(crate) struct TileWeights<'a> {
    pub(crate) w: PanelsMut<'a>,
    pub(crate) slots: [Option<PanelsMut<'a>>; 2],
    /// Copies of the weights, refreshed from the new ones.
    pub(crate) wt: Option<Transposed<'a>>,
    pub(crate) part: Option<SplitPart<'a>>,
}

impl<'a> From<PanelsMut<'a>> for TileWeights<'a> {
    fn from(w: PanelsMut<'a>) -> Self {
        TileWeights { w, slots: [None, None], wt: None, part: None }
    }
}

impl Phase2<'_> {
    /// w, slots = rule(w, slots, xᵀ·d); nothing for a layer without weights
    #[inline(always)]
    pub(crate) fn weights<R: UpdateRule>(&self, tile: &Tile, to: TileWeights, rule: R) {
        let Some(operands) = self.program.parameters[tile.layer].weights else { return };
        let TileWeights { w, slots, wt, part } = to;
        if let Some(PartRows { by, x, d }) = &self.parts[tile.layer] {
            let at = (tile.inputs.start * LINE, tile.outputs.start);
            let bytes = self.scaling.filter(|_| tile.layer == 0);
            let (by, rows, split) = (*by, self.rows, part);
            let gradient = bf16::Gradient { by, x, bytes, d, rows, at, w, slots, split };
            return bf16::update_weights(self.level, gradient, rule);
        }
        let (x, d) = self.operands(tile, operands);
        let active = self.active_inputs(tile);
        update_weights(self.level, WeightBlock { x, d, active, w, slots, wt }, rule);
    }

    /// The same for a tile's lines of vector `vector` of its layer.
    pub(crate) fn vector<R: UpdateRule>(
        &self,
        (tile, vector): (&Tile, usize),
        bias: &mut [Line],
        slots: [&mut [Line]; 2],
        rule: R,
    ) {
        let of = self.program.parameters[tile.layer].vectors[vector];
        let d = self.matrices[of.0].view().rows(0..self.rows).panels(tile.outputs.clone());
        update_bias(self.level, BiasBlock { d, bias, slots }, rule);
    }

    /// Updates a tile with a rule that is fused into the gradient's store.
    #[inline(always)]
    pub(crate) fn update<R: UpdateRule>(&self, tile: TileMut, rule: R) {
        let TileMut { tile, width, w, slots, mut wt, part, mut vectors, .. } = tile;
        let to = TileWeights { w, slots, wt: wt.as_mut().map(Transposed::reborrow), part };
        self.weights(tile, to, rule);
        if let Some(wt) = &mut wt {
            clear_padding(wt.panels_mut(), tile, width);
        }
        vectors.each(|v, VectorMut { lines, slots, .. }| {
            self.vector((tile, v), lines, slots, rule.for_biases());
        });
    }

    /// The part of inputs and deltas whose product is a tile's gradient.
    #[inline(always)]
    fn operands(&self, tile: &Tile, (x, d): (Buffer, Buffer)) -> (Panels<'_>, Panels<'_>) {
        let x = match self.columns {
            Some(columns) if tile.layer == 0 => columns.x_of_panel(tile.outputs.start),
            _ => &self.matrices[x.0],
        };
        let d = self.matrices[d.0].view().rows(0..self.rows).panels(tile.outputs.clone());
        (x.view().rows(0..self.rows).panels(tile.inputs.clone()), d)
    }

    /// Which inputs of a tile are not zero in the whole batch; empty where that does not matter.
    fn active_inputs(&self, tile: &Tile) -> &[u16] {
        match (tile.layer, self.active) {
            (0, masks @ [_, ..]) => &masks[tile.inputs.clone()],
            _ => &[],
        }
    }
}

impl TileMut<'_> {
    /// Refreshes the copies of the weights of a tile.
    pub(crate) fn refresh(&mut self, level: Level) {
        if let Some(part) = &mut self.part {
            part.fill(level, self.w.view(), (0, 0));
        }
        if let Some(wt) = &mut self.wt {
            transpose(level, &mut self.w, wt.reborrow());
            clear_padding(wt.panels_mut(), self.tile, self.width);
        }
    }
}

/// Clears the rows of a tile of transposed weights that are padding in the weights, matrices of `width`
/// columns side by side: what lies between the units of maxout, over which products with the transposed
/// weights run.
fn clear_padding(wt: &mut PanelsMut, tile: &Tile, width: Option<usize>) {
    let Some(width) = width else { return };
    for panel in 0..wt.n_panels() {
        for (column, line) in (tile.outputs.start * LINE..).zip(wt.panel_mut(panel)) {
            if column % LINE >= lanes(width, column / LINE) {
                *line = Line::ZERO;
            }
        }
    }
}
