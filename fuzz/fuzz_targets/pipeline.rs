//! Networks with their standardisation, with a right checksum: `tests/corpus/safetensors`.

#![no_main]

use deltarule::Pipeline;
use deltarule_fuzz::{cheaply, file_of, mended};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = &mended(bytes)[..];
    let pipeline = cheaply(bytes, 0, || Pipeline::read_from(bytes));
    let path = file_of(bytes);
    let from_file = cheaply(bytes, 0, || Pipeline::load(path));
    let written = |pipeline: Pipeline| {
        let mut bytes = Vec::new();
        pipeline.write_to(&mut bytes).expect("written to memory");
        bytes
    };
    let (one, other) = (pipeline.map(written), from_file.map(written));
    assert!(one == other, "the stream and the file differ");
    if let Some(bytes) = one {
        // What is read is whole: it is written and read again, to the same bytes.
        let again = Pipeline::read_from(&bytes[..]).expect("a pipeline");
        assert!(written(again) == bytes, "what was read is not what was written");
    }
});
