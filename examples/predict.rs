//! Serves a saved network: rows of numbers in, the outputs of each row out.
//!
//! ```sh
//! cargo run --release --example predict -- model.safetensors < rows.txt
//! ```
//!
//! One row a line, numbers separated by commas or spaces. Nothing of training is in this program,
//! so it also shows how small one that only predicts can be:
//! `cargo build --release --no-default-features --example predict`.

use deltarule::{MatMut, MatRef, Mlp, Predictor, Threads};
use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: predict MODEL < ROWS")?;
    let net = Mlp::load(path)?;
    let mut predictor = Predictor::new(&net, 1, Threads::One)?;
    let (mut row, mut outputs) = (Vec::with_capacity(net.n_in()), vec![0.0f32; net.n_out()]);
    let mut out = stdout().lock();
    for (i, line) in stdin().lock().lines().enumerate() {
        row.clear();
        for number in line?.split([',', ' ', '\t']).filter(|s| !s.is_empty()) {
            let parsed = number.parse::<f32>();
            row.push(parsed.map_err(|e| format!("line {}: {number:?}: {e}", i + 1))?);
        }
        let x = MatRef::new(&row, 1, row.len())?;
        let view = MatMut::new(&mut outputs, 1, net.n_out())?;
        predictor.predict_into(x, view).map_err(|e| format!("line {}: {e}", i + 1))?;
        let texts: Vec<String> = outputs.iter().map(f32::to_string).collect();
        writeln!(out, "{}", texts.join(","))?;
    }
    Ok(())
}
