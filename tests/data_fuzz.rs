//! Thousands of damaged files for every reader: no panic, what is accepted is consistent, and what
//! is refused cost no more heap than twice its size plus 64 KiB. The same cases in every run; a
//! failure prints the file.

#[path = "data/damage.rs"]
mod damage;
#[path = "data/heap.rs"]
mod heap;
mod support;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use damage::damage;
use deltarule::Result;
use deltarule::data::{Array, read_idx, read_idx_file, read_npy};
use support::Data;

const CASES: usize = 2000;

/// Runs `read` on [`CASES`] damaged copies of `file`; `is_sound` sees what is accepted.
fn fuzz<T>(file: &[u8], seed: u64, read: impl Fn(&[u8]) -> Result<T>, is_sound: fn(&T) -> bool) {
    assert!(is_sound(&read(file).expect("the whole file is good")));
    let mut random = Data::new(seed);
    let mut accepted = 0;
    for case in 0..CASES {
        let mut bytes = file.to_vec();
        damage(&mut bytes, &mut random);
        let outcome = catch_unwind(AssertUnwindSafe(|| heap::peak_of(|| read(&bytes))));
        let Ok((answer, peak)) = outcome else {
            panic!("case {case}: a panic on \"{}\"", bytes.escape_ascii());
        };
        match answer {
            Ok(answer) => {
                accepted += 1;
                assert!(is_sound(&answer), "case {case}: \"{}\"", bytes.escape_ascii());
            }
            Err(error) => {
                let allowed = 2 * bytes.len() + heap::SLACK;
                assert!(peak <= allowed, "case {case}: {peak} bytes of heap, {error}");
                assert!(error.to_string().len() < 1000, "case {case}: {error}");
            }
        }
    }
    // Damage inside values is accepted; if all were, or none, the fuzzing would test nothing.
    assert!((1..CASES).contains(&accepted), "{accepted} accepted");
}

fn is_whole(array: &Array) -> bool {
    array.shape.iter().product::<usize>() == array.data.len()
}

/// `read` on a file of its own for each test. The file is not emptied between two cases: ext4 waits
/// for the disk when an emptied file is written again.
fn through_file<T>(name: &str, read: impl Fn(&Path) -> Result<T>) -> impl Fn(&[u8]) -> Result<T> {
    let path = std::env::temp_dir().join(format!("deltarule-fuzz-{name}-{}", std::process::id()));
    let file = File::create(&path).expect("a folder for temporary files");
    let path = Removed(path);
    move |bytes| {
        file.set_len(bytes.len() as u64).expect("a file of another length");
        (&file).seek(SeekFrom::Start(0)).expect("a file to seek in");
        (&file).write_all(bytes).expect("room on the disk");
        read(&path.0)
    }
}

/// A file that goes when the test does.
struct Removed(std::path::PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn idx() -> Vec<u8> {
    let header = [0, 0, 0x0b, 2, 0, 0, 0, 5, 0, 0, 0, 4];
    [&header[..], &(0..40).collect::<Vec<u8>>()].concat()
}

#[test]
fn idx_streams() {
    fuzz(&idx(), 1, |bytes| read_idx(bytes), is_whole);
}

#[test]
fn idx_files() {
    fuzz(&idx(), 2, through_file("idx", |path| read_idx_file(path)), is_whole);
}

#[test]
#[cfg(feature = "gzip")]
fn idx_files_in_gzip() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&idx()).unwrap();
    let file = encoder.finish().unwrap();
    fuzz(&file, 3, through_file("gz", |path| read_idx_file(path)), is_whole);
}

#[test]
fn npy_streams() {
    let file = include_bytes!("data/f4_big_fortran.npy");
    fuzz(file, 4, |bytes| read_npy(bytes), is_whole);
    let file = include_bytes!("data/i8_version_2.npy");
    fuzz(file, 5, |bytes| read_npy(bytes), is_whole);
}

#[test]
#[cfg(feature = "npz")]
fn npz_files() {
    use deltarule::data::Npz;
    let read = |path: &Path| {
        let file = Npz::open(path)?;
        file.names()?;
        file.read("x")
    };
    fuzz(include_bytes!("data/deflated.npz"), 6, through_file("npz-1", read), is_whole);
    fuzz(include_bytes!("data/stored.npz"), 7, through_file("npz-2", read), is_whole);
}

#[test]
#[cfg(feature = "csv")]
fn csv_streams_and_files() {
    use deltarule::data::{Csv, CsvData, Missing};
    let is_sound = |data: &CsvData| {
        let n_features = data.dataset.n_features();
        data.feature_names.len() == n_features && !data.dataset.is_empty()
    };
    let text = b"id,\"wi\"\"dth\",length,kind\r\n1,0.2,1.4,a\n2,-1e3,?,b\n3,7,,a\n\n4,8, 9 ,\"b\"";
    let csv = Csv::classification().target("kind").missing(Missing::DropRow);
    fuzz(text, 8, |bytes| csv.read(bytes), is_sound);
    let csv = Csv::classification().ignore(0).missing(Missing::Fill(1.0));
    fuzz(text, 9, through_file("csv", |path| csv.read_file(path)), is_sound);
    let text = b"1,2,3\n4,5,6\n7,8,9\n";
    let csv = Csv::regression().header(false);
    fuzz(text, 10, |bytes| csv.read(bytes), is_sound);
}
