//! A folder for the files of one test.
//!
//! A test binary that wants it says `#[path = "support/folder.rs"] mod folder;`.

use std::fs;
use std::path::PathBuf;

/// A folder of one test, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("deltarule-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        // A second panic would hide the one that ends the test.
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}
