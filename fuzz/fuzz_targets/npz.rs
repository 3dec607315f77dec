//! NPZ, every array of the archive: `tests/corpus/npz`.

#![no_main]

use deltarule::data::Npz;
use deltarule_fuzz::{cheaply, file_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file_of(bytes);
    let Some(archive) = cheaply(bytes, 0, || Npz::open(path)) else { return };
    let names = archive.names().expect("what was opened has names");
    for name in names {
        if let Some(array) = cheaply(bytes, 0, || archive.read(&name)) {
            assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
        }
    }
});
