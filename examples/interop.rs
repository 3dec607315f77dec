//! Moves networks to and from other libraries, for `tests/interop/check.py`, which compares their
//! outputs with ours.
//!
//! ```text
//! cargo run --release --example interop -- write FOLDER   # our models, inputs and outputs
//! cargo run --release --example interop -- read FOLDER    # outputs with the weights of others
//! ```

use deltarule::{Activation, Init, Matrix, Mlp, Result};
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const ROWS: usize = 20;

/// A network for every activation, one with all of them, and one of a usual size.
fn nets() -> Result<Vec<(String, Mlp)>> {
    let hidden = Activation::ALL.into_iter().filter(|a| *a != Activation::Softmax);
    let mut nets = Vec::new();
    let mut all = Mlp::builder(6).seed(7);
    for activation in hidden {
        let net = Mlp::builder(5).dense(33, activation).dense(3, Activation::Identity);
        nets.push((activation.name().to_string(), net.init(Init::Normal(0.7)).seed(3).build()?));
        if activation != Activation::Step {
            all = all.dense(8, activation);
        }
    }
    nets.push(("all".into(), all.dense(4, Activation::Softmax).build()?));
    let mnist = Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax);
    nets.push(("mnist".into(), mnist.build()?));
    Ok(nets)
}

/// Numbers between −2 and 2 that are easily made elsewhere.
fn inputs(n_in: usize) -> Result<Matrix> {
    let value = |i: usize| ((i * 37 + 11) % 401) as f32 / 100.0 - 2.0;
    Matrix::from_vec(ROWS, n_in, (0..ROWS * n_in).map(value).collect())
}

fn save_text(path: &Path, m: &Matrix) -> Result<()> {
    let mut text = String::new();
    for r in 0..m.rows() {
        let row: Vec<_> = m.row(r).iter().map(f32::to_string).collect();
        let _ = writeln!(text, "{}", row.join(" "));
    }
    Ok(fs::write(path, text)?)
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [mode, folder] = &args[..] else {
        eprintln!("usage: interop write|read FOLDER");
        std::process::exit(2);
    };
    for (name, mut net) in nets()? {
        let path = |end: &str| Path::new(folder).join(format!("{name}.{end}"));
        let x = inputs(net.n_in())?;
        if mode == "write" {
            net.save(path("safetensors"))?;
            net.save_onnx(path("onnx"))?;
            save_text(&path("x.txt"), &x)?;
            save_text(&path("y.txt"), &net.predict(x.view())?)?;
        } else {
            net.load_weights(path("others.safetensors"))?;
            save_text(&path("read.txt"), &net.predict(x.view())?)?;
        }
    }
    Ok(())
}
