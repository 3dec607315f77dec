//! The code of each tile that a level has, and the check of its table.

use super::line::LINE;
use super::operations::Simd;

/// The largest number of rows or panels in a table that [`with_const`] finds.
const MAX: usize = 10;

/// Runs `$body` with a constant `$name` that equals `$value`, from 1 to [`MAX`]. Only the constants
/// with `$compiled` are compiled, which must be true of all values that occur.
macro_rules! with_const {
    ($name:ident = $value:expr, if $compiled:expr, $body:expr) => {
        $crate::simd::with_const!(
            [1 2 3 4 5 6 7 8 9 10] $name = $value, if $compiled, $body
        )
    };
    ([$($n:literal)+] $name:ident = $value:expr, if $compiled:expr, $body:expr) => {
        match $value {
            $($n if const { const $name: usize = $n; $compiled } => {
                const $name: usize = $n;
                $body
            })+
            _ => unreachable!("a level's tables have no other numbers"),
        }
    };
}
pub(crate) use with_const;

/// Returns the first of the constants 10 to 2 with `$holds`, else 1. It compares with each constant that
/// has `$compiled`, so that the compiler joins the comparisons with a [`with_const`] that follows.
macro_rules! first_const {
    ($name:ident, if $compiled:expr, $holds:expr) => {
        first_const!([10 9 8 7 6 5 4 3 2] $name, if $compiled, $holds)
    };
    ([$($n:literal)+] $name:ident, if $compiled:expr, $holds:expr) => {{
        $(if const { const $name: usize = $n; $compiled } && { const $name: usize = $n; $holds } {
            return $n;
        })+
        1
    }};
}

/// Panels of the next tile of a single row, when `left` panels are left.
#[inline(always)]
pub(crate) fn next_row_panels<S: Simd>(left: usize) -> usize {
    first_const!(P, if S::TILES.has_row_tile(P), left >= P)
}

/// Rows of a gradient's next tile, when `left` of a panel's rows are left, 1 to 16.
#[inline(always)]
pub(crate) fn next_gradient_rows<S: Simd>(left: usize) -> usize {
    first_const!(
        MR,
        if S::TILES.has_gradient_rows(MR),
        const { S::TILES.gradient_lefts(MR) } >> left & 1 == 1
    )
}

/// Does not compile where a level has other lanes than the kernels know, or tiles that leave out a
/// row or panel, or whose sums do not fit the registers.
pub(super) const fn check_level<S: Simd>() {
    assert!(matches!(S::LANES, 8 | 16), "a line is one or two vectors");
    let (shapes, vectors) = (S::TILES, S::VECTORS);
    if shapes.is_empty() {
        return;
    }
    let mut panels = 1;
    while panels <= shapes.rows.len() {
        let rows = shapes.rows[panels - 1];
        assert!(rows >= 3, "fewer leave a single row over");
        assert!(rows <= MAX && shapes.fits(rows, panels * vectors));
        panels += 1;
    }
    let (panels, rows) = shapes.few_rows;
    assert!(panels > shapes.rows.len() && panels <= MAX && rows >= 2);
    assert!(rows <= MAX && shapes.fits(rows, panels * vectors));
    assert!(shapes.has_row_tile(1));
    let mut i = 0;
    while i < shapes.row_panels.len() {
        let panels = shapes.row_panels[i];
        assert!(panels >= 1 && panels <= MAX && shapes.fits(1, panels * vectors));
        i += 1;
    }
    assert!(shapes.gradient_panels >= 1 && shapes.gradient_panels <= MAX);
    let mut left = 1;
    while left <= LINE {
        let rows = shapes.gradient_rows[left - 1];
        assert!(rows >= 1 && rows <= left && rows <= MAX);
        assert!(shapes.fits(rows, shapes.gradient_panels * vectors));
        left += 1;
    }
}
