//! Whole panels to and from the bytes of files, which hold the transposed matrix row-major (a
//! layer's weights as out x in, as PyTorch keeps them): each of the up to 16 columns of a panel is
//! one run of little-endian floats.

use super::Tensor;
use crate::simd::LINE;

impl Tensor {
    /// Columns of panel `panel`.
    fn width(&self, panel: usize) -> usize {
        LINE.min(self.cols() - panel * LINE)
    }

    /// Values of panel `panel`, padding left out.
    pub(crate) fn panel_len(&self, panel: usize) -> usize {
        self.width(panel) * self.rows()
    }

    /// Whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        // Zero times a finite number is zero, times any other NaN. First all lanes of all lines,
        // which is fast; only if that fails without the pads.
        let sum = |values: &[f32]| values.iter().fold(0.0, |sum, x| sum + x * 0.0);
        let all = self.lines().iter().fold(0.0, |all, line| all + sum(&line.0));
        let panels = 0..self.cols().div_ceil(LINE);
        all == 0.0
            || panels.into_iter().all(|p| {
                let lines = &self.lines()[p * self.ld()..][..self.rows()];
                lines.iter().all(|line| sum(&line.0[..self.width(p)]) == 0.0)
            })
    }

    /// Writes the columns of a panel, one after the other.
    ///
    /// # Panics
    /// When `out` does not have the panel's length.
    pub(crate) fn export_panel(&self, panel: usize, out: &mut [[u8; 4]]) {
        let (rows, width) = (self.rows(), self.width(panel));
        assert_eq!(out.len(), rows * width);
        let lines = &self.lines()[panel * self.ld()..][..rows];
        // 16 x 16 values at a time: 16 lines of reading, 16 lines of writing, all of them in L1.
        for (block, lines) in lines.chunks(LINE).enumerate() {
            for lane in 0..width {
                let column = &mut out[lane * rows + block * LINE..][..lines.len()];
                for (to, line) in column.iter_mut().zip(lines) {
                    *to = line.0[lane].to_le_bytes();
                }
            }
        }
    }

    /// Reads the columns of a panel, one after the other.
    ///
    /// # Panics
    /// When `values` does not have the panel's length.
    pub(crate) fn import_panel(&mut self, panel: usize, values: &[[u8; 4]]) {
        let (rows, width, ld) = (self.rows(), self.width(panel), self.ld());
        assert_eq!(values.len(), rows * width);
        let lines = &mut self.lines_mut()[panel * ld..][..rows];
        for (block, lines) in lines.chunks_mut(LINE).enumerate() {
            for lane in 0..width {
                let column = &values[lane * rows + block * LINE..][..lines.len()];
                for (line, from) in lines.iter_mut().zip(column) {
                    line.0[lane] = f32::from_le_bytes(*from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_round_trip_by_columns() {
        for (rows, cols) in [(1, 1), (1, 40), (16, 16), (33, 17), (784, 30)] {
            let mut t = Tensor::zeros(rows, cols, rows + 3).unwrap();
            for r in 0..rows {
                (0..cols).for_each(|c| *t.at_mut(r, c) = (r * cols + c) as f32);
            }
            let mut copy = Tensor::zeros(rows, cols, rows).unwrap();
            let mut all = Vec::new();
            for panel in 0..cols.div_ceil(LINE) {
                let mut bytes = vec![[0; 4]; t.panel_len(panel)];
                t.export_panel(panel, &mut bytes);
                copy.import_panel(panel, &bytes);
                all.extend(bytes.into_iter().map(f32::from_le_bytes));
            }
            let transposed = (0..rows * cols).map(|i| ((i % rows) * cols + i / rows) as f32);
            assert!(all.iter().copied().eq(transposed));
            for r in 0..rows {
                assert!((0..cols).all(|c| copy.at(r, c) == t.at(r, c)));
            }
        }
    }
}
