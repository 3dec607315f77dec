//! Products of bf16 parts: close to f32 by as much as they promise, the same bits for any threads
//! and batch split, with every kind of layer. On a CPU with AMX these tests run on its tiles;
//! `DELTARULE_AMX=off cargo test --release --test precision` runs them without, and `DELTARULE_AMX=f32`
//! with their arithmetic in f32 units, on any CPU.

mod bytes;
#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/mod.rs"]
mod support;

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, Error, Hardware, Level, MatMut, MatRef, Mlp, Precision, Predictor, Sgd,
    Threads, Trainer,
};
use folder::Folder;
use support::{Data, assert_same_bits, relative_error};

const N_IN: usize = 100;
const N_OUT: usize = 10;
const ROWS: usize = 300;

/// Layers that are split and layers that are not, with everything that can come between.
fn net(level: Level) -> Mlp {
    Mlp::builder(N_IN)
        .dense(130, Activation::Relu)
        .dropout(0.2)
        .dense(96, Activation::Gelu)
        .batch_norm()
        .dense(96, Activation::Tanh)
        .residual(1)
        .maxout(40, 2)
        .dense(70, Activation::Relu)
        .layer_norm()
        .dense(90, Activation::Relu)
        .dense(N_OUT, Activation::Softmax)
        .level(level)
        .seed(3)
        .build()
        .unwrap()
}

fn data() -> Dataset {
    let features = Data::new(5).f32s(ROWS * N_IN);
    let labels = (0..ROWS as u32).map(|i| i * 7 % N_OUT as u32).collect();
    Dataset::from_f32(features, N_IN, Targets::Classes { labels, n_classes: N_OUT }).unwrap()
}

fn trained(level: Level, precision: Precision, threads: Threads) -> Mlp {
    let mut net = net(level);
    let mut trainer = Trainer::new(Adam::new(0.001))
        .precision(precision)
        .batch_size(77)
        .epochs(2)
        .seed(1)
        .threads(threads);
    let history = trainer.fit(&mut net, &data()).unwrap();
    assert_eq!((history.precision, history.hardware), (precision, precision.hardware(level)));
    net
}

fn predicted(net: &Mlp, precision: Precision, rows: usize, threads: Threads) -> Vec<f32> {
    let x = Data::new(9).f32s(rows * N_IN);
    let mut out = vec![0.0; rows * N_OUT];
    let mut predictor = Predictor::new(net, rows, threads).unwrap().precision(precision).unwrap();
    let (x, to) = (MatRef::new(&x, rows, N_IN), MatMut::new(&mut out, rows, N_OUT));
    predictor.predict_into(x.unwrap(), to.unwrap()).unwrap();
    out
}

#[test]
fn any_number_of_threads_trains_the_same_bits() {
    for level in Level::available() {
        for precision in Precision::ALL {
            let one = trained(level, precision, Threads::One).digest();
            for n in [2, 3, 7] {
                let other = trained(level, precision, Threads::N(n)).digest();
                assert_eq!(one, other, "{} {precision} {n} threads", level.name());
            }
        }
    }
}

#[test]
fn bf16_is_the_same_with_and_without_tiles() {
    let digests = |precision| {
        let levels = [Level::avx512(), Level::avx2()].into_iter().flatten();
        levels.map(|level| trained(level, precision, Threads::N(2)).digest()).collect::<Vec<_>>()
    };
    // AVX2 never has tiles.
    let bf16 = digests(Precision::Bf16);
    assert!(bf16.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(bf16.iter().zip(digests(Precision::F32)).all(|(bf16, f32s)| *bf16 != f32s));
}

#[test]
fn where_there_are_no_tiles_the_split_precisions_are_f32() {
    for level in Level::available() {
        for precision in [Precision::F32x6, Precision::High] {
            let same = trained(level, precision, Threads::One).digest()
                == trained(level, Precision::F32, Threads::One).digest();
            assert_eq!(same, precision.hardware(level) == Hardware::F32, "{precision}");
        }
    }
}

#[test]
fn a_row_is_predicted_the_same_in_any_company() {
    for level in Level::available() {
        let net = net(level);
        for precision in Precision::ALL {
            let all = predicted(&net, precision, 200, Threads::N(2));
            for rows in [1, 2, 16, 31, 96, 97] {
                let some = predicted(&net, precision, rows, Threads::One);
                let place = format!("{} {precision} {rows}", level.name());
                assert_same_bits(place, &some, &all[..rows * N_OUT]);
            }
        }
    }
}

/// Relative errors of outputs after seven layers: those of one product (2⁻⁸ a factor for bf16,
/// measured 2e-3, and 4e-6 for three parts' products) grow by the norms and with the depth.
#[test]
fn predictions_are_close_to_f32() {
    for level in Level::available() {
        let net = net(level);
        let f32s = predicted(&net, Precision::F32, 100, Threads::One);
        for (precision, bound) in
            [(Precision::F32x6, 1e-5), (Precision::High, 1e-4), (Precision::Bf16, 0.05)]
        {
            let error = relative_error(&predicted(&net, precision, 100, Threads::One), &f32s);
            assert!(error <= bound, "{} {precision}: {error:e}", level.name());
            assert_eq!(error == 0.0, precision.hardware(level) == Hardware::F32, "{precision}");
        }
    }
}

#[test]
fn gradients_are_close_to_f32() {
    for level in Level::available() {
        let labels = (0..ROWS as u32).map(|i| i % 64).collect();
        let targets = Targets::Classes { labels, n_classes: 64 };
        let features = Data::new(5).f32s(ROWS * N_IN);
        check_gradients(level, &Dataset::from_f32(features, N_IN, targets).unwrap());
    }
}

/// One step of gradient descent from the same weights: the difference of the weights is the
/// gradient's error. For data of `ROWS` samples of `N_IN` features and 64 classes.
fn check_gradients(level: Level, data: &Dataset) {
    let step = |precision| {
        let builder = Mlp::builder(N_IN).dense(128, Activation::Tanh).level(level);
        let mut net = builder.dense(64, Activation::Softmax).seed(4).build().unwrap();
        let before = net.clone();
        let trainer = Trainer::new(Sgd::new(64.0)).precision(precision).batch_size(ROWS);
        trainer.epochs(1).fit(&mut net, data).unwrap();
        (0..2).map(move |layer| {
            let [new, old] = [&net, &before].map(|net| net.weights(layer).unwrap());
            let change = new.as_slice().iter().zip(old.as_slice()).map(|(a, b)| a - b);
            change.collect::<Vec<f32>>()
        })
    };
    for (precision, bound) in
        [(Precision::F32x6, 1e-5), (Precision::High, 1e-4), (Precision::Bf16, 0.02)]
    {
        for (layer, (got, want)) in step(precision).zip(step(Precision::F32)).enumerate() {
            let error = relative_error(&got, &want);
            assert!(error <= bound, "{} {precision} {layer}: {error:e}", level.name());
        }
    }
}

#[test]
fn penalties_clipping_and_accumulation_keep_the_split_weights_true() {
    let run = |precision, threads| {
        let mut net = net(Level::best());
        let mut trainer = Trainer::new(Sgd::new(0.05))
            .precision(precision)
            .clip_norm(1.0)
            .max_norm(0.9)
            .accumulate(2)
            .batch_size(40)
            .epochs(3)
            .threads(threads);
        trainer.fit(&mut net, &data()).unwrap();
        net
    };
    let bf16 = run(Precision::Bf16, Threads::One);
    assert_eq!(bf16.digest(), run(Precision::Bf16, Threads::N(3)).digest());
    // Stale operands would train another network altogether.
    let f32s = run(Precision::F32, Threads::One);
    for layer in 0..bf16.layers().len() {
        let [a, b] = [&bf16, &f32s].map(|net| net.weights(layer).unwrap());
        let error = relative_error(a.as_slice(), b.as_slice());
        assert!(error < 0.05, "layer {layer}: {error:e}");
    }
}

#[test]
fn names_that_are_none_are_refused() {
    assert!(matches!("fp8".parse::<Precision>(), Err(Error::Config { .. })));
}

#[test]
fn a_checkpoint_of_another_precision_is_refused() {
    let folder = Folder::new("precision");
    let file = folder.0.join("run.safetensors");
    let trainer = |precision| Trainer::new(Adam::new(0.001)).precision(precision).batch_size(50);
    let (mut first, mut second) = (net(Level::best()), net(Level::best()));
    trainer(Precision::Bf16)
        .epochs(1)
        .checkpoint(&file, deltarule::CheckpointInterval::Epochs(1))
        .fit(&mut first, &data())
        .unwrap();
    let refused = trainer(Precision::F32).epochs(2).resume(&file).fit(&mut second, &data());
    assert!(refused.unwrap_err().to_string().contains("precision"));
    trainer(Precision::Bf16).epochs(2).resume(&file).fit(&mut second, &data()).unwrap();
    let mut whole = net(Level::best());
    trainer(Precision::Bf16).epochs(2).fit(&mut whole, &data()).unwrap();
    assert_eq!(second.digest(), whole.digest());
}
