//! Early stopping in the formats of `serde`.

use super::{EarlyStopping, Watched};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

const NO_TEXT: &str = "early stopping: a function of your own has no text";

#[derive(Serialize, Deserialize)]
#[serde(rename = "EarlyStopping", deny_unknown_fields)]
struct Record {
    on: Watched,
    patience: usize,
    min_delta: f64,
}

/// What is monitored, the patience and the delta. A number of one's own is an error: its function has
/// no text.
impl Serialize for EarlyStopping<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let EarlyStopping { value: _, watched, larger: _, patience, min_delta } = *self;
        if watched == Watched::Own {
            return Err(ser::Error::custom(NO_TEXT));
        }
        Record { on: watched, patience, min_delta }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for EarlyStopping<'_> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Record { on, patience, min_delta } = Record::deserialize(d)?;
        let stopping = match on {
            Watched::ValidationLoss => EarlyStopping::on_validation_loss(),
            Watched::ValidationAccuracy => EarlyStopping::on_validation_accuracy(),
            Watched::TrainingLoss => EarlyStopping::on_training_loss(),
            Watched::Own => return Err(de::Error::custom(NO_TEXT)),
        };
        Ok(stopping.patience(patience).min_delta(min_delta))
    }
}
