//! A network whose first layer is most of it: the team shares out that layer's outputs instead of the
//! batch's rows, unless these are many.
//!
//! Were the rows shared out, each thread would read all weights in every step, of which the other one
//! has just changed half. So each thread keeps its own columns of the first layer, in both phases and in
//! every step, and gathers the rows for itself. The rest of the network is one thread's work.
//! Only for plain layers: no dropout, norms, maxout or residual connections.

use super::tiles::{Tile, Tiles};
use crate::error::Result;
use crate::network::Mlp;
use crate::optim::LayerRates;
use crate::simd::LINE;
use crate::storage::{PanelMatrix, padded_rows};
use std::ops::Range;

/// Rows per thread below which a tile of rows cannot be cut further: columns are then shared out even
/// if a fifth of the weights is not in the first layer.
const FEW_ROWS: usize = 8;

/// Rows per thread up to which columns are shared out if less than a 20th of the weights is not in the
/// first layer. With more, what the copies of the inputs cost is more than what the weights' way from
/// core to core does. (784-128-10 with Adam on two threads, µs by rows and by columns: 32 rows 119 and
/// 96, 128 rows 305 and 269, 512 rows 1,044 and 1,035, 1024 rows 2,040 and 2,072; 784-30-10 with 128 rows
/// 95 and 76.)
const MANY_ROWS: usize = 256;

/// What is shared out by columns.
pub(crate) struct Columns {
    /// batch x n_in: a copy for each part, so that no two threads meet over the inputs.
    x: Vec<PanelMatrix>,
    /// Panels of the first layer's outputs.
    panels: usize,
    /// For phase 2: each part's columns of the first layer, and for the first part, which has the
    /// fewest, all of the other layers.
    tiles: Tiles,
}

/// A number of panels in a number of parts.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    panels: usize,
    parts: usize,
}

impl Parts {
    /// The panels of a part.
    pub(crate) fn of(self, part: usize) -> Range<usize> {
        self.panels * part / self.parts..self.panels * (part + 1) / self.parts
    }
}

impl Columns {
    /// The parts for steps of up to `rows` rows, where this is the better way.
    pub(crate) fn new(
        net: &Mlp,
        rates: &LayerRates,
        rows: usize,
        threads: usize,
    ) -> Result<Option<Self>> {
        let first = net.layers[0].n_in() * net.layers[0].n_out();
        let panels = net.layers[0].n_out().div_ceil(LINE);
        let parts = threads.min(panels);
        // What is not in the first layer is one thread's work, while the others wait.
        let others = net.n_parameters() - first;
        let most = match rows.div_ceil(threads) {
            rows if rows <= FEW_ROWS => others <= net.n_parameters() / 5,
            rows if rows <= MANY_ROWS => others <= net.n_parameters() / 20,
            _ => false,
        };
        if parts < 2 || !most || rates.is_frozen(0) {
            return Ok(None);
        }
        let ld = padded_rows(rows);
        let copy = || PanelMatrix::with_stride(rows, net.n_in(), ld);
        let x = (0..parts).map(|_| copy()).collect::<Result<_>>()?;
        let mut columns = Columns { x, panels, tiles: Tiles::new([]) };
        let mut items: Vec<_> = (0..parts).map(|part| vec![columns.tile(net, part)]).collect();
        for (layer, l) in net.layers.iter().enumerate().skip(1) {
            if rates.is_frozen(layer) {
                continue;
            }
            let (inputs, outputs) = (0..l.n_in().div_ceil(LINE), 0..l.n_out().div_ceil(LINE));
            items[0].push(Tile { layer, inputs, outputs });
        }
        columns.tiles = Tiles::new(items);
        Ok(Some(columns))
    }

    /// The first layer's weights that belong to a part.
    fn tile(&self, net: &Mlp, part: usize) -> Tile {
        let inputs = 0..net.layers[0].n_in().div_ceil(LINE);
        Tile { layer: 0, inputs, outputs: self.outputs(part) }
    }

    pub(crate) fn parts(&self) -> usize {
        self.x.len()
    }

    /// A part's panels of the first layer's outputs; the first part has the fewest.
    pub(crate) fn outputs(&self, part: usize) -> Range<usize> {
        self.all_outputs().of(part)
    }

    /// How the panels of the first layer's outputs are shared out.
    pub(crate) fn all_outputs(&self) -> Parts {
        Parts { panels: self.panels, parts: self.parts() }
    }

    /// Every part's copy of the inputs.
    pub(crate) fn copies_mut(&mut self) -> &mut [PanelMatrix] {
        &mut self.x
    }

    /// The copy of the part that has a panel of the first layer's outputs.
    pub(crate) fn x_of_panel(&self, panel: usize) -> &PanelMatrix {
        let part = (0..self.parts()).find(|&p| panel < self.outputs(p).end);
        &self.x[part.unwrap_or(0)]
    }

    /// What each part updates in phase 2.
    pub(crate) fn tiles(&self) -> &Tiles {
        &self.tiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    #[test]
    fn parts_cover_every_weight_once() {
        let rates = LayerRates::default();
        let build = |hidden| {
            let builder = Mlp::builder(784).dense(hidden, Activation::Relu);
            builder.dense(10, Activation::Softmax).build().unwrap()
        };
        for (hidden, threads) in [(30, 2), (100, 3), (100, 8), (17, 5)] {
            let columns = Columns::new(&build(hidden), &rates, 10, threads).unwrap().unwrap();
            assert_eq!(columns.parts(), threads.min(hidden.div_ceil(LINE)));
            let mut seen = vec![0; hidden.div_ceil(LINE)];
            let items: Vec<_> = (0..columns.parts()).map(|i| columns.tiles().group(i)).collect();
            for (part, item) in items.iter().enumerate() {
                assert_eq!((item[0].layer, item[0].inputs.clone()), (0, 0..49));
                for panel in item[0].outputs.clone() {
                    seen[panel] += 1;
                    assert!(std::ptr::eq(columns.x_of_panel(panel), &columns.x[part]));
                }
            }
            assert!(seen.iter().all(|&n| n == 1));
            let others: usize = items.iter().map(|item| item.len() - 1).sum();
            assert_eq!(others, 1);
        }
        let none = |hidden, rows, threads| {
            Columns::new(&build(hidden), &rates, rows, threads).unwrap().is_none()
        };
        assert!(none(30, 10, 1) && none(16, 10, 2) && none(30, 513, 2) && !none(30, 512, 2));

        let deep = Mlp::builder(20).dense(40, Activation::Relu).dense(40, Activation::Relu);
        let deep = deep.dense(10, Activation::Softmax).build().unwrap();
        assert!(Columns::new(&deep, &rates, 10, 2).unwrap().is_none());
    }
}
