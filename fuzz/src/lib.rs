//! What the targets share: a file to read from, and the price of refusing one.

#[path = "../../tests/data/heap.rs"]
mod heap;

use deltarule::Result;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// Runs `read`; what is refused may have cost twice its size plus 64 KiB of heap, and `own` bytes
/// that the target itself makes.
pub fn cheaply<T>(bytes: &[u8], own: usize, read: impl FnOnce() -> Result<T>) -> Option<T> {
    let (answer, peak) = heap::peak_of(read);
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            let allowed = 2 * bytes.len() + heap::SLACK + own;
            assert!(peak <= allowed, "{peak} bytes of heap for {}: {error}", bytes.len());
            let text = error.to_string();
            assert!(text.len() < 1000, "an error of {} bytes: {text}", text.len());
            None
        }
    }
}

/// What a stream that is refused may have given besides its own bytes: what they unpack to, which a
/// stream keeps and a file does not.
pub fn unpacked(bytes: &[u8]) -> usize {
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
    let (mut buffer, mut size) = ([0; 4096], 0);
    while let Ok(n @ 1..) = decoder.read(&mut buffer) {
        size += n;
    }
    2 * size
}

/// The path of a file that holds `bytes` until the next call.
pub fn file_of(bytes: &[u8]) -> &'static Path {
    static FILE: OnceLock<(PathBuf, Mutex<File>)> = OnceLock::new();
    let (path, file) = FILE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("deltarule-fuzz-{}", std::process::id()));
        let file = File::create(&path).expect("a folder for temporary files");
        (path, Mutex::new(file))
    });
    let mut file = file.lock().expect("one thread");
    // Not emptied first: ext4 waits for the disk when an emptied file is written again.
    file.set_len(bytes.len() as u64).expect("a file of another length");
    file.seek(SeekFrom::Start(0)).expect("a file to seek in");
    file.write_all(bytes).expect("room for the file");
    path
}

/// The bytes with the right checksum where they have one, so that what stands behind it is reached.
pub fn mended(bytes: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\"deltarule.checksum\":\"";
    const DIGITS: usize = 16;
    let mut bytes = bytes.to_vec();
    if let Some(at) = bytes.windows(KEY.len()).position(|w| w == KEY)
        && bytes.len() >= at + KEY.len() + DIGITS
    {
        let place = at + KEY.len()..at + KEY.len() + DIGITS;
        bytes[place.clone()].fill(b'0');
        let sum = xxhash_rust::xxh64::xxh64(&bytes, 0);
        bytes[place].copy_from_slice(format!("{sum:016x}").as_bytes());
    }
    bytes
}
