//! The one file of training with `unsafe`: it hands out parts of the memory of a step that do not
//! overlap, a block of rows in phase 1 and a tile of the parameters in phase 2. Everything above works
//! with what it is handed, and borrows.

use super::columns::Parts;
use super::memory::{BatchMemory, Buffers, ColumnMemory, ParameterMemory, Place};
use super::ops::Buffer;
use super::state::PartRows;
use super::tiles::{Tile, Tiles};
use crate::gemm::bf16::{SplitBy, SplitPart};
use crate::gemm::{ActiveInputs, Transposed};
use crate::simd::{LINE, Line};
use crate::storage::{PanelMatrix, Panels, PanelsMut, SharedPanels, SharedSlice, padded_rows};
use crate::threads::{Team, Way};
use std::array::from_fn;
use std::ops::Range;

/// The operand of bf16 products that a layer's inputs or deltas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Inputs(usize),
    Deltas(usize),
}

/// Some rows of the buffers of a program, which nobody else reads or writes.
pub(crate) struct RowBlock<'a> {
    matrices: &'a [PanelMatrix],
    places: &'a [Place],
    parts: &'a [Option<PartRows>],
    range: Range<usize>,
    /// Lines from one panel to the next, in all buffers.
    ld: usize,
}

impl<'a> RowBlock<'a> {
    /// All rows of buffers that are the caller's alone, `rows` of them, with panels as close as these
    /// rows let them be.
    pub(crate) fn all(matrices: &'a mut [PanelMatrix], places: &'a [Place], rows: usize) -> Self {
        RowBlock { matrices, places, parts: &[], range: 0..rows, ld: padded_rows(rows) }
    }

    /// The number of the first row in the batch.
    pub(crate) fn first(&self) -> usize {
        self.range.start
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// How the products of a layer multiply bf16, if they do.
    pub(crate) fn split_by(&self, layer: usize) -> Option<SplitBy> {
        self.parts.get(layer)?.as_ref().map(|parts| parts.by)
    }

    /// The rows of a buffer, to read.
    #[inline(always)]
    pub(crate) fn read(&self, buffer: Buffer) -> Panels<'_> {
        // SAFETY: nobody else writes these rows; who writes them through `self` borrows it exclusively.
        unsafe { self.shared(buffer).rows(self.range.clone()).read() }
    }

    #[inline(always)]
    fn shared(&self, buffer: Buffer) -> SharedPanels<'a> {
        let Place { matrix, cols } = self.places[buffer.0];
        self.matrices[matrix].shared_as(self.range.end, cols, self.ld)
    }

    /// The rows of a buffer, to write.
    #[inline(always)]
    pub(crate) fn write(&mut self, buffer: Buffer) -> PanelsMut<'_> {
        let ([], [out]) = self.get([], [buffer]);
        out
    }

    /// # Safety
    /// As long as the view lives, nobody else reads or writes these rows of the buffer's matrix.
    #[inline(always)]
    unsafe fn writable(&self, buffer: Buffer) -> PanelsMut<'a> {
        // SAFETY: by this function's contract.
        unsafe { self.shared(buffer).rows(self.range.clone()).write() }
    }

    /// The rows of two buffers, to keep.
    pub(crate) fn into_pair(self, a: Buffer, b: Buffer) -> (PanelsMut<'a>, PanelsMut<'a>) {
        assert!(self.places[a.0].matrix != self.places[b.0].matrix);
        // SAFETY: the rows were `self`'s alone, and the buffers lie in different matrices.
        unsafe { (self.writable(a), self.writable(b)) }
    }

    /// The rows of some buffers to read and of others to write, which are different ones.
    #[inline(always)]
    pub(crate) fn get<R: Buffers, W: Buffers>(
        &mut self,
        read: R,
        write: W,
    ) -> (R::Each<Panels<'_>>, W::Each<PanelsMut<'_>>) {
        let matrix = |buffer: &Buffer| self.places[buffer.0].matrix;
        for (i, buffer) in write.list().iter().enumerate() {
            let is_other = |other: &Buffer| matrix(other) != matrix(buffer);
            let others = &write.list()[..i];
            let is_alone = read.list().iter().all(is_other) && others.iter().all(is_other);
            assert!(is_alone, "a buffer is written and used twice");
        }
        let this = &*self;
        // SAFETY: nobody else uses these rows, `self` is borrowed exclusively, and what is read or
        // written lies in different matrices.
        (
            read.each(|buffer| this.read(buffer)),
            write.each(|buffer| unsafe { this.writable(buffer) }),
        )
    }

    /// The same, with operands of bf16 products, which are different ones too.
    #[inline(always)]
    pub(crate) fn with_parts<R: Buffers, W: Buffers, const P: usize>(
        &mut self,
        read: R,
        write: W,
        sides: [Option<Side>; P],
    ) -> (R::Each<Panels<'_>>, W::Each<PanelsMut<'_>>, Operands<'_, P>) {
        for (i, side) in sides.iter().enumerate() {
            assert!(side.is_none() || !sides[..i].contains(side), "{sides:?}");
        }
        let (parts, range) = (self.parts, self.range.clone());
        let (read, write) = self.get(read, write);
        // SAFETY: nobody else uses these rows, `self` is borrowed exclusively for as long as the
        // result lives, and the operands are different ones.
        let part = |side: Option<Side>| unsafe { part_rows(parts, side?, range.clone()) };
        (read, write, from_fn(|i| part(sides[i])))
    }
}

/// Operands of bf16 products, where there are such.
pub(crate) type Operands<'a, const P: usize> = [Option<SplitPart<'a>>; P];

/// Some rows of an operand of bf16 products; none where its layer's products multiply f32.
///
/// # Safety
/// As long as the view lives, nobody else reads or writes these rows of the operand.
unsafe fn part_rows(
    parts: &[Option<PartRows>],
    side: Side,
    range: Range<usize>,
) -> Option<SplitPart<'_>> {
    let (layer, is_inputs) = match side {
        Side::Inputs(layer) => (layer, true),
        Side::Deltas(layer) => (layer, false),
    };
    let PartRows { x, d, .. } = parts[layer].as_ref()?;
    let operand = if is_inputs { x } else { d };
    // SAFETY: by this function's contract.
    Some(unsafe { operand.part(range, 0..operand.shape().1.div_ceil(LINE)) })
}

/// Who runs a phase's work.
pub(crate) struct Crew<'a> {
    team: &'a mut Team,
    way: Way,
}

/// A block of rows of a batch.
pub(crate) struct BatchBlock<'a> {
    pub(crate) rows: RowBlock<'a>,
    /// The class of each row, where the targets are classes.
    pub(crate) labels: &'a mut [u32],
    pub(crate) losses: &'a mut [f64],
    pub(crate) inputs: &'a mut ActiveInputs,
}

/// A part of the columns of the first layer, and its own copy of the inputs.
pub(crate) struct ColumnPart<'a> {
    pub(crate) x: PanelsMut<'a>,
    pub(crate) out: PanelsMut<'a>,
    pub(crate) z: Option<PanelsMut<'a>>,
    pub(crate) inputs: &'a mut ActiveInputs,
}

/// A tile of a layer's parameters, with all that is shaped like them.
pub(crate) struct TileMut<'a> {
    pub(crate) tile: &'a Tile,
    /// Columns of each of the matrices that lie side by side in the weights, where they are more than
    /// one.
    pub(crate) width: Option<usize>,
    pub(crate) w: PanelsMut<'a>,
    /// State of the optimiser.
    pub(crate) slots: [Option<PanelsMut<'a>>; 2],
    pub(crate) gradient: Option<PanelsMut<'a>>,
    pub(crate) wt: Option<Transposed<'a>>,
    pub(crate) part: Option<SplitPart<'a>>,
    pub(crate) vectors: VectorsMut<'a>,
}

/// The tile's lines of each vector of its layer; none but for the tile with the first inputs.
pub(crate) struct VectorsMut<'a> {
    tile: &'a Tile,
    memory: &'a ParameterMemory<'a>,
}

/// Lines of a vector of parameters, and what is shaped like them.
pub(crate) struct VectorMut<'a> {
    pub(crate) lines: &'a mut [Line],
    pub(crate) slots: [&'a mut [Line]; 2],
    pub(crate) gradient: &'a mut [Line],
}

impl<'a> Crew<'a> {
    pub(crate) fn new(team: &'a mut Team, way: Way) -> Self {
        Crew { team, way }
    }

    /// Calls `work` once for each of `items` items.
    pub(crate) fn run(&mut self, items: usize, work: impl Fn(usize) + Sync) {
        self.team.run_by(self.way, items, &|_, item| work(item));
    }

    /// Every element becomes what `work` returns for its number.
    pub(crate) fn fill<T: Send>(&mut self, to: &mut [T], work: impl Fn(usize) -> T + Sync) {
        let (n, to) = (to.len(), SharedSlice::new(to));
        // SAFETY: each element comes once.
        self.run(n, |i| unsafe { to.get(i..i + 1)[0] = work(i) });
    }

    /// The same for two slices of a length.
    pub(crate) fn fill_pairs<T: Send>(
        &mut self,
        [a, b]: [&mut [T]; 2],
        work: impl Fn(usize) -> [T; 2] + Sync,
    ) {
        assert_eq!(a.len(), b.len());
        let (n, a, b) = (a.len(), SharedSlice::new(a), SharedSlice::new(b));
        self.run(n, |i| {
            // SAFETY: each element comes once.
            let (a, b) = unsafe { (a.get(i..i + 1), b.get(i..i + 1)) };
            [a[0], b[0]] = work(i);
        });
    }

    /// Calls `work` for each block of `block` of the first `rows` rows of a batch.
    pub(crate) fn run_rows(
        &mut self,
        memory: &mut BatchMemory,
        (rows, block): (usize, usize),
        work: impl Fn(BatchBlock) + Sync,
    ) {
        let BatchMemory { places, .. } = *memory;
        let (matrices, parts) = (&*memory.matrices, &*memory.parts);
        let ld = matrices[0].ld();
        let (classes, labels) = (!memory.labels.is_empty(), SharedSlice::new(memory.labels));
        let (losses, inputs) = (SharedSlice::new(memory.losses), SharedSlice::new(memory.inputs));
        self.run(rows.div_ceil(block), |i| {
            let range = i * block..rows.min((i + 1) * block);
            // SAFETY: blocks of rows do not overlap, each comes once, and the memory is borrowed
            // exclusively for longer than the run.
            let (labels, losses, inputs) = unsafe {
                let labels = labels.get(if classes { range.clone() } else { 0..0 });
                (labels, losses.get(range.clone()), &mut inputs.get(i..i + 1)[0])
            };
            // The same holds for these rows, which nobody but this block has.
            let rows = RowBlock { matrices, places, parts, range, ld };
            work(BatchBlock { rows, labels, losses, inputs });
        });
    }

    /// Calls `work` for each part of the columns of the first layer of a batch of `rows` rows, with its
    /// number.
    pub(crate) fn run_columns(
        &mut self,
        memory: ColumnMemory,
        rows: usize,
        panels: Parts,
        work: impl Fn(usize, ColumnPart) + Sync,
    ) {
        let ColumnMemory { x, out, z, inputs } = memory;
        let parts = x.len();
        let (x, inputs) = (SharedSlice::new(x), SharedSlice::new(inputs));
        let (out, z) = (out.shared(), z.map(|z| z.shared()));
        self.run(parts, |part| {
            // SAFETY: the panels of `Parts` do not overlap, each part comes once, and the memory is
            // borrowed exclusively for longer than the run.
            let part_of_columns = unsafe {
                ColumnPart {
                    x: x.get(part..part + 1)[0].view_mut().rows(0..rows),
                    out: out.panels(panels.of(part)).rows(0..rows).write(),
                    z: z.map(|z| z.panels(panels.of(part)).rows(0..rows).write()),
                    inputs: &mut inputs.get(part..part + 1)[0],
                }
            };
            work(part, part_of_columns);
        });
    }

    /// Calls `work` for each tile; those of a group are one thread's, in order.
    pub(crate) fn run_tiles(
        &mut self,
        tiles: &Tiles,
        memory: ParameterMemory,
        work: impl Fn(TileMut) + Sync,
    ) {
        let memory = &memory;
        self.run(tiles.n_groups(), |group| {
            for tile in tiles.group(group) {
                // SAFETY: no two of `Tiles` overlap, each comes once, and the memory is borrowed
                // exclusively for longer than the run.
                work(unsafe { TileMut::new(tile, memory) });
            }
        });
    }
}

impl<'a> TileMut<'a> {
    /// # Safety
    /// As long as this lives, nobody else reads or writes the tile in this memory.
    #[inline(always)]
    unsafe fn new(tile: &'a Tile, memory: &'a ParameterMemory) -> Self {
        let Tile { layer, inputs, outputs } = tile;
        let (dense, state) = (&memory.layers[*layer], &memory.states[*layer]);
        let gradient = memory.gradients.get(*layer);
        let rows = tile.rows(dense);
        let slot = |i: usize| state.slots.get(i);
        // SAFETY: by this function's contract.
        let block = |m: &'a PanelMatrix| unsafe {
            m.shared().panels(outputs.clone()).rows(rows.clone()).write()
        };
        let wt = state.wt.as_ref().map(|wt| {
            let cols = outputs.start * LINE..wt.rows().min(outputs.end * LINE);
            // SAFETY: by this function's contract. A layer's weights and their transpose have whole
            // groups of 16 rows, of which the tile has all.
            unsafe { Transposed::new(wt.shared().panels(inputs.clone()).rows(cols).write()) }
        });
        let part = state.parts.as_ref().map(|w| {
            // SAFETY: by this function's contract; tiles of such layers are whole blocks of 32 x 32.
            unsafe { w.part(rows.clone(), outputs.clone()) }
        });
        TileMut {
            tile,
            width: (dense.columns() != dense.n_out()).then_some(dense.n_out()),
            w: block(&dense.w),
            slots: [slot(0).map(|s| block(&s.w)), slot(1).map(|s| block(&s.w))],
            gradient: gradient.map(|g| block(&g.w)),
            wt,
            part,
            vectors: VectorsMut { tile, memory },
        }
    }
}

impl<'a> VectorsMut<'a> {
    /// Calls `work` with the number of each vector and its lines.
    #[inline]
    pub(crate) fn each(&mut self, mut work: impl FnMut(usize, VectorMut)) {
        let VectorsMut { tile, memory } = *self;
        let (dense, state) = (&memory.layers[tile.layer], &memory.states[tile.layer]);
        let gradient = memory.gradients.get(tile.layer);
        for v in tile.vectors(dense) {
            let range = tile.lines(dense, v);
            // SAFETY: who made the tile promised that nobody else uses its memory. The vectors of its
            // outputs belong to the tile with the first inputs, the lines of `v` come once, and `self`
            // is borrowed exclusively.
            let lines =
                |m: &'a PanelMatrix| unsafe { m.shared().panels(range.clone()).lines_mut() };
            let slot = |i: usize| state.slots.get(i).map_or(&mut [][..], |slot| lines(&slot.b));
            let gradient = gradient.map_or(&mut [][..], |gradient| lines(&gradient.b));
            work(v, VectorMut { lines: lines(&dense.b), slots: [slot(0), slot(1)], gradient });
        }
    }
}
