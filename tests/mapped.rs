//! Data sets in mapped files: the same bits as in memory, and little memory.

#![cfg(all(feature = "mmap", feature = "digits"))]

use deltarule::data::{Dataset, Features, Targets, digits};
use deltarule::{Activation, Adam, Mlp, Result, Threads, Trainer};
use folder::Folder;
use std::path::Path;

#[path = "support/folder.rs"]
mod folder;

fn map_u8(path: &Path, offset: u64, n_features: usize, targets: Targets) -> Result<Dataset> {
    // SAFETY: nobody else knows the file.
    unsafe { Dataset::map_u8(path, offset, n_features, targets) }
}

fn map_f32(path: &Path, offset: u64, n_features: usize, targets: Targets) -> Result<Dataset> {
    // SAFETY: nobody else knows the file.
    unsafe { Dataset::map_f32(path, offset, n_features, targets) }
}

fn trained(data: &Dataset) -> u64 {
    let net = Mlp::builder(64).dense(30, Activation::Relu).dense(10, Activation::Softmax);
    let mut net = net.build().unwrap();
    let trainer = Trainer::new(Adam::new(0.01)).epochs(2).threads(Threads::N(2));
    trainer.validation(data).fit(&mut net, data).unwrap();
    net.digest()
}

#[test]
fn mapped_samples_are_those_of_the_file() {
    let folder = Folder::new("map");
    let all = digits();
    let Features::U8 { data, scale, shift } = all.features() else { unreachable!() };
    let file = folder.file("u8", [&[9; 16], data].concat());
    let mapped = map_u8(&file, 16, 64, all.targets().clone()).unwrap();
    let mapped = mapped.with_scale(scale, shift).unwrap();
    assert_eq!(mapped, all);
    assert_eq!(mapped.select(&[3, 1]).unwrap(), all.select(&[3, 1]).unwrap());
    assert_eq!(trained(&mapped), trained(&all));
    let matrix = all.matrix();
    let bytes: Vec<u8> = matrix.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
    let file = folder.file("f32", &bytes);
    let mapped = map_f32(&file, 0, 64, all.targets().clone()).unwrap();
    let owned = Dataset::from_f32(matrix.as_slice().to_vec(), 64, all.targets().clone()).unwrap();
    assert_eq!(mapped, owned);
    let (first, rest) = mapped.split_at(100).unwrap();
    assert_eq!(rest, owned.split_at(100).unwrap().1);
    drop((first, rest));
    let clone = mapped.clone();
    drop(mapped);
    assert_eq!(trained(&clone), trained(&owned));
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let labels = |n: usize| Targets::Classes { labels: vec![0; n], n_classes: 2 };
    let folder = Folder::new("map-bad");
    let file = folder.file("bad", [0xff; 24]);
    let refused = |made: Result<Dataset>, reason: &str| {
        let text = made.unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
    };
    assert!(map_u8(&file, 0, 8, labels(3)).is_ok());
    refused(map_u8(&file, 0, 8, labels(2)), "expected 0 bytes and 16 values, got 24 bytes");
    refused(map_u8(&file, 1, 8, labels(3)), "expected 1 bytes and 24 values");
    refused(map_u8(&file, u64::MAX, 8, labels(3)), "values, got 24");
    refused(map_u8(&file, 0, usize::MAX, labels(3)), "memory's addresses");
    refused(map_f32(&file, 0, 2, labels(3)), "a finite number");
    refused(map_f32(&file, 3, 7, labels(3)), "values, got 24");
    refused(map_f32(&file, 0, 0, labels(3)), "expected");
    refused(map_u8(Path::new("/nowhere"), 0, 8, labels(3)), "/nowhere: ");
    refused(map_u8(&std::env::temp_dir(), 0, 8, labels(3)), "not a regular file");
    let odd = folder.file("odd", [0; 14]);
    refused(map_f32(&odd, 2, 1, labels(3)), "a multiple of 4");
    let empty = folder.file("empty", []);
    refused(map_u8(&empty, 0, 8, labels(0)), "");
}
