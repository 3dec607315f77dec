//! Trains on a file of images through a memory map and, in turn, on images in memory. Prints both speeds
//! and the peak of the heap.
//!
//! ```text
//! cargo run --release --features mmap --example larger_than_memory -- [IMAGES] [FOLDER]
//! ```
//!
//! The default is 8,100,000 noise images of 784 bytes (6.4 GB, the size of MNIST8M) in the folder for
//! temporary files. The file is written once and kept; remove it by hand. Training uses one thread, so
//! that its processor time is the time of the work. Other programs disturb processor time least.

use deltarule::data::{Dataset, Features, Targets};
use deltarule::{Activation, Adam, Mlp, Result, Threads, Trainer};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

const PIXELS: usize = 784;
const BATCH: usize = 128;
/// Number of steps per round: about two seconds on one core.
const STEPS: usize = 400;
/// Number of rounds from the file and from memory; the best one counts.
const ROUNDS: u64 = 4;
/// Number of images in memory: 157 MB, far more than any cache.
const IN_MEMORY: usize = 200_000;

/// Writes noise, 784 bytes per image (SplitMix64: Steele, Lea and Flood 2014).
fn make(path: &Path, images: usize) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 1u64;
    for _ in 0..images * PIXELS / 8 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        file.write_all(&(z ^ (z >> 31)).to_le_bytes())?;
    }
    Ok(file.flush()?)
}

/// Reads the file once, so that the page cache contains as much of it as fits.
fn warm(path: &Path) -> Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn labels(images: usize) -> Targets {
    let label = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 7) as u32 % 10;
    Targets::Classes { labels: (0..images).map(label).collect(), n_classes: 10 }
}

/// Reads one byte of every page of the map, as an epoch would.
fn touch(data: &Dataset) -> u64 {
    let Features::U8 { data, .. } = data.features() else { return 0 };
    data.iter().step_by(4096).map(|&byte| u64::from(byte)).sum()
}

/// Returns the processor time of this thread in seconds, `None` if the system does not provide it.
fn processor_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// Returns the resident memory that is not mapped from a file, in MB.
fn resident_heap() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// The speeds of one round.
struct Round {
    /// Samples per second of wall-clock time.
    speed: f64,
    /// Samples per second of processor time.
    processor: Option<f64>,
}

/// Runs one round of 784-512-512-10 in batches of 128 with Adam. Every `seed` uses other samples. Sets
/// `heap` to the largest resident heap after a step.
fn round(data: &Dataset, seed: u64, heap: &mut Option<f64>) -> Result<Round> {
    let mut net = Mlp::builder(PIXELS)
        .dense(512, Activation::Relu)
        .dense(512, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build()?;
    let (mut steps, mut start, mut processor) = (0, Instant::now(), None);
    Trainer::new(Adam::new(1e-4))
        .batch_size(BATCH)
        .epochs(usize::MAX)
        .seed(seed)
        .threads(Threads::One)
        .on_step(|_| {
            if steps == 0 {
                // All buffers are allocated from here on.
                (start, processor) = (Instant::now(), processor_seconds());
            }
            if steps % 100 == 0 {
                *heap = resident_heap().into_iter().chain(*heap).reduce(f64::max);
            }
            steps += 1;
            if steps > STEPS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .fit(&mut net, data)?;
    let samples = (STEPS * BATCH) as f64;
    let spent = processor.zip(processor_seconds()).map(|(from, to)| to - from);
    let speed = samples / start.elapsed().as_secs_f64();
    Ok(Round { speed, processor: spent.map(|seconds| samples / seconds) })
}

/// Returns the best wall-clock speed and the best processor speed of the rounds.
fn best(rounds: &[Round]) -> Round {
    let most =
        |number: fn(&Round) -> Option<f64>| rounds.iter().filter_map(number).reduce(f64::max);
    Round { speed: most(|r| Some(r.speed)).unwrap_or(0.0), processor: most(|r| r.processor) }
}

fn report(what: &str, round: &Round, reference: &Round) {
    let share = |speed: f64, of: f64| format!("{speed:.0} samples/s, {:.1} %", 100.0 * speed / of);
    print!("{what}: {}", share(round.speed, reference.speed));
    if let Some((own, of)) = round.processor.zip(reference.processor) {
        print!("; by processor time {}", share(own, of));
    }
    println!();
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let images: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(8_100_000);
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("deltarule-{images}.images"));
    if fs::metadata(&path).map_or(0, |m| m.len()) != (images * PIXELS) as u64 {
        println!("writing {}", path.display());
        make(&path, images)?;
    }
    warm(&path)?;
    // SAFETY: only this program uses the file, and it does not change it while it is mapped.
    let mapped = unsafe { Dataset::map_u8(&path, 0, PIXELS, labels(images))? };
    let mut heap = None;
    let first = round(&mapped, 0, &mut heap)?;
    println!("every page mapped (sum {})", touch(&mapped));
    round(&mapped, 1, &mut heap)?;
    // From here on the heap also contains the images in memory, so it is not measured any more.
    let mut bytes = vec![0; IN_MEMORY.min(images) * PIXELS];
    File::open(&path)?.read_exact(&mut bytes)?;
    let in_memory = Dataset::from_u8(bytes, PIXELS, labels(IN_MEMORY.min(images)))?;
    let (mut from_file, mut from_memory) = (Vec::new(), Vec::new());
    for seed in 2..2 + ROUNDS {
        from_file.push(round(&mapped, seed, &mut None)?);
        from_memory.push(round(&in_memory, seed, &mut None)?);
    }
    let reference = best(&from_memory);
    println!("{:.1} GB; the share is of the speed in memory", (images * PIXELS) as f64 / 1e9);
    report("in memory", &reference, &reference);
    report("mapped, pages met for the first time", &first, &reference);
    report("mapped, pages warm", &best(&from_file), &reference);
    if let Some(heap) = heap {
        println!("peak of the resident heap while training from the map: {heap:.0} MB");
    }
    Ok(())
}
