//! What the examples that train for an accuracy on MNIST share: flags, training, a line an epoch.

#[path = "images.rs"]
mod images;

use clap::Parser;
use deltarule::{Epoch, Mlp, Threads, Trainer};
use images::Images;
use std::ops::ControlFlow;

/// What an example answers.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Trains a network on MNIST.
#[derive(Parser)]
pub struct Flags {
    #[command(flatten)]
    images: Images,
    /// Passes over the training images, instead of the usual ones
    #[arg(long)]
    epochs: Option<usize>,
    /// Of weights, order and dropout
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The calling thread and N − 1 more; without it the rayon pool
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Trains on MNIST, or on the digits where it is missing, and prints what comes of it. `network`
/// answers the network for so many inputs.
pub fn run(
    flags: &Flags,
    network: impl Fn(usize) -> deltarule::Result<Mlp>,
    trainer: Trainer,
) -> Outcome {
    let source = flags.images.load();
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
        ControlFlow::Continue(())
    };
    // Watched on the test set, but nothing is chosen by it: the last epoch counts.
    let mut trainer = trainer.seed(flags.seed).validation(&source.test).on_epoch(print);
    if let Some(epochs) = flags.epochs {
        trainer = trainer.epochs(epochs);
    }
    if let Some(threads) = flags.threads {
        trainer = trainer.threads(Threads::N(threads));
    }
    let history = trainer.fit(&mut net, &source.train)?;
    let accuracy = net.evaluate(&source.test)?.accuracy.unwrap_or(f64::NAN);
    println!("test accuracy: {:.2} % after {:.0} s", 100.0 * accuracy, history.seconds());
    println!("weights digest: {:016x}", net.digest());
    Ok(())
}
