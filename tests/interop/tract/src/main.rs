//! Runs every ONNX model of a folder in tract and compares the outputs with ours.
//!
//! ```text
//! tests/interop/tract/run
//! ```
//!
//! The folder is what the example `interop` writes: `NAME.onnx`, `NAME.x.txt` and `NAME.y.txt`. No
//! difference may be more than 1e-6 of the largest output (of 1, where that is less).

use std::error::Error;
use std::path::Path;
use std::{env, fs};
use tract_onnx::prelude::*;

const LIMIT: f32 = 1e-6;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: deltarule-tract FOLDER")?;
    let mut models: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    models.retain(|path| path.extension().is_some_and(|end| end == "onnx"));
    models.sort();
    let mut worst = 0f32;
    for path in &models {
        let x = read_text(&path.with_extension("x.txt"))?;
        let want = read_text(&path.with_extension("y.txt"))?;
        // The number of rows stays open, as in the file.
        let model = tract_onnx::onnx().model_for_path(path)?.into_optimized()?.into_runnable()?;
        let outputs = model.run(tvec!(x.into()))?;
        let got = outputs[0].to_plain_array_view::<f32>()?;
        let want = want.to_plain_array_view::<f32>()?;
        if got.shape() != want.shape() {
            return Err(format!("{path:?}: {:?}, not {:?}", got.shape(), want.shape()).into());
        }
        let largest = want.iter().fold(1f32, |most, y| most.max(y.abs()));
        let pairs = got.iter().zip(&want);
        // NaN counts as the largest difference.
        let error = pairs
            .map(|(a, b)| (a - b).abs() / largest)
            .fold(0f32, |most, e| if e <= most { most } else { e });
        println!("{:32} {error:.1e}", path.file_stem().unwrap_or_default().to_string_lossy());
        if !(error <= LIMIT) {
            return Err(format!("{path:?}: differs by {error:e}").into());
        }
        worst = worst.max(error);
    }
    if models.is_empty() {
        return Err("no models".into());
    }
    println!("{} networks in tract, largest difference {worst:.1e}", models.len());
    Ok(())
}

/// Numbers with spaces between them, a row a line.
fn read_text(path: &Path) -> Result<Tensor, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let numbers: Vec<f32> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let rows = text.lines().count();
    Ok(tract_ndarray::Array2::from_shape_vec((rows, numbers.len() / rows.max(1)), numbers)?.into())
}
