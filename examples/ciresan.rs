//! Trains a large network for as long as the user specifies, after "Deep, Big, Simple Neural Nets Excel
//! on Handwritten Digit Recognition" (Cireşan, Meier, Gambardella and Schmidhuber 2010). The network is
//! 784-2500-2000-1500-1000-500-10. In each epoch every image of MNIST is distorted, rotated and scaled
//! anew. The paper reports an error of 0.35 % on the test images after 114 hours on a GPU of 2010.
//!
//! The example trains for as many epochs as fit into the given time, with ReLU, Nesterov's momentum and
//! a learning rate that falls along half a cosine over these epochs. It measures the number of epochs
//! once, at the start. With `--checkpoint FILE` a killed run resumes, to the same bits, when it is
//! started again with the same flags. The log beside FILE stores the number of epochs, which then
//! overrides `--minutes`, and the epoch that each saved set of weights belongs to.
//!
//! `cargo run --release --example ciresan -- --minutes 30`; `--help` lists the flags.

#[path = "common/distortions.rs"]
mod distortions;
#[path = "common/images.rs"]
mod images;

use clap::Parser;
use deltarule::data::{Dataset, Features, Targets, shuffled};
use deltarule::{Activation, BatchTargets, MatRef, Mlp, Momentum, Result, Schedule, Trainer};
use distortions::distortions;
use images::Images;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, read_to_string};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 128;
/// Number of batches that measure the speed.
const PROBE: usize = 32;
/// Fraction of the time that is reserved for checkpoints and the test.
const RESERVE: f64 = 0.02;
/// Minimum time between two checkpoints.
const BETWEEN: Duration = Duration::from_secs(20);

/// Trains a large network on distorted images for a given time.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    images: Images,
    /// Training time; default 30 for MNIST, 0.05 for the digits
    #[arg(long)]
    minutes: Option<f64>,
    /// Save the weights here, with a log beside them, and resume from them
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Learning rate at the start
    #[arg(long, default_value_t = 0.05)]
    lr: f32,
    /// Seed of weights, order and distortions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of training images to test on instead of the test images
    #[arg(long, value_name = "IMAGES", default_value_t = 0)]
    hold_out: usize,
}

fn main() -> Outcome<()> {
    let Flags { images, minutes, checkpoint, lr, seed, hold_out } = Flags::parse();
    let source = images.load();
    println!("data: {}", source.description);
    let (train, test) = match hold_out {
        0 => (source.train, source.test),
        n => source.train.split_at(source.train.len().saturating_sub(n))?,
    };
    // The digits use a smaller network and a shorter time.
    let (hidden, usual) = match source.is_mnist {
        true => ([2500, 2000, 1500, 1000, 500], 30.0),
        false => ([100, 80, 60, 40, 20], 0.05),
    };
    let mut net = network(train.n_features(), &hidden, seed)?;
    println!("{}", net.summary());

    let mut run = Run { train: &train, lr, seed, epochs: 0 };
    let log = checkpoint.as_ref().map(|file| file.with_extension("log"));
    let mut done = 0;
    match (&checkpoint, &log) {
        (Some(file), Some(log)) if log.exists() => {
            let text = read_to_string(log)?;
            run.epochs = text.split(' ').next().unwrap_or_default().parse()?;
            if text.lines().next() != Some(&run.words()) {
                return Err(format!("{}: of a run with other flags", log.display()).into());
            }
            if file.exists() {
                net = Mlp::load(file)?;
                done = epoch_of(&net, &text).ok_or("the checkpoint is not of the log's run")?;
            }
        }
        (Some(file), _) if file.exists() => {
            return Err(format!("{}: there, but no log beside it", file.display()).into());
        }
        _ => {
            run.epochs = run.epochs_in(60.0 * minutes.unwrap_or(usual), &net)?;
            log.as_ref().map_or(Ok(()), |log| append(log, &run.words()))?;
        }
    }
    println!("{}, {done} of them done", run.words());

    let steps = train.len().div_ceil(BATCH) as u64;
    let style = ProgressStyle::with_template("{bar:40} step {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::new(run.epochs * steps).with_style(style);
    bar.set_position(done * steps);
    bar.reset_eta();
    let (start, mut saved) = (Instant::now(), Instant::now());
    for epoch in done + 1..=run.epochs {
        let begin = Instant::now();
        let loss = run.epoch(&mut net, epoch, usize::MAX, &bar)?;
        if saved.elapsed() < BETWEEN && epoch < run.epochs {
            continue;
        }
        let rate = train.len() as f64 / begin.elapsed().as_secs_f64();
        let line = format!(
            "epoch {epoch}: loss {loss:.4}, {rate:.0} samples/s, weights {:016x}",
            net.digest()
        );
        bar.suspend(|| println!("{line}"));
        if let (Some(file), Some(log)) = (&checkpoint, &log) {
            // The log is written first, so that after a crash it has the line of the saved weights.
            append(log, &line)?;
            net.save(file)?;
        }
        saved = Instant::now();
    }
    bar.finish_and_clear();

    let error = 1.0 - net.evaluate(&test)?.accuracy.unwrap_or(0.0);
    println!(
        "{:.0} s, error on {} images: {:.2} %",
        start.elapsed().as_secs_f64(),
        test.len(),
        100.0 * error
    );
    println!("weights digest: {:016x}", net.digest());
    Ok(())
}

/// The settings that affect the bits of the result.
struct Run<'a> {
    train: &'a Dataset,
    lr: f32,
    seed: u64,
    epochs: u64,
}

impl Run<'_> {
    fn words(&self) -> String {
        let Run { train, lr, seed, epochs } = self;
        format!("{epochs} epochs on {} images, learning rate {lr}, seed {seed}", train.len())
    }

    /// Returns how many epochs fit into `seconds`, by the speed of training a copy of the network.
    fn epochs_in(&self, seconds: f64, net: &Mlp) -> Result<u64> {
        let mut copy = net.clone();
        let mut probe = || -> Result<f64> {
            let start = Instant::now();
            self.epoch(&mut copy, 1, PROBE, &ProgressBar::hidden())?;
            Ok(start.elapsed().as_secs_f64())
        };
        // The first call is slower: caches and memory pages are cold.
        probe()?;
        let probed = self.train.len().min(PROBE * BATCH);
        let epoch = probe()? * self.train.len() as f64 / probed as f64;
        Ok((seconds * (1.0 - RESERVE) / epoch).max(1.0) as u64)
    }

    /// Trains for one epoch, or its first `batches` batches, and returns the mean loss.
    ///
    /// The momentum starts at zero in each epoch, so that a checkpoint needs to contain the weights
    /// only. The effect is small, because momentum 0.9 forgets within tens of steps.
    fn epoch(&self, net: &mut Mlp, epoch: u64, batches: usize, bar: &ProgressBar) -> Result<f64> {
        let n = self.train.n_features();
        let mut order = vec![0; self.train.len()];
        shuffled(self.seed, epoch, &mut order);
        order.truncate(batches.saturating_mul(BATCH));
        let (images, labels) = self.bent(epoch, &order)?;

        let steps = self.train.len().div_ceil(BATCH) as u64;
        let rates = Schedule::cosine(0.0).over(self.epochs * steps);
        let optimizer = Momentum::new(self.lr, 0.9).nesterov();
        let mut training = Trainer::new(optimizer).batch_size(BATCH).session(net)?;
        let mut sum = 0.0;
        for (x, y) in images.chunks(BATCH * n).zip(labels.chunks(BATCH)) {
            training
                .set_learning_rate(rates.rate(self.lr, (epoch - 1) * steps + training.steps()))?;
            let loss = training.step(MatRef::new(x, y.len(), n)?, BatchTargets::Classes(y))?;
            sum += f64::from(loss) * y.len() as f64;
            bar.inc(1);
        }
        Ok(sum / labels.len() as f64)
    }

    /// Returns the images in this order, distorted for this epoch on all cores, and their labels.
    fn bent(&self, epoch: u64, order: &[u32]) -> Result<(Vec<f32>, Vec<u32>)> {
        let (Features::U8 { data: pixels, scale, shift }, Targets::Classes { labels, .. }) =
            (self.train.features(), self.train.targets())
        else {
            unreachable!("images of bytes with classes")
        };
        let n = self.train.n_features();
        let augmenter = distortions(n.isqrt()).values(scale, shift).augmenter()?;
        let mut images = vec![0.0; order.len() * n];
        let share = order.len().div_ceil(available_parallelism().map_or(1, usize::from));
        let bend = |order: &[u32], images: &mut [f32]| {
            let mut augmenter = augmenter.clone();
            order.iter().zip(images.chunks_mut(n)).try_for_each(|(&i, x)| {
                augmenter.apply(self.seed, epoch, i.into(), &pixels[i as usize * n..][..n], x)
            })
        };
        scope(|scope| {
            let parts = order.chunks(share).zip(images.chunks_mut(share * n));
            let threads: Vec<_> =
                parts.map(|(order, images)| scope.spawn(|| bend(order, images))).collect();
            threads.into_iter().try_for_each(|t| t.join().expect("bending does not panic"))
        })?;
        Ok((images, order.iter().map(|&i| labels[i as usize]).collect()))
    }
}

fn network(n_in: usize, hidden: &[usize], seed: u64) -> Result<Mlp> {
    let builder = Mlp::builder(n_in).seed(seed);
    let hidden = hidden.iter().fold(builder, |b, &n| b.dense(n, Activation::Relu));
    hidden.dense(10, Activation::Softmax).build()
}

/// Returns the epoch of these weights, by the digest in the log.
fn epoch_of(net: &Mlp, log: &str) -> Option<u64> {
    let digest = format!("{:016x}", net.digest());
    let line = log.lines().find(|line| line.ends_with(&digest))?;
    line.strip_prefix("epoch ")?.split(':').next()?.parse().ok()
}

fn append(log: &Path, line: &str) -> std::io::Result<()> {
    let mut file = File::options().append(true).create(true).open(log)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
