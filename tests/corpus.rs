//! Hostile files, kept under `tests/corpus`, and damaged copies of all of them, for every reader:
//! no panic, and a refused file costs no more heap than twice its size plus 64 KiB.
//!
//! The same damage in every run. `DELTARULE_FUZZ_SECONDS=3600 cargo test --release --test corpus
//! --all-features` goes on with other damage for so long; a failure prints the bytes.

#![cfg(feature = "digits")]

#[path = "data/damage.rs"]
mod damage;
#[path = "data/heap.rs"]
mod heap;
mod support;

use damage::damage;
use deltarule::data::{digits, read_idx, read_idx_file, read_npy, read_npy_file};
use deltarule::{Activation, Adam, CheckpointInterval, Mlp, Result, Trainer};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::Data;

/// Damaged copies of each file in a test run.
const CASES: usize = 500;

/// Reads a file in every way there is for its kind; an error of any is as good as an answer.
fn read(kind: &str, path: &Path, bytes: &[u8]) -> Vec<Result<()>> {
    match kind {
        "safetensors" => {
            let small = || Mlp::builder(3).dense(2, Activation::Softmax).build();
            let (mut a, mut b) = (small().unwrap(), small().unwrap());
            vec![
                Mlp::load(path).map(drop),
                Mlp::read_from(bytes).map(drop),
                a.load_weights(path),
                b.read_weights(bytes),
                resume(path),
            ]
        }
        "idx" => vec![read_idx_file(path).map(drop), read_idx(bytes).map(drop)],
        "npy" => vec![read_npy_file(path).map(drop), read_npy(bytes).map(drop)],
        #[cfg(feature = "npz")]
        "npz" => {
            let all = || {
                let file = deltarule::data::Npz::open(path)?;
                file.names()?.iter().try_for_each(|name| file.read(name).map(drop))
            };
            vec![all()]
        }
        #[cfg(feature = "csv")]
        "csv" => {
            use deltarule::data::{Csv, Missing};
            let some = [
                Csv::classification(),
                Csv::regression().header(false),
                Csv::classification().missing(Missing::DropRow),
            ];
            let both = |csv: &Csv| [csv.read_file(path).map(drop), csv.read(bytes).map(drop)];
            some.iter().flat_map(both).collect()
        }
        _ => vec![],
    }
}

/// A run that a checkpoint of the corpus is of.
fn trainer() -> Trainer<'static> {
    Trainer::new(Adam::new(0.01)).batch_size(10).epochs(2)
}

fn resume(path: &Path) -> Result<()> {
    thread_local! {
        static DATA: deltarule::data::Dataset = digits().split_at(30).unwrap().0;
    }
    DATA.with(|data| {
        let mut net = checkpointed_net();
        trainer().epochs(3).resume(path).run(&mut net, data).map(drop)
    })
}

fn checkpointed_net() -> Mlp {
    let net = Mlp::builder(64).dense(2, Activation::Relu).dense(10, Activation::Softmax);
    net.build().unwrap()
}

fn corpus() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files = Vec::new();
    for kind in fs::read_dir(root).unwrap() {
        let kind = kind.unwrap();
        for file in fs::read_dir(kind.path()).unwrap() {
            files.push((kind.file_name().into_string().unwrap(), file.unwrap().path()));
        }
    }
    files.sort();
    files
}

/// Reads one file, and checks that it was done without a panic and cheaply.
fn check(kind: &str, path: &Path, bytes: &[u8], what: &str) {
    let work = || heap::peak_of(|| read(kind, path, bytes));
    let Ok((answers, peak)) = catch_unwind(AssertUnwindSafe(work)) else {
        panic!("{what}: a panic on \"{}\"", bytes.escape_ascii());
    };
    let refused = answers.iter().all(|answer| answer.is_err());
    // The networks that `read` itself makes for the weights, and the run that it resumes.
    let own = if kind == "safetensors" { 256 * 1024 } else { 0 };
    let allowed = 2 * bytes.len() + heap::SLACK + own;
    assert!(!refused || peak <= allowed, "{what}: {peak} bytes of heap for {}", bytes.len());
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let text = error.to_string();
        assert!(text.len() < 1000, "{what}: {text}");
    }
}

/// Gives a damaged file of ours the right checksum, so that what stands behind it is tested too.
fn mend_checksum(bytes: &mut [u8]) {
    let key = b"\"deltarule.checksum\":\"";
    let Some(at) = bytes.windows(key.len()).position(|w| w == key) else { return };
    let Some(digits) = bytes.get_mut(at + key.len()..at + key.len() + 16) else { return };
    digits.fill(b'0');
    let sum = xxhash_rust::xxh64::xxh64(bytes, 0);
    bytes[at + key.len()..at + key.len() + 16].copy_from_slice(format!("{sum:016x}").as_bytes());
}

#[test]
fn hostile_files_are_refused_or_read_cheaply() {
    let files = corpus();
    assert!(files.len() > 40, "{} files", files.len());
    for (kind, path) in files {
        let bytes = fs::read(&path).unwrap();
        check(&kind, &path, &bytes, &path.display().to_string());
        // Damage to a file that is refused anyway would reach nothing.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("good-")) {
            let answers = read(&kind, &path, &bytes);
            assert!(answers.is_empty() || answers.iter().any(Result::is_ok), "{}", path.display());
        }
        if path.ends_with("good-checkpoint") {
            resume(&path).unwrap();
        }
    }
}

#[test]
fn damaged_files_are_refused_or_read_cheaply() {
    let seconds = std::env::var("DELTARULE_FUZZ_SECONDS").map_or(0, |s| s.parse().unwrap());
    let path = std::env::temp_dir().join(format!("deltarule-corpus-{}", std::process::id()));
    let mut file = fs::File::create(&path).unwrap();
    let start = Instant::now();
    let mut round = 0;
    let mut cases = 0;
    while round == 0 || start.elapsed() < Duration::from_secs(seconds) {
        for (i, (kind, original)) in corpus().iter().enumerate() {
            let whole = fs::read(original).unwrap();
            let mut random = Data::new(round * 1000 + i as u64);
            // Long files say little more than short ones.
            let n = if whole.len() > 20_000 { CASES / 50 } else { CASES };
            for case in 0..n {
                let mut bytes = whole.clone();
                damage(&mut bytes, &mut random);
                if random.below(2) == 0 {
                    mend_checksum(&mut bytes);
                }
                // Not emptied first: ext4 waits for the disk when an emptied file is written again.
                file.set_len(bytes.len() as u64).unwrap();
                file.seek(SeekFrom::Start(0)).unwrap();
                file.write_all(&bytes).unwrap();
                check(kind, &path, &bytes, &format!("{} case {case}", original.display()));
                cases += 1;
            }
        }
        round += 1;
    }
    fs::remove_file(&path).unwrap();
    println!("{cases} damaged files");
}

/// Writes the corpus anew: hostile shapes that broke other readers, and good files to damage.
#[test]
#[ignore = "writes tests/corpus; run by hand when a shape is added"]
fn write_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let put = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let tensors = |name: &str, header: &str, data: &[u8]| {
        let length = (header.len() as u64).to_le_bytes();
        put(&format!("safetensors/{name}"), &[&length, header.as_bytes(), data].concat());
    };
    let entry = |name: &str, dtype: &str, shape: &str, at: &str| {
        format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{at}]}}")
    };
    let one = |dtype: &str, shape: &str, at: &str| format!("{{{}}}", entry("a", dtype, shape, at));
    // Headers that are longer than the file, than the limit, than memory.
    put("safetensors/empty", b"");
    put("safetensors/seven-bytes", &[0; 7]);
    put("safetensors/header-of-2-64", &[0xff; 8]);
    put("safetensors/header-over-limit", &((1u64 << 20) + 1).to_le_bytes());
    put("safetensors/header-longer-than-file", &1000u64.to_le_bytes());
    tensors("no-tensors", "{}", b"");
    // Products and sums that overflow.
    tensors("shape-overflows", &one("F32", "4294967296,4294967296", "0,0"), b"");
    tensors("shape-times-size-overflows", &one("F32", "4611686018427387904", "0,0"), b"");
    tensors("end-overflows", &one("F32", "1", "18446744073709551612,18446744073709551615"), b"");
    let huge: Vec<String> = (0..8u64)
        .map(|i| {
            let n = (1u64 << 61) - 1;
            let (start, end) = (i.wrapping_mul(n), (i + 1).wrapping_mul(n));
            entry(&format!("t{i}"), "U8", &n.to_string(), &format!("{start},{end}"))
        })
        .collect();
    tensors("eight-of-2-61", &format!("{{{}}}", huge.join(",")), b"");
    tensors("4-gb-of-nothing", &one("F32", "1000000000", "0,4000000000"), &[0; 100]);
    // Overlaps, holes, duplicates, empty tensors at one offset.
    let pair = |a: &str, b: &str| {
        format!("{{{},{}}}", entry("a", "F32", "1", a), entry("b", "F32", "1", b))
    };
    tensors("overlap", &pair("0,4", "0,4"), &[0; 4]);
    tensors("hole", &pair("0,4", "8,12"), &[0; 12]);
    tensors("twice", &pair("0,4", "4,8").replace("\"b\"", "\"a\""), &[0; 8]);
    tensors("twice-by-escape", &pair("0,4", "4,8").replace("\"b\"", "\"\\u0061\""), &[0; 8]);
    let empty = format!("{{{},{}}}", entry("a", "F32", "0", "0,0"), entry("b", "F32", "0", "0,0"));
    tensors("empty-tensors", &empty, b"");
    tensors("trailing-bytes", &one("F32", "1", "0,4"), &[0; 5]);
    let bias = entry("0.bias", "F32", "2", "0,8");
    let weight = entry("0.weight", "F32", "2,3", "8,32");
    tensors("unaligned", &format!("{{ {bias},{weight}}}"), &[1; 32]);
    tensors("not-a-number", &format!("{{{bias},{weight}}}"), &[0xff; 32]);
    tensors("half-precision", &one("F16", "2", "0,4"), &[0; 4]);
    // A layer, and beside it all that it is not made of.
    let foreign = [
        bias.clone(),
        weight.clone(),
        entry("counter", "I64", "", "32,40"),
        entry("empty", "F32", "0,3", "40,40"),
        entry("images", "BF16", "1,2,2", "40,48"),
        entry("eighths", "F8_E4M3", "8", "48,56"),
    ];
    tensors("good-foreign", &format!("{{{}}}", foreign.join(",")), &[1; 56]);
    tensors("deep", &"{\"a\":".repeat(3000), b"");
    tensors("brackets", &"[".repeat(5000), b"");
    tensors("not-utf8", "{\"", b"\xff\xfe\":1}");
    tensors("metadata-not-text", "{\"__metadata__\":{\"a\":{}}}", b"");
    tensors(
        "metadata-of-ours-without-sum",
        "{\"__metadata__\":{\"deltarule.format\":\"model 1\"}}",
        b"",
    );
    let many: Vec<String> = (0..2000)
        .map(|i| entry(&format!("{i}"), "F32", "1", &format!("{},{}", 4 * i, 4 * i + 4)))
        .collect();
    tensors("two-thousand-tensors", &format!("{{{}}}", many.join(",")), &[0; 8000]);
    // Architectures that lie, in files that are otherwise ours, need a right checksum: these are
    // made by damaging good ones.
    let net = Mlp::builder(3).dense(2, Activation::Softmax).build().unwrap();
    let mut good = Vec::new();
    net.write_to(&mut good).unwrap();
    put("safetensors/good-model", &good);
    let path = std::env::temp_dir().join(format!("deltarule-put-{}", std::process::id()));
    let data = digits().split_at(30).unwrap().0;
    let mut net = checkpointed_net();
    trainer().checkpoint(&path, CheckpointInterval::Epochs(1)).fit(&mut net, &data).unwrap();
    put("safetensors/good-checkpoint", &fs::read(&path).unwrap());
    fs::remove_file(path).unwrap();

    let idx = |name: &str, head: [u8; 4], sizes: &[u32], data: &[u8]| {
        let sizes: Vec<u8> = sizes.iter().flat_map(|n| n.to_be_bytes()).collect();
        put(&format!("idx/{name}"), &[&head[..], &sizes, data].concat());
    };
    idx("good-labels", [0, 0, 8, 1], &[5], &[0, 1, 2, 3, 4]);
    idx("good-images", [0, 0, 8, 3], &[2, 2, 2], &[7; 8]);
    idx("good-floats", [0, 0, 0x0d, 1], &[2], &[0; 8]);
    idx("product-overflows", [0, 0, 8, 4], &[u32::MAX; 4], b"");
    idx("4-billion-images", [0, 0, 8, 3], &[u32::MAX, 28, 28], &[0; 16]);
    idx("no-dimensions", [0, 0, 8, 0], &[], &[1]);
    idx("255-dimensions", [0, 0, 8, 255], &[1; 20], &[1]);
    idx("zero-rows", [0, 0, 8, 2], &[0, u32::MAX], b"");
    idx("unknown-type", [0, 0, 7, 1], &[1], &[1]);
    idx("wrong-magic", [1, 2, 8, 1], &[1], &[1]);
    put("idx/gzip-cut", b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    put("idx/gzip-of-nothing", b"\x1f\x8b");
    // Twelve bytes that claim an extra field of 64 KiB, also behind a good member.
    let extra = b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\xff\xff";
    let nothing = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    put("idx/gzip-extra-of-64-kb", extra);
    put("idx/gzip-second-extra-of-64-kb", &[&nothing[..], extra].concat());
    put("idx/gzip-padded", &[&nothing[..], &[0; 512]].concat());

    let npy = |name: &str, version: u8, header: &str, data: &[u8]| {
        let length = (header.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        let head = [b"\x93NUMPY", &[version, 0][..], length].concat();
        put(&format!("npy/{name}"), &[&head, header.as_bytes(), data].concat());
    };
    let dict = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n")
    };
    npy("good-floats", 1, &dict("<f4", "2, 2"), &[0; 16]);
    npy("good-big-endian", 2, &dict(">f8", "2,"), &[0; 16]);
    npy("good-scalar", 1, &dict("<i8", ""), &[0; 8]);
    npy("good-halves", 1, &dict(">f2", "2, 2"), &[0; 8]);
    npy("good-truth", 3, &dict("|b1", "4,"), &[1, 0, 0, 1]);
    npy("good-python-2", 1, &dict("<u1", "3L,"), &[1, 2, 3]);
    npy("32-gb", 1, &dict("<f8", "4294967296,"), b"");
    npy("product-overflows", 1, &dict("<f8", "4294967296, 4294967296, 4294967296"), b"");
    npy("negative", 1, &dict("<f8", "-1,"), b"");
    npy("python-object", 1, &dict("|O", "1,"), &[0x80, 4, b'.']);
    npy(
        "record",
        1,
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n",
        &[0; 4],
    );
    npy("expression", 1, "__import__('os').system('true')\n", b"");
    npy("deep", 1, &"(".repeat(5000), b"");
    put("npy/header-of-4-gb", b"\x93NUMPY\x02\0\xff\xff\xff\xff{}");
    put("npy/header-of-1-gb", b"\x93NUMPY\x02\0\0\0\0\x40");

    put("csv/good", b"a,b,kind\n1,2,x\n3,4,y\n5,,x\n");
    put("csv/open-quote", b"a,b\n\"1,2\n3,4\n");
    put("csv/ragged", b"a,b,c\n1,2\n3,4,5,6\n");
    put("csv/long-number", format!("a,b\n0.{}1,1\n1e400,2\n", "0".repeat(2000)).as_bytes());
    put("csv/zero-byte", b"a,b\n1\0,2\n");
    put("csv/not-utf8", b"a,b\n\xff,2\n");
    put("csv/many-columns", format!("{}1\n", "1,".repeat(5000)).as_bytes());
    put("csv/only-newlines", &b"\n".repeat(1000));
    put("csv/infinite", b"a,b\ninf,1\nnan,2\n");
    put("csv/good-mark", b"\xef\xbb\xbfa,b,kind\n1, 2, \"x\"\n  \n3,4,\"y\" \n");
    put("csv/utf-16", b"\xff\xfea\0,\0b\0\n\0");

    put("npz/good-stored", include_bytes!("data/stored.npz"));
    put("npz/good-deflated", include_bytes!("data/deflated.npz"));
    put("npz/good-legal", include_bytes!("data/legal.npz"));
    put("npz/empty", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    put(
        "npz/directory-of-4-gb",
        b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
    );
}
