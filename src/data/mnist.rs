//! MNIST (LeCun, Cortes and Burges 1998) and the sets that come in its four files, like
//! Fashion-MNIST and KMNIST.

use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::idx::read_idx_file;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::format::{Array, ArrayData};

/// The training and the test set from a folder: 60,000 and 10,000 images of 28 x 28 bytes, each
/// read as `byte / 255`, with labels 0 to 9.
///
/// The folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, also spelled `train-images.idx3-ubyte`,
/// each raw or with `.gz` (feature `gzip`).
///
/// # Errors
/// [`Error::Io`] when a file is missing or cannot be read; [`Error::Format`] when one is not
/// what [`read_pair`] expects, or when test images have another size than training images.
pub fn load(dir: impl AsRef<Path>) -> Result<(Dataset, Dataset)> {
    let part = |name: &str| -> Result<_> {
        let images = find(dir.as_ref(), &format!("{name}-images"), "idx3-ubyte")?;
        let labels = find(dir.as_ref(), &format!("{name}-labels"), "idx1-ubyte")?;
        Ok((read_pair(&images, labels, 10)?, images))
    };
    let ((train, _), (test, test_images)) = (part("train")?, part("t10k")?);
    if train.n_features() != test.n_features() {
        let (expected, got) = (train.n_features(), test.n_features());
        let reason = format!("expected {expected} pixels as in training, got {got}");
        return Err(Error::format(test_images.display().to_string(), reason));
    }
    Ok((train, test))
}

/// A data set from one IDX file of images (u8, count x rows x columns) and one of labels (u8).
///
/// # Errors
/// [`Error::Io`] when a file cannot be read; [`Error::Format`] when one is not such an IDX file
/// or the two hold different counts; [`Error::Value`] when a label is not below `n_classes`;
/// [`Error::Shape`] when there are no images.
pub fn read_pair(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    n_classes: usize,
) -> Result<Dataset> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    let ([count, rows, columns], pixels) = read_bytes(images, "count x rows x columns")?;
    let ([n_labels], classes) = read_bytes(labels, "count")?;
    if n_labels != count {
        let reason = format!("expected {count} labels, one an image, got {n_labels}");
        return Err(Error::format(labels.display().to_string(), reason));
    }
    let classes = classes.into_iter().map(u32::from).collect();
    let targets = Targets::Classes { labels: classes, n_classes };
    Dataset::from_u8(pixels, rows.saturating_mul(columns), targets)
}

/// The sizes and bytes of an IDX file of u8 with `D` dimensions.
fn read_bytes<const D: usize>(path: &Path, expected: &str) -> Result<([usize; D], Vec<u8>)> {
    let Array { shape, data } = read_idx_file(path)?;
    let type_name = data.type_name();
    match (<[usize; D]>::try_from(shape), data) {
        (Ok(sizes), ArrayData::U8(bytes)) => Ok((sizes, bytes)),
        (shape, _) => {
            let shape = shape.map_or_else(|shape| shape, Vec::from);
            let reason =
                format!("expected u8 values, {expected}, got {type_name} values, {shape:?}");
            Err(Error::format(path.display().to_string(), reason))
        }
    }
}

/// The file `stem` in one of its four spellings.
fn find(dir: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    for separator in ["-", "."] {
        for suffix in ["", ".gz"] {
            let path = dir.join(format!("{stem}{separator}{kind}{suffix}"));
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    let missing = std::io::Error::new(
        std::io::ErrorKind::NotFound,
        "no such file, nor with `.gz`, nor spelled with a dot",
    );
    Err(Error::io(&dir.join(format!("{stem}-{kind}")), missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::test_folder::Folder;

    impl Folder {
        fn idx(&self, name: &str, dims: &[u32], body: &[u8]) {
            let sizes = dims.iter().flat_map(|d| d.to_be_bytes());
            let head = [0, 0, 8, dims.len() as u8].into_iter().chain(sizes);
            self.file(name, head.chain(body.iter().copied()).collect::<Vec<_>>());
        }

        fn refused(&self, text: &str) {
            let error = load(&self.0).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn four_files_make_two_sets() {
        let folder = Folder::new("mnist");
        folder.refused("train-images-idx3-ubyte: no such file");
        folder.idx("train-images-idx3-ubyte", &[2, 1, 2], &[0, 255, 255, 0]);
        folder.idx("train-labels.idx1-ubyte", &[2], &[3, 9]);
        folder.idx("t10k-images.idx3-ubyte", &[1, 2, 1], &[255, 0]);
        folder.refused("t10k-labels-idx1-ubyte: no such file");
        folder.idx("t10k-labels-idx1-ubyte", &[1], &[0]);
        let (train, test) = load(&folder.0).unwrap();
        assert_eq!(train.matrix().as_slice(), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(train.targets(), &Targets::Classes { labels: vec![3, 9], n_classes: 10 });
        assert_eq!((test.len(), test.n_features()), (1, 2));

        folder.idx("t10k-labels-idx1-ubyte", &[2], &[0, 1]);
        folder.refused("expected 1 labels, one an image, got 2");
        folder.idx("t10k-labels-idx1-ubyte", &[1], &[10]);
        folder.refused("label in row 0: expected a class below 10, got 10");
        folder.idx("t10k-labels-idx1-ubyte", &[1, 1], &[1]);
        folder.refused("expected u8 values, count, got u8 values, [1, 1]");
        folder.idx("t10k-labels-idx1-ubyte", &[1], &[1]);
        folder.idx("t10k-images.idx3-ubyte", &[1, 3, 1], &[1, 2, 3]);
        folder.refused("expected 2 pixels as in training, got 3");
        folder.idx("t10k-images.idx3-ubyte", &[0, 3, 1], &[]);
        folder.idx("t10k-labels-idx1-ubyte", &[0], &[]);
        folder.refused("expected at least 1 row, got 0 rows");
    }
}
