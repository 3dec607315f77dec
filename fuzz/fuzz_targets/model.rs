//! Models, pipelines and weights: `tests/corpus/safetensors`.

#![no_main]

use deltarule::{Activation, Mlp, Pipeline};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(net) = Mlp::read_from(bytes) {
        // What is read is whole: it is written and read again.
        let mut again = Vec::new();
        net.write_to(&mut again).expect("written to memory");
        assert_eq!(Mlp::read_from(&again[..]).expect("read").digest(), net.digest());
    }
    let _ = Pipeline::read_from(bytes);
    let net = Mlp::builder(3).dense(2, Activation::Softmax).build();
    let _ = net.expect("a network").read_weights(bytes);
});
