//! Networks that went to and came from other libraries, frozen: `tests/interop/check.py` makes the
//! files and compares many more networks with the libraries themselves.

use deltarule::{Activation, Matrix, Mlp};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The network `all` of `examples/interop.rs`, and its inputs.
fn net_with_all_activations() -> (Mlp, Matrix) {
    let kept = |a: &Activation| !matches!(a, Activation::Softmax | Activation::Step);
    let hidden = Activation::ALL.into_iter().filter(kept);
    let net = hidden.fold(Mlp::builder(6).seed(7), |net, a| net.dense(8, a));
    let net = net.dense(4, Activation::Softmax).build().unwrap();
    let value = |i: usize| ((i * 37 + 11) % 401) as f32 / 100.0 - 2.0;
    (net, Matrix::from_vec(20, 6, (0..120).map(value).collect()).unwrap())
}

fn assert_close(got: &Matrix, name: &str) {
    let text = std::fs::read_to_string(path(name)).unwrap();
    let want: Vec<f32> = text.split_whitespace().map(|x| x.parse().unwrap()).collect();
    assert_eq!(got.as_slice().len(), want.len());
    for (got, want) in got.as_slice().iter().zip(want) {
        assert!((got - want).abs() <= 1e-6, "{got}, not {want}");
    }
}

/// The same bytes as the file that ONNX Runtime ran, and the same outputs.
#[test]
fn onnx_runtime_agrees() {
    let (net, x) = net_with_all_activations();
    let mut bytes = Vec::new();
    net.write_onnx(&mut bytes).unwrap();
    assert!(bytes == std::fs::read(path("all_activations.onnx")).unwrap(), "the ONNX file changed");
    assert_close(&net.predict(x.view()).unwrap(), "all_activations.txt");
    let target = std::env::temp_dir().join(format!("deltarule-{}.onnx", std::process::id()));
    net.save_onnx(&target).unwrap();
    assert!(bytes == std::fs::read(&target).unwrap());
    std::fs::remove_file(target).unwrap();
}

/// Weights that PyTorch saved, under the names of `nn.Sequential`.
#[test]
fn pytorch_agrees() {
    let (mut net, x) = net_with_all_activations();
    net.load_weights(path("pytorch.safetensors")).unwrap();
    assert_close(&net.predict(x.view()).unwrap(), "pytorch.txt");
}

/// Why libraries are compared to 1e-6 of 1 where all outputs are less: tanh(x) − tanh(x + 10⁻⁵) in
/// f64 is right to all digits, in f32 only to those of tanh(x).
#[test]
fn small_outputs_keep_the_rounding_of_their_terms() {
    let net = Mlp::builder(1).dense(2, Activation::Tanh).dense(1, Activation::Identity);
    let mut net = net.build().unwrap();
    let ones = Matrix::from_vec(1, 2, vec![1.0, 1.0]).unwrap();
    net.set_parameters(0, ones.view(), &[0.0, 1e-5]).unwrap();
    let difference = Matrix::from_vec(2, 1, vec![1.0, -1.0]).unwrap();
    net.set_parameters(1, difference.view(), &[0.0]).unwrap();
    let x: Vec<f32> = (0..41).map(|i| (i as f32 - 20.0) / 10.0).collect();
    let got = net.predict(Matrix::from_vec(41, 1, x.clone()).unwrap().view()).unwrap();
    let (mut largest, mut worst) = (0f64, 0f64);
    for (got, x) in got.as_slice().iter().zip(x) {
        let x = f64::from(x);
        let want = x.tanh() - (x + f64::from(1e-5f32)).tanh();
        largest = largest.max(want.abs());
        worst = worst.max((f64::from(*got) - want).abs());
    }
    assert!(worst <= 1e-6 * largest.max(1.0), "{worst}");
    assert!(worst > 1e-6 * largest, "{worst} of {largest}: more than rounding allows");
}

#[test]
fn what_onnx_cannot_hold_is_refused() {
    let mut net = Mlp::builder(1).dense(1, Activation::Identity).build().unwrap();
    let missing = Path::new("/nowhere/at/all");
    assert!(net.save_onnx(missing).is_err());
    let huge = Matrix::from_vec(1, 1, vec![f32::MAX]).unwrap();
    net.set_parameters(0, huge.view(), &[0.0]).unwrap();
    assert!(net.write_onnx(Vec::new()).is_ok());
}
