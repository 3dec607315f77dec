//! CSV: `tests/corpus/csv`.

#![no_main]

use deltarule::data::{Csv, Missing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let some = [
        Csv::classification(),
        Csv::regression().header(false),
        Csv::classification().missing(Missing::DropRow),
        Csv::regression().missing(Missing::Fill(1.0)),
    ];
    for data in some.iter().filter_map(|csv| csv.read(bytes).ok()) {
        assert_eq!(data.feature_names.len(), data.dataset.n_features());
    }
});
