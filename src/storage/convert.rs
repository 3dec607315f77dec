//! Panels to and from the bytes of files. Files hold the transposed matrix in row-major order (a layer's
//! weights as out x in, as in PyTorch), so each of the up to 16 columns of a panel is one contiguous run
//! of little-endian floats.

use super::panel_matrix::PanelMatrix;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

impl PanelMatrix {
    /// Columns of panel `panel` in a file: 16, or fewer for the last panel. Of matrices side by side,
    /// only the last has a narrower last panel; a file stores the padding of the others.
    fn columns_of(&self, panel: usize) -> usize {
        LINE.min(self.cols() - panel * LINE)
    }

    /// Number of values of panel `panel` in a file.
    pub(crate) fn panel_len(&self, panel: usize) -> usize {
        self.columns_of(panel) * self.rows()
    }

    /// Writes the columns of a panel one after the other, padding as 0.
    ///
    /// # Panics
    /// If `out.len()` is not [`PanelMatrix::panel_len`].
    pub(crate) fn export_panel(&self, panel: usize, out: &mut [f32]) {
        let (rows, width) = (self.rows(), self.columns_of(panel));
        assert_eq!(out.len(), rows * width);
        let lines = &self.lines()[panel * self.ld()..][..rows];
        let blocks = if width == LINE { rows / LINE } else { 0 };
        dispatch(Level::best(), Export { lines: &lines[..blocks * LINE], rows, out });
        for lane in 0..width {
            let column = &mut out[lane * rows..][..rows][blocks * LINE..];
            for (to, line) in column.iter_mut().zip(&lines[blocks * LINE..]) {
                *to = line.0[lane];
            }
        }
        out[self.lanes(panel) * rows..].fill(0.0);
    }

    /// The reverse of [`PanelMatrix::export_panel`].
    ///
    /// # Panics
    /// If `values.len()` is not [`PanelMatrix::panel_len`].
    pub(crate) fn import_panel(&mut self, panel: usize, values: &[f32]) {
        let (rows, width, ld) = (self.rows(), self.columns_of(panel), self.ld());
        assert_eq!(values.len(), rows * width);
        let lines = &mut self.lines_mut()[panel * ld..][..rows];
        let blocks = if width == LINE { rows / LINE } else { 0 };
        let (whole, rest) = lines.split_at_mut(blocks * LINE);
        dispatch(Level::best(), Import { lines: whole, rows, values });
        for lane in 0..width {
            let column = &values[lane * rows..][..rows][blocks * LINE..];
            for (line, from) in rest.iter_mut().zip(column) {
                line.0[lane] = *from;
            }
        }
    }
}

/// Transposes blocks of 16 lines: lane i of a block becomes 16 values of column i, and columns are
/// `rows` values apart.
struct Export<'a> {
    lines: &'a [Line],
    rows: usize,
    out: &'a mut [f32],
}

impl Kernel for Export<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Export { lines, rows, out } = self;
        for (block, lines) in lines.as_chunks::<LINE>().0.iter().enumerate() {
            let out = &mut out[block * LINE..];
            assert!(out.len() >= (LINE - 1) * rows + LINE);
            // SAFETY: 16 lines are read; the assertion checks that the last of the 16 runs ends inside
            // `out`.
            unsafe { s.transpose(lines.as_ptr().cast(), out.as_mut_ptr(), rows) };
        }
    }
}

/// The reverse of [`Export`].
struct Import<'a> {
    lines: &'a mut [Line],
    rows: usize,
    values: &'a [f32],
}

impl Kernel for Import<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Import { lines, rows, values } = self;
        let mut runs = [Line::ZERO; LINE];
        for (block, lines) in lines.as_chunks_mut::<LINE>().0.iter_mut().enumerate() {
            for (lane, run) in runs.iter_mut().enumerate() {
                run.0.copy_from_slice(&values[lane * rows + block * LINE..][..LINE]);
            }
            s.transpose_lines(&runs, lines);
        }
    }
}

/// The little-endian bytes of floats. `scratch` is used on big-endian machines only.
pub(crate) fn bytes_of<'a>(values: &'a [f32], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if cfg!(target_endian = "little") {
        // SAFETY: every byte of a float is initialised, and bytes need no alignment.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
    } else {
        scratch.clear();
        scratch.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        scratch
    }
}

/// Fills floats from little-endian bytes, which `read` writes.
pub(crate) fn fill_from_bytes<E>(
    values: &mut [f32],
    read: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    // SAFETY: every pattern of four bytes is a float, and bytes need no alignment.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), size_of_val(values))
    };
    read(bytes)?;
    if cfg!(target_endian = "big") {
        values.iter_mut().for_each(|x| *x = f32::from_bits(u32::from_le(x.to_bits())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_round_trip_by_columns() {
        for (rows, cols) in [(1, 1), (1, 40), (16, 16), (33, 17), (784, 30)] {
            let mut t = PanelMatrix::with_stride(rows, cols, rows + 3).unwrap();
            for r in 0..rows {
                (0..cols).for_each(|c| *t.at_mut(r, c) = (r * cols + c) as f32);
            }
            let mut copy = PanelMatrix::with_stride(rows, cols, rows).unwrap();
            let mut all = Vec::new();
            for panel in 0..cols.div_ceil(LINE) {
                let mut values = vec![0.0; t.panel_len(panel)];
                t.export_panel(panel, &mut values);
                copy.import_panel(panel, &values);
                let mut back = vec![0.0; values.len()];
                let bytes = bytes_of(&values, &mut Vec::new()).to_vec();
                let filled: Result<(), ()> = fill_from_bytes(&mut back, |to| {
                    to.copy_from_slice(&bytes);
                    Ok(())
                });
                assert_eq!((filled, &back), (Ok(()), &values));
                assert_eq!(bytes[..4], values[0].to_le_bytes());
                all.extend(values);
            }
            let transposed = (0..rows * cols).map(|i| ((i % rows) * cols + i / rows) as f32);
            assert!(all.iter().copied().eq(transposed));
            for r in 0..rows {
                assert!((0..cols).all(|c| copy.at(r, c) == t.at(r, c)));
            }
        }
    }
}
