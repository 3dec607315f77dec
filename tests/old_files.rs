//! Files that earlier versions wrote are read for ever: with the same parameters, and to the same
//! end of the run. Files are added here with a version that changes the format, none is removed.

#![cfg(feature = "digits")]

use deltarule::data::{Dataset, digits};
use deltarule::{
    Activation, Adam, CheckpointInterval, EarlyStopping, Level, Mlp, Schedule, Threads, Trainer,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn data() -> (Dataset, Dataset) {
    digits().split_at(110).unwrap().0.split_at(70).unwrap()
}

fn net() -> Mlp {
    let net = Mlp::builder(64).dense(5, Activation::leaky_relu()).dense(10, Activation::Softmax);
    net.seed(8).build().unwrap()
}

/// A run with as many kinds of state as there are.
fn trainer(test: &Dataset) -> Trainer<'_> {
    Trainer::new(Adam::new(0.02))
        .batch_size(16)
        .epochs(4)
        .seed(21)
        .accumulate(2)
        .clip_norm(1.0)
        .l2(0.001)
        .label_smoothing(0.05)
        .schedule(Schedule::cosine(0.1).warm_up(3, 0.2))
        .validation(test)
        .early_stopping(EarlyStopping::on_validation_loss().patience(3))
        .record_steps()
}

/// Digests at the levels with fused multiply-adds: of the models, and of the run's end.
const LAYERS: u64 = 0x39e9_d10a_7e6f_64fc;
const AFFINE: u64 = 0x0c55_dd1a_e4bd_f72c;
const MODEL: u64 = 0x0802_d3d8_e2e2_f56e;
const END: u64 = 0xb468_f5b2_c2cc_02b9;

#[test]
fn a_model_of_version_0_1_is_loaded() {
    let loaded = Mlp::load(path("model_0_1.safetensors")).unwrap();
    assert_eq!(format!("{:016x}", loaded.digest()), format!("{MODEL:016x}"));
    assert!(loaded.layers().eq(net().layers()));
}

/// A network with everything that may stand around a layer.
fn layers() -> Mlp {
    let net = Mlp::builder(5).dropout(0.25).dense(20, Activation::Relu).batch_norm().dropout(0.5);
    let net = net.dense(20, Activation::Tanh).layer_norm().residual(1).maxout(7, 3);
    net.dense(3, Activation::Softmax).seed(4).build().unwrap()
}

#[test]
fn a_model_of_version_0_1_with_every_kind_of_layer_is_loaded() {
    let loaded = Mlp::load(path("layers_0_1.safetensors")).unwrap();
    assert_eq!(format!("{:016x}", loaded.digest()), format!("{LAYERS:016x}"));
    assert!(loaded.layers().eq(layers().layers()));
}

/// Affine layers, which came with version 0.2.
fn affine() -> Mlp {
    let net = Mlp::builder(5).affine().dense(20, Activation::Relu).affine().residual(1);
    let mut net = net.dense(3, Activation::Softmax).seed(4).build().unwrap();
    for layer in [0, 2] {
        let mut scales = net.norm_parameters(layer).unwrap().unwrap();
        let all = scales.gamma.iter_mut().chain(&mut scales.beta).enumerate();
        all.for_each(|(i, x)| *x = i as f32 / 8.0 - 1.0);
        net.set_norm_parameters(layer, &scales).unwrap();
    }
    net
}

#[test]
fn a_model_of_version_0_2_with_affine_layers_is_loaded() {
    let loaded = Mlp::load(path("affine_0_2.safetensors")).unwrap();
    assert_eq!(format!("{:016x}", loaded.digest()), format!("{AFFINE:016x}"));
    assert!(loaded.layers().eq(affine().layers()));
}

#[test]
fn a_checkpoint_of_version_0_1_is_resumed() {
    let Some(level) = Level::avx2() else { return };
    let (train, test) = data();
    for threads in [Threads::One, Threads::N(2)] {
        let mut net = net().with_level(level);
        let mut trainer =
            trainer(&test).threads(threads).resume(path("checkpoint_0_1.safetensors"));
        let history = trainer.fit(&mut net, &train).unwrap();
        assert_eq!(format!("{:016x}", net.digest()), format!("{END:016x}"));
        assert_eq!((history.epochs.len(), history.step_records.len()), (4, 20));
    }
}

/// Writes the files of this version; run by hand, once.
#[test]
#[ignore = "writes tests/data; run by hand with a new version of the format"]
fn write_files() {
    layers().save(path("layers_0_1.safetensors")).unwrap();
    println!("LAYERS {:016x}", layers().digest());
    affine().save(path("affine_0_2.safetensors")).unwrap();
    println!("AFFINE {:016x}", affine().digest());
    let level = Level::avx2().unwrap();
    let (train, test) = data();
    let mut net = net().with_level(level);
    trainer(&test).fit(&mut net, &train).unwrap();
    println!("END {:016x}", net.digest());
    let mut net = self::net().with_level(level);
    let mut steps = 0;
    // In the middle of the second epoch, with a gradient that waits for its update.
    let stop = |_: &_| {
        steps += 1;
        if steps == 8 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer(&test)
        .on_step(stop)
        .checkpoint(path("checkpoint_0_1.safetensors"), CheckpointInterval::Epochs(100))
        .fit(&mut net, &train)
        .unwrap();
    net.save(path("model_0_1.safetensors")).unwrap();
    println!("MODEL {:016x}", net.digest());
}
