//! The flags of an example that say which images it trains on.

#[path = "mnist_files.rs"]
mod mnist_files;

use clap::Args;
pub use mnist_files::Source;
use std::path::PathBuf;

// Not a doc comment: clap would take it for what the example as a whole does.
#[derive(Args)]
pub struct Images {
    /// Where the four files of MNIST are, raw or .gz; then $DELTARULE_DATA and data/mnist are looked
    /// at, and what is missing is fetched into data/mnist
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Train on the embedded 8x8 digits, without a look for MNIST
    #[arg(long)]
    digits: bool,
}

impl Images {
    /// Finds or fetches them.
    pub fn load(&self) -> Source {
        match self.digits {
            true => mnist_files::digits(),
            false => mnist_files::find_or_fetch(self.data.as_deref()),
        }
    }
}
