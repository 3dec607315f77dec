//! The metadata of files: which kinds there are, and the keys of what they say.

use crate::error::Result;
use crate::format::Contents;
use crate::network::Mlp;

/// The key of the kind of file: [`MODEL`] or [`CHECKPOINT`].
pub(super) const FORMAT: &str = "deltarule.format";
const VERSION: &str = "deltarule.version";
/// The key of the network's description.
pub(super) const ARCHITECTURE: &str = "deltarule.architecture";
/// The kind of a model.
pub(super) const MODEL: &str = "model 1";
/// The kind of a checkpoint, which is a model with further tensors.
pub(crate) const CHECKPOINT: &str = "checkpoint 1";
/// The prefix of the names of a checkpoint's further tensors.
pub(crate) const STATE: &str = "training.";
/// The keys of a standardisation: its means, and its deviations.
pub(super) const INPUT_KEYS: [&str; 2] = ["deltarule.inputs.mean", "deltarule.inputs.std"];
pub(super) const TARGET_KEYS: [&str; 2] = ["deltarule.targets.mean", "deltarule.targets.std"];

impl Mlp {
    /// The metadata of a file of this network.
    pub(crate) fn metadata(&self, format: &str) -> [(&'static str, String); 3] {
        let version = format!("deltarule {}", env!("CARGO_PKG_VERSION"));
        let architecture = self.architecture().to_string();
        [(FORMAT, format.into()), (VERSION, version), (ARCHITECTURE, architecture)]
    }
}

/// Refuses a file whose network is not the whole of it.
pub(super) fn refuse_standardized(file: &Contents) -> Result<()> {
    match INPUT_KEYS.iter().chain(&TARGET_KEYS).find(|key| file.metadata(key).is_some()) {
        None => Ok(()),
        Some(key) => {
            let reason = format!("has {key:?}: Pipeline::load reads the network with it");
            Err(file.refuse(reason))
        }
    }
}
