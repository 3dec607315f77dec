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

criterion_group!(benches, augment, idx);
criterion_main!(benches);
