//! No damage is taken for a checkpoint, and nothing that a file says makes the reader panic.

use super::{base, checkpoint, values};
use deltarule::{Activation, Adam, BatchTargets, Mlp, Momentum, Threads, Training};
use safetensors::SafeTensors;

#[test]
fn every_flipped_byte_and_every_cut_is_detected() {
    let net = |seed| {
        let net = Mlp::builder(2).dense(1, Activation::Tanh).batch_norm();
        net.dense(2, Activation::Softmax).seed(seed).build().unwrap()
    };
    let trainer = || base(Momentum::new(0.1, 0.9)).accumulate(2).threads(Threads::One);
    let (mut source, mut target) = (net(1), net(2));
    let x = values(0, 3, 2);
    let step = |training: &mut Training| {
        training.step(x.view(), BatchTargets::Classes(&[0, 1, 1])).unwrap();
    };
    let mut training = trainer().session(&mut source).unwrap();
    step(&mut training);
    let whole = checkpoint(&training);
    let mut training = trainer().session(&mut target).unwrap();
    let before = checkpoint(&training);
    for i in 0..whole.len() {
        assert!(training.read_checkpoint(&whole[..i]).is_err(), "cut at {i}");
        let mut flipped = whole.clone();
        for flip in 1..=255 {
            flipped[i] = whole[i] ^ flip;
            assert!(training.read_checkpoint(&flipped[..]).is_err(), "byte {i} ^ {flip}");
        }
    }
    assert!(training.read_checkpoint(&[&whole[..], &[0]].concat()[..]).is_err());
    assert!(checkpoint(&training) == before);
    training.read_checkpoint(&whole[..]).unwrap();
    assert!(checkpoint(&training) == whole);
}

/// Texts that only somebody who signs the file anew can write: they are refused, or the session
/// goes on from what they say, but nothing panics.
#[test]
fn a_text_that_was_changed_and_signed_never_panics() {
    let trainer = || base(Adam::new(0.1)).accumulate(3).threads(Threads::One);
    let net = || Mlp::builder(2).dense(2, Activation::Softmax).build().unwrap();
    let mut source = net();
    let mut training = trainer().session(&mut source).unwrap();
    let x = values(0, 3, 2);
    let labels = BatchTargets::Classes(&[0, 1, 1]);
    training.step(x.view(), labels).unwrap();
    let whole = checkpoint(&training);
    let find = |what: &[u8]| whole.windows(what.len()).position(|w| w == what).unwrap();
    let digits = find(b"deltarule.checksum\":\"") + 21;
    let digits = digits..digits + 16;
    let text = find(b"option loop");
    let text = text..text
        + SafeTensors::deserialize(&whole).unwrap().tensor("training.state").unwrap().data().len();
    let sign = |bytes: &mut Vec<u8>| {
        bytes[digits.clone()].fill(b'0');
        let sum = format!("{:016x}", xxhash_rust::xxh64::xxh64(bytes, 0));
        bytes[digits.clone()].copy_from_slice(sum.as_bytes());
    };
    let mut same = whole.clone();
    sign(&mut same);
    assert!(same == whole, "not how files are signed");
    let (mut taken, mut refused) = (0, 0);
    for i in text {
        for byte in *b"09f -\n\x00\xff" {
            let mut changed = whole.clone();
            changed[i] = byte;
            sign(&mut changed);
            let mut net = net();
            let mut training = trainer().session(&mut net).unwrap();
            match training.read_checkpoint(&changed[..]) {
                Ok(()) => {
                    taken += 1;
                    // An error is a good answer too.
                    let _ = (0..3).try_for_each(|_| training.step(x.view(), labels).map(|_| ()));
                    let _ = training.flush();
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}
