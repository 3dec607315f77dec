//! The file: its format, how it is written, and one of this version for those to come.

use super::{Folder, STEPS, base, checkpoint, net_from, train, values};
use deltarule::{Activation, Adam, BatchTargets, Error, Init, Level, Loss, MatRef, Mlp, Trainer};
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;

/// What `docs/reliability.md` says of the file, by the reader of the `safetensors` crate; the
/// optimiser's state is what the gradient says it is after one step.
#[test]
fn a_second_reader_finds_what_the_format_says() {
    let start = Mlp::builder(4).dense(3, Activation::Tanh).dense(2, Activation::Softmax);
    let start = start.init(Init::Normal(0.5)).seed(1).build().unwrap();
    let (x, labels) = (values(7, 5, 4), [0, 1, 1, 0, 1]);
    let targets = BatchTargets::Classes(&labels);
    let mut net = start.clone();
    let mut training = base(Adam::new(0.01)).session(&mut net).unwrap();
    training.step(x.view(), targets).unwrap();
    let bytes = checkpoint(&training);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).unwrap().data();
        data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let gradients = deltarule::gradient::gradients(&start, x.view(), targets, Loss::CrossEntropy);
    for (i, g) in gradients.unwrap().layers.iter().enumerate() {
        let (n_in, n_out) = (g.weights.rows(), g.weights.cols());
        let name = |kind: &str, what: &str| format!("training.{kind}.{i}.{what}");
        assert_eq!(file.tensor(&name("slot0", "weight")).unwrap().shape(), [n_out, n_in]);
        let (means, squares) = (floats(&name("slot0", "weight")), floats(&name("slot1", "weight")));
        for r in 0..n_in {
            for c in 0..n_out {
                let (g, at) = (g.weights.row(r)[c], c * n_in + r);
                // Gradients come from a step's difference, with its rounding.
                assert!((means[at] - 0.1 * g).abs() <= 1e-5, "layer {i} ({r}, {c})");
                assert!((squares[at] - 0.001 * g * g).abs() <= 1e-7, "layer {i} ({r}, {c})");
            }
        }
        let means = floats(&name("slot0", "bias"));
        assert!(means.iter().zip(&g.biases).all(|(m, g)| (m - 0.1 * g).abs() <= 1e-5));
        let weights = training.network().weights(i).unwrap();
        let stored = floats(&format!("layers.{i}.weight"));
        assert!(
            (0..n_in * n_out)
                .all(|k| stored[k % n_out * n_in + k / n_out] == weights.as_slice()[k])
        );
    }
    let text = file.tensor("training.state").unwrap().data();
    let lines: Vec<_> = str::from_utf8(text).unwrap().lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "option loop=own");
    assert_eq!(lines[1], "option network=4, 3 tanh, 2 softmax");
    assert!(lines.contains(&"option targets=labels"), "{lines:?}");
    assert!(lines.contains(&format!("steps 1 1 {:08x}", 0.01f32.to_bits()).as_str()), "{lines:?}");
    assert!(lines.contains(&"waiting 0 0"), "{lines:?}");
    // The network of a checkpoint is a model.
    let model = Mlp::read_from(&bytes[..]).unwrap();
    assert_eq!(model.digest(), training.network().digest());
}

#[test]
fn files_are_replaced_whole_and_failures_are_errors() {
    let folder = Folder::new("own-loop-files");
    let path = folder.0.join("loop.safetensors");
    let (mut net, mut other) = (net_from(5), net_from(6));
    let mut training = base(Adam::new(0.01)).session(&mut net).unwrap();
    for steps in 1..4 {
        train(&mut training, steps, false);
        training.save_checkpoint(&path).unwrap();
        assert!(fs::read(&path).unwrap() == checkpoint(&training));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }
    let mut resumed = base(Adam::new(0.01)).session(&mut other).unwrap();
    resumed.load_checkpoint(&path).unwrap();
    assert_eq!(train(&mut resumed, STEPS, false), train(&mut training, STEPS, false));
    let missing = folder.0.join("missing/loop");
    for error in [training.save_checkpoint(&missing), training.load_checkpoint(&missing)] {
        let error = error.unwrap_err();
        assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == missing), "{error}");
    }
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    assert!(matches!(training.write_checkpoint(Full), Err(Error::Io { .. })));
    assert!(
        training
            .step(MatRef::new(&[0.0; 130], 1, 130).unwrap(), BatchTargets::Classes(&[0]))
            .is_ok()
    );
}

/// Files that this version wrote are read for ever, as those of `tests/old_files.rs`.
const FROZEN: &str = "tests/data/own_loop_0_1.safetensors";
/// The network at the end of that loop, at the levels with fused multiply-adds.
const END: u64 = 0x1aee_6e32_612a_484c;

fn frozen_net(level: Level) -> Mlp {
    let net = Mlp::builder(4).dense(3, Activation::Tanh).batch_norm().dropout(0.25);
    net.dense(3, Activation::Softmax).seed(2).level(level).build().unwrap()
}

fn frozen_trainer() -> Trainer<'static> {
    base(Adam::new(0.02)).accumulate(2).l2(0.001)
}

#[test]
fn a_checkpoint_of_version_0_1_is_loaded() {
    let Some(level) = Level::avx2() else { return };
    let mut net = frozen_net(level);
    let mut training = frozen_trainer().session(&mut net).unwrap();
    training.load_checkpoint(Path::new(env!("CARGO_MANIFEST_DIR")).join(FROZEN)).unwrap();
    assert_eq!(training.steps(), 3);
    train(&mut training, STEPS, false);
    assert_eq!(format!("{:016x}", training.network().digest()), format!("{END:016x}"));
}

#[test]
#[ignore = "writes tests/data; run by hand with a new version of the format"]
fn write_file() {
    let mut net = frozen_net(Level::avx2().unwrap());
    let mut training = frozen_trainer().session(&mut net).unwrap();
    train(&mut training, 3, false);
    training.save_checkpoint(Path::new(env!("CARGO_MANIFEST_DIR")).join(FROZEN)).unwrap();
    train(&mut training, STEPS, false);
    println!("END {:016x}", training.network().digest());
}
