//! Models and weights, damaged ones and such with a right checksum: `tests/corpus/safetensors`.

#![no_main]

use deltarule::data::read_safetensors;
use deltarule::{Activation, Mlp};
use deltarule_fuzz::{cheaply, file_of, mended};
use libfuzzer_sys::fuzz_target;

/// What the network costs into which weights are read.
const OWN: usize = 16 * 1024;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes, &mended(bytes)] {
        let net = cheaply(bytes, 0, || Mlp::read_from(bytes));
        let path = file_of(bytes);
        let from_file = cheaply(bytes, 0, || Mlp::load(path));
        assert_eq!(from_file.map(|net| net.digest()), net.as_ref().map(Mlp::digest));
        if let Some(net) = net {
            // What is read is whole: it is written and read again.
            let mut again = Vec::new();
            net.write_to(&mut again).expect("written to memory");
            assert_eq!(Mlp::read_from(&again[..]).expect("a model").digest(), net.digest());
        }
        let mut small =
            Mlp::builder(3).dense(2, Activation::Softmax).build().expect("a small network");
        cheaply(bytes, OWN, || small.read_weights(bytes));
        if let Some(array) = cheaply(bytes, 0, || read_safetensors(bytes, "a")) {
            assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
        }
    }
});
