//! Arrays in safetensors files: features and targets side by side.

use crate::error::Result;
use crate::format::{Array, read_file, read_stream};
use std::io::Read;
use std::path::Path;

/// Reads the tensor `name` of a safetensors file, of at most 64 dimensions: of F32, F64, F16 or BF16
/// (as f32, which holds them), BOOL or integers. The other tensors of the file are not checked.
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
/// [`Error::Format`](crate::Error::Format) when it is damaged or has no such tensor,
/// or one of another type; [`Error::Memory`](crate::Error::Memory) when it does not fit.
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
    use crate::data::npy::read_npy;
    use crate::data::targets::Targets;
    use crate::format::ArrayData;
    use crate::format::test_folder::Folder;
    use safetensors::tensor::{Dtype, TensorView, serialize};

    #[test]
    fn what_the_official_crate_writes_is_read() {
        let bytes: Vec<u8> = (0..48).map(|i| i * 5).collect();
        let kinds = [
            ("bool", Dtype::BOOL, "b1"),
            ("f32", Dtype::F32, "f4"),
            ("f64", Dtype::F64, "f8"),
            ("u8", Dtype::U8, "u1"),
            ("i8", Dtype::I8, "i1"),
            ("u16", Dtype::U16, "u2"),
            ("i16", Dtype::I16, "i2"),
            ("u32", Dtype::U32, "u4"),
            ("i32", Dtype::I32, "i4"),
            ("u64", Dtype::U64, "u8"),
            ("i64", Dtype::I64, "i8"),
        ];
        let views = kinds.map(|(name, dtype, _)| {
            let n = 48 / (dtype.bitsize() / 8);
            (name, TensorView::new(dtype, vec![2, n / 2], &bytes).unwrap())
        });
        let file = serialize(views, None).unwrap();
        for (name, dtype, descr) in kinds {
            let array = read_safetensors(&file[..], name).unwrap();
            assert_eq!(array.shape, [2, 24 / (dtype.bitsize() / 8)]);
            let header = format!(
                "{{'descr': '<{descr}', 'fortran_order': False, 'shape': {:?}}}",
                (array.shape[0], array.shape[1])
            );
            let length = (header.len() as u16).to_le_bytes();
            let npy = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &bytes].concat();
            assert_eq!(array, read_npy(&npy[..]).unwrap(), "{name}");
        }
        assert!(read_safetensors(&file[..], "none").is_err());
        assert!(read_safetensors(&file[..file.len() - 1], "u8").is_err());
        // No network is made of these.
        let net = crate::Mlp::builder(1).dense(1, crate::Activation::Identity).build();
        let error = net.unwrap().read_weights(&file[..]).unwrap_err().to_string();
        assert!(error.contains("expected 1 layers, got 0"), "{error}");
    }

    /// PyTorch: `torch.tensor([1, -2, 1/3]).to(dtype)`, and what `.view(torch.int16)` shows of it.
    #[test]
    fn tensors_are_checked_when_they_are_read() {
        let halves = [0x3c00u16, 0xc000, 0x3555].map(u16::to_le_bytes).concat();
        let brains = [0x3f80u16, 0xc000, 0x3eab].map(u16::to_le_bytes).concat();
        let (counter, images, none) = (7i64.to_le_bytes(), [9; 2 * 28 * 28], []);
        let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data);
        let tensors = [
            ("counter", view(Dtype::I64, &[], &counter).unwrap()),
            ("halves", view(Dtype::F16, &[3], &halves).unwrap()),
            ("brains", view(Dtype::BF16, &[3, 1], &brains).unwrap()),
            ("empty", view(Dtype::F32, &[0, 4], &none).unwrap()),
            ("eighths", view(Dtype::F8_E4M3, &[8], &counter).unwrap()),
            ("images", view(Dtype::U8, &[2, 28, 28], &images).unwrap()),
        ];
        let file = serialize(tensors, None).unwrap();
        let read = |name: &str| read_safetensors(&file[..], name).unwrap();
        assert_eq!(read("counter"), Array { shape: vec![], data: ArrayData::I64(vec![7]) });
        assert_eq!(read("halves").data, ArrayData::F32(vec![1.0, -2.0, 0.333_251_95]));
        assert_eq!(read("brains").data, ArrayData::F32(vec![1.0, -2.0, 0.333_984_38]));
        assert_eq!((read("brains").shape, read("empty").shape), (vec![3, 1], vec![0, 4]));
        assert_eq!(read("images").shape, [2, 28, 28]);
        let error = read_safetensors(&file[..], "eighths").unwrap_err().to_string();
        assert!(error.contains("\"eighths\": expected F16, BF16"), "{error}");
        let labels = Targets::Classes { labels: vec![0, 1], n_classes: 2 };
        let data = read("images").into_dataset(labels).unwrap();
        assert_eq!((data.len(), data.n_features()), (2, 784));
    }

    #[test]
    fn features_and_labels_become_a_data_set() {
        let (x, y): (Vec<u8>, Vec<u8>) =
            ((0..6).collect(), [1i64, 0, 2].iter().flat_map(|y| y.to_le_bytes()).collect());
        let x = TensorView::new(Dtype::U8, vec![3, 2], &x).unwrap();
        let y = TensorView::new(Dtype::I64, vec![3], &y).unwrap();
        let folder = Folder::new("pair");
        let path = folder.file("xy", serialize([("x", x), ("y", y)], None).unwrap());
        let labels = read_safetensors_file(&path, "y").unwrap().into_classes(3).unwrap();
        let data = read_safetensors_file(&path, "x").unwrap().into_dataset(labels).unwrap();
        assert_eq!((data.len(), data.n_features()), (3, 2));
        assert_eq!(data.targets(), &Targets::Classes { labels: vec![1, 0, 2], n_classes: 3 });
    }
}
