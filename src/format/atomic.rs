//! Replaces a file as a whole: after a crash at any moment the old or the new one exists.
//!
//! The new contents are written beside the old file, synced and renamed over it; then the directory is
//! synced. After an error the old file is unchanged. Only if the last step fails, the new file is in
//! place, but may not survive a power failure.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The suffix of unfinished files.
const SUFFIX: &str = ".tmp";

/// A new file.
pub(crate) trait WriteSeek: Write + Seek {}
impl<F: Write + Seek> WriteSeek for F {}

/// The system calls, so that tests can make each of them fail.
trait Disk {
    type File: Write + Seek;
    fn create(&mut self, path: &Path) -> io::Result<Self::File>;
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_directory(&mut self, path: &Path) -> io::Result<()>;
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn create(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        // Other systems cannot open directories.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Replaces the file at `path` by what `write` writes. A link is followed; anything else that is
/// not a regular file is refused.
pub(crate) fn write_atomically(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn WriteSeek) -> Result<()>,
) -> Result<()> {
    let target = match fs::metadata(path) {
        Ok(m) if m.is_file() => fs::canonicalize(path).map_err(|e| Error::io(path, e))?,
        Ok(_) => {
            let error = io::Error::new(ErrorKind::InvalidInput, "not a regular file");
            return Err(Error::io(path, error));
        }
        // Nothing there yet, or an error that creating the file will meet again.
        Err(_) => path.to_path_buf(),
    };
    replace(&mut RealDisk, &target, write).map_err(|e| match e {
        Error::Io { source, .. } => Error::io(path, source),
        other => other,
    })
}

fn replace<D: Disk>(
    disk: &mut D,
    path: &Path,
    write: &mut dyn FnMut(&mut dyn WriteSeek) -> Result<()>,
) -> Result<()> {
    let beside = beside(path)?;
    let written = (|| {
        let mut file = disk.create(&beside)?;
        write(&mut file)?;
        file.flush()?;
        disk.sync(&mut file)?;
        drop(file);
        disk.rename(&beside, path)?;
        Ok(())
    })();
    if written.is_err() {
        // The first error is what counts; the unfinished file may not even exist.
        let _ = disk.remove(&beside);
        return written;
    }
    Ok(disk.sync_directory(directory(path))?)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A unique name in the same directory: `.model.safetensors.1234-0.tmp`, with the
/// number of this process and a counter.
fn beside(path: &Path) -> Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::io(path, io::Error::new(ErrorKind::InvalidInput, "not a file name")));
    };
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut unique = std::ffi::OsString::from(".");
    unique.push(name);
    // `id` panics on wasm, where there are no processes.
    let process = if cfg!(target_family = "wasm") { 0 } else { std::process::id() };
    unique.push(format!(".{process}-{count}{SUFFIX}"));
    Ok(directory(path).join(unique))
}

/// Removes the unfinished files of dead processes beside `path`. Only on Linux, where `/proc` lists
/// the living; failures are ignored, since nothing depends on it.
pub(crate) fn remove_unfinished(path: &Path) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return };
    let Ok(entries) = fs::read_dir(directory(path)) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let process = found.to_str().and_then(|found| {
            let rest = found.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.')?;
            rest.strip_suffix(SUFFIX)?.split_once('-')?.0.parse::<u32>().ok()
        });
        if let Some(process) = process
            && !Path::new("/proc").join(process.to_string()).exists()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::test_folder::Folder;

    /// A disk on which the call of number `fails` fails, counted from 0.
    struct Failing {
        calls: usize,
        fails: usize,
    }

    impl Failing {
        fn call<T>(&mut self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.calls += 1;
            if self.calls == self.fails + 1 {
                return Err(io::Error::other("planted"));
            }
            work()
        }
    }

    impl Disk for Failing {
        type File = File;
        fn create(&mut self, path: &Path) -> io::Result<File> {
            self.call(|| RealDisk.create(path))
        }
        fn sync(&mut self, file: &mut File) -> io::Result<()> {
            self.call(|| RealDisk.sync(file))
        }
        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.call(|| RealDisk.rename(from, to))
        }
        fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
            self.call(|| RealDisk.sync_directory(path))
        }
        fn remove(&mut self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_failing_call_is_an_error_and_leaves_a_whole_file() {
        let folder = Folder::new("atomic");
        let dir = &folder.0;
        let path = dir.join("file");
        fs::write(&path, "old").unwrap();
        let mut new = |file: &mut dyn WriteSeek| Ok(file.write_all(b"new")?);
        for fails in 0..4 {
            let mut disk = Failing { calls: 0, fails };
            let error = replace(&mut disk, &path, &mut new).unwrap_err();
            assert!(error.to_string().contains("planted"));
            let expected = if fails < 3 { "old" } else { "new" };
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "call {fails}");
            assert_eq!(names(dir), ["file"]);
        }
        fs::write(&path, "old").unwrap();
        let mut refuse = |file: &mut dyn WriteSeek| {
            file.write_all(b"half")?;
            Err(Error::config("writer", "planted"))
        };
        assert!(write_atomically(&path, &mut refuse).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        replace(&mut Failing { calls: 0, fails: 4 }, &path, &mut new).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(dir), ["file"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_with_its_path() {
        let folder = Folder::new("atomic-errors");
        let dir = &folder.0;
        let mut new = |file: &mut dyn WriteSeek| Ok(file.write_all(b"new")?);
        for path in [dir.clone(), dir.join("missing/file"), PathBuf::from("/"), PathBuf::new()] {
            let error = write_atomically(&path, &mut new).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
        }
        #[cfg(unix)]
        {
            let error = write_atomically(Path::new("/dev/null"), &mut new).unwrap_err();
            assert_eq!(error.to_string(), "/dev/null: not a regular file");
            let link = dir.join("link");
            fs::write(dir.join("file"), "old").unwrap();
            std::os::unix::fs::symlink(dir.join("file"), &link).unwrap();
            write_atomically(&link, &mut new).unwrap();
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "new");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unfinished_files_of_dead_processes_are_removed() {
        let folder = Folder::new("atomic-dead");
        let dir = &folder.0;
        let own = format!(".file.{}-7.tmp", std::process::id());
        let others = [".file.4294967295-0.tmp", ".file.x-0.tmp", ".other.4294967295-0.tmp", "file"];
        others.iter().for_each(|name| fs::write(dir.join(name), "").unwrap());
        fs::write(dir.join(&own), "").unwrap();
        remove_unfinished(&dir.join("file"));
        let mut expected = vec![own, others[1].into(), others[2].into(), others[3].into()];
        expected.sort();
        assert_eq!(names(dir), expected);
    }
}
