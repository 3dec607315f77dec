//! The networks of Michael Nielsen's "Neural Networks and Deep Learning", chapters 1, 3 and 5, on
//! MNIST, each with several seeds: `cargo run --release --example nielsen`. What is run, and how it
//! differs from the book, is in `common/nielsen_networks.rs`.
//!
//! Where MNIST is missing it trains on the digits in the crate, and the book has no figure.

#[path = "common/mnist_files.rs"]
mod mnist_files;
#[path = "common/nielsen_networks.rs"]
mod nielsen_networks;

use nielsen_networks::{Data, EXPERIMENTS, run};
use std::path::PathBuf;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
The networks of Nielsen's book on MNIST.

usage: cargo run --release --example nielsen -- [flags]

  --data DIR    where the four files of MNIST are; then as in the example mnist
  --digits      train on the embedded 8x8 digits, without a look for MNIST
  --seeds 1-5   a run of each network with each seed
  --only 5      only the fifth network of the table
";

/// Mean and standard deviation.
fn spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let square = values.map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (square / (n - 1.0).max(1.0)).sqrt())
}

fn whole(flag: &str, text: &str) -> Outcome<u64> {
    let number = text.parse().ok().filter(|&n| n > 0);
    number.ok_or_else(|| format!("{flag}: expected a whole number from 1 up, got {text:?}").into())
}

fn main() -> Outcome<()> {
    let (mut dir, mut only, mut seeds, mut digits) = (None::<PathBuf>, None::<u64>, 1..=5, false);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag}: expected a value, got nothing"));
        match flag.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            "--digits" => digits = true,
            "--data" => dir = Some(value()?.into()),
            "--only" => only = Some(whole(&flag, &value()?)?),
            "--seeds" => {
                let text = value()?;
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                seeds = whole(&flag, first)?..=whole(&flag, last)?;
                if seeds.is_empty() {
                    return Err(format!("--seeds: {first} comes after {last}").into());
                }
            }
            _ => return Err(format!("{flag}: no such flag; --help lists them").into()),
        }
    }
    let source =
        if digits { mnist_files::digits() } else { mnist_files::find_or_fetch(dir.as_deref()) };
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
