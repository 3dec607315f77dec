//! `Debug` texts of matrices: the shape, and the values of a small matrix.

use super::{MatMut, MatRef, Matrix};
use crate::text::are_listed;
use std::fmt;

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.rows, self.cols, |r| self.row(r))
    }
}

impl fmt::Debug for MatRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.rows, self.cols, |r| self.row(r))
    }
}

impl fmt::Debug for MatMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.rows, self.cols, |r| &self.data[r * self.stride..][..self.cols])
    }
}

fn write<'a>(
    f: &mut fmt::Formatter<'_>,
    rows: usize,
    cols: usize,
    row: impl Fn(usize) -> &'a [f32],
) -> fmt::Result {
    write!(f, "{rows} x {cols}")?;
    if are_listed(rows, cols) {
        f.write_str(" ")?;
        f.debug_list().entries((0..rows).map(row)).finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_matrices_list_their_values() {
        let mut data = [0.0, 1.0, 9.0, 2.0, 3.0];
        let small = "2 x 2 [[0.0, 1.0], [2.0, 3.0]]";
        assert_eq!(format!("{:?}", MatRef::with_stride(&data, 2, 2, 3).unwrap()), small);
        assert_eq!(format!("{:?}", MatMut::with_stride(&mut data, 2, 2, 3).unwrap()), small);
        let owned = Matrix::from_vec(2, 2, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(format!("{owned:?}"), small);
        assert_eq!(format!("{:?}", Matrix::zeros(101, 1)), "101 x 1");
        // No list of this many rows without values.
        let empty = MatRef::new(&[], usize::MAX, 0).unwrap();
        assert_eq!(format!("{empty:?}"), format!("{} x 0", usize::MAX));
    }
}
