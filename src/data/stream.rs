//! Samples that stay in a file and come in chunks, shuffled as far as memory allows.

use super::batches::shuffled;
use super::dataset::Dataset;
use super::source::open;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::format::with_room;
use crate::math::{Purpose, RandomStream};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A file with a row of bytes per target, read chunk by chunk: for data larger than memory where a
/// memory map (`Dataset::map_u8`, feature `mmap`) is not wanted. The targets are in memory.
///
/// An epoch shuffles the order of the chunks and the rows within each, as a function of seed and
/// epoch. Samples of one chunk stay together, so a file that is sorted by class needs chunks much
/// larger than a batch.
///
/// ```no_run
/// use deltarule::{Activation, Adam, Mlp, Trainer, data};
///
/// let labels = data::read_idx_file("labels")?.into_classes(10)?;
/// let stream = data::Stream::open("images", 16, 784, labels)?.chunk_rows(50_000);
/// let mut net =
///     Mlp::builder(784).dense(512, Activation::Relu).dense(10, Activation::Softmax).build()?;
/// let mut training = Trainer::new(Adam::new(0.001)).batch_size(128).session(&mut net)?;
/// for epoch in 0..3 {
///     for chunk in stream.epoch(1, epoch)? {
///         training.partial_fit(&chunk?)?;
///     }
/// }
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct Stream {
    path: PathBuf,
    offset: u64,
    n_features: usize,
    targets: Targets,
    rows: usize,
    chunk_rows: usize,
}

impl Stream {
    /// The rows of a file from byte `offset` to its end, `n_features` bytes each, and their
    /// targets. Chunks of 65,536 rows, unless [`Stream::chunk_rows`] says otherwise.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be opened, [`Error::Format`] when it does not hold a row
    /// for each target, [`Error::Shape`] or [`Error::Value`] when the targets are not well-formed.
    pub fn open(
        path: impl AsRef<Path>,
        offset: u64,
        n_features: usize,
        targets: Targets,
    ) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let rows = targets.len();
        targets.check(rows)?;
        if rows == 0 || n_features == 0 || u32::try_from(rows).is_err() {
            let got = format!("{rows} x {n_features}");
            return Err(Error::shape("stream", "1 to 2^32 - 1 rows of at least 1 feature", got));
        }
        let length = open(&path)?.metadata().map_err(|e| Error::io(&path, e))?.len();
        let expected = rows.checked_mul(n_features).and_then(|n| offset.checked_add(n as u64));
        if expected != Some(length) {
            let expected = format!("expected {offset} bytes and {rows} rows of {n_features}");
            let file = path.display().to_string();
            return Err(Error::format(file, format!("{expected}, got {length} bytes")));
        }
        Ok(Stream { path, offset, n_features, targets, rows, chunk_rows: 1 << 16 })
    }

    /// Sets the rows per chunk; the last chunk holds the rest. A chunk is in memory twice while it
    /// is read.
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = rows;
        self
    }

    /// The chunks of an epoch, in a random order, each shuffled.
    ///
    /// # Errors
    /// [`Error::Config`] for chunks of 0 rows, [`Error::Io`] when the file cannot be opened.
    pub fn epoch(&self, seed: u64, epoch: u64) -> Result<Chunks<'_>> {
        if self.chunk_rows == 0 {
            return Err(Error::config("rows of a chunk", "expected at least 1, got 0"));
        }
        let file = open(&self.path)?;
        let mut order = vec![0; self.rows.div_ceil(self.chunk_rows)];
        shuffled(seed, epoch, &mut order);
        Ok(Chunks { stream: self, file, seed, epoch, order: order.into_iter() })
    }
}

/// The chunks of an epoch; made by [`Stream::epoch`].
#[derive(Debug)]
pub struct Chunks<'a> {
    stream: &'a Stream,
    file: File,
    seed: u64,
    epoch: u64,
    order: std::vec::IntoIter<u32>,
}

impl Chunks<'_> {
    fn read(&mut self, chunk: usize) -> Result<Dataset> {
        let Stream { path, offset, n_features, targets, rows, chunk_rows } = self.stream;
        // Nothing overflows: `open` compared the file's length with the same products.
        let first = chunk.saturating_mul(*chunk_rows);
        let n = rows.saturating_sub(first).min(*chunk_rows);
        let start = offset.saturating_add(first.saturating_mul(*n_features) as u64);
        let n_bytes = n.saturating_mul(*n_features);
        let mut bytes = with_room(n_bytes, format_args!("{n_bytes} bytes of a chunk"))?;
        bytes.resize(n_bytes, 0);
        let read = self.file.seek(SeekFrom::Start(start));
        let read = read.and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|e| Error::io(path, e))?;
        let targets = targets.select(first..first.saturating_add(n))?;
        let mut order: Vec<usize> = (0..n).collect();
        // Counter 0 is the order of the chunks.
        let counter = (chunk as u64).saturating_add(1);
        RandomStream::new(self.seed, Purpose::Shuffle, self.epoch, counter).shuffle(&mut order);
        Dataset::from_u8(bytes, *n_features, targets)?.select(&order)
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Dataset>;

    fn next(&mut self) -> Option<Result<Dataset>> {
        let chunk = usize::try_from(self.order.next()?).unwrap_or(usize::MAX);
        Some(self.read(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;
    use crate::format::test_folder::Folder;

    /// Rows of two bytes, (i, 255 − i), with the label i.
    fn stream(folder: &Folder, rows: u8, chunk: usize) -> Stream {
        let bytes = (0..rows).flat_map(|i| [i, 255 - i]);
        let path = folder.file("rows", [7; 3].into_iter().chain(bytes).collect::<Vec<u8>>());
        let labels = (0..u32::from(rows)).collect();
        let targets = Targets::Classes { labels, n_classes: 256 };
        Stream::open(path, 3, 2, targets).unwrap().chunk_rows(chunk)
    }

    fn labels(stream: &Stream, seed: u64, epoch: u64) -> Vec<u32> {
        let mut all = Vec::new();
        for chunk in stream.epoch(seed, epoch).unwrap() {
            let chunk = chunk.unwrap();
            let Features::U8 { data, .. } = chunk.features() else { unreachable!() };
            let Targets::Classes { labels, .. } = chunk.targets() else { unreachable!() };
            for (row, &label) in data.chunks(2).zip(labels) {
                assert_eq!(row, [label as u8, 255 - label as u8]);
            }
            all.extend(labels);
        }
        all
    }

    #[test]
    fn every_row_comes_once_with_its_target_in_an_order_of_its_epoch() {
        let folder = Folder::new("stream");
        for (rows, chunk) in [(1, 1), (10, 3), (10, 10), (10, 100), (255, 16)] {
            let stream = stream(&folder, rows, chunk);
            let first = labels(&stream, 1, 0);
            assert_eq!(first, labels(&stream, 1, 0));
            let mut sorted = first.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..u32::from(rows)));
            if rows > 10 {
                assert_ne!(first, labels(&stream, 1, 1));
                assert_ne!(first, labels(&stream, 2, 0));
            }
        }
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let folder = Folder::new("stream-bad");
        let stream = stream(&folder, 4, 2);
        let open = |offset, n_features, labels: usize| {
            let targets = Targets::Classes { labels: vec![0; labels], n_classes: 2 };
            Stream::open(folder.0.join("rows"), offset, n_features, targets)
        };
        assert!(open(3, 2, 4).is_ok() && open(0, 11, 1).is_ok());
        assert!(open(2, 2, 4).is_err() && open(3, 2, 5).is_err() && open(u64::MAX, 2, 4).is_err());
        assert!(open(3, 0, 4).is_err() && open(11, 2, 0).is_err());
        assert!(open(3, usize::MAX, 4).is_err());
        assert!(stream.clone().chunk_rows(0).epoch(0, 0).is_err());
        let path = folder.file("rows", [0; 5]);
        assert!(stream.epoch(0, 0).unwrap().any(|chunk| chunk.is_err()));
        std::fs::remove_file(&path).unwrap();
        assert!(stream.epoch(0, 0).is_err());
    }
}
