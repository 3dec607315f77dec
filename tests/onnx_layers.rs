//! Layers with norms, scales, maxout and residual connections as ONNX, frozen: `tests/interop/check.py`
//! makes the files from what ONNX Runtime answers.

use deltarule::{Activation, Matrix, Mlp, MlpBuilder};
use std::path::Path;

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

/// The network `layers` of `examples/interop.rs`.
fn layers() -> Mlp {
    let net = Mlp::builder(17).dense(17, Activation::Relu).batch_norm().residual(1).maxout(17, 3);
    let net = net.residual(2).dense(17, Activation::Identity).layer_norm().residual(3);
    filled(net.dense(3, Activation::Softmax))
}

/// The network `affine` of `examples/interop.rs`.
fn affine() -> Mlp {
    let net = Mlp::builder(5).affine().dense(33, Activation::Relu).affine().residual(1);
    let net = net.dense(5, Activation::Tanh).affine().residual(4);
    filled(net.dense(3, Activation::Identity))
}

fn filled(net: MlpBuilder) -> Mlp {
    let mut net = net.seed(11).build().unwrap();
    let n_layers = net.layers().len();
    for i in 0..n_layers {
        let bias = |c: usize| ((c * 7 + i) % 17) as f32 / 16.0 - 0.5;
        let biases: Vec<f32> = (0..net.biases(i).unwrap().len()).map(bias).collect();
        net.set_parameters(i, net.weights(i).unwrap().view(), &biases).unwrap();
    }
    for i in 0..n_layers {
        let Some(mut norm) = net.norm_parameters(i).unwrap() else { continue };
        let values = [
            (&mut norm.gamma, 3, 0.25),
            (&mut norm.beta, 5, -0.75),
            (&mut norm.mean, 7, -0.5),
            (&mut norm.variance, 9, 0.125),
        ];
        for (values, k, from) in values {
            for (c, x) in values.iter_mut().enumerate() {
                *x = from + ((c * k + i) % 13) as f32 / 8.0;
            }
        }
        net.set_norm_parameters(i, &norm).unwrap();
    }
    net
}

/// The same bytes as the file that ONNX Runtime ran, and the same outputs.
#[test]
fn onnx_runtime_agrees_about_norms_maxout_scales_and_residual_connections() {
    for (name, net) in [("all_layers", layers()), ("affine_layers", affine())] {
        let mut bytes = Vec::new();
        net.write_onnx(&mut bytes).unwrap();
        assert!(bytes == data(&format!("{name}.onnx")), "{name}: the ONNX file changed");
        let value = |i: usize| ((i * 37 + 11) % 401) as f32 / 100.0 - 2.0;
        let x = (0..20 * net.n_in()).map(value).collect();
        let x = Matrix::from_vec(20, net.n_in(), x).unwrap();
        let got = net.predict(x.view()).unwrap();
        let text = String::from_utf8(data(&format!("{name}.txt"))).unwrap();
        let want: Vec<f32> = text.split_whitespace().map(|x| x.parse().unwrap()).collect();
        assert_eq!(got.as_slice().len(), want.len());
        // Of the largest output, or of 1 where that is less.
        let largest = want.iter().fold(1.0f32, |m, x| m.max(x.abs()));
        for (got, want) in got.as_slice().iter().zip(want) {
            assert!((got - want).abs() <= 1e-6 * largest, "{name}: {got}, not {want}");
        }
    }
}

/// The files of networks that need no newer operators stay readable for older runtimes.
#[test]
fn layer_normalisation_alone_needs_a_newer_opset() {
    let net = || Mlp::builder(3).dense(4, Activation::Tanh);
    let opset = |net: deltarule::MlpBuilder| {
        let mut bytes = Vec::new();
        net.dense(2, Activation::Softmax).build().unwrap().write_onnx(&mut bytes).unwrap();
        // The last field: OperatorSetIdProto { domain = "", version }.
        *bytes.last().unwrap()
    };
    assert_eq!(opset(net()), 13);
    assert_eq!(opset(net().batch_norm().maxout(4, 2).residual(1)), 13);
    assert_eq!(opset(net().layer_norm()), 17);
}
