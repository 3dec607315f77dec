//! Writes networks for other libraries and reads weights from them. `tests/interop/check.py` calls
//! this program and compares the outputs of the libraries with ours.
//!
//! ```text
//! cargo run --release --example interop -- write FOLDER   # our models, inputs and outputs
//! cargo run --release --example interop -- read FOLDER    # our outputs with their weights
//! ```

use deltarule::{Activation, Init, Matrix, Mlp, NormParameters, Result};
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const ROWS: usize = 20;

/// Returns the networks: one per activation, one with all activations, one of a usual size, and some
/// with norms, affine layers, maxout and residual connections.
fn nets() -> Result<Vec<(String, Mlp)>> {
    let hidden = Activation::ALL.into_iter().filter(|a| *a != Activation::Softmax);
    let mut nets = Vec::new();
    let mut all = Mlp::builder(6).seed(7);
    for activation in hidden {
        let net = Mlp::builder(5).dense(33, activation).dense(3, Activation::Identity);
        let mut net = net.init(Init::Normal(0.7)).seed(3).build()?;
        set_biases(&mut net)?;
        nets.push((activation.name().to_string(), net));
        if activation != Activation::Step {
            all = all.dense(8, activation);
        }
    }
    nets.push(("all".into(), all.dense(4, Activation::Softmax).build()?));
    let mnist = Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax);
    nets.push(("mnist".into(), mnist.build()?));
    nets.extend(with_passes()?);
    Ok(nets)
}

/// Sets non-zero biases. The initial biases are zero, which would hide a lost bias.
fn set_biases(net: &mut Mlp) -> Result<()> {
    let layers = net.layers().len();
    for i in 0..layers {
        let mut biases = net.biases(i)?;
        biases
            .iter_mut()
            .enumerate()
            .for_each(|(c, b)| *b = ((c * 7 + i) % 17) as f32 / 16.0 - 0.5);
        net.set_parameters(i, net.weights(i)?.view(), &biases)?;
    }
    Ok(())
}

/// Returns networks whose layers consist of more than a product and an activation. `load_weights` is
/// not tested with them.
fn with_passes() -> Result<Vec<(String, Mlp)>> {
    let batch = Mlp::builder(5).dropout(0.5).dense(33, Activation::Relu).batch_norm().dropout(0.5);
    let batch = batch.dense(7, Activation::Identity).batch_norm();
    let layer = Mlp::builder(5).dense(33, Activation::Gelu).layer_norm();
    let layer = layer.dense(7, Activation::Identity).layer_norm();
    let maxout = Mlp::builder(5).maxout(20, 2).maxout(33, 3).maxout(16, 5);
    let residual = Mlp::builder(5).dense(5, Activation::Tanh).residual(1);
    let residual = residual.dense(33, Activation::Identity).dense(5, Activation::Silu).residual(3);
    let affine = Mlp::builder(5).affine().dense(33, Activation::Relu).affine().residual(1);
    let affine = affine.dense(5, Activation::Tanh).affine().residual(4);
    let all = Mlp::builder(17).dense(17, Activation::Relu).batch_norm().residual(1).maxout(17, 3);
    let all = all.residual(2).dense(17, Activation::Identity).layer_norm().residual(3);
    let mut nets = Vec::new();
    for (name, net, last) in [
        ("batch-norm", batch, Activation::Identity),
        ("layer-norm", layer, Activation::Identity),
        ("maxout", maxout, Activation::Identity),
        ("residual", residual, Activation::Identity),
        ("affine", affine, Activation::Identity),
        ("layers", all, Activation::Softmax),
    ] {
        let mut net = net.dense(3, last).seed(11).build()?;
        set_biases(&mut net)?;
        let layers = net.layers().len();
        for i in 0..layers {
            // Non-default values, as after training.
            let value = |c: usize, k: usize| ((c * k + i) % 13) as f32 / 8.0;
            if let Some(mut norm) = net.norm_parameters(i)? {
                let NormParameters { gamma, beta, mean, variance, .. } = &mut norm;
                let fill = |values: &mut [f32], k: usize, from: f32| {
                    values.iter_mut().enumerate().for_each(|(c, x)| *x = from + value(c, k));
                };
                fill(gamma, 3, 0.25);
                fill(beta, 5, -0.75);
                fill(mean, 7, -0.5);
                fill(variance, 9, 0.125);
                net.set_norm_parameters(i, &norm)?;
            }
        }
        nets.push((name.to_string(), net));
    }
    Ok(nets)
}

/// Returns inputs between −2 and 2 by a formula that is easy to repeat in other languages.
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
        } else if path("others.safetensors").exists() {
            net.load_weights(path("others.safetensors"))?;
            save_text(&path("read.txt"), &net.predict(x.view())?)?;
        }
    }
    Ok(())
}
