//! The same bits: for any number of threads and whose they are, alone or beside other trainings,
//! on AVX2 and on AVX-512, and for a row in any company.

#![cfg(feature = "digits")]

mod support;

use deltarule::data::{Dataset, digits};
use deltarule::{
    Activation, Adam, BatchTargets, Error, Level, Loss, MatMut, MatRef, Matrix, Mlp, Momentum,
    Optimizer, Predictor, Sgd, Threads, Trainer,
};
use support::{Data, assert_same_bits};

/// A training run: hidden layers, loss, optimiser, batch size.
struct Recipe {
    name: &'static str,
    hidden: &'static [(usize, Activation)],
    output: Activation,
    loss: Loss,
    optimizer: Optimizer,
    batch_size: usize,
}

/// Nielsen's small network and one with few rows, whose steps are shared out by columns, one by rows,
/// and a deep one with odd sizes.
fn recipes() -> [Recipe; 4] {
    [
        Recipe {
            name: "sigmoid, quadratic, SGD",
            hidden: &[(30, Activation::Sigmoid)],
            output: Activation::Sigmoid,
            loss: Loss::Quadratic,
            optimizer: Sgd::new(3.0).into(),
            batch_size: 10,
        },
        Recipe {
            name: "GELU, few rows, Nesterov",
            hidden: &[(200, Activation::Gelu)],
            output: Activation::Softmax,
            loss: Loss::CrossEntropy,
            optimizer: Momentum::new(0.05, 0.9).nesterov().into(),
            batch_size: 15,
        },
        Recipe {
            name: "ReLU, cross-entropy, Adam",
            hidden: &[(300, Activation::Relu), (65, Activation::Relu)],
            output: Activation::Softmax,
            loss: Loss::CrossEntropy,
            optimizer: Adam::new(0.002).into(),
            batch_size: 97,
        },
        Recipe {
            name: "tanh, deep, momentum",
            hidden: &[
                (97, Activation::Tanh),
                (33, Activation::Gelu),
                (129, Activation::Tanh),
                (50, Activation::Softplus),
            ],
            output: Activation::Softmax,
            loss: Loss::CrossEntropy,
            optimizer: Momentum::new(0.02, 0.9).into(),
            batch_size: 300,
        },
    ]
}

/// The network after two epochs.
fn train(recipe: &Recipe, level: Level, threads: Threads, data: &Dataset) -> Mlp {
    let mut builder = Mlp::builder(64).level(level).seed(5);
    for &(n_out, activation) in recipe.hidden {
        builder = builder.dense(n_out, activation);
    }
    let mut net = builder.dense(10, recipe.output).build().unwrap();
    let start = net.digest();
    let mut trainer = Trainer::new(recipe.optimizer)
        .loss(recipe.loss.clone())
        .batch_size(recipe.batch_size)
        .epochs(2)
        .seed(7)
        .threads(threads);
    trainer.fit(&mut net, data).unwrap();
    assert_ne!(net.digest(), start);
    net
}

/// Digits enough for several batches of each recipe, the last one short.
fn samples() -> Dataset {
    digits().split_at(700).unwrap().0
}

#[test]
fn any_number_of_threads_trains_the_same_bits() {
    let data = samples();
    for level in Level::available() {
        for recipe in recipes() {
            let digest = |threads| train(&recipe, level, threads, &data).digest();
            let want = digest(Threads::One);
            assert_eq!(digest(Threads::Current), want, "{} current", recipe.name);
            for n in [1, 2, 3, 5, 8] {
                assert_eq!(digest(Threads::N(n)), want, "{} {n}", recipe.name);
            }
        }
    }
}

#[cfg(feature = "rayon")]
#[test]
fn any_pool_trains_the_same_bits() {
    let data = samples();
    for recipe in recipes() {
        let digest = |threads| train(&recipe, Level::best(), threads, &data).digest();
        let want = digest(Threads::One);
        for n in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            assert_eq!(pool.install(|| digest(Threads::Current)), want, "{} {n}", recipe.name);
            // Two at once in one pool.
            let both = pool.join(|| digest(Threads::Current), || digest(Threads::Current));
            assert_eq!(both, (want, want), "{} {n}", recipe.name);
        }
    }
}

#[test]
fn trainings_beside_each_other_train_the_same_bits() {
    let data = samples();
    let recipes = recipes();
    let kinds = [Threads::One, Threads::Current, Threads::N(2), Threads::N(3)];
    let alone: Vec<u64> = recipes
        .iter()
        .map(|recipe| train(recipe, Level::best(), Threads::One, &data).digest())
        .collect();
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (data, recipe, want) = (&data, &recipes[i % 4], alone[i % 4]);
            let threads = kinds[i / 2];
            scope.spawn(move || {
                let got = train(recipe, Level::best(), threads, data).digest();
                assert_eq!(got, want, "{} with {threads:?}", recipe.name);
            });
        }
    });
}

#[test]
fn avx2_and_avx512_train_the_same_bits() {
    let (Some(avx2), Some(avx512)) = (Level::avx2(), Level::avx512()) else {
        println!("not run: this CPU has no AVX-512 (or no AVX2)");
        return;
    };
    let data = samples();
    for recipe in recipes() {
        let [a, b] = [avx2, avx512].map(|level| train(&recipe, level, Threads::One, &data));
        for l in 0..a.layers().len() {
            let place = |what| format!("{}: {what} of layer {l}", recipe.name);
            let (wa, wb) = (a.weights(l).unwrap(), b.weights(l).unwrap());
            assert_same_bits(place("weights"), wb.as_slice(), wa.as_slice());
            let (ba, bb) = (a.biases(l).unwrap(), b.biases(l).unwrap());
            assert_same_bits(place("biases"), &bb, &ba);
        }
        let x = data.matrix();
        let (a, b) = (a.predict(x.view()).unwrap(), b.predict(x.view()).unwrap());
        assert_same_bits(format!("{}: outputs", recipe.name), b.as_slice(), a.as_slice());
    }
}

/// Two processes on two machines agree: the digest of each recipe at a fused level, frozen. A
/// change here is a change of the numeric contract, and of every recorded run.
#[test]
fn digests_are_frozen() {
    let Some(level) = Level::avx2() else { return };
    let data = samples();
    let digests = recipes().map(|recipe| train(&recipe, level, Threads::One, &data).digest());
    let want: [u64; 4] =
        [0x7d90557be1db17b8, 0xed3469fc6449a2b9, 0x94e45c223b6596ec, 0x9c4e26cbbb425f07];
    assert_eq!(digests.map(|d| format!("{d:016x}")), want.map(|d| format!("{d:016x}")));
}

#[test]
fn a_row_is_predicted_the_same_in_any_company() {
    const ROWS: usize = 230;
    let hidden = [
        (40, Activation::Relu),
        (300, Activation::Tanh),
        (35, Activation::Silu),
        (17, Activation::elu()),
    ];
    let x = Data::new(2).f32s(ROWS * 70);
    for level in Level::available() {
        for output in [Activation::Softmax, Activation::Sigmoid] {
            let mut builder = Mlp::builder(70).level(level);
            for (n_out, activation) in hidden {
                builder = builder.dense(n_out, activation);
            }
            let net = builder.dense(11, output).build().unwrap();
            let predict = |first: usize, rows: usize, threads| {
                let x = MatRef::new(&x[first * 70..][..rows * 70], rows, 70).unwrap();
                let mut out = vec![0.0; rows * 11];
                let mut predictor = Predictor::new(&net, rows + 1, threads).unwrap();
                let view = MatMut::new(&mut out, rows, 11).unwrap();
                predictor.predict_into(x, view).unwrap();
                out
            };
            let all: Vec<f32> = (0..ROWS).flat_map(|r| predict(r, 1, Threads::One)).collect();
            for rows in [1, 2, 3, 5, 6, 7, 8, 13, 14, 31, 96, 97, ROWS] {
                for threads in [Threads::One, Threads::Current, Threads::N(2), Threads::N(3)] {
                    for first in [0, (ROWS - rows) / 2, ROWS - rows] {
                        let place = format!("{} {rows} rows from {first}", level.name());
                        let want = &all[first * 11..][..rows * 11];
                        assert_same_bits(place, &predict(first, rows, threads), want);
                    }
                }
            }
            let whole = net.predict(MatRef::new(&x, ROWS, 70).unwrap()).unwrap();
            assert_same_bits("predict", whole.as_slice(), &all);
        }
    }
}

/// Few rows of a net with large weights are shared out by outputs, many by rows.
#[test]
fn outputs_shared_out_are_the_same_bits() {
    const ROWS: usize = 40;
    let x = Data::new(3).f32s(ROWS * 300);
    for level in Level::available() {
        let plain = Mlp::builder(300).dense(601, Activation::Relu).dense(200, Activation::Gelu);
        let layers =
            Mlp::builder(300).maxout(301, 2).dense(301, Activation::Tanh).layer_norm().residual(1);
        for (name, builder) in [("dense", plain), ("maxout, norm, residual", layers)] {
            let net = builder.level(level).dense(11, Activation::Softmax).build().unwrap();
            let predict = |rows: usize, threads| {
                let mut out = vec![0.0; rows * 11];
                let mut predictor = Predictor::new(&net, ROWS, threads).unwrap();
                let x = MatRef::new(&x[..rows * 300], rows, 300).unwrap();
                predictor.predict_into(x, MatMut::new(&mut out, rows, 11).unwrap()).unwrap();
                out
            };
            let want = predict(ROWS, Threads::One);
            for rows in [1, 2, 7, 15, 16, 23, 24, ROWS] {
                for threads in [Threads::N(2), Threads::N(3), Threads::N(40)] {
                    let place = format!("{name} {} {rows} rows, {threads:?}", level.name());
                    assert_same_bits(place, &predict(rows, threads), &want[..rows * 11]);
                }
            }
        }
    }
}

/// 0 · ∞ is NaN: an infinite delta refuses the step, also where all inputs are zero in every row and
/// might be left out. (`src/gemm/active.rs` tests the same of weights.)
#[test]
fn inputs_of_zero_do_not_hide_infinite_deltas() {
    // The last panel of inputs is not full, and inputs 64 to 67 are zero like all.
    const N_IN: usize = 70;
    const ROWS: usize = 20;
    let x = Matrix::zeros(ROWS, N_IN);
    for level in Level::available() {
        for (hidden, threads) in [(3, Threads::One), (3, Threads::N(2)), (2000, Threads::N(2))] {
            let place = format!("{} {hidden} {threads:?}", level.name());
            let builder = Mlp::builder(N_IN).level(level).dense(hidden, Activation::Identity);
            let mut net = builder.dense(1, Activation::Identity).build().unwrap();
            // The loss's derivative is the mean of the errors, 100: times f32::MAX it overflows.
            net.set_parameters(0, Matrix::zeros(N_IN, hidden).view(), &vec![0.0; hidden]).unwrap();
            let w = vec![f32::MAX; hidden];
            net.set_parameters(1, MatRef::new(&w, hidden, 1).unwrap(), &[0.0]).unwrap();
            let trainer = Trainer::new(Sgd::new(1.0)).loss(Loss::Quadratic).threads(threads);
            let mut training = trainer.session_values(&mut net).unwrap();
            let y = [-100.0 * ROWS as f32; ROWS];
            let y = BatchTargets::Values(MatRef::new(&y, ROWS, 1).unwrap());
            let before = training.network().digest();
            let refused = training.step(x.view(), y);
            assert!(matches!(refused, Err(Error::NonFinite { layer: 0, .. })), "{place}");
            assert_eq!(training.network().digest(), before, "{place}");
        }
    }
}

/// What this process says of itself in `the_variable_chooses_the_level`.
const CHILD: &str = "DELTARULE_TEST_CHILD";

#[test]
fn the_variable_chooses_the_level() {
    let build = || Mlp::builder(2).dense(2, Activation::Softmax).build();
    if std::env::var_os(CHILD).is_some() {
        match build() {
            Ok(net) => println!("level is {}", net.level().name()),
            Err(error) => println!("error is {error}"),
        }
        return;
    }
    let child = |value: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "the_variable_chooses_the_level"]);
        let output = command.env(CHILD, "1").env("DELTARULE_SIMD", value).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for name in ["portable", "avx2", "avx512"] {
        let said = child(name);
        match Level::from_name(name) {
            Ok(_) => assert!(said.contains(&format!("level is {name}")), "{said}"),
            Err(error @ Error::Level { .. }) => {
                assert!(said.contains(&format!("error is {error}")), "{said}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    for wrong in ["neon", "", "AVX2"] {
        let said = child(wrong);
        assert!(
            said.contains(&format!("error is SIMD level {wrong:?}: expected avx512")),
            "{said}"
        );
    }
}
