//! Networks: their description, layers, parameters and initialisation. Nothing here knows of training.

mod architecture;
mod blend;
mod builder;
mod holder;
mod init;
mod layer;
mod mlp;
mod norm;
mod parameters;
mod summary;

pub(crate) use architecture::Architecture;
pub use builder::MlpBuilder;
pub use holder::{MlpMut, MlpRef};
pub use init::Init;
pub use layer::{Layer, LayerKind, LayerShape, NormKind};
pub use mlp::Mlp;
pub use norm::NormParameters;
pub(crate) use parameters::LayerParameters;
pub use summary::{LayerSummary, Summary};
