//! Damaged checkpoints, and places where none can be written or read.

use crate::{Folder, RECIPES, base, net, sets};
use deltarule::{Activation, Control, Error, Every, Mlp, Sgd, Threads};
use std::fs;
use std::io::{Seek, SeekFrom, Write};

#[test]
fn every_flipped_byte_and_every_cut_is_detected() {
    let (folder, sets) = (Folder::new("flips"), sets());
    let (path, damaged) = (folder.path(), folder.0.join("damaged"));
    let (_, recipe) = RECIPES[3];
    let small = || Mlp::builder(64).dense(1, Activation::Tanh).dense(10, Activation::Softmax);
    recipe(&sets)
        .checkpoint(&path, Every::Steps(1))
        .on_step(|p| if p.step == 2 { Control::Stop } else { Control::Continue })
        .fit(&mut small().build().unwrap(), &sets.train)
        .unwrap();
    let whole = fs::read(&path).unwrap();
    let mut net = small().build().unwrap();
    let before = net.digest();
    let mut model = Vec::new();
    net.write_to(&mut model).unwrap();
    let mut file = fs::File::create(&damaged).unwrap();
    let mut refused = |bytes: &[u8], what: &str| {
        // Not emptied first: ext4 waits for the disk when an emptied file is written again.
        file.set_len(bytes.len() as u64).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(bytes).unwrap();
        let result =
            recipe(&sets).resume(&damaged).threads(Threads::One).fit(&mut net, &sets.train);
        assert!(result.is_err(), "{what}");
        assert_eq!(net.digest(), before, "{what}");
    };
    for i in 0..whole.len() {
        refused(&whole[..i], &format!("cut at {i}"));
        let mut flipped = whole.clone();
        flipped[i] ^= 1 << (i % 8);
        refused(&flipped, &format!("byte {i}"));
        // Every other value of the byte by the same reader, without the disk.
        for flip in 1..=255 {
            flipped[i] = whole[i] ^ flip;
            assert!(Mlp::read_from(&flipped[..]).is_err(), "byte {i} ^ {flip}");
        }
    }
    refused(&[&whole[..], &[0]].concat(), "one byte more");
    refused(&model, "a model");
}

#[test]
fn what_cannot_be_written_or_read_is_an_error() {
    let (folder, sets) = (Folder::new("errors"), sets());
    let path = folder.0.join("missing/run");
    for threads in [Threads::One, Threads::Current] {
        for every in [Every::Steps(1), Every::Epochs(1), Every::Epochs(1000)] {
            let mut net = net();
            let mut trainer = base(Sgd::new(0.1)).checkpoint(&path, every).threads(threads);
            let error = trainer.fit(&mut net, &sets.train).unwrap_err();
            assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
        }
    }
    let mut net = net();
    let error = base(Sgd::new(0.1)).resume(&path).fit(&mut net, &sets.train).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
    let mut own = base(Sgd::new(0.1)).checkpoint(&path, Every::Epochs(1));
    let mut run = own.run(&mut net, &sets.train).unwrap();
    assert!(run.next().unwrap().is_err());
    assert!(run.next().is_none());
    let mut zero = base(Sgd::new(0.1)).checkpoint(folder.path(), Every::Steps(0));
    assert!(matches!(zero.fit(&mut net, &sets.train), Err(Error::Config { .. })));
}
