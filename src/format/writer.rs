//! Writing safetensors files: the header with its checksum, then the tensors.

use super::header::{CHECKSUM, MAX_HEADER, NO_DIGITS};
use super::json::push_string;
use super::reserve::with_room;
use crate::error::{Error, Result};
use crate::math::Hasher;
use crate::simd::LINE;
use crate::storage::{PanelMatrix, bytes_of};
use std::io::{self, Cursor, Seek, SeekFrom, Write};

/// A tensor to write.
pub(crate) struct Stored<'a> {
    pub(crate) name: String,
    pub(crate) values: Values<'a>,
}

/// The values of one tensor.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    /// F32, transposed: columns x rows.
    Matrix(&'a PanelMatrix),
    /// F32, transposed: `n_cols` columns from panel `first_panel` on, which have to be there.
    Columns { tensor: &'a PanelMatrix, first_panel: usize, n_cols: usize },
    /// F32, the only row.
    Row(&'a PanelMatrix),
    /// U8
    Bytes(&'a [u8]),
}

/// Memory for the chunks.
#[derive(Default)]
pub(crate) struct Buffers {
    values: Vec<f32>,
    bytes: Vec<u8>,
}

impl Values<'_> {
    pub(crate) fn n_bytes(self) -> usize {
        match self {
            // The padded values are in memory, so the product fits.
            Values::Matrix(t) | Values::Row(t) => {
                t.rows().saturating_mul(t.cols()).saturating_mul(4)
            }
            Values::Columns { tensor, n_cols, .. } => {
                tensor.rows().saturating_mul(n_cols).saturating_mul(4)
            }
            Values::Bytes(bytes) => bytes.len(),
        }
    }

    /// Calls `each` with the bytes, chunk by chunk.
    pub(crate) fn for_each_chunk(
        self,
        buffers: &mut Buffers,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Values::Matrix(t) | Values::Row(t) => {
                let all = Values::Columns { tensor: t, first_panel: 0, n_cols: t.cols() };
                all.for_each_chunk(buffers, each)
            }
            Values::Columns { tensor: t, first_panel, n_cols } => {
                let Buffers { values, bytes } = buffers;
                let mut rest = n_cols.saturating_mul(t.rows());
                let panels = first_panel..first_panel.saturating_add(n_cols.div_ceil(LINE));
                for panel in panels {
                    values.resize(t.panel_len(panel), 0.0);
                    t.export_panel(panel, values);
                    // Columns beyond the last one are padding or belong to another unit.
                    values.truncate(rest);
                    rest = rest.saturating_sub(values.len());
                    each(bytes_of(values, bytes))?;
                }
                Ok(())
            }
            Values::Bytes(bytes) => each(bytes),
        }
    }
}

/// Calls `each` with the bytes of all tensors, chunk by chunk.
fn for_each_chunk(
    tensors: &[Stored],
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffers = Buffers::default();
    tensors.iter().try_for_each(|tensor| tensor.values.for_each_chunk(&mut buffers, &mut each))
}

/// The 8 bytes of length and the header, with a checksum.
fn preamble(metadata: &[(&str, String)], tensors: &[Stored], checksum: &str) -> Result<Vec<u8>> {
    let mut text = String::from("{\"__metadata__\":{");
    for (key, value) in metadata {
        push_string(&mut text, key);
        text.push(':');
        push_string(&mut text, value);
        text.push(',');
    }
    text.push_str(&format!("\"{CHECKSUM}\":\"{checksum}\"}}"));
    let mut start = 0usize;
    for Stored { name, values } in tensors {
        let end = start.saturating_add(values.n_bytes());
        let (kind, shape) = match values {
            Values::Matrix(t) => ("F32", format!("{},{}", t.cols(), t.rows())),
            Values::Columns { tensor, n_cols, .. } => {
                ("F32", format!("{n_cols},{}", tensor.rows()))
            }
            Values::Row(t) => ("F32", t.cols().to_string()),
            Values::Bytes(bytes) => ("U8", bytes.len().to_string()),
        };
        text.push(',');
        push_string(&mut text, name);
        text.push_str(&format!(
            ":{{\"dtype\":\"{kind}\",\"shape\":[{shape}],\"data_offsets\":[{start},{end}]}}"
        ));
        start = end;
    }
    text.push('}');
    // Aligns the data to 8 bytes.
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    if text.len() as u64 > MAX_HEADER {
        let reason = format!("a header of {} bytes, more than {MAX_HEADER}", text.len());
        return Err(Error::config("file", reason));
    }
    Ok([&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat())
}

/// The bytes of a file with a checksum.
pub(crate) fn encode(metadata: &[(&str, String)], tensors: &[Stored]) -> Result<Vec<u8>> {
    let n_head = preamble(metadata, tensors, NO_DIGITS)?.len();
    let n_bytes = tensors.iter().map(|t| t.values.n_bytes()).fold(n_head, usize::saturating_add);
    let bytes = with_room(n_bytes, format_args!("{n_bytes} bytes of a file"))?;
    let mut file = Cursor::new(bytes);
    write_file(&mut file, metadata, tensors)?;
    Ok(file.into_inner())
}

/// Writes to a stream. Encodes the tensors twice, since the checksum precedes them.
pub(crate) fn write(
    writer: &mut dyn Write,
    metadata: &[(&str, String)],
    tensors: &[Stored],
) -> Result<()> {
    let mut hasher = Hasher::new();
    hasher.update(&preamble(metadata, tensors, NO_DIGITS)?);
    for_each_chunk(tensors, |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    let checksum = format!("{:016x}", hasher.finish());
    writer.write_all(&preamble(metadata, tensors, &checksum)?)?;
    Ok(for_each_chunk(tensors, |chunk| writer.write_all(chunk))?)
}

/// Writes to a new file in one pass, and then the checksum.
pub(crate) fn write_file<F: Write + Seek + ?Sized>(
    file: &mut F,
    metadata: &[(&str, String)],
    tensors: &[Stored],
) -> Result<()> {
    let head = preamble(metadata, tensors, NO_DIGITS)?;
    let mut hasher = Hasher::new();
    hasher.update(&head);
    file.write_all(&head)?;
    for_each_chunk(tensors, |chunk| {
        hasher.update(chunk);
        file.write_all(chunk)
    })?;
    let checksum = format!("{:016x}", hasher.finish());
    file.seek(SeekFrom::Start(0))?;
    Ok(file.write_all(&preamble(metadata, tensors, &checksum)?)?)
}
