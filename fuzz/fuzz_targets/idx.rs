//! IDX, raw and gzip, as a stream and as a file: `tests/corpus/idx`.

#![no_main]

use deltarule::data::{read_idx, read_idx_file};
use deltarule_fuzz::{cheaply, file_of, unpacked};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let stream = cheaply(bytes, unpacked(bytes), || read_idx(bytes));
    if let Some(array) = &stream {
        assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
    }
    let path = file_of(bytes);
    let file = cheaply(bytes, 0, || read_idx_file(path));
    // Not by value: NaN is not itself.
    assert_eq!(file.map(|a| (a.shape, a.data.len())), stream.map(|a| (a.shape, a.data.len())));
});
