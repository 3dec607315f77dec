//! From nothing to a trained network: `cargo run --release --example mnist`.
//!
//! Finds or fetches MNIST, trains on its 60,000 training images, and counts how many of the 10,000
//! test images it then gets right. `-- --help` lists the flags.

#[path = "common/mnist_files.rs"]
mod mnist_files;

use deltarule::{
    Activation, Adam, Control, Epoch, History, Init, Loss, Mlp, Momentum, Optimizer, Precision,
    Progress, Sgd, Threads, Trainer,
};
use indicatif::{ProgressBar, ProgressStyle};
use mnist_files::Source;
use std::path::PathBuf;
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Trains a multilayer perceptron on MNIST.

usage: cargo run --release --example mnist -- [flags]

  --layers 784,128,10   neurons a layer, from the inputs to the ten classes
  --activation relu     of the hidden layers: relu, sigmoid, tanh, leaky-relu:0.1, elu:1, gelu …
  --loss ce|mse         ce: a softmax output layer with cross-entropy (the default);
                        mse: a sigmoid output layer with the quadratic cost ½‖ŷ − y‖²
                        (the default with --activation sigmoid)
  --optimizer adam      sgd, momentum (0.9) or adam
  --lr F                learning rate (0.002 for adam, 0.1 for sgd, 0.02 for momentum)
  --batch 128           samples a step (32 on the digits)
  --epochs 5            passes over the training images (20 on the digits)
  --seed 0              of the initial weights and of the order of the samples
  --threads N           the calling thread and N − 1 more; without it the rayon pool.
                        The digest is the same for every N.
  --precision f32       of the products: f32, f32x6, high or bf16
  --data DIR            where the four files of MNIST are, raw or .gz; then $DELTARULE_DATA and
                        data/mnist are looked at, and what is missing is fetched into data/mnist
  --digits              train on the embedded 8x8 digits, without a look for MNIST

The first experiment of Nielsen's book (sigmoid and quadratic cost, all weights and biases drawn
from the standard normal distribution):

  --activation sigmoid --layers 784,30,10 --optimizer sgd --lr 3.0 --batch 10 --epochs 30
";

/// What the command line says. `None` is a default that depends on other flags or on the data.
struct Options {
    layers: Vec<usize>,
    activation: Activation,
    quadratic: Option<bool>,
    optimizer: String,
    lr: Option<f32>,
    batch: Option<usize>,
    epochs: Option<usize>,
    seed: u64,
    threads: Threads,
    precision: Precision,
    data: Option<PathBuf>,
    digits: bool,
}

/// `None` when help was asked for.
fn parse(args: impl Iterator<Item = String>) -> Outcome<Option<Options>> {
    let mut o = Options {
        layers: vec![784, 128, 10],
        activation: Activation::Relu,
        quadratic: None,
        optimizer: "adam".to_string(),
        lr: None,
        batch: None,
        epochs: None,
        seed: 0,
        threads: Threads::Current,
        precision: Precision::F32,
        data: None,
        digits: false,
    };
    let mut args = args;
    while let Some(arg) = args.next() {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_string(), Some(value.to_string())),
            None => (arg, None),
        };
        match flag.as_str() {
            "--help" | "-h" => return Ok(None),
            "--digits" => {
                o.digits = true;
                continue;
            }
            "--layers" | "--activation" | "--loss" | "--optimizer" | "--lr" | "--batch"
            | "--epochs" | "--seed" | "--threads" | "--precision" | "--data" => {}
            _ => return Err(format!("{flag}: no such flag; --help lists them").into()),
        }
        let Some(value) = value.or_else(|| args.next()) else {
            return Err(format!("{flag}: expected a value, got nothing").into());
        };
        let whole = || number::<usize>(&flag, &value, "a whole number");
        match flag.as_str() {
            "--layers" => {
                let what = "whole numbers with commas, as in 784,128,10";
                let sizes = value.split(',').map(|n| number(&flag, n, what));
                o.layers = sizes.collect::<Outcome<_>>()?;
                if o.layers.len() < 2 {
                    return Err(format!("--layers: expected two sizes or more, got {value}").into());
                }
            }
            "--activation" => o.activation = value.parse()?,
            "--loss" => {
                o.quadratic = Some(match value.as_str() {
                    "mse" => true,
                    "ce" => false,
                    _ => return Err(format!("--loss: expected mse or ce, got {value}").into()),
                })
            }
            "--optimizer" => o.optimizer = value,
            "--lr" => o.lr = Some(number(&flag, &value, "a number")?),
            "--batch" => o.batch = Some(whole()?),
            "--epochs" => o.epochs = Some(whole()?),
            "--seed" => o.seed = number(&flag, &value, "a whole number")?,
            "--threads" => o.threads = Threads::N(whole()?),
            "--precision" => o.precision = value.parse()?,
            _ => o.data = Some(value.into()),
        }
    }
    // Bad values end here, before anything is read or fetched.
    o.threads.validate()?;
    optimizer(&o)?.validate()?;
    Ok(Some(o))
}

fn number<T: std::str::FromStr>(flag: &str, value: &str, what: &str) -> Outcome<T> {
    value.parse().map_err(|_| format!("{flag}: expected {what}, got {value:?}").into())
}

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
    let quadratic = o.quadratic.unwrap_or(sigmoid);
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
    let outcome = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{HELP}");
            Ok(())
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(o: &Options) -> Outcome<()> {
    let source = if o.digits {
        mnist_files::digits()
    } else {
        mnist_files::find_or_fetch(o.data.as_deref())
    };
    let Source { description, train, test, is_mnist } = source;
    println!("data: {description}, {} to train on, {} to test with", train.len(), test.len());
    let mut layers = o.layers.clone();
    if !is_mnist && layers[0] != train.n_features() {
        println!("--layers: {} inputs, not {}, for these images", train.n_features(), layers[0]);
        layers[0] = train.n_features();
    }
    let batch = o.batch.unwrap_or(if is_mnist { 128 } else { 32 });
    let epochs = o.epochs.unwrap_or(if is_mnist { 5 } else { 20 });
    let optimizer = optimizer(o)?;
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
        Control::Continue
    };
    let on_epoch = |e: &Epoch| {
        let accuracy = e.validation.as_ref().and_then(|v| v.accuracy).unwrap_or(f64::NAN);
        bar.suspend(|| {
            println!(
                "epoch {}: loss {:.4}, validation accuracy {accuracy:.4}, {:.3} s, {:.0} samples/s",
                e.epoch, e.loss, e.seconds, e.samples_per_second
            )
        });
        Control::Continue
    };
    // Validated on the test set, as in the book: nothing here is chosen by what comes out.
    let history = Trainer::new(optimizer)
        .loss(loss)
        .batch_size(batch)
        .epochs(epochs)
        .seed(o.seed)
        .threads(o.threads)
        .precision(o.precision)
        .validate(&test)
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
