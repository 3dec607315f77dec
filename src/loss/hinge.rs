//! The hinge loss of classes (Crammer & Singer 2001): L = max(0, 1 + max_{k≠y} ŷ_k − ŷ_y). Where it is not
//! 0, ∂L/∂ŷ is 1 for the first of the largest rivals and −1 for the class. With a single output,
//! L = max(0, 1 − tŷ) with t = 1 for class 1, −1 for class 0.

use super::output::Output;
use super::rows::{Row, each_row};
use crate::simd::Level;

pub(super) fn backward(level: Level, o: Output) {
    each_row(
        level,
        o,
        |row: &mut Row| {
            if row.n_out() == 1 { one_output(row) } else { classes(row) }
        },
    );
}

fn one_output(row: &mut Row) -> f64 {
    let sign = 2.0 * row.target(0) - 1.0;
    let loss = 1.0 - sign * row.output(0);
    // NaN stays NaN.
    let (loss, slope) = if loss <= 0.0 { (0.0, 0.0) } else { (loss, -sign) };
    row.set_gradient(0, slope);
    loss
}

fn classes(row: &mut Row) -> f64 {
    let (mut class, mut rival, mut not_finite) = (0, None, 0.0);
    for col in 0..row.n_out() {
        row.set_gradient(col, 0.0);
        not_finite += 0.0 * row.output(col);
        if row.target(col) == 1.0 {
            class = col;
        } else if rival.is_none_or(|rival| row.output(col) > row.output(rival)) {
            rival = Some(col);
        }
    }
    let Some(rival) = rival else { return 0.0 };
    let loss = 1.0 + row.output(rival) - row.output(class) + not_finite;
    if loss <= 0.0 {
        return 0.0;
    }
    row.set_gradient(rival, 1.0);
    row.set_gradient(class, -1.0);
    loss
}
