//! How fast a network trains or predicts here: one line of `key=value` pairs.
//!
//! `cargo run --release --example throughput -- --layers 784,128,10 --batch 128 --threads 2`;
//! `--help` lists the flags.

use clap::Parser;
use deltarule::reference;
use deltarule::{
    Activation, Adam, BatchTargets, Hardware, Level, MatMut, MatRef, Mlp, Momentum, Optimizer,
    Precision, Predictor, Sgd, Threads, Trainer,
};
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How fast a network trains or predicts here.
#[derive(Parser)]
struct Options {
    /// Neurons a layer, from the inputs to the outputs
    #[arg(long, value_delimiter = ',', default_value = "784,128,10")]
    layers: Vec<usize>,
    /// Of the hidden layers
    #[arg(long, default_value = "relu")]
    activation: Activation,
    /// sgd, momentum or adam
    #[arg(long, default_value = "adam")]
    optimizer: String,
    /// Rows a step or call
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// All cores without it
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// Predict instead of training
    #[arg(long)]
    predict: bool,
    /// How long to measure
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The share of the inputs that are zero
    #[arg(long, default_value_t = 0.0)]
    zeros: f64,
    /// avx512, avx2, portable, or reference, the naive path; the best one without it
    #[arg(long)]
    level: Option<String>,
    /// Of the products: f32, f32x6, high or bf16
    #[arg(long, default_value = "f32")]
    precision: Precision,
}

fn optimizer(name: &str) -> Outcome<Optimizer> {
    // Rates at which random labels neither diverge nor settle.
    match name {
        "sgd" => Ok(Sgd::new(1e-3).into()),
        "momentum" => Ok(Momentum::new(1e-4, 0.9).into()),
        "adam" => Ok(Adam::new(1e-5).into()),
        _ => Err(format!("expected sgd, momentum or adam, got {name}").into()),
    }
}

/// A fixed sequence of numbers in 0..1 (Knuth's MMIX constants).
struct Uniform(u64);

impl Iterator for Uniform {
    type Item = f32;
    fn next(&mut self) -> Option<f32> {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Some((self.0 >> 40) as f32 / (1 << 24) as f32)
    }
}

/// Batches that training takes in turn, so that no step finds its inputs in L1 from the last one.
/// Predictions take one again and again. The peers in `benches/peers` do the same.
const BATCHES: usize = 8;

/// Seconds a call: the best round of a few, after a warm-up.
fn best(seconds: f64, batches: usize, mut call: impl FnMut(usize) -> Outcome<()>) -> Outcome<f64> {
    let warm = Instant::now();
    let mut calls = 0;
    while calls < 2 || warm.elapsed().as_secs_f64() < seconds * 0.2 {
        call(calls % batches)?;
        calls += 1;
    }
    let per_call = warm.elapsed().as_secs_f64() / calls as f64;
    // Rounds of 5 ms: long beside the clock's resolution, short beside a time slice, so that on a
    // busy machine the best round is one that nobody interrupted.
    let round = ((0.005 / per_call) as usize).max(1);
    let (end, mut best) = (Instant::now() + Duration::from_secs_f64(seconds), f64::INFINITY);
    while best.is_infinite() || Instant::now() < end {
        let start = Instant::now();
        for i in 0..round {
            call(i % batches)?;
        }
        best = best.min(start.elapsed().as_secs_f64() / round as f64);
    }
    Ok(best)
}

/// Floating-point operations of the products of one forward pass a row, 2·k·n each.
fn forward_flops(layers: &[usize]) -> usize {
    layers.windows(2).map(|w| 2 * w[0] * w[1]).sum()
}

fn main() -> Outcome<()> {
    let o = Options::parse();
    if o.layers.len() < 2 || o.batch == 0 {
        return Err("expected at least two layer sizes and a batch of at least 1".into());
    }
    let threads = o.threads.map_or_else(available_parallelism, Ok)?.get();
    // `None` is the naive reference path.
    let level = match o.level.as_deref() {
        None => Some(Level::from_env()?),
        Some("reference") => None,
        Some(name) => Some(Level::from_name(name)?),
    };
    let (n_in, n_out) = (o.layers[0], o.layers[o.layers.len() - 1]);
    let mut numbers = Uniform(7);
    let mut inputs = || -> Vec<f32> {
        (0..o.batch * n_in)
            .map(|_| {
                if numbers.next() < Some(o.zeros as f32) {
                    0.0
                } else {
                    numbers.next().unwrap_or(0.0)
                }
            })
            .collect()
    };
    let batches = if o.predict { 1 } else { BATCHES };
    let xs: Vec<Vec<f32>> = (0..batches).map(|_| inputs()).collect();
    let label = |i: usize| (i * 7 + i / 3) % n_out;
    let forward = forward_flops(&o.layers);
    // Forward, weight gradients, and input gradients of every layer but the first.
    let train = 3 * forward - 2 * n_in * o.layers[1];
    let flops = o.batch * if o.predict { forward } else { train };

    let seconds = match level {
        Some(level) => fast(&o, level, threads, &xs, label)?,
        None => naive(&o, &xs, label)?,
    };
    let sizes: Vec<String> = o.layers.iter().map(usize::to_string).collect();
    let (mode, optimizer, unit) = match o.predict {
        true => ("predict", String::new(), "us_per_call"),
        false => ("train", format!(" optimizer={}", o.optimizer), "us_per_step"),
    };
    println!(
        "{mode} layers={} activation={}{optimizer} batch={} threads={} level={} precision={} \
         products={} {unit}={:.2} samples_per_s={:.0} gflops={:.1}",
        sizes.join(","),
        o.activation,
        o.batch,
        threads,
        level.map_or("reference", Level::name),
        o.precision,
        level.map_or(Hardware::F32, |level| o.precision.hardware(level)),
        seconds * 1e6,
        o.batch as f64 / seconds,
        flops as f64 / seconds * 1e-9,
    );
    Ok(())
}

/// This crate's own path.
fn fast(
    o: &Options,
    level: Level,
    threads: usize,
    xs: &[Vec<f32>],
    label: impl Fn(usize) -> usize,
) -> Outcome<f64> {
    let last = o.layers.len() - 1;
    let mut builder = Mlp::builder(o.layers[0]).level(level).seed(1);
    for (i, &n) in o.layers.iter().enumerate().skip(1) {
        builder = builder.dense(n, if i == last { Activation::Softmax } else { o.activation });
    }
    let mut net = builder.build()?;
    let threads = if threads == 1 { Threads::One } else { Threads::N(threads) };
    let x = |i: usize| MatRef::new(&xs[i], o.batch, o.layers[0]);
    if o.predict {
        let mut predictor = Predictor::new(&net, o.batch, threads)?.precision(o.precision)?;
        let mut out = vec![0.0; o.batch * o.layers[last]];
        return best(o.seconds, xs.len(), |i| {
            Ok(predictor.predict_into(x(i)?, MatMut::new(&mut out, o.batch, o.layers[last])?)?)
        });
    }
    let labels: Vec<u32> = (0..o.batch).map(|i| label(i) as u32).collect();
    let trainer = Trainer::new(optimizer(&o.optimizer)?).batch_size(o.batch).threads(threads);
    let trainer = trainer.precision(o.precision);
    let mut training = trainer.session(&mut net)?;
    best(o.seconds, xs.len(), |i| {
        training.step(x(i)?, BatchTargets::Classes(&labels))?;
        Ok(())
    })
}

/// The naive path, one thread.
fn naive(o: &Options, xs: &[Vec<f32>], label: impl Fn(usize) -> usize) -> Outcome<f64> {
    let hidden = match o.activation {
        Activation::Relu => reference::Activation::Relu,
        Activation::Tanh => reference::Activation::Tanh,
        Activation::Sigmoid => reference::Activation::Sigmoid,
        Activation::Identity => reference::Activation::Identity,
        other => return Err(format!("the reference level knows no {other} here").into()),
    };
    let mut numbers = Uniform(9);
    let last = o.layers.len() - 2;
    let mut layers = Vec::new();
    for (i, w) in o.layers.windows(2).enumerate() {
        let scale = (1.0 / w[0] as f32).sqrt();
        let weight =
            (0..w[0] * w[1]).map(|_| (numbers.next().unwrap_or(0.0) - 0.5) * scale).collect();
        let activation = if i == last { reference::Activation::Softmax } else { hidden };
        layers.push(reference::Layer::new(w[0], w[1], activation, weight, vec![0.0; w[1]])?);
    }
    let mut net = reference::Network::new(layers)?;
    if o.predict {
        return best(o.seconds, xs.len(), |i| {
            net.forward(&xs[i])?;
            Ok(())
        });
    }
    let labels: Vec<usize> = (0..o.batch).map(label).collect();
    let rule = match o.optimizer.as_str() {
        "sgd" => reference::Rule::Sgd,
        "momentum" => reference::Rule::Momentum { momentum: 0.9 },
        "adam" => reference::Rule::adam(),
        other => return Err(format!("expected sgd, momentum or adam, got {other}").into()),
    };
    let mut optimizer = reference::Optimizer::new(rule, 1e-5);
    best(o.seconds, xs.len(), |i| {
        let batch = reference::Batch::new(&xs[i], reference::Target::Labels(&labels));
        net.step(&batch, &reference::Loss::cross_entropy(), &mut optimizer)?;
        Ok(())
    })
}
