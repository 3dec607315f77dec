//! The numeric contract in one place: nine ways to train, and their digests for 1 to 8 threads and
//! at every level. `cargo test --release --test contract -- --nocapture` prints the digests, so
//! that two machines can be compared.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adagrad, Adam, AdamW, EarlyStopping, Level, Lion, Loss, Mlp, Momentum, Optimizer,
    RmsProp, Schedule, Sgd, Threads, Trainer,
};

/// Bytes, so that no arithmetic but the network's own is in a digest.
fn classes() -> Dataset {
    let pixel = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8;
    let labels = (0..300).map(|i: u32| (i * i + i / 7) % 5).collect();
    let targets = Targets::Classes { labels, n_classes: 5 };
    Dataset::from_u8((0..300 * 90).map(pixel).collect(), 90, targets).unwrap()
}

fn values() -> Dataset {
    let value = |i: usize| (i * 37 % 256) as f32 / 256.0;
    let targets = Targets::Values { values: (0..300 * 5).map(value).collect(), n_outputs: 5 };
    classes().with_targets(targets).unwrap()
}

struct Sets {
    classes: Dataset,
    values: Dataset,
    weights: Vec<f32>,
}

/// A way to train: the optimiser, what is set besides, and the network's output.
struct Recipe {
    name: &'static str,
    optimizer: Optimizer,
    output: Activation,
    set: for<'a> fn(Trainer<'a>, &'a Sets) -> Trainer<'a>,
}

/// The digests at a level with fused multiply-adds, frozen: a change is a change of the numeric
/// contract, and of every recorded run.
const DIGESTS: [u64; 9] = [
    0x62fe_8ea8_8dce_f18a,
    0xf9ad_cb2e_43bb_5a5e,
    0x32bb_5862_9721_76cf,
    0x58f7_1891_9b3b_1d34,
    0xc53b_52af_6741_919b,
    0x8148_7233_423a_29cd,
    0x039f_3c50_6d7f_1a4f,
    0xc8f6_f832_169a_165e,
    0x2384_dbfd_9522_f243,
];

fn recipes() -> [Recipe; 9] {
    let recipe = |name, optimizer, output, set| Recipe { name, optimizer, output, set };
    let softmax = Activation::Softmax;
    [
        recipe("sgd", Sgd::new(0.1).into(), softmax, |t, _| t),
        recipe("nesterov, l1, l2", Momentum::new(0.05, 0.9).nesterov().into(), softmax, |t, _| {
            t.l1(1e-4).l2(1e-3)
        }),
        recipe("adam, cosine", Adam::new(0.01).into(), softmax, |t, _| {
            t.schedule(Schedule::cosine(0.1).warm_up(2, 0.1))
        }),
        recipe("adamw, clipped", AdamW::new(0.01).into(), softmax, |t, _| t.clip_norm(0.1)),
        recipe("rmsprop, accumulated", RmsProp::new(0.003).into(), softmax, |t, _| t.accumulate(2)),
        recipe("adagrad, weighted", Adagrad::new(0.03).into(), softmax, |t, sets| {
            t.sample_weights(&sets.weights).class_weights([1.0, 2.0, 0.5, 1.0, 3.0])
        }),
        recipe("lion, smoothed, max norm", Lion::new(0.001).into(), softmax, |t, _| {
            t.label_smoothing(0.1).max_norm(1.5)
        }),
        recipe("regression", Adam::new(0.01).into(), Activation::Identity, |t, _| t),
        recipe("early stopping", Adam::new(0.1).into(), Activation::Sigmoid, |t, sets| {
            let stopping = EarlyStopping::on_validation_loss().patience(1);
            t.loss(Loss::BinaryCrossEntropy).validation(&sets.values).early_stopping(stopping)
        }),
    ]
}

fn digest(recipe: &Recipe, sets: &Sets, level: Level, threads: Threads) -> u64 {
    let builder = Mlp::builder(90)
        .dense(150, Activation::Relu)
        .dense(37, Activation::Tanh)
        .dense(33, Activation::elu())
        .dense(5, recipe.output);
    let mut net = builder.level(level).seed(11).build().unwrap();
    let trainer = Trainer::new(recipe.optimizer).batch_size(64).epochs(3).seed(13);
    let data = if recipe.output == Activation::Softmax { &sets.classes } else { &sets.values };
    (recipe.set)(trainer, sets).threads(threads).fit(&mut net, data).unwrap();
    net.digest()
}

#[test]
fn digests_do_not_depend_on_threads_or_level() {
    let weights = (0..300).map(|i| (i % 4) as f32 / 2.0).collect();
    let sets = Sets { classes: classes(), values: values(), weights };
    let mut wrong = Vec::new();
    for (recipe, frozen) in recipes().into_iter().zip(DIGESTS) {
        let mut fused = Vec::new();
        for level in Level::available() {
            let one = digest(&recipe, &sets, level, Threads::One);
            println!("{one:016x} {:8} {}", level.name(), recipe.name);
            for threads in (1..=8).map(Threads::N).chain([Threads::Current]) {
                let got = digest(&recipe, &sets, level, threads);
                assert_eq!(got, one, "{} at {}, {threads:?}", recipe.name, level.name());
            }
            if level != Level::portable() {
                fused.push(one);
            }
        }
        if let Some(digest) = fused.iter().find(|digest| **digest != frozen) {
            wrong.push(format!("{digest:016x} {}", recipe.name));
        }
    }
    assert!(wrong.is_empty(), "digests that are not the frozen ones: {wrong:#?}");
}
