//! What the examples that train for an accuracy on MNIST share: flags, training, a line an epoch.

#[path = "mnist_files.rs"]
mod mnist_files;

use deltarule::{Control, Epoch, Mlp, Threads, Trainer};
use std::path::PathBuf;

/// What an example answers.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Flags of the command line: `--data DIR`, `--digits`, `--epochs N`, `--seed N`, `--threads N`.
pub struct Flags {
    dir: Option<PathBuf>,
    digits: bool,
    /// Passes over the training images.
    pub epochs: usize,
    /// Of weights, order and dropout.
    pub seed: u64,
    threads: Threads,
}

/// Reads the flags; `epochs` if they say nothing.
pub fn flags(epochs: usize) -> Result<Flags, Box<dyn std::error::Error>> {
    let threads = Threads::Current;
    let mut flags = Flags { dir: None, digits: false, epochs, seed: 1, threads };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag}: expected a value, got nothing"));
        match flag.as_str() {
            "--digits" => flags.digits = true,
            "--data" => flags.dir = Some(value()?.into()),
            "--epochs" => flags.epochs = value()?.parse()?,
            "--seed" => flags.seed = value()?.parse()?,
            "--threads" => flags.threads = Threads::N(value()?.parse()?),
            _ => {
                let known = "--data, --digits, --epochs, --seed and --threads";
                return Err(format!("{flag}: no such flag; there are {known}").into());
            }
        }
    }
    Ok(flags)
}

/// Trains on MNIST, or on the digits where it is missing, and prints what comes of it. `network`
/// answers the network for so many inputs.
pub fn run(
    flags: &Flags,
    network: impl Fn(usize) -> deltarule::Result<Mlp>,
    trainer: Trainer,
) -> Outcome {
    let source = match flags.digits {
        true => mnist_files::digits(),
        false => mnist_files::find_or_fetch(flags.dir.as_deref()),
    };
    println!("data: {}", source.description);
    let mut net = network(source.train.n_features())?;
    println!("{}", net.summary());
    let print = |e: &Epoch| {
        let accuracy = e.validation.as_ref().and_then(|v| v.accuracy).unwrap_or(f64::NAN);
        println!(
            "epoch {}: loss {:.4}, test accuracy {:.2} %, {:.1} s",
            e.epoch,
            e.loss,
            100.0 * accuracy,
            e.seconds
        );
        Control::Continue
    };
    // Watched on the test set, but nothing is chosen by it: the last epoch counts.
    let mut trainer = trainer.epochs(flags.epochs).seed(flags.seed).threads(flags.threads);
    trainer = trainer.validate(&source.test).on_epoch(print);
    let history = trainer.fit(&mut net, &source.train)?;
    let accuracy = net.evaluate(&source.test)?.accuracy.unwrap_or(f64::NAN);
    println!("test accuracy: {:.2} % after {:.0} s", 100.0 * accuracy, history.seconds());
    println!("weights digest: {:016x}", net.digest());
    Ok(())
}
