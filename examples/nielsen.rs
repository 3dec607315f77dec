//! The networks of Michael Nielsen's "Neural Networks and Deep Learning", chapters 1, 3 and 5, on
//! MNIST, each with several seeds: `cargo run --release --example nielsen`; `-- --help` lists the
//! flags. What is run, and how it differs from the book, is in `common/nielsen_networks.rs`.
//!
//! Where MNIST is missing it trains on the digits in the crate, and the book has no figure.

#[path = "common/images.rs"]
mod images;
#[path = "common/nielsen_networks.rs"]
mod nielsen_networks;

use clap::{Parser, value_parser};
use images::Images;
use nielsen_networks::{Data, EXPERIMENTS, run};
use std::ops::RangeInclusive;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The networks of Nielsen's book on MNIST.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    images: Images,
    /// A run of each network with each seed from the first to the last
    #[arg(long, value_parser = seeds, default_value = "1-5")]
    seeds: RangeInclusive<u64>,
    /// Only the network of this number in the table
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u64).range(1..))]
    only: Option<u64>,
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let seeds = first.parse().ok().zip(last.parse().ok()).map(|(first, last)| first..=last);
    let rising = seeds.filter(|seeds| *seeds.start() > 0 && !seeds.is_empty());
    rising.ok_or_else(|| "expected two numbers from 1 up, as in 1-5, or one".into())
}

/// Mean and standard deviation.
fn spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let square = values.map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (square / (n - 1.0).max(1.0)).sqrt())
}

fn main() -> Outcome<()> {
    let Flags { images, seeds, only } = Flags::parse();
    let source = images.load();
    println!("data: {}\n", source.description);
    let (train, validation) = source.train.split_at(source.train.len() / 6 * 5)?;
    let n = if source.is_mnist { train.len() } else { 50_000 };
    let data = Data { n, train, validation, test: source.test };
    println!(
        "| | chapter, network | book | test set, last epoch | best epoch | epochs | seconds |"
    );
    println!("|---|---|---|---|---|---|---|");
    let chosen = (1..).zip(&EXPERIMENTS).filter(|(i, _)| only.is_none_or(|only| only == *i));
    for (i, e) in chosen {
        let mut runs = Vec::new();
        for seed in seeds.clone() {
            let run = run(e, &data, seed)?;
            eprintln!("seed {seed}: {:.2} %, {:.1} s", run.last, run.seconds);
            runs.push(run);
        }
        let (last, error) = spread(runs.iter().map(|r| r.last));
        let (best, best_error) = spread(runs.iter().map(|r| r.best));
        let (epochs, _) = spread(runs.iter().map(|r| r.epochs as f64));
        let (seconds, _) = spread(runs.iter().map(|r| r.seconds));
        let book = match e.book {
            Some(percent) if source.is_mnist => format!("{percent:.2} %"),
            _ => "-".into(),
        };
        println!(
            "| {i} | {} | {book} | {last:.2} ± {error:.2} % | {best:.2} ± {best_error:.2} % | {epochs:.0} | {seconds:.1} |",
            e.name
        );
    }
    Ok(())
}
