//! Damaged checkpoints, and places where none can be written or read.

use crate::{Folder, RECIPES, base, net, sets};
use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, BatchTargets, CheckpointInterval, Error, Mlp, Sgd, StopReason, Threads,
};
use deltarule::{Loss, MatRef, Momentum, Trainer};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;

#[test]
fn every_flipped_byte_and_every_cut_is_detected() {
    let (folder, sets) = (Folder::new("flips"), sets());
    let (path, damaged) = (folder.path(), folder.0.join("damaged"));
    let (_, recipe) = RECIPES[3];
    let small = || Mlp::builder(64).dense(1, Activation::Tanh).dense(10, Activation::Softmax);
    recipe(&sets)
        .checkpoint(&path, CheckpointInterval::Steps(1))
        .on_step(|p| if p.step == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
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
        for every in [
            CheckpointInterval::Steps(1),
            CheckpointInterval::Epochs(1),
            CheckpointInterval::Epochs(1000),
        ] {
            let mut net = net();
            let mut trainer = base(Sgd::new(0.1)).checkpoint(&path, every).threads(threads);
            let error = trainer.fit(&mut net, &sets.train).unwrap_err();
            assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
        }
    }
    let mut net = net();
    let error = base(Sgd::new(0.1)).resume(&path).fit(&mut net, &sets.train).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
    let mut own = base(Sgd::new(0.1)).checkpoint(&path, CheckpointInterval::Epochs(1));
    let mut run = own.run(&mut net, &sets.train).unwrap();
    assert!(run.next().unwrap().is_err());
    assert!(run.next().is_none());
    assert_eq!(run.finish().stop_reason, StopReason::Failed);
    let mut zero = base(Sgd::new(0.1)).checkpoint(folder.path(), CheckpointInterval::Steps(0));
    assert!(matches!(zero.fit(&mut net, &sets.train), Err(Error::Config { .. })));
}

/// x = 1e25 and y = 1e15: the loss is finite, the update is not. Whether a step or a checkpoint is
/// refused, the file is the last good one.
#[test]
fn what_is_not_finite_replaces_no_checkpoint() {
    let folder = Folder::new("overflow");
    let path = folder.path();
    let net = || Mlp::builder(1).dense(1, Activation::Identity).seed(1).build().unwrap();
    let one = |x: f32, y: f32| {
        let targets = Targets::Values { values: vec![y], n_outputs: 1 };
        Dataset::from_f32(vec![x], 1, targets).unwrap()
    };
    let (good, bad) = (one(0.5, 1.0), one(1e25, 1e15));
    for threads in [Threads::One, Threads::N(2)] {
        for momentum in [0.0, 0.9] {
            let trainer = || Trainer::new(Momentum::new(0.01, momentum)).threads(threads);
            let mut first = net();
            trainer()
                .checkpoint(&path, CheckpointInterval::Epochs(1))
                .fit(&mut first, &good)
                .unwrap();
            let bytes = fs::read(&path).unwrap();
            for every in [CheckpointInterval::Steps(1), CheckpointInterval::Epochs(1)] {
                let mut run = trainer().epochs(5).checkpoint(&path, every);
                assert!(run.fit(&mut first.clone(), &bad).is_err());
                assert!(fs::read(&path).unwrap() == bytes);
            }
            assert_eq!(Mlp::load(&path).unwrap().digest(), first.digest());
            // A loop of one's own.
            let mut own = net();
            let mut training = trainer().session_values(&mut own).unwrap();
            training.save_checkpoint(&path).unwrap();
            let bytes = fs::read(&path).unwrap();
            let (x, y) = ([1e25], [1e15]);
            let y = BatchTargets::Values(MatRef::new(&y, 1, 1).unwrap());
            let stepped = training.step(MatRef::new(&x, 1, 1).unwrap(), y);
            let saved = training.save_checkpoint(&path);
            assert!(stepped.is_err() || saved.is_err());
            assert!(stepped.is_err() || fs::read(&path).unwrap() == bytes);
            assert!(Mlp::load(&path).is_ok());
        }
    }
}

/// A text that somebody changed and signed anew: each number that the run itself would have written
/// otherwise is refused, with its line.
#[test]
fn a_state_that_no_such_run_has_is_refused() {
    let folder = Folder::new("signed");
    let (path, changed) = (folder.path(), folder.0.join("changed"));
    let net = || Mlp::builder(2).dense(1, Activation::Tanh).seed(1).build().unwrap();
    let targets = Targets::Values { values: vec![0.5; 10], n_outputs: 1 };
    let data = Dataset::from_f32(vec![0.25; 20], 2, targets).unwrap();
    let trainer = || {
        let stopping = deltarule::EarlyStopping::on_training_loss();
        Trainer::new(Sgd::new(0.1))
            .loss(Loss::MeanSquared)
            .batch_size(4)
            .epochs(9)
            .early_stopping(stopping)
    };
    let mut seen = 0;
    let stop = |_: &_| {
        seen += 1;
        if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer()
        .checkpoint(&path, CheckpointInterval::Epochs(99))
        .on_step(stop)
        .fit(&mut net(), &data)
        .unwrap();
    let whole = fs::read(&path).unwrap();
    let find = |bytes: &[u8], what: &[u8]| {
        bytes.windows(what.len()).position(|w| w == what).unwrap_or_else(|| panic!("no {what:?}"))
    };
    let digits = find(&whole, b"deltarule.checksum\":\"") + 21;
    let resumed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = whole.clone();
        let at = find(&bytes, from.as_bytes());
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes[digits..digits + 16].fill(b'0');
        let sum = format!("{:016x}", xxhash_rust::xxh64::xxh64(&bytes, 0));
        bytes[digits..digits + 16].copy_from_slice(sum.as_bytes());
        fs::write(&changed, bytes).unwrap();
        trainer().resume(&changed).fit(&mut net(), &data).map(|_| ())
    };
    resumed("ending open", "ending open").unwrap();
    // 5 steps of 3 an epoch: one epoch, and two batches of the next, which are 8 samples.
    for (from, to, line) in [
        ("\nsteps 5 5 3dcccccd", "\nsteps 6 5 3dcccccd", "steps"),
        ("\nsteps 5 5 3dcccccd", "\nsteps 5 5 3dccccce", "steps"),
        ("\nsteps 5 5 3dcccccd", "\nsteps 5 6 3dcccccd", "steps"),
        ("\nsteps 5 5 3dcccccd", "\nsteps 5 5 7fc00000", "steps"),
        ("\nsteps 5 5 3dcccccd", "\nsteqs 5 5 3dcccccd", "steqs"),
        ("\npartial 2 8 ", "\npartial 1 8 ", "partial"),
        ("\npartial 2 8 ", "\npartial 2 9 ", "partial"),
        ("\npartial 2 8 ", "\npartial 4 8 ", "partial"),
        ("\nbest 1\n", "\nbest 0\n", "best"),
        ("\nbest 1\nending open\n", "\nending open\nbest 1\n", "best"),
        ("\nepoch 1 ", "\nepoch 2 ", "epoch"),
    ] {
        let error = resumed(from, to).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{to:?}: {error}");
        assert!(error.to_string().contains(line), "{to:?}: {error}");
    }
}
