//! The confusion matrix in the formats of `serde`: the number of classes, and what was counted as
//! `[truth, predicted, count]`.

use super::ConfusionMatrix;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(rename = "ConfusionMatrix")]
struct Record {
    n_classes: usize,
    cells: Vec<(u32, u32, u64)>,
}

impl Serialize for ConfusionMatrix {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Record { n_classes: self.n_classes, cells: self.cells().collect() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for ConfusionMatrix {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Record { n_classes, cells } = Record::deserialize(d)?;
        // Scores add two totals.
        let total = cells.iter().try_fold(0u64, |sum, cell| sum.checked_add(cell.2));
        if total.is_none_or(|total| total > u64::MAX / 2) {
            return Err(D::Error::custom("confusion matrix: the counts overflow"));
        }
        ConfusionMatrix::from_cells(n_classes, cells).ok_or_else(|| {
            let expected = "expected counts above 0, each of other classes below n_classes";
            D::Error::custom(format!("confusion matrix: {expected}, got {n_classes} classes"))
        })
    }
}
