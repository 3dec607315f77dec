//! Replacing a file as a whole: after a crash at any moment there is the old one or the new one.
//!
//! The new contents are written beside the old file, synced, renamed over it, and the directory is
//! synced. Every error is returned, with the path; the old file is then as it was,
//! except after the rename, when the new file is there whole but may not survive a power failure.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of unfinished files end in.
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
        // Elsewhere directories cannot be opened; renaming is durable there or cannot be made so.
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

/// A name in the same directory that nobody else uses: `.model.safetensors.1234-0.tmp`, with the
/// number of this process and a counter.
fn beside(path: &Path) -> Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::io(path, io::Error::new(ErrorKind::InvalidInput, "not a file name")));
    };
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut own = std::ffi::OsString::from(".");
    own.push(name);
    // Asking panics where there are no processes; there is no disk to write to either, says an error.
    let process = if cfg!(target_family = "wasm") { 0 } else { std::process::id() };
    own.push(format!(".{process}-{count}{SUFFIX}"));
    Ok(directory(path).join(own))
}

/// Removes what processes that no longer live left unfinished beside `path`. Only on Linux, where
/// it can be told who lives; a failure is no error, for nothing depends on it.
pub(crate) fn remove_unfinished(path: &Path) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return };
    let Ok(entries) = fs::read_dir(directory(path)) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let process = found.to_str().and_then(|found| {
            let own = found.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.')?;
            own.strip_suffix(SUFFIX)?.split_once('-')?.0.parse::<u32>().ok()
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

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("deltarule-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
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
        let dir = folder("atomic");
        let path = dir.join("file");
        fs::write(&path, "old").unwrap();
        let mut new = |file: &mut dyn WriteSeek| Ok(file.write_all(b"new")?);
        for fails in 0..4 {
            let mut disk = Failing { calls: 0, fails };
            let error = replace(&mut disk, &path, &mut new).unwrap_err();
            assert!(error.to_string().contains("planted"));
            let expected = if fails < 3 { "old" } else { "new" };
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "call {fails}");
            assert_eq!(names(&dir), ["file"]);
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
        assert_eq!(names(&dir), ["file"]);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_an_error_with_its_path() {
        let dir = folder("atomic-errors");
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
        fs::remove_dir_all(&dir).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_unfinished_files_of_the_dead_are_removed() {
        let dir = folder("atomic-dead");
        let own = format!(".file.{}-7.tmp", std::process::id());
        let others = [".file.4294967295-0.tmp", ".file.x-0.tmp", ".other.4294967295-0.tmp", "file"];
        others.iter().for_each(|name| fs::write(dir.join(name), "").unwrap());
        fs::write(dir.join(&own), "").unwrap();
        remove_unfinished(&dir.join("file"));
        let mut expected = vec![own, others[1].into(), others[2].into(), others[3].into()];
        expected.sort();
        assert_eq!(names(&dir), expected);
        fs::remove_dir_all(&dir).unwrap();
    }
}
