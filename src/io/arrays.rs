//! Arrays in safetensors files: features and targets side by side.

use super::safetensors::{read_file, read_stream};
use crate::Result;
use crate::data::Array;
use std::io::Read;
use std::path::Path;

/// Reads the tensor `name` of a safetensors file: of one or two dimensions, of F32, F64 or whole
/// numbers. A file may hold features and targets side by side.
///
/// ```no_run
/// use deltarule::data::read_safetensors_file;
/// let labels = read_safetensors_file("train.safetensors", "y")?.into_classes(10)?;
/// let train = read_safetensors_file("train.safetensors", "x")?.into_dataset(labels)?;
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when the file cannot be read,
/// [`Error::Format`](crate::Error::Format) when it is damaged or has no such tensor.
pub fn read_safetensors_file(path: impl AsRef<Path>, name: &str) -> Result<Array> {
    read_file(path.as_ref(), |mut file| file.array(name))
}

/// Reads the tensor `name` as [`read_safetensors_file`] does, from a stream, to its end.
///
/// # Errors
/// As [`read_safetensors_file`].
pub fn read_safetensors(reader: impl Read, name: &str) -> Result<Array> {
    read_stream(reader, |mut file| file.array(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ArrayData, Targets};
    use safetensors::tensor::{Dtype, TensorView, serialize};

    #[test]
    fn what_the_official_crate_writes_is_read() {
        let bytes: Vec<u8> = (0..48).map(|i| i * 5).collect();
        let kinds = [
            ("f32", Dtype::F32),
            ("f64", Dtype::F64),
            ("u8", Dtype::U8),
            ("i8", Dtype::I8),
            ("u16", Dtype::U16),
            ("i16", Dtype::I16),
            ("u32", Dtype::U32),
            ("i32", Dtype::I32),
            ("u64", Dtype::U64),
            ("i64", Dtype::I64),
        ];
        let views = kinds.map(|(name, dtype)| {
            let n = 48 / (dtype.bitsize() / 8);
            (name, TensorView::new(dtype, vec![2, n / 2], &bytes).unwrap())
        });
        let file = serialize(views, None).unwrap();
        for (name, dtype) in kinds {
            let array = read_safetensors(&file[..], name).unwrap();
            assert_eq!(array.shape, [2, 24 / (dtype.bitsize() / 8)]);
            let back: Vec<u8> = match array.data {
                ArrayData::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::U8(v) => v,
                ArrayData::I8(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::U16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::I16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::U64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ArrayData::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            };
            assert_eq!(back, bytes, "{name}");
        }
        assert!(read_safetensors(&file[..], "none").is_err());
        assert!(read_safetensors(&file[..file.len() - 1], "u8").is_err());
        // No network is made of these.
        let net = crate::Mlp::builder(1).dense(1, crate::Activation::Identity).build();
        let error = net.unwrap().read_weights(&file[..]).unwrap_err().to_string();
        assert!(error.contains("expected F32, got"), "{error}");
    }

    #[test]
    fn features_and_labels_become_a_data_set() {
        let (x, y): (Vec<u8>, Vec<u8>) =
            ((0..6).collect(), [1i64, 0, 2].iter().flat_map(|y| y.to_le_bytes()).collect());
        let x = TensorView::new(Dtype::U8, vec![3, 2], &x).unwrap();
        let y = TensorView::new(Dtype::I64, vec![3], &y).unwrap();
        let path = std::env::temp_dir().join(format!("deltarule-pair-{}", std::process::id()));
        std::fs::write(&path, serialize([("x", x), ("y", y)], None).unwrap()).unwrap();
        let labels = read_safetensors_file(&path, "y").unwrap().into_classes(3).unwrap();
        let data = read_safetensors_file(&path, "x").unwrap().into_dataset(labels).unwrap();
        assert_eq!((data.len(), data.n_features()), (3, 2));
        assert_eq!(data.targets(), &Targets::Classes { labels: vec![1, 0, 2], n_classes: 3 });
        std::fs::remove_file(&path).unwrap();
    }
}
