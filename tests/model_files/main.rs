//! Models in files: round trips, the official crate as the oracle, damage, hostile files, and what
//! happens when the disk refuses.

use deltarule::{Activation, Matrix, Mlp};
use folder::Folder;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs;

#[path = "../support/alloc.rs"]
mod alloc;
#[path = "../support/alone.rs"]
mod alone;
mod damage;
#[path = "../support/folder.rs"]
mod folder;

fn net(n_in: usize, layers: &[(usize, Activation)]) -> Mlp {
    let builder = Mlp::builder(n_in).seed(3).init(deltarule::Init::Normal(1.0));
    layers.iter().fold(builder, |b, &(n, a)| b.dense(n, a)).build().unwrap()
}

fn nets() -> Vec<Mlp> {
    vec![
        net(1, &[(1, Activation::Identity)]),
        net(3, &[(17, Activation::Elu { alpha: 0.3 }), (2, Activation::Softmax)]),
        net(
            40,
            &[
                (16, Activation::Gelu),
                (33, Activation::LeakyRelu { slope: 1e-7 }),
                (1, Activation::Sigmoid),
            ],
        ),
    ]
}

fn bytes(net: &Mlp) -> Vec<u8> {
    let mut bytes = Vec::new();
    net.write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = Folder::new("round-trip");
    let path = folder.0.join("net.safetensors");
    for net in nets() {
        net.save(&path).unwrap();
        let loaded = Mlp::load(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes(&net));
        assert_eq!(format!("{loaded:?}"), format!("{net:?}"));
        assert!(loaded.layers().eq(net.layers()));
        assert_eq!(loaded.digest(), net.digest());
        assert_eq!(Mlp::read_from(&bytes(&net)[..]).unwrap().digest(), net.digest());
        let x = Matrix::from_vec(1, net.n_in(), vec![0.3; net.n_in()]).unwrap();
        assert_eq!(loaded.predict(x.view()).unwrap(), net.predict(x.view()).unwrap());
        let mut other = loaded.clone();
        for layer in 0..net.layers().len() {
            let zeros = Matrix::zeros(
                net.weights(layer).unwrap().rows(),
                net.weights(layer).unwrap().cols(),
            );
            other.set_parameters(layer, zeros.view(), &vec![0.0; zeros.cols()]).unwrap();
        }
        other.load_weights(&path).unwrap();
        assert_eq!(other.digest(), net.digest());
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn the_official_crate_reads_what_we_write() {
    for net in nets() {
        let bytes = bytes(&net);
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!(metadata["deltarule.format"], "model 1");
        assert!(metadata["deltarule.architecture"].starts_with(&net.n_in().to_string()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 2 * net.layers().len());
        for (i, layer) in net.layers().enumerate() {
            let weight = file.tensor(&format!("layers.{i}.weight")).unwrap();
            let bias = file.tensor(&format!("layers.{i}.bias")).unwrap();
            assert_eq!(
                (weight.dtype(), weight.shape()),
                (Dtype::F32, &[layer.n_out, layer.n_in][..])
            );
            assert_eq!((bias.dtype(), bias.shape()), (Dtype::F32, &[layer.n_out][..]));
            let (ours, biases) = (net.weights(i).unwrap(), net.biases(i).unwrap());
            for (out, own) in biases.iter().enumerate() {
                for input in 0..layer.n_in {
                    let at = 4 * (out * layer.n_in + input);
                    assert_eq!(weight.data()[at..at + 4], ours.row(input)[out].to_le_bytes());
                }
                assert_eq!(bias.data()[4 * out..4 * out + 4], own.to_le_bytes());
            }
        }
    }
}

/// What the official crate writes of these named tensors.
fn official(tensors: &[(&str, &[usize])], value: f32) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| {
            let n = shape.iter().product();
            (0..n).flat_map(|i| (value * (i + 1) as f32).to_le_bytes()).collect()
        })
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
    });
    safetensors::serialize(views, Some([("format".into(), "pt".into())].into())).unwrap()
}

#[test]
fn we_read_what_the_official_crate_writes() {
    let mut net = net(2, &[(3, Activation::Relu), (1, Activation::Identity)]);
    for names in [
        ["0.weight", "0.bias", "2.weight", "2.bias"],
        ["fc2.weight", "fc2.bias", "fc10.weight", "fc10.bias"],
        ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"],
    ] {
        let [w0, b0, w1, b1] = names;
        let shapes: [(&str, &[usize]); 4] = [(w1, &[1, 3]), (w0, &[3, 2]), (b1, &[1]), (b0, &[3])];
        net.read_weights(&official(&shapes, 0.5)[..]).unwrap();
        assert_eq!(net.weights(0).unwrap().as_slice(), [0.5, 1.5, 2.5, 1.0, 2.0, 3.0]);
        assert_eq!(net.biases(0).unwrap(), [0.5, 1.0, 1.5]);
        assert_eq!(net.weights(1).unwrap().as_slice(), [0.5, 1.0, 1.5]);
        assert_eq!(net.biases(1).unwrap(), [0.5]);
        assert!(Mlp::read_from(&official(&shapes, 0.5)[..]).is_err());
    }
    let digest = net.digest();
    let mut refused = |tensors: &[(&str, &[usize])], value, reason: &str| {
        let error = net.read_weights(&official(tensors, value)[..]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(net.digest(), digest);
    };
    let all: [(&str, &[usize]); 4] =
        [("0.weight", &[3, 2]), ("0.bias", &[3]), ("1.weight", &[1, 3]), ("1.bias", &[1])];
    refused(&all[..2], 1.0, "expected 2 layers, got 1");
    refused(&all[..3], 1.0, "there is no tensor \"1.bias\"");
    refused(&all, f32::NAN, "expected finite numbers");
    refused(&all, f32::MAX, "expected finite numbers");
    let mut other = all;
    other[0].1 = &[2, 3];
    refused(&other, 1.0, "stream: 0.weight: expected 3 x 2, got 2 x 3");
    other[0].1 = &[6];
    refused(&other, 1.0, "expected 3 x 2, got 6");
    other[0].0 = "0.running_mean";
    refused(&other, 1.0, "neither a weight nor a bias");
}

/// Layers whose names have no numbers, as a PyTorch module with `self.hidden`, `self.output` saves
/// them: by the alphabet hidden, input, output would be loaded in the wrong order.
#[test]
fn layers_without_numbers_need_an_order() {
    let build = || net(2, &[(2, Activation::Relu), (2, Activation::Relu), (2, Activation::Tanh)]);
    let shapes: [(&str, &[usize]); 6] = [
        ("hidden.bias", &[2]),
        ("hidden.weight", &[2, 2]),
        ("input.bias", &[2]),
        ("input.weight", &[2, 2]),
        ("output.bias", &[2]),
        ("output.weight", &[2, 2]),
    ];
    // Told apart by the scale: 1 for the first layer by name, 10 for the second, 100 for the third.
    let data: Vec<Vec<u8>> = (0..6u32)
        .map(|i| {
            let scale = 10f32.powi(i as i32 / 2);
            let n: usize = shapes[i as usize].1.iter().product();
            (0..n).flat_map(|k| (scale * k as f32).to_le_bytes()).collect()
        })
        .collect();
    let views = shapes.iter().zip(&data).map(|((name, shape), data)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    let mut net = build();
    let before = net.digest();
    let error = net.read_weights(&file[..]).unwrap_err().to_string();
    assert!(error.contains("load_weights_in_order"), "{error}");
    let mut refused = |order: &[&str], reason: &str| {
        let error = net.read_weights_in_order(&file[..], order).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(net.digest(), before);
    };
    refused(&["input", "hidden"], "expected 3 names, got 2");
    refused(&["input", "hidden", "input"], "\"input\" comes twice");
    refused(&["input", "hidden", "out"], "there is no tensor \"out.weight\"");
    for order in [["input", "hidden", "output"], ["output", "input", "hidden"]] {
        net.read_weights_in_order(&file[..], &order).unwrap();
        for (layer, name) in order.iter().enumerate() {
            let scale = ["hidden", "input", "output"].iter().position(|n| n == name).unwrap();
            let scale = 10f32.powi(scale as i32);
            assert_eq!(net.biases(layer).unwrap(), [0.0, scale], "{order:?}");
        }
    }
    let folder = Folder::new("order");
    let path = folder.0.join("file");
    fs::write(&path, &file).unwrap();
    let builder = Mlp::builder(2).dense(2, Activation::Relu).dense(2, Activation::Relu);
    let builder = builder.dense(2, Activation::Tanh);
    let built =
        builder.load_weights_in_order(&path, &["output", "input", "hidden"]).unwrap().digest();
    assert_eq!(built, net.digest());
    // One part with a number does not tell where the other belongs.
    for pair in [["fc1", "out"], ["encoder.0", "decoder.1"], ["", "z"], ["fc", "fc2"]] {
        let [w0, b0] = ["weight", "bias"].map(|what| format!("{}.{what}", pair[0]));
        let [w1, b1] = ["weight", "bias"].map(|what| format!("{}.{what}", pair[1]));
        let [w0, b0] = [w0, b0].map(|name| name.trim_start_matches('.').to_string());
        let shapes: [(&str, &[usize]); 4] =
            [(&w0, &[2, 2]), (&b0, &[2]), (&w1, &[2, 2]), (&b1, &[2])];
        let mut net = self::net(2, &[(2, Activation::Relu), (2, Activation::Relu)]);
        let file = official(&shapes, 1.0);
        let error = net.read_weights(&file[..]).unwrap_err().to_string();
        assert!(error.contains("no numbers tell their order"), "{pair:?}: {error}");
        net.read_weights_in_order(&file[..], &pair).unwrap();
        assert_eq!(net.biases(1).unwrap(), [1.0, 2.0]);
    }
}

/// What stands in a file beside the layers is no reason to refuse them.
#[test]
fn tensors_that_are_not_asked_for_are_not_judged() {
    let (weight, bias) = ([1.5f32, 2.5, 3.5].map(f32::to_le_bytes).concat(), 4.5f32.to_le_bytes());
    let (counter, nothing, wild) = (9i64.to_le_bytes(), [], f32::NAN.to_le_bytes());
    let many = [7; 24];
    let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).unwrap();
    let layer = [
        ("0.weight", view(Dtype::F32, &[1, 3], &weight)),
        ("0.bias", view(Dtype::F32, &[1], &bias)),
    ];
    let others = [
        ("0.num_batches_tracked", view(Dtype::I64, &[], &counter)),
        ("step", view(Dtype::F32, &[], &bias)),
        ("best_loss", view(Dtype::F32, &[1], &wild)),
        ("empty", view(Dtype::F32, &[0, 3], &nothing)),
        ("images", view(Dtype::F32, &[1, 2, 3], &many)),
        ("half", view(Dtype::F16, &[4], &counter)),
        ("brain", view(Dtype::BF16, &[2, 2], &counter)),
        ("eighth", view(Dtype::F8_E5M2, &[8], &counter)),
        ("truth", view(Dtype::BOOL, &[8], &counter)),
        ("complex", view(Dtype::C64, &[1], &counter)),
    ];
    let mut net = net(3, &[(1, Activation::Identity)]);
    let all = layer.iter().chain(&others).cloned();
    let file = safetensors::serialize(all, None).unwrap();
    net.read_weights(&file[..]).unwrap();
    assert_eq!(net.weights(0).unwrap().as_slice(), [1.5, 2.5, 3.5]);
    assert_eq!(net.biases(0).unwrap(), [4.5]);
    net.read_weights_in_order(&file[..], &["0"]).unwrap();
    let digest = net.digest();
    for (name, tensor) in [
        // Without them the outputs would be others.
        ("1.running_mean", view(Dtype::F32, &[1], &bias)),
        ("0.lora_A", view(Dtype::F32, &[1], &bias)),
        ("0.weight_g", view(Dtype::BF16, &[4], &counter)),
    ] {
        let file = safetensors::serialize(layer.iter().cloned().chain([(name, tensor)]), None);
        let error = net.read_weights(&file.unwrap()[..]).unwrap_err().to_string();
        assert!(error.contains("neither a weight nor a bias"), "{name}: {error}");
    }
    for (tensor, reason) in [
        (view(Dtype::BF16, &[1, 3], &weight[..6]), "\"0.weight\": expected F32, got BF16"),
        (view(Dtype::F8_E4M3, &[1, 3], &weight[..3]), "expected F32, got another type"),
        (view(Dtype::F32, &[1, 3, 1], &weight), "expected 1 x 3, got 1 x 3 x 1"),
        (view(Dtype::F32, &[], &bias), "expected 1 x 3, got a scalar"),
        (view(Dtype::F32, &[0, 3], &nothing), "expected 1 x 3, got 0 x 3"),
    ] {
        let tensors = [("0.weight", tensor), layer[1].clone()];
        let file = safetensors::serialize(tensors, None).unwrap();
        let error = net.read_weights(&file[..]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(net.digest(), digest);
}

/// A header and data that begin anywhere.
fn by_hand(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn data_need_not_be_aligned() {
    let mut net = net(1, &[(1, Activation::Identity)]);
    for spaces in 0..8 {
        let header = format!(
            "{{\"b\":{{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}},\
             \"0.bias\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[7,11]}},{}\
             \"0.weight\":{{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[3,7]}}}}",
            " ".repeat(spaces)
        );
        let data = [&[9; 3][..], &1.5f32.to_le_bytes(), &2.5f32.to_le_bytes()].concat();
        net.read_weights(&by_hand(&header, &data)[..]).unwrap();
        assert_eq!(
            (net.weights(0).unwrap().as_slice(), &net.biases(0).unwrap()[..]),
            (&[1.5][..], &[2.5][..])
        );
    }
}
