//! From nothing to a trained network: `cargo run --release --example mnist`.
//!
//! Finds or fetches MNIST, trains on its 60,000 training images, and counts how many of the 10,000
//! test images it then gets right. `-- --help` lists the flags.

#[path = "common/images.rs"]
mod images;

use clap::{Parser, ValueEnum};
use deltarule::{
    Activation, Adam, Epoch, History, Init, Loss, Mlp, Momentum, Optimizer, Precision, Progress,
    Sgd, Threads, Trainer,
};
use images::{Images, Source};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Trains a multilayer perceptron on MNIST
#[derive(Parser)]
#[command(after_help = NIELSEN)]
struct Options {
    /// Neurons a layer, from the inputs to the ten classes
    #[arg(long, value_delimiter = ',', default_value = "784,128,10")]
    layers: Vec<usize>,
    /// Of the hidden layers: relu, sigmoid, tanh, leaky-relu:0.1, elu:1, gelu …
    #[arg(long, default_value = "relu")]
    activation: Activation,
    /// Output layer and loss
    #[arg(long)]
    loss: Option<Output>,
    /// sgd, momentum (0.9) or adam
    #[arg(long, default_value = "adam")]
    optimizer: String,
    /// Learning rate: 0.002 for adam, 0.1 for sgd, 0.02 for momentum
    #[arg(long)]
    lr: Option<f32>,
    /// Samples a step: 128, or 32 on the digits
    #[arg(long)]
    batch: Option<usize>,
    /// Passes over the training images: 5, or 20 on the digits
    #[arg(long)]
    epochs: Option<usize>,
    /// Of the initial weights and of the order of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The calling thread and N − 1 more; without it the rayon pool. The digest is the same for
    /// every N
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Of the products: f32, f32x6, high or bf16
    #[arg(long, default_value = "f32")]
    precision: Precision,
    #[command(flatten)]
    images: Images,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Output {
    /// Softmax with cross-entropy (the default)
    Ce,
    /// Sigmoid with the quadratic cost ½‖ŷ − y‖² (the default with --activation sigmoid)
    Mse,
}

const NIELSEN: &str = "\
The first experiment of Nielsen's book (sigmoid and quadratic cost, all weights and biases drawn
from the standard normal distribution):

  --activation sigmoid --layers 784,30,10 --optimizer sgd --lr 3.0 --batch 10 --epochs 30";

fn optimizer(o: &Options) -> Outcome<Optimizer> {
    let lr = |default: f32| o.lr.unwrap_or(default);
    match o.optimizer.as_str() {
        "sgd" => Ok(Sgd::new(lr(0.1)).into()),
        "momentum" => Ok(Momentum::new(lr(0.02), 0.9).into()),
        "adam" => Ok(Adam::new(lr(0.002)).into()),
        other => Err(format!("--optimizer: expected sgd, momentum or adam, got {other}").into()),
    }
}

/// The network that the options describe, and its loss.
fn network(o: &Options, layers: &[usize]) -> Outcome<(Mlp, Loss)> {
    let sigmoid = o.activation == Activation::Sigmoid;
    let quadratic = o.loss.map_or(sigmoid, |output| output == Output::Mse);
    let output = if quadratic { Activation::Sigmoid } else { Activation::Softmax };
    let mut builder = Mlp::builder(layers[0]).seed(o.seed);
    for &n in &layers[1..layers.len() - 1] {
        builder = builder.dense(n, o.activation);
    }
    builder = builder.dense(layers[layers.len() - 1], output);
    if quadratic && sigmoid {
        // The network of Nielsen's first chapter.
        builder = builder.init(Init::Normal(1.0));
    }
    let loss = if quadratic { Loss::Quadratic } else { Loss::CrossEntropy };
    Ok((builder.build()?, loss))
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(o: &Options) -> Outcome<()> {
    // Bad values end here, before anything is read or fetched.
    if o.layers.len() < 2 {
        return Err(format!("--layers: expected two sizes or more, got {:?}", o.layers).into());
    }
    let threads = o.threads.map_or(Threads::Current, Threads::N);
    threads.validate()?;
    let optimizer = optimizer(o)?;
    optimizer.validate()?;
    let Source { description, train, test, is_mnist } = o.images.load();
    println!("data: {description}, {} to train on, {} to test with", train.len(), test.len());
    let mut layers = o.layers.clone();
    if !is_mnist && layers[0] != train.n_features() {
        println!("--layers: {} inputs, not {}, for these images", train.n_features(), layers[0]);
        layers[0] = train.n_features();
    }
    let batch = o.batch.unwrap_or(if is_mnist { 128 } else { 32 });
    let epochs = o.epochs.unwrap_or(if is_mnist { 5 } else { 20 });
    let (mut net, loss) = network(o, &layers)?;
    println!("network: {net:?}");
    println!(
        "training: {loss}, {} with learning rate {}, batches of {batch}, {epochs} epochs, seed {}",
        o.optimizer,
        optimizer.learning_rate(),
        o.seed,
    );

    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "epoch {msg} {bar:40} step {pos}/{len}, {eta} left",
    )?);
    let on_step = |p: &Progress| {
        // Fifty times an epoch: drawing is not free.
        if p.step.is_multiple_of(p.steps.div_ceil(50)) {
            bar.set_length((p.epochs * p.steps) as u64);
            bar.set_position(((p.epoch - 1) * p.steps + p.step) as u64);
            bar.set_message(format!("{}/{}", p.epoch, p.epochs));
        }
        ControlFlow::Continue(())
    };
    let on_epoch = |e: &Epoch| {
        let accuracy = e.validation.as_ref().and_then(|v| v.accuracy).unwrap_or(f64::NAN);
        bar.suspend(|| {
            println!(
                "epoch {}: loss {:.4}, validation accuracy {accuracy:.4}, {:.3} s, {:.0} samples/s",
                e.epoch, e.loss, e.seconds, e.samples_per_second
            )
        });
        ControlFlow::Continue(())
    };
    // Validated on the test set, as in the book: nothing here is chosen by what comes out.
    let history = Trainer::new(optimizer)
        .loss(loss)
        .batch_size(batch)
        .epochs(epochs)
        .seed(o.seed)
        .threads(threads)
        .precision(o.precision)
        .validation(&test)
        .on_step(on_step)
        .on_epoch(on_epoch)
        .fit(&mut net, &train)?;
    bar.finish_and_clear();

    let accuracy = net.evaluate(&test)?.accuracy.unwrap_or(f64::NAN);
    println!("training time: {:.3} s", history.seconds());
    println!("test accuracy: {accuracy:.4}");
    let History { precision, hardware, .. } = history;
    println!("weights digest: {:016x} ({precision}, {hardware} products)", net.digest());
    Ok(())
}
