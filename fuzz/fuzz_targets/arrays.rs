//! IDX (raw and gzip) and NPY: `tests/corpus/idx` and `tests/corpus/npy`.

#![no_main]

use deltarule::data::{read_idx, read_npy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for array in [read_idx(bytes), read_npy(bytes)].into_iter().flatten() {
        assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
    }
});
