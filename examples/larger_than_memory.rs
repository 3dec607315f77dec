//! Trains on a file of images through a memory map, and compares speed and memory with the same
//! training in memory.
//!
//! ```text
//! cargo run --release --features mmap --example larger_than_memory -- [IMAGES] [FOLDER]
//! ```
//!
//! 8,100,000 noise images of 784 bytes (6.4 GB, the size of MNIST8M) unless told otherwise, in the
//! folder for temporary files. The file is made once and stays there; remove it by hand.

use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, Control, Mlp, Result, Trainer};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

const PIXELS: usize = 784;
const BATCH: usize = 128;
/// Steps that are timed: about ten seconds on one core.
const STEPS: usize = 2_000;
/// Images of the training in memory: 157 MB, far more than any cache.
const IN_MEMORY: usize = 200_000;

/// Writes noise, 784 bytes an image (SplitMix64: Steele, Lea and Flood 2014).
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

/// Reads the file once, so that what fits of it is in the page cache.
fn warm(path: &Path) -> Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn labels(images: usize) -> Targets {
    let label = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 7) as u32 % 10;
    Targets::Classes { labels: (0..images).map(label).collect(), n_classes: 10 }
}

/// Samples a second of 784-512-512-10 in batches of 128 with Adam.
fn speed(data: &Dataset) -> Result<f64> {
    let mut net = Mlp::builder(PIXELS)
        .dense(512, Activation::Relu)
        .dense(512, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build()?;
    let (mut steps, mut start) = (0, Instant::now());
    let mut seconds = 0.0;
    Trainer::new(Adam::new(1e-4))
        .batch_size(BATCH)
        .epochs(usize::MAX)
        .on_step(|_| {
            match steps {
                // Buffers are there from here on.
                0 => start = Instant::now(),
                STEPS => seconds = start.elapsed().as_secs_f64(),
                _ => {}
            }
            steps += 1;
            if steps > STEPS { Control::Stop } else { Control::Continue }
        })
        .fit(&mut net, data)?;
    Ok((STEPS * BATCH) as f64 / seconds)
}

/// Resident memory that is not a file's, in MB.
fn resident_heap() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
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
    // SAFETY: the file is this program's own, and nobody changes it.
    let mapped = unsafe { Dataset::map_u8(&path, 0, PIXELS, labels(images))? };
    let from_file = speed(&mapped)?;
    let heap = resident_heap();
    drop(mapped);
    let mut bytes = vec![0; IN_MEMORY.min(images) * PIXELS];
    File::open(&path)?.read_exact(&mut bytes)?;
    let in_memory = speed(&Dataset::from_u8(bytes, PIXELS, labels(IN_MEMORY.min(images)))?)?;
    println!("{:.1} GB mapped: {from_file:.0} samples/s", (images * PIXELS) as f64 / 1e9);
    println!("in memory: {in_memory:.0} samples/s");
    println!("mapped is {:.1} % of in memory", 100.0 * from_file / in_memory);
    if let Some(heap) = heap {
        println!("resident heap while mapped: {heap:.0} MB");
    }
    Ok(())
}
