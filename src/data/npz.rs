//! NPZ, NumPy's archive of named arrays: a zip file of NPY files.

use std::path::{Path, PathBuf};

use super::npy;
use super::source::{End, Source, parse_twice};
use super::zip::{Member, walk};
use crate::error::{Error, Result};
use crate::format::Array;

/// An NPZ file (feature `npz`), as `numpy.savez` and `numpy.savez_compressed` write it. Nothing of
/// it is held between calls.
///
/// ```no_run
/// use deltarule::data::Npz;
/// let file = Npz::open("train.npz")?;
/// let train = file.read("x")?.into_dataset(file.read("y")?.into_classes(10)?)?;
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Npz {
    path: PathBuf,
}

impl Npz {
    /// Opens a file and reads through its directory.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is not a zip file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        walk(&path, |_| Ok(()))?;
        Ok(Npz { path })
    }

    /// The names of the arrays, without `.npy`.
    ///
    /// # Errors
    /// As [`Npz::open`].
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        walk(&self.path, |member| {
            names.extend(member.name().strip_suffix(".npy").map(String::from));
            Ok(())
        })?;
        Ok(names)
    }

    /// Reads the array `name` (with or without `.npy`), as
    /// [`read_npy_file`](super::read_npy_file) does; what is compressed is decompressed twice, so
    /// that nothing is allocated for a lie.
    ///
    /// # Errors
    /// As [`Npz::open`] and [`read_npy_file`](super::read_npy_file); [`Error::Format`] also when
    /// there is no such array, or two, it is neither stored nor deflated, or its CRC-32 is wrong.
    pub fn read(&self, name: &str) -> Result<Array> {
        let mut found: Option<Member> = None;
        let mut n_found = 0u32;
        walk(&self.path, |member| {
            let is_named = {
                let own = member.name();
                own == name || own.strip_suffix(".npy") == Some(name)
            };
            if is_named {
                n_found = n_found.saturating_add(1);
                found = Some(member);
            }
            Ok(())
        })?;
        let Some(member) = found.filter(|_| n_found == 1) else {
            let reason = format!("expected one array {name:?}, found {n_found}");
            return Err(Error::format(self.path.display().to_string(), reason));
        };
        let place = format!("{}: {}", self.path.display(), member.name());
        let open = || member.open(&self.path);
        match member.is_stored() {
            true => npy::parse(&mut Source::new(open()?, &place, End::At(member.size()))),
            false => parse_twice(&place, open, npy::parse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ArrayData;
    use crate::format::test_folder::Folder;
    use std::sync::atomic::{AtomicU32, Ordering};

    const STORED: &[u8] = include_bytes!("../../tests/data/stored.npz");
    const DEFLATED: &[u8] = include_bytes!("../../tests/data/deflated.npz");

    /// What `read` returns on a file of these bytes, and its error's text.
    fn with_file<T>(
        bytes: &[u8],
        read: impl Fn(&Npz) -> Result<T>,
    ) -> std::result::Result<T, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = Folder::new(&format!("npz-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let path = folder.file("npz", bytes);
        Npz::open(&path).and_then(|npz| read(&npz)).map_err(|e| e.to_string())
    }

    /// `bytes` with the first `from` replaced.
    fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    }

    /// Written by NumPy: see tests/data/make_npy.py.
    #[test]
    fn files_of_numpy_are_read() {
        for file in [STORED, DEFLATED] {
            assert_eq!(with_file(file, Npz::names).unwrap(), ["x", "y"]);
            let x = with_file(file, |npz| npz.read("x")).unwrap();
            assert_eq!(x.shape, [100, 20]);
            assert_eq!(x.data, ArrayData::U8((0..2000).map(|i| i as u8).collect()));
            let y = with_file(file, |npz| npz.read("y")).unwrap();
            assert_eq!(y.data, ArrayData::I64((0..100).map(|i| i % 3).collect()));
        }
    }

    /// Written by Python's `zipfile` and read by NumPy: see tests/data/make_npy.py. A data descriptor
    /// behind each member, extra fields, comments, another method, a name in code page 437, and a
    /// line in front of everything.
    #[test]
    fn legal_parts_that_numpy_does_not_write_are_read() {
        const LEGAL: &[u8] = include_bytes!("../../tests/data/legal.npz");
        let read = |name: &str| with_file(LEGAL, |npz| npz.read(name));
        let names = with_file(LEGAL, Npz::names).unwrap();
        assert_eq!(names, ["truth", "half", "b\u{fffd}se"]);
        assert_eq!(read("truth").unwrap().data, ArrayData::Bool(vec![true, false, true]));
        assert_eq!(read("truth.npy").unwrap(), read("truth").unwrap());
        let half = read("half").unwrap();
        assert_eq!(half.shape, [1, 3]);
        assert_eq!(half.data, ArrayData::F32(vec![1.0, -2.0, 0.333_251_95]));
        assert!(read("notes.txt").unwrap_err().contains("method 12"));
        // Without the line in front the same offsets are right.
        let bare = &LEGAL[LEGAL.iter().position(|&b| b == b'\n').unwrap() + 1..];
        assert_eq!(with_file(bare, |npz| npz.read("half")).unwrap(), half);
        // The longest comment there can be, which holds what looks like an end record.
        let end = bare.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
        let comment = [b"PK\x05\x06", &[7; 65_531][..]].concat();
        let long = [&bare[..end + 20], &u16::MAX.to_le_bytes(), &comment].concat();
        assert_eq!(with_file(&long, |npz| npz.read("half")).unwrap(), half);
    }

    #[test]
    fn damage_is_found() {
        let read = |bytes: &[u8]| with_file(bytes, |npz| npz.read("x")).unwrap_err();
        assert!(with_file(STORED, |npz| npz.read("z")).unwrap_err().contains("found 0"));
        let flipped = patched(STORED, &[17, 18, 19], &[17, 18, 20]);
        assert!(read(&flipped).contains("CRC-32 is not the one stated"));
        let twice = patched(&patched(STORED, b"y.npy", b"x.npy"), b"y.npy", b"x.npy");
        assert!(read(&twice).contains("found 2"));
        let differs = patched(STORED, b"x.npy", b"w.npy");
        assert!(read(&differs).contains("local header of \"x.npy\" differs"));
        assert!(read(b"PK").contains("too short"));
        assert!(read(&STORED[..STORED.len() - 1]).contains("no end record"));
        assert!(read(&[STORED, b"x"].concat()).contains("no end record"));
        // Any cut and any flipped byte is an error or leaves the array as it was.
        let whole = with_file(DEFLATED, |npz| npz.read("x")).unwrap();
        for at in 0..DEFLATED.len() {
            assert!(with_file(&DEFLATED[..at], |npz| npz.read("x")).is_err());
            let mut flipped = DEFLATED.to_vec();
            flipped[at] ^= 0x11;
            if let Ok(array) = with_file(&flipped, |npz| npz.read("x")) {
                assert_eq!(array, whole, "byte {at}");
            }
        }
    }
}
