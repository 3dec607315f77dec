//! `Debug` texts of data: few values are listed, of many the shape is written.

use deltarule::data::{Array, ArrayData, Dataset, Features, Targets};
use deltarule::{BatchTargets, MatRef, Matrix};

#[test]
fn small_data_list_their_values() {
    let targets = Targets::Classes { labels: vec![1, 0], n_classes: 2 };
    let data = Dataset::from_u8(vec![7, 8], 1, targets).unwrap().with_scale(1.0, 0.0).unwrap();
    let text = "Dataset { features: U8 { data: [7, 8], scale: 1.0, shift: 0.0 }, n_features: 1, \
        len: 2, targets: Classes { labels: [1, 0], n_classes: 2 } }";
    assert_eq!(format!("{data:?}"), text);
    let text = "U8 { data: [7, 8], scale: 1.0, shift: 0.0 }";
    assert_eq!(format!("{:?}", data.features()), text);
    let array = Array { shape: vec![2], data: ArrayData::I8(vec![-1, 1]) };
    assert_eq!(format!("{array:?}"), "Array { shape: [2], data: i8 [-1, 1] }");
    assert_eq!(format!("{:?}", BatchTargets::Classes(&[3, 4])), "Classes([3, 4])");
    assert_eq!(format!("{:?}", Matrix::zeros(1, 2)), "1 x 2 [[0.0, 0.0]]");
}

#[test]
fn large_data_have_their_shape() {
    let targets = Targets::Values { values: vec![0.5; 2000], n_outputs: 2 };
    let data = Dataset::from_f32(vec![0.25; 20_000], 20, targets).unwrap();
    let text = "Dataset { features: F32([20000 values]), n_features: 20, len: 1000, \
        targets: Values { values: [2000 values], n_outputs: 2 } }";
    assert_eq!(format!("{data:?}"), text);
    assert_eq!(format!("{:?}", Features::F32(&[0.0; 101])), "F32([101 values])");
    let array = Array { shape: vec![101], data: ArrayData::Bool(vec![true; 101]) };
    assert_eq!(format!("{array:?}"), "Array { shape: [101], data: bool [101 values] }");
    assert_eq!(format!("{:?}", BatchTargets::Classes(&[3; 200])), "Classes([200 values])");
    let values = [0.0; 300];
    let values = BatchTargets::Values(MatRef::new(&values, 100, 3).unwrap());
    assert_eq!(format!("{values:?}"), "Values(100 x 3)");
    assert_eq!(format!("{:?}", Matrix::zeros(500, 784)), "500 x 784");
}
