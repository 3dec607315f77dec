//! A file that is refused costs at most twice its size plus 64 KiB of heap, whatever it claims; a
//! stream costs at most twice what really came out of it. Counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use deltarule::Result;
use deltarule::data::{read_idx, read_idx_file};

struct Counting;

thread_local! {
    /// Bytes that this thread holds now, and the most it held since `peak_of` began.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that is being torn down no longer counts.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory but a
// thread-local that needs no allocation. `realloc` is the trait's own: a new place, then a free.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller guarantees what `System.alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the pointer came from `System.alloc` with this layout, says the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most heap that `work` held beyond what there was before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        held.set((held.get().0, held.get().0));
        held.get().0
    });
    let answer = work();
    (answer, (HELD.with(Cell::get).1 - before) as usize)
}

const SLACK: usize = 64 * 1024;

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("deltarule-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }

    /// That `read` refuses a file of these bytes, cheaply and with this reason.
    fn refused<T>(&self, bytes: &[u8], read: impl Fn(&PathBuf) -> Result<T>, reason: &str) {
        let path = self.0.join("file");
        fs::write(&path, bytes).unwrap();
        let (answer, peak) = peak_of(|| read(&path).err());
        let text = answer.expect("a refusal").to_string();
        assert!(text.contains(reason) && text.contains(path.to_str().unwrap()), "{text}");
        let allowed = 2 * bytes.len() + SLACK;
        assert!(peak <= allowed, "{peak} bytes of heap, allowed {allowed}: {text}");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// That `read` refuses a stream that is worth `plain` bytes uncompressed.
fn refused_stream<T>(bytes: &[u8], plain: usize, read: impl Fn(&[u8]) -> Result<T>, reason: &str) {
    let (answer, peak) = peak_of(|| read(bytes).err());
    let text = answer.expect("a refusal").to_string();
    assert!(text.contains(reason), "{text}");
    let allowed = 2 * plain + SLACK;
    assert!(peak <= allowed, "{peak} bytes of heap, allowed {allowed}: {text}");
}

fn idx(kind: u8, dims: &[u32], body: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, kind, dims.len() as u8];
    dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
    file.extend(body);
    file
}

#[test]
fn hostile_idx_costs_nothing() {
    let folder = Folder::new("heap-idx");
    let huge = [u32::MAX, 28, 28];
    for (bytes, reason) in [
        (idx(8, &huge, &[1; 100]), "after the header, got 100"),
        (idx(0xe, &huge, &[1; 1_000_000]), "after the header, got 1000000"),
        (idx(8, &[1000], &[1; 1_000_000]), "1000 bytes of data"),
        (idx(8, &[u32::MAX; 16], &[]), "does not fit in memory"),
        (idx(8, &[u32::MAX], &[]), "after the header, got 0"),
    ] {
        folder.refused(&bytes, |p| read_idx_file(p), reason);
        let reason = reason.replace("1000 bytes of data", "more than the 1000 bytes");
        refused_stream(&bytes, bytes.len(), |b| read_idx(b), &reason);
    }
}

#[test]
fn accepted_files_cost_what_they_hold() {
    let folder = Folder::new("heap-good");
    let path = folder.0.join("file");
    let bytes = idx(0xd, &[1000, 1000], &[0; 4_000_000]);
    fs::write(&path, &bytes).unwrap();
    let (array, peak) = peak_of(|| read_idx_file(&path).unwrap());
    assert_eq!(array.shape, [1000, 1000]);
    assert!(peak < bytes.len() + SLACK, "{peak}");
    let (array, peak) = peak_of(|| read_idx(&bytes[..]).unwrap());
    assert_eq!(array.shape, [1000, 1000]);
    assert!(peak < 2 * bytes.len() + SLACK, "{peak}");
}

#[cfg(feature = "gzip")]
mod gzip {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_files_are_told_by_their_bytes() {
        let folder = Folder::new("heap-gz");
        let path = folder.0.join("named-like-a-raw-file");
        let plain = idx(8, &[300, 1000], &[7; 300_000]);
        let expected = read_idx(&plain[..]).unwrap();
        fs::write(&path, gz(&plain)).unwrap();
        assert_eq!(read_idx_file(&path).unwrap(), expected);
        assert_eq!(read_idx(&gz(&plain)[..]).unwrap(), expected);
        // Two members one after the other are one file.
        let members = [gz(&plain[..1000]), gz(&plain[1000..])].concat();
        assert_eq!(read_idx(&members[..]).unwrap(), expected);
    }

    #[test]
    fn bombs_and_damage_cost_nothing() {
        let folder = Folder::new("heap-bomb");
        let zeros = vec![0; 20_000_000];
        let whole = gz(&idx(8, &[1000, 1000], &zeros[..1_000_000]));
        let mut flipped = whole.clone();
        let at = whole.len() - 6;
        flipped[at] ^= 1;
        let trailing = [&whole[..], b"more"].concat();
        for (bytes, plain, reason) in [
            // Decompresses to 20 MB, claims 16 bytes: stops there.
            (gz(&idx(8, &[16], &zeros)), 16, "more than the 16 bytes"),
            // Claims more than the 20 MB that come.
            (gz(&idx(8, &[20_000_001], &zeros)), 20_000_000, "got 20000000"),
            (gz(&idx(8, &[u32::MAX], &zeros[..9])), 9, "got 9"),
            (whole[..whole.len() / 2].to_vec(), 1_000_000, ""),
            (whole[..whole.len() - 4].to_vec(), 1_000_000, "damaged compression"),
            (flipped, 1_000_000, "damaged compression"),
            (trailing, 1_000_000, "damaged compression"),
            (b"\x1f\x8b\x08".to_vec(), 0, ""),
        ] {
            folder.refused(&bytes, |p| read_idx_file(p), reason);
            refused_stream(&bytes, plain, |b| read_idx(b), reason);
        }
    }
}
