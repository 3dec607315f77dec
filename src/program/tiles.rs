//! How phase 2 is cut: tiles of the weights that a thread updates as a whole.

use crate::network::{LayerParameters, Mlp};
use crate::optim::LayerRates;
use crate::simd::LINE;
use std::ops::Range;

/// A block of one layer's parameters. The vectors of its outputs belong to the tile with the first
/// inputs.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    pub(crate) layer: usize,
    /// Groups of 16 inputs.
    pub(crate) inputs: Range<usize>,
    /// Groups of 16 outputs.
    pub(crate) outputs: Range<usize>,
}

impl Tile {
    /// The rows of the weights that it has.
    pub(crate) fn rows(&self, layer: &LayerParameters) -> Range<usize> {
        let rows = layer.w.rows();
        rows.min(self.inputs.start * LINE)..rows.min(self.inputs.end * LINE)
    }

    /// The lines of vector `vector` of its layer that it has.
    pub(crate) fn lines(&self, dense: &LayerParameters, vector: usize) -> Range<usize> {
        let first = vector * dense.columns().div_ceil(LINE);
        first + self.outputs.start..first + self.outputs.end
    }

    /// The vectors of its layer that it has lines of.
    pub(crate) fn vectors(&self, dense: &LayerParameters) -> Range<usize> {
        0..if self.inputs.start == 0 { dense.n_vectors() } else { 0 }
    }
}

/// Tiles of which no two overlap, in groups that are one thread's each.
pub(crate) struct Tiles {
    tiles: Vec<Tile>,
    groups: Vec<Range<usize>>,
}

/// Multiply-adds of a tile: at least 2^16, 1.3 µs of a core at 50 per nanosecond, ten times the cost
/// of claiming one; at most 2^25, whose operands still fit in L2 for batches of 1024; between them a
/// 32nd of all, so that the last tile to finish keeps two threads waiting for 2 % of the phase.
const TILE_WORK: std::ops::RangeInclusive<usize> = 1 << 16..=1 << 25;

/// Panels of inputs of a tile, where the layer has as many: each panel of deltas that comes from L2 is
/// used that often. (784-512-512-10 at batch 128 on one core: 5.8 ms with 1, 5.3 ms with 4.)
const HEIGHT: usize = 4;

/// Lines of deltas of a tile: 2^13 are 512 KiB, half of a 1 MiB L2, that all its inputs use again.
const WIDTH: usize = 1 << 13;

fn panels(n: usize) -> usize {
    n.div_ceil(LINE)
}

impl Tiles {
    /// # Panics
    /// Where two tiles overlap.
    pub(crate) fn new(groups: impl IntoIterator<Item = Vec<Tile>>) -> Tiles {
        let mut all = Tiles { tiles: Vec::new(), groups: Vec::new() };
        for group in groups {
            let first = all.tiles.len();
            all.tiles.extend(group);
            all.groups.push(first..all.tiles.len());
        }
        let mut corners: Vec<_> = all.tiles.iter().collect();
        corners.sort_by_key(|t| (t.layer, t.inputs.start, t.inputs.end, t.outputs.start));
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        for (i, a) in corners.iter().enumerate() {
            // Tiles without inputs have the vectors of their outputs.
            let reach = |t: &Tile| t.inputs.start..t.inputs.end.max(t.inputs.start + 1);
            let near = corners[i + 1..]
                .iter()
                .take_while(|b| b.layer == a.layer && b.inputs.start < reach(a).end);
            for b in near {
                assert!(
                    !meet(&reach(a), &reach(b)) || !meet(&a.outputs, &b.outputs),
                    "{a:?} {b:?}"
                );
            }
        }
        all
    }

    /// Cuts the weights of every layer that is trained into tiles of about [`TILE_WORK`] for batches of `rows` rows, the
    /// largest first, so that the last ones to finish are small. The cut does not depend on the
    /// threads. Tiles of layers whose products multiply bf16 begin at even panels of both sides, since
    /// operands are cut in blocks of 32 x 32.
    pub(crate) fn of_network(
        net: &Mlp,
        rates: &LayerRates,
        rows: usize,
        is_in_parts: &[bool],
    ) -> Tiles {
        let area = |t: &Tile| t.inputs.len() * t.outputs.len();
        let trained = || net.layers.iter().enumerate().filter(|(i, _)| !rates.is_frozen(*i));
        let all: usize = trained().map(|(_, l)| panels(l.w.rows()) * panels(l.columns())).sum();
        // Saturates: no memory holds so many rows, which is found out when it is allocated.
        let per_panel = rows.saturating_mul(LINE * LINE);
        let all_work = per_panel.saturating_mul(all) / 32;
        let most = (all_work.clamp(*TILE_WORK.start(), *TILE_WORK.end()) / per_panel).max(1);
        let mut tiles = Vec::new();
        for (layer, l) in trained() {
            let (inputs, outputs) = (panels(l.w.rows()), panels(l.columns()));
            if inputs == 0 {
                // The vectors alone.
                tiles.push(Tile { layer, inputs: 0..0, outputs: 0..outputs });
                continue;
            }
            let height = inputs.min((most / outputs).max(HEIGHT));
            let width = (most / height).min(WIDTH / rows).max(1);
            let (down, across) = (inputs.div_ceil(height), outputs.div_ceil(width));
            let unit = if is_in_parts[layer] { 2 } else { 1 };
            let cut = |n: usize, i: usize, parts: usize| match i {
                _ if i == parts => n,
                _ => n * i / parts / unit * unit,
            };
            for i in 0..down {
                for o in 0..across {
                    let inputs = cut(inputs, i, down)..cut(inputs, i + 1, down);
                    let outputs = cut(outputs, o, across)..cut(outputs, o + 1, across);
                    if !inputs.is_empty() && !outputs.is_empty() {
                        tiles.push(Tile { layer, inputs, outputs });
                    }
                }
            }
        }
        tiles.sort_by_key(|t| std::cmp::Reverse(area(t)));
        Tiles::new(tiles.into_iter().map(|tile| vec![tile]))
    }

    /// Whole columns of the weights of every layer that is trained, two panels per tile, since a tile of a layer whose
    /// products multiply bf16 is no narrower.
    pub(crate) fn of_columns(net: &Mlp, rates: &LayerRates) -> Tiles {
        let trained = net.layers.iter().enumerate().filter(|(i, _)| !rates.is_frozen(*i));
        let columns = trained.flat_map(|(layer, l)| {
            let (inputs, n) = (0..panels(l.w.rows()), panels(l.columns()));
            let tile = move |first| Tile {
                layer,
                inputs: inputs.clone(),
                outputs: first..n.min(first + 2),
            };
            (0..n).step_by(2).map(tile)
        });
        Tiles::new(columns.map(|tile| vec![tile]))
    }

    pub(crate) fn n_groups(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn group(&self, group: usize) -> &[Tile] {
        &self.tiles[self.groups[group].clone()]
    }

    /// Every tile, group after group.
    pub(crate) fn all(&self) -> &[Tile] {
        &self.tiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    #[test]
    fn tiles_cover_every_weight_once() {
        let net = Mlp::builder(784)
            .dense(300, Activation::Relu)
            .affine()
            .dense(17, Activation::Tanh)
            .maxout(20, 3)
            .dense(10, Activation::Softmax)
            .build()
            .unwrap();
        let rates = LayerRates::default();
        let cuts = [(1, false), (10, true), (128, false), (128, true), (5000, true)];
        let cuts = cuts.map(|(rows, parts)| {
            (Tiles::of_network(&net, &rates, rows, &[parts, false, false, parts, false]), parts)
        });
        for (tiles, is_in_parts) in
            cuts.into_iter().chain([(Tiles::of_columns(&net, &rates), true)])
        {
            let begins_even = |t: &&Tile| (t.inputs.start | t.outputs.start).is_multiple_of(2);
            let in_parts = || tiles.all().iter().filter(|t| t.layer % 3 == 0);
            assert!(!is_in_parts || in_parts().all(|t| begins_even(&t)));
            for (i, l) in net.layers.iter().enumerate() {
                // The panels of its vectors, in tiles without inputs.
                let inputs = panels(l.w.rows()).max(1);
                let mut seen = vec![0; inputs * panels(l.columns())];
                for t in tiles.all().iter().filter(|t| t.layer == i) {
                    for a in t.inputs.start..t.inputs.end.max(t.inputs.start + 1) {
                        t.outputs.clone().for_each(|b| seen[a * panels(l.columns()) + b] += 1);
                    }
                }
                assert!(seen.iter().all(|&n| n == 1));
            }
        }
    }

    #[test]
    #[should_panic]
    fn tiles_that_overlap_are_refused() {
        let tile = |inputs, outputs| Tile { layer: 0, inputs, outputs };
        Tiles::new([vec![tile(0..4, 0..4)], vec![tile(3..5, 3..5)]]);
    }
}
