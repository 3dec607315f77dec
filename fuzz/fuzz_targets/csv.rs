//! CSV, with several options, as a stream and as a file: `tests/corpus/csv`.

#![no_main]

use deltarule::data::{Csv, Missing};
use deltarule_fuzz::{cheaply, file_of, unpacked};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let some = [
        Csv::classification(),
        Csv::regression().header(false),
        Csv::classification().target("kind").ignore(0).missing(Missing::DropRow),
        Csv::regression().delimiter(b';').missing(Missing::Fill(1.0)),
    ];
    let path = file_of(bytes);
    for csv in some {
        let stream = cheaply(bytes, unpacked(bytes), || csv.read(bytes));
        if let Some(data) = &stream {
            assert_eq!(data.feature_names.len(), data.dataset.n_features());
            assert!(!data.dataset.is_empty());
        }
        assert_eq!(cheaply(bytes, 0, || csv.read_file(path)), stream);
    }
});
