//! A file that is refused costs at most twice its size plus 64 KiB of heap, whatever it claims; a
//! stream costs at most twice what really came out of it. Counted by the allocator.

#[path = "support/folder.rs"]
mod folder;
#[path = "data/heap.rs"]
mod heap;

use std::fs;
use std::path::PathBuf;

use deltarule::Result;
use deltarule::data::{
    Augment, Dataset, Standardizer, Targets, read_idx, read_idx_file, read_npy, read_npy_file,
    shuffled,
};
use folder::Folder;
use heap::{SLACK, peak_of};

impl Folder {
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

fn npy(header: &str, body: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), body].concat()
}

#[test]
fn hostile_npy_costs_nothing() {
    let folder = Folder::new("heap-npy");
    let array = |descr: &str, shape: &str, body: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        npy(&header, body)
    };
    let many = format!("({})", "1,".repeat(4900));
    for (bytes, reason) in [
        // 14 bytes that made another reader allocate 1 GiB, and 92 that did after the fix.
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x3f{\x27".to_vec(), "at most 10000 bytes"),
        (array("<f4", "(268435456,)", &[0; 8]), "after the header, got 8"),
        (array("<f8", "(1000000000000,)", &[0; 1_000_000]), "after the header, got 1000000"),
        (array("|i1", &many, &[1]), "expected a header with"),
        (array("<i8", "(2, 10)", &[1; 1_000_000]), "160 bytes of data"),
    ] {
        folder.refused(&bytes, |p| read_npy_file(p), reason);
        let reason = reason.replace("160 bytes of data", "more than the 160 bytes");
        refused_stream(&bytes, bytes.len(), |b| read_npy(b), &reason);
    }
}

#[test]
#[cfg(feature = "csv")]
fn hostile_csv_costs_nothing() {
    use deltarule::data::{Csv, Missing};
    let folder = Folder::new("heap-csv");
    let csv = Csv::classification();
    let bare = csv.clone().header(false);
    let fill = bare.clone().missing(Missing::Fill(0.0));
    let labels = |from| (from..from + 3000).map(|i| format!("1,{i:x}x\n")).collect::<String>();
    for (csv, text, reason) in [
        (&csv, "a,".repeat(300_000), "no rows"),
        (&csv, "a".repeat(300_000), "not a short text"),
        (&csv, format!("a,b\n{}", "1,0\n".repeat(300_000) + "x,0"), "got \"x\""),
        (&bare, "0,".repeat(300_000) + "x", "at least 2"),
        (&bare, "0,0\n".repeat(300_000) + "1", "expected 2 fields, got 1"),
        (&bare, ",".repeat(300_000), "got nothing"),
        (&bare, format!("1,\"{}", "x".repeat(300_000)), "a quoted field has no end"),
        (&bare, format!("1,\"{}\"", "x".repeat(300_000)), "expected a class label"),
        (&bare, labels(0), "at most 1024 labels"),
        (&bare, "1,x\n".repeat(300_000) + &labels(0), "at most 1024 labels"),
        (&fill, ",".repeat(300_000) + "\n", "expected a class label"),
        (&fill, ",,,,,,,0\n".repeat(30_000) + "0", "expected 8 fields, got 1"),
    ] {
        folder.refused(text.as_bytes(), |p| csv.read_file(p), reason);
        if !std::ptr::eq(csv, &fill) {
            refused_stream(text.as_bytes(), text.len(), |b| csv.read(b), reason);
        }
    }
}

#[test]
#[cfg(feature = "npz")]
fn hostile_npz_costs_nothing() {
    use deltarule::data::Npz;
    let folder = Folder::new("heap-npz");
    let deflated = include_bytes!("data/deflated.npz").to_vec();
    let read = |p: &PathBuf| Npz::open(p)?.read("x");
    // The directory's entry of x says that it is 4 GiB long; then that the file has 65534 entries.
    let entry = deflated.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut long = deflated.clone();
    long[entry + 24..entry + 28].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    folder.refused(&long, read, "shorter than stated");
    let mut many = deflated.clone();
    let end = many.len() - 22;
    many[end + 8..end + 12].copy_from_slice(&[0xfe, 0xff, 0xfe, 0xff]);
    folder.refused(&many, read, "zip directory");
    folder.refused(&vec![0; 1_000_000], read, "no end record");
}

#[test]
fn augmenting_and_shuffling_allocate_nothing() {
    let augment = Augment::new(28, 28).shift(2.0).rotate(9.0).scale(0.1).elastic(34.0, 4.0);
    let mut augmenter = augment.augmenter().unwrap();
    let (image, mut out, mut order) = ([9; 784], [0.0; 784], [0; 1000]);
    let ((), peak) = peak_of(|| {
        for index in 0..10 {
            augmenter.apply(1, 0, index, &image, &mut out).unwrap();
            shuffled(1, index, &mut order);
        }
    });
    assert_eq!(peak, 0);
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

/// 1000 rows of 5000 features, 5 MB or 20 MB.
#[test]
fn clones_and_parts_of_a_data_set_share_its_features() {
    let (rows, n) = (1000, 5000);
    let labels = || Targets::Classes { labels: vec![1; rows], n_classes: 2 };
    let values = Targets::Values { values: vec![0.5; rows * 100], n_outputs: 100 };
    let bytes = Dataset::from_u8(vec![3; rows * n], n, labels()).unwrap();
    let floats = Dataset::from_f32(vec![0.25; rows * n], n, values).unwrap();
    // A label or a value has 4 bytes; the rest is what holds them, and little.
    for (data, target_bytes) in [(&bytes, 4 * rows), (&floats, 400 * rows)] {
        let (clones, peak) = peak_of(|| [data.clone(), data.clone(), data.clone()]);
        assert_eq!(peak, 0, "clones");
        let ((a, b), peak) = peak_of(|| clones[2].split_at(300).unwrap());
        assert_eq!((a.len(), b.len()), (300, 700));
        assert!(peak <= target_bytes + 1024, "split_at: {peak} bytes");
        let targets = labels();
        let (_, peak) = peak_of(|| data.with_targets(targets).unwrap());
        assert!(peak <= 1024, "with_targets: {peak} bytes");
        let (copy, peak) = peak_of(|| a.select(&[0, 1]).unwrap());
        assert_eq!(copy.len(), 2);
        assert!(peak >= 2 * n, "select copies: {peak} bytes");
    }
    let standardizer = Standardizer::fit_features(&floats);
    let (_, peak) = peak_of(|| standardizer.apply_to_features(&floats).unwrap());
    assert!(peak <= 4 * rows * n + 1024, "the targets are shared: {peak} bytes");
    let held = {
        let (a, b) = floats.split_at(1).unwrap();
        drop(floats);
        drop(a);
        b
    };
    let mut row = vec![0.0; n];
    held.row_into(rows - 2, &mut row).unwrap();
    assert!(row.iter().all(|&x| x == 0.25));
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
