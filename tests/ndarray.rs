//! Arrays of the crate `ndarray`: which layouts come without a copy, and that a value has the place that
//! `ndarray` gives it.

#![cfg(feature = "ndarray")]

use deltarule::data::{Dataset, Features, Targets};
use deltarule::{Activation, MatMut, MatRef, Matrix, Mlp, Result};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, ShapeBuilder, array, s};

/// Value 100 r + c at (r, c).
fn numbered(rows: usize, cols: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, cols), |(r, c)| (100 * r + c) as f32)
}

/// That a view has the values of an array, and its memory.
fn is_shared(m: MatRef, array: ArrayView2<f32>) {
    assert_eq!((m.rows(), m.cols()), array.dim());
    for (r, row) in array.outer_iter().enumerate() {
        assert!(row.iter().eq(m.row(r)), "row {r}");
        assert!(m.cols() == 0 || m.row(r).as_ptr() == row.as_ptr(), "row {r}");
    }
    let back: ArrayView2<f32> = m.into();
    assert_eq!(back, array);
    assert!(array.is_empty() || back.as_ptr() == array.as_ptr());
}

fn refused<T>(made: Result<T>, text: &str) {
    assert_eq!(made.err().expect("a refusal").to_string(), text);
}

#[test]
fn row_major_arrays_are_viewed_in_place() {
    let x = numbered(5, 4);
    is_shared(MatRef::try_from(&x).unwrap(), x.view());
    for view in [
        x.slice(s![.., 1..]),
        x.slice(s![1..4, 1..3]),
        x.slice(s![..;2, ..]),
        x.slice(s![2..3, ..2]),
        x.slice(s![2..3;-1, ..]),
        x.slice(s![.., 3..]),
        x.slice(s![..;3, ..1]),
        x.slice(s![2..2, ..]),
        x.slice(s![.., 4..]),
        x.slice(s![..;-1, 2..2]),
    ] {
        is_shared(MatRef::try_from(view).unwrap(), view);
        is_shared(MatRef::try_from(&view).unwrap(), view);
    }
    // One column has a stride that nobody uses, whatever the order.
    let column = numbered(1, 5).reversed_axes();
    is_shared(MatRef::try_from(&column).unwrap(), column.view());
}

#[test]
fn other_layouts_are_refused_by_their_strides_and_copied_on_request() {
    let x = numbered(3, 4);
    let expected =
        |cols| format!("array: expected a row-major array, strides [at least {cols}, 1]");
    for (view, got) in [
        (x.t(), "4 x 3 with strides [1, 4]"),
        (x.slice(s![.., ..;2]), "3 x 2 with strides [4, 2]"),
        (x.slice(s![.., ..;-1]), "3 x 4 with strides [4, -1]"),
        (x.slice(s![..;-1, ..]), "3 x 4 with strides [-4, 1]"),
        (x.slice(s![0, ..]).broadcast((3, 4)).unwrap(), "3 x 4 with strides [0, 1]"),
    ] {
        let cols = view.ncols();
        refused(MatRef::try_from(view), &format!("{}, got {got}", expected(cols)));
        let copy = Matrix::from(&view);
        assert_eq!(Array2::from(copy), view);
    }
}

/// The other half of the columns is written while this one is read.
#[test]
fn what_lies_between_rows_stays_free() {
    let mut x = numbered(3, 4);
    let (left, mut right) = x.view_mut().split_at(Axis(1), 2);
    let m = MatRef::try_from(&left).unwrap();
    right.fill(f32::NAN);
    let sum: f32 = (0..3).flat_map(|r| m.row(r)).sum();
    right.fill(0.0);
    assert_eq!(sum, 603.0);
    let columns = "array: expected a row-major array without gaps, strides [2, 1], got 3 x 2 with \
                   strides [4, 1]";
    refused(MatMut::try_from(left), columns);
}

#[test]
fn predictions_of_a_part_are_those_of_its_copy() {
    let net = Mlp::builder(17).dense(33, Activation::Tanh).dense(5, Activation::Softmax);
    let net = net.seed(3).build().unwrap();
    for rows in [1, 2, 7, 300] {
        let mut wide = Array2::from_elem((rows, 40), f32::NAN);
        let part = Array2::from_shape_fn((rows, 17), |(r, c)| ((r * 17 + c) as f32).sin());
        wide.slice_mut(s![.., 3..20]).assign(&part);
        let want = net.predict(&Matrix::from(part)).unwrap();
        let view = wide.slice(s![.., 3..20]);
        let got: Array2<f32> = net.predict(MatRef::try_from(view).unwrap()).unwrap().into();
        assert_eq!(got, ArrayView2::from(&want));
        let mut out = Array2::zeros((rows, 5));
        let mut predictor = net.predictor(rows).unwrap();
        predictor
            .predict_into(MatRef::try_from(view).unwrap(), MatMut::try_from(&mut out).unwrap())
            .unwrap();
        assert_eq!(out, got);
    }
}

#[test]
fn exclusive_views_write_the_array() {
    let mut x = numbered(3, 4);
    let place = x.as_ptr();
    let mut m = MatMut::try_from(&mut x).unwrap();
    assert_eq!(m.row_mut(0).as_ptr(), place);
    m.row_mut(2)[1] = -1.0;
    let mut view: ArrayViewMut2<f32> = m.into();
    view[[1, 3]] = -2.0;
    assert_eq!((x[[2, 1]], x[[1, 3]], x[[2, 2]]), (-1.0, -2.0, 202.0));
    assert!(MatMut::try_from(x.slice_mut(s![1.., ..])).is_ok());
    assert!(MatMut::try_from(x.slice_mut(s![.., 1..])).is_err());
    assert!(MatMut::try_from(x.view_mut().reversed_axes()).is_err());
    // Rows that lie apart.
    let mut values = [0.0; 8];
    let m = MatMut::with_stride(&mut values, 2, 3, 5).unwrap();
    let mut view = ArrayViewMut2::from(m);
    view[[1, 2]] = 7.0;
    view[[1, 0]] = 5.0;
    assert_eq!(values, [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 7.0]);
    assert_eq!(ArrayViewMut2::from(MatMut::new(&mut [], 0, 3).unwrap()).dim(), (0, 3));
}

#[test]
fn owned_arrays_become_matrices_and_back_without_a_copy() {
    let x = numbered(3, 4);
    let place = x.as_ptr();
    let matrix = Matrix::from(x);
    assert_eq!((matrix.as_slice().as_ptr(), matrix.row(1)), (place, &[100., 101., 102., 103.][..]));
    assert_eq!(ArrayView2::from(&matrix).as_ptr(), place);
    let back = Array2::from(matrix);
    assert_eq!((back.as_ptr(), &back), (place, &numbered(3, 4)));
    // Sliced from its first row on: the same memory. From another on, or with gaps: the same values.
    let mut head = numbered(3, 4);
    let place = head.as_ptr();
    head.slice_collapse(s![..2, ..]);
    let head = Matrix::from(head);
    assert_eq!((head.as_slice().as_ptr(), head.as_slice().len()), (place, 8));
    for part in [s![1.., ..], s![1..2, ..], s![.., 1..3], s![..;-1, ..], s![.., ..;2]] {
        let mut array = numbered(3, 4);
        array.slice_collapse(part);
        let want = array.clone();
        assert_eq!(Array2::from(Matrix::from(array)), want);
    }
    let fortran = Array2::from_shape_vec((2, 3).f(), vec![0., 3., 1., 4., 2., 5.]).unwrap();
    assert_eq!(Matrix::from(fortran).as_slice(), [0., 1., 2., 3., 4., 5.]);
    for (rows, cols) in [(0, 0), (0, 3), (3, 0)] {
        let matrix = Matrix::from(Array2::zeros((rows, cols)));
        assert_eq!((matrix.rows(), matrix.cols()), (rows, cols));
        assert_eq!(ArrayView2::from(&matrix).dim(), (rows, cols));
        assert_eq!(Array2::from(matrix).dim(), (rows, cols));
    }
}

#[test]
fn data_sets_take_arrays_as_they_are() {
    let features = numbered(4, 3);
    let labels: Array1<u32> = array![0, 1, 2, 1];
    let places = (features.as_ptr(), labels.as_ptr());
    let targets = Targets::classes_from_ndarray(labels, 3);
    let data = Dataset::from_ndarray(features, targets).unwrap();
    let Features::F32(values) = data.features() else { panic!() };
    let Targets::Classes { labels, n_classes: 3 } = data.targets() else { panic!() };
    assert_eq!((values.as_ptr(), labels.as_ptr()), places);
    assert_eq!((data.len(), data.n_features(), &labels[..]), (4, 3, &[0, 1, 2, 1][..]));
    assert_eq!(Array2::from(data.matrix()), numbered(4, 3));

    let values = numbered(4, 2);
    let place = values.as_ptr();
    let data = Dataset::from_ndarray(numbered(4, 3), Targets::values_from_ndarray(values)).unwrap();
    let Targets::Values { values, n_outputs: 2 } = data.targets() else { panic!() };
    assert_eq!((values.as_ptr(), values[5]), (place, 201.0));

    // Other layouts are copied into that order.
    let mut labels: Array1<u32> = array![1, 9, 0, 9];
    labels.slice_collapse(s![..;-2]);
    assert_eq!(
        Targets::classes_from_ndarray(labels, 2),
        Targets::Classes { labels: vec![9, 9], n_classes: 2 }
    );
    let turned = Dataset::from_ndarray(
        numbered(3, 4).reversed_axes(),
        Targets::values_from_ndarray(numbered(2, 4).reversed_axes()),
    );
    let turned = turned.unwrap();
    assert_eq!(Array2::from(turned.matrix()), numbered(3, 4).t());
    assert!(
        matches!(turned.targets(), Targets::Values { values, .. } if values[..3] == [0., 100., 1.])
    );
}

#[test]
fn arrays_that_are_no_data_set_are_refused() {
    let classes = |labels: &[u32]| Targets::classes_from_ndarray(Array1::from(labels.to_vec()), 2);
    let from = Dataset::from_ndarray;
    refused(
        from(numbered(2, 3), classes(&[0])),
        "targets: expected 2 labels, one per row, got 1 labels",
    );
    refused(from(numbered(1, 3), classes(&[2])), "label in row 0: expected a class below 2, got 2");
    refused(
        from(array![[0.0, f32::NAN]], classes(&[1])),
        "feature in row 0, column 1: expected a finite number, got NaN",
    );
    refused(
        from(numbered(2, 1), Targets::values_from_ndarray(numbered(3, 2))),
        "targets: expected 2 x 2 values, got 6 values",
    );
    assert!(from(numbered(2, 0), classes(&[0, 1])).is_err());
    assert!(from(numbered(0, 2), classes(&[])).is_err());
    assert!(from(numbered(2, 1), Targets::values_from_ndarray(numbered(2, 0))).is_err());
}
