//! A folder for the files of one test.
//!
//! A test binary that wants it says `#[path = "support/folder.rs"] mod folder;`. The unit tests of the
//! crate use it too.

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

    /// Writes a file of the folder, which need not exist; returns its path.
    #[allow(dead_code, reason = "not every test binary needs it")]
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
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
