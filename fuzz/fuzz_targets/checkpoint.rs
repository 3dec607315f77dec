//! Checkpoints, with a right checksum, from which the run of `tests/corpus.rs` goes on:
//! `tests/corpus/safetensors/good-checkpoint`.

#![no_main]

use deltarule::data::{Dataset, digits};
use deltarule::{Activation, Adam, Mlp, Result, Threads, Trainer};
use deltarule_fuzz::{cheaply, file_of, mended};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;

/// What the run itself costs: its network, the optimiser's state and the workspace.
const OWN: usize = 256 * 1024;

static DATA: LazyLock<Dataset> = LazyLock::new(|| digits().split_at(30).expect("30 digits").0);

/// Goes on for one epoch behind the checkpoint.
fn resume(path: &Path) -> Result<()> {
    let net = Mlp::builder(64).dense(2, Activation::Relu).dense(10, Activation::Softmax);
    let mut net = net.build()?;
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(10).threads(Threads::One);
    trainer.epochs(3).resume(path).fit(&mut net, &DATA).map(drop)
}

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&DATA);
    let bytes = &mended(bytes)[..];
    let path = file_of(bytes);
    cheaply(bytes, OWN, || resume(path));
    cheaply(bytes, 0, || Mlp::load(path));
});
