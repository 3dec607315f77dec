//! How fast data is read and distorted. Each answer is checked before it is timed.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deltarule::data::{Augment, digits, read_idx};

/// A 28 x 28 image: an embedded digit, enlarged.
fn image() -> Vec<u8> {
    let digits = digits().matrix();
    let pixel = |i: usize| (digits.row(0)[(i / 28 * 2 / 7) * 8 + i % 28 * 2 / 7] * 255.0) as u8;
    (0..784).map(pixel).collect()
}

/// Images a second on one core.
fn augment(c: &mut Criterion) {
    let mut group = c.benchmark_group("augment");
    group.throughput(Throughput::Elements(1));
    let image = image();
    let none = Augment::new(28, 28);
    let affine = none.clone().shift(2.0).rotate(10.0).scale(0.1);
    let elastic = affine.clone().elastic(34.0, 4.0);
    for (name, augment) in [("none", none), ("affine", affine), ("elastic", elastic)] {
        let mut augmenter = augment.augmenter().expect("good options");
        let mut out = vec![0.0; 784];
        augmenter.apply(1, 0, 0, &image, &mut out).expect("a copy");
        let mass: f32 = out.iter().sum();
        let whole: f32 = image.iter().map(|&byte| f32::from(byte) / 255.0).sum();
        assert!((mass / whole - 1.0).abs() < 0.5, "{name}: {mass} of {whole}");
        let mut index = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                index += 1;
                augmenter.apply(1, 0, index, black_box(&image), &mut out).expect("a copy");
            });
        });
    }
}

/// Bytes a second of a stream in memory; 60,000 images of 784 bytes.
fn idx(c: &mut Criterion) {
    let mut group = c.benchmark_group("idx");
    let image = image();
    let mut file = vec![0, 0, 8, 3];
    for size in [60_000u32, 28, 28] {
        file.extend(size.to_be_bytes());
    }
    (0..60_000).for_each(|_| file.extend(&image));
    assert_eq!(read_idx(&file[..]).expect("a good file").shape, [60_000, 28, 28]);
    group.throughput(Throughput::Bytes(file.len() as u64)).sample_size(10);
    group.bench_function("stream", |b| b.iter(|| read_idx(black_box(&file[..]))));
}

/// Bytes a second of MNIST's four files, 55 MB when unpacked, as they come and raw; the peers only
/// unpack and only read them. `DELTARULE_DATA` names the folder.
#[cfg(feature = "gzip")]
fn mnist(c: &mut Criterion) {
    use deltarule::data::mnist;
    use std::fs;
    use std::io::Read;
    let Some(packed) = std::env::var_os("DELTARULE_DATA").map(std::path::PathBuf::from) else {
        return eprintln!("DELTARULE_DATA is not set: reading MNIST is not timed");
    };
    let raw = std::env::temp_dir().join(format!("deltarule-mnist-{}", std::process::id()));
    fs::create_dir_all(&raw).expect("a folder for temporary files");
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    let names = names.map(|name| format!("{name}-ubyte"));
    let unpacked = |name: &String| {
        let file = fs::File::open(packed.join(format!("{name}.gz"))).expect("a file of MNIST");
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("good gzip");
        bytes
    };
    let mut size = 0;
    for name in &names {
        let bytes = unpacked(name);
        size += bytes.len() as u64;
        fs::write(raw.join(name), bytes).expect("room for MNIST");
    }
    assert_eq!(mnist::load(&raw).expect("raw MNIST"), mnist::load(&packed).expect("MNIST in gzip"));
    let mut group = c.benchmark_group("mnist");
    group.throughput(Throughput::Bytes(size)).sample_size(10);
    group.bench_function("gz", |b| b.iter(|| mnist::load(black_box(&packed)).expect("read")));
    group.bench_function("peer: gunzip", |b| b.iter(|| names.each_ref().map(&unpacked)));
    group.bench_function("raw", |b| b.iter(|| mnist::load(black_box(&raw)).expect("read")));
    group.bench_function("peer: read", |b| {
        b.iter(|| names.each_ref().map(|name| fs::read(raw.join(name)).expect("read")));
    });
    group.finish();
    fs::remove_dir_all(&raw).expect("removed");
}

#[cfg(not(feature = "gzip"))]
fn mnist(_: &mut Criterion) {}

/// Bytes a second of text: pixels as in `mnist.csv`, and numbers with six digits.
#[cfg(feature = "csv")]
fn csv(c: &mut Criterion) {
    use deltarule::data::Csv;
    let mut group = c.benchmark_group("csv");
    let pixels: Vec<String> = image().iter().map(u8::to_string).collect();
    let pixels = format!("{},1\n{},0\n", pixels.join(","), pixels.join(",")).repeat(1000);
    let numbers: Vec<String> = (0..16).map(|i| format!("{:.6}", f64::from(i).sin())).collect();
    let numbers = format!("{},1\n{},0\n", numbers.join(","), numbers.join(",")).repeat(20_000);
    let csv = Csv::classification().header(false);
    for (name, text, rows) in [("pixels", pixels, 2000), ("numbers", numbers, 40_000)] {
        assert_eq!(csv.read(text.as_bytes()).expect("a good table").dataset.len(), rows);
        group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
        group.bench_function(name, |b| b.iter(|| csv.read(black_box(text.as_bytes()))));
    }
}

#[cfg(not(feature = "csv"))]
fn csv(_: &mut Criterion) {}

criterion_group!(benches, augment, idx, mnist, csv);
criterion_main!(benches);
