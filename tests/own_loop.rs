//! Checkpoints of a loop of one's own: a loop that was stopped after any step and goes on, with any
//! number of threads, ends with the same bits as one that was not.

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Error, Every, Init, Level, Lion, Loss, MatRef, Matrix, Mlp,
    Momentum, Optimizer, RmsProp, Sgd, Threads, Trainer, Training,
};
use safetensors::SafeTensors;
use std::fs;
use std::path::{Path, PathBuf};

/// Of every loop.
const STEPS: u64 = 8;
/// The trainer's batch size; the batches have this many rows, or one or two less.
const ROWS: usize = 40;

/// Running statistics, masks that are functions of the step, and a first layer wide enough that the
/// steps are shared out among threads.
fn net_from(seed: u64) -> Mlp {
    Mlp::builder(130)
        .dropout(0.0625)
        .dense(40, Activation::Tanh)
        .batch_norm()
        .dropout(0.25)
        .dense(40, Activation::Relu)
        .layer_norm()
        .residual(1)
        .maxout(9, 2)
        .dense(3, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap()
}

/// Numbers between −2 and 2, others for each step.
fn values(step: u64, rows: usize, cols: usize) -> Matrix {
    let value = |i: usize| ((i * 37 + 101 * step as usize) % 401) as f32 / 100.0 - 2.0;
    Matrix::from_vec(rows, cols, (0..rows * cols).map(value).collect()).unwrap()
}

/// Steps until there are `steps`, by a loop that derives all from the step's number: batches of
/// changing sizes, weights of rows, learning rates. Answers the bits of the losses.
fn train(training: &mut Training, steps: u64, regression: bool) -> Vec<u32> {
    let mut losses = Vec::new();
    while training.steps() < steps {
        let step = training.steps();
        let rows = ROWS - (step % 3) as usize;
        let x = values(step, rows, training.network().n_in());
        let y = values(step + 1000, rows, 3);
        let labels: Vec<u32> = (0..rows as u32).map(|r| (r * r + step as u32) % 3).collect();
        let targets = match regression {
            true => BatchTargets::Values(y.view()),
            false => BatchTargets::Classes(&labels),
        };
        let loss = if step % 4 == 3 {
            let weights: Vec<f32> = (0..rows).map(|r| 0.25 + (r % 5) as f32).collect();
            training.step_weighted(x.view(), targets, &weights).unwrap()
        } else {
            training.step(x.view(), targets).unwrap()
        };
        if step == 2 {
            let lr = training.learning_rate();
            training.set_learning_rate(lr / 2.0).unwrap();
        }
        losses.push(loss.to_bits());
    }
    losses
}

fn checkpoint(training: &Training) -> Vec<u8> {
    let mut bytes = Vec::new();
    training.write_checkpoint(&mut bytes).unwrap();
    bytes
}

fn base(optimizer: impl Into<Optimizer>) -> Trainer<'static> {
    Trainer::new(optimizer).batch_size(ROWS).seed(3)
}

/// A way to train, in whose state a checkpoint must not forget anything.
type Recipe = fn() -> Trainer<'static>;

const RECIPES: [(&str, Recipe); 6] = [
    ("plain", || base(Sgd::new(0.05))),
    ("Adam", || base(Adam::new(0.01))),
    ("accumulated, clipped", || {
        base(Momentum::new(0.05, 0.9).nesterov()).accumulate(3).clip_norm(0.5)
    }),
    ("Adam, accumulated", || base(Adam::new(0.01)).accumulate(2).class_weights([1.0, 2.0, 3.0])),
    ("RMSprop, max-norm", || base(RmsProp::new(0.01)).max_norm(0.7).label_smoothing(0.1)),
    ("Lion", || base(Lion::new(0.001)).l2(0.01)),
];

/// A loop that nothing interrupts: the losses, the network at the end, and a checkpoint after each
/// step, before the first one too.
fn uninterrupted(recipe: Recipe, net: &Mlp) -> (Vec<u32>, u64, Vec<Vec<u8>>) {
    let (mut saving, mut quiet) = (net.clone(), net.clone());
    let mut training = recipe().threads(Threads::One).start(&mut saving).unwrap();
    let (mut losses, mut checkpoints) = (Vec::new(), vec![checkpoint(&training)]);
    for step in 1..=STEPS {
        losses.extend(train(&mut training, step, false));
        checkpoints.push(checkpoint(&training));
    }
    training.flush().unwrap();
    drop(training);
    // Writing them changed nothing.
    let mut training = recipe().threads(Threads::N(2)).start(&mut quiet).unwrap();
    assert_eq!(train(&mut training, STEPS, false), losses);
    training.flush().unwrap();
    assert_eq!(training.network().digest(), saving.digest());
    (losses, saving.digest(), checkpoints)
}

#[test]
fn a_stop_after_any_step_changes_nothing() {
    for (name, recipe) in RECIPES {
        let (losses, digest, checkpoints) = uninterrupted(recipe, &net_from(5));
        for (step, bytes) in (0..).zip(&checkpoints) {
            for threads in [Threads::One, Threads::N(2), Threads::N(3), Threads::Current] {
                let what = format!("{name}: after step {step}, {threads:?}");
                // Nothing of the network's own parameters may be left.
                let mut net = net_from(99);
                let mut training = recipe().threads(threads).start(&mut net).unwrap();
                training.read_checkpoint(&bytes[..]).unwrap();
                assert_eq!(training.steps(), step, "{what}");
                // The same state, so the same file.
                assert!(checkpoint(&training) == *bytes, "{what}");
                let rest = train(&mut training, STEPS, false);
                training.flush().unwrap();
                assert_eq!(rest, losses[step as usize..], "{what}");
                assert_eq!(training.network().digest(), digest, "{what}");
            }
        }
    }
}

/// A session that is not new: with gradients that wait where the checkpoint has none, and the other
/// way round.
#[test]
fn a_session_can_go_back_to_its_checkpoint() {
    for (name, recipe) in RECIPES {
        let (losses, digest, checkpoints) = uninterrupted(recipe, &net_from(5));
        let mut net = net_from(6);
        let mut training = recipe().start(&mut net).unwrap();
        for (step, bytes) in checkpoints.iter().enumerate().rev() {
            training.read_checkpoint(&bytes[..]).unwrap();
            let rest = train(&mut training, STEPS, false);
            assert_eq!(rest, losses[step..], "{name}: back to step {step}");
        }
        training.flush().unwrap();
        assert_eq!(training.network().digest(), digest, "{name}");
    }
}

#[test]
fn regressions_go_on_too() {
    let net = |seed| {
        let net = Mlp::builder(130).dense(40, Activation::Gelu).batch_norm().dropout(0.5);
        net.dense(3, Activation::Identity).seed(seed).build().unwrap()
    };
    let trainer = || base(Adam::new(0.01)).loss(Loss::Huber { delta: 1.0 });
    let (mut whole, mut rest) = (net(1), net(2));
    let mut training = trainer().start_regression(&mut whole).unwrap();
    train(&mut training, 3, true);
    let bytes = checkpoint(&training);
    let losses = train(&mut training, STEPS, true);
    let mut resumed = trainer().threads(Threads::N(2)).start_regression(&mut rest).unwrap();
    resumed.read_checkpoint(&bytes[..]).unwrap();
    assert_eq!(train(&mut resumed, STEPS, true), losses);
    assert_eq!(resumed.network().digest(), training.network().digest());
}

/// What `docs/reliability.md` says of the file, by the reader of the `safetensors` crate; the
/// optimiser's state is what the gradient says it is after one step.
#[test]
fn a_second_reader_finds_what_the_format_says() {
    let start = Mlp::builder(4).dense(3, Activation::Tanh).dense(2, Activation::Softmax);
    let start = start.init(Init::Normal(0.5)).seed(1).build().unwrap();
    let (x, labels) = (values(7, 5, 4), [0, 1, 1, 0, 1]);
    let targets = BatchTargets::Classes(&labels);
    let mut net = start.clone();
    let mut training = base(Adam::new(0.01)).start(&mut net).unwrap();
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

fn option_of(error: &Error) -> &str {
    let Error::Config { option, .. } = error else { panic!("{error}") };
    option
}

#[test]
fn the_checkpoint_of_another_session_is_refused_by_name() {
    let mut net = net_from(5);
    let mut training = base(Adam::new(0.01)).start(&mut net).unwrap();
    train(&mut training, 2, false);
    let bytes = checkpoint(&training);
    let refused = |trainer: Trainer, mut net: Mlp, option: &str| {
        let before = net.digest();
        let mut training = trainer.start(&mut net).unwrap();
        let error = training.read_checkpoint(&bytes[..]).unwrap_err();
        assert_eq!(option_of(&error), option, "{error}");
        assert_eq!((training.network().digest(), training.steps()), (before, 0));
    };
    let same = || base(Adam::new(0.01));
    refused(same().seed(4), net_from(5), "seed");
    refused(same().batch_size(ROWS + 1), net_from(5), "batch size");
    refused(base(Adam::new(0.02)), net_from(5), "optimizer");
    refused(base(Sgd::new(0.01)), net_from(5), "optimizer");
    refused(same().accumulate(2), net_from(5), "adjustments");
    refused(same().label_smoothing(0.1), net_from(5), "label smoothing");
    refused(same().class_weights([1.0; 3]), net_from(5), "class weights");
    let other = Mlp::builder(130).dense(3, Activation::Softmax).build().unwrap();
    refused(same(), other, "network");
    let net = |seed| Mlp::builder(4).dense(3, Activation::Sigmoid).seed(seed).build().unwrap();
    let (mut labels, mut values) = (net(1), net(2));
    let trainer = || base(Sgd::new(0.1)).loss(Loss::MeanSquared);
    let bytes = checkpoint(&trainer().start(&mut labels).unwrap());
    let mut regression = trainer().start_regression(&mut values).unwrap();
    let error = regression.read_checkpoint(&bytes[..]).unwrap_err();
    assert_eq!(option_of(&error), "targets", "{error}");
}

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("deltarule-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn runs_and_own_loops_do_not_take_each_others_checkpoints() {
    let folder = Folder::new("own-loop-kinds");
    let (run, own) = (folder.0.join("run"), folder.0.join("own"));
    let net = || Mlp::builder(4).dense(3, Activation::Softmax).build().unwrap();
    let targets = Targets::Classes { labels: vec![0, 1, 2, 1], n_classes: 3 };
    let data = Dataset::from_f32(vec![0.5; 16], 4, targets).unwrap();
    // Everything is the same but the loop.
    let trainer = || Trainer::new(Adam::new(0.1)).batch_size(4);
    trainer().checkpoint(&run, Every::Epochs(1)).fit(&mut net(), &data).unwrap();
    let mut session_net = net();
    let mut training = trainer().start(&mut session_net).unwrap();
    training.save_checkpoint(&own).unwrap();
    let error = training.load_checkpoint(&run).unwrap_err();
    assert_eq!(option_of(&error), "checkpoint");
    assert!(error.to_string().contains("`Trainer::resume`"), "{error}");
    let error = trainer().resume(&own).fit(&mut net(), &data).unwrap_err();
    assert_eq!(option_of(&error), "checkpoint");
    assert!(error.to_string().contains("`Training::load_checkpoint`"), "{error}");
    let mut model = Vec::new();
    net().write_to(&mut model).unwrap();
    let error = training.read_checkpoint(&model[..]).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}

#[test]
fn files_are_replaced_whole_and_failures_are_errors() {
    let folder = Folder::new("own-loop-files");
    let path = folder.0.join("loop.safetensors");
    let (mut net, mut other) = (net_from(5), net_from(6));
    let mut training = base(Adam::new(0.01)).start(&mut net).unwrap();
    for steps in 1..4 {
        train(&mut training, steps, false);
        training.save_checkpoint(&path).unwrap();
        assert!(fs::read(&path).unwrap() == checkpoint(&training));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }
    let mut resumed = base(Adam::new(0.01)).start(&mut other).unwrap();
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

#[test]
fn every_flipped_byte_and_every_cut_is_detected() {
    let net = |seed| {
        let net = Mlp::builder(2).dense(1, Activation::Tanh).batch_norm();
        net.dense(2, Activation::Softmax).seed(seed).build().unwrap()
    };
    let trainer = || base(Momentum::new(0.1, 0.9)).accumulate(2).threads(Threads::One);
    let (mut source, mut target) = (net(1), net(2));
    let x = values(0, 3, 2);
    let step = |training: &mut Training| {
        training.step(x.view(), BatchTargets::Classes(&[0, 1, 1])).unwrap();
    };
    let mut training = trainer().start(&mut source).unwrap();
    step(&mut training);
    let whole = checkpoint(&training);
    let mut training = trainer().start(&mut target).unwrap();
    let before = checkpoint(&training);
    for i in 0..whole.len() {
        assert!(training.read_checkpoint(&whole[..i]).is_err(), "cut at {i}");
        let mut flipped = whole.clone();
        for flip in 1..=255 {
            flipped[i] = whole[i] ^ flip;
            assert!(training.read_checkpoint(&flipped[..]).is_err(), "byte {i} ^ {flip}");
        }
    }
    assert!(training.read_checkpoint(&[&whole[..], &[0]].concat()[..]).is_err());
    assert!(checkpoint(&training) == before);
    training.read_checkpoint(&whole[..]).unwrap();
    assert!(checkpoint(&training) == whole);
}

/// Texts that only somebody who signs the file anew can write: they are refused, or the session
/// goes on from what they say, but nothing panics.
#[test]
fn a_text_that_was_changed_and_signed_never_panics() {
    let trainer = || base(Adam::new(0.1)).accumulate(3).threads(Threads::One);
    let net = || Mlp::builder(2).dense(2, Activation::Softmax).build().unwrap();
    let mut source = net();
    let mut training = trainer().start(&mut source).unwrap();
    let x = values(0, 3, 2);
    let labels = BatchTargets::Classes(&[0, 1, 1]);
    training.step(x.view(), labels).unwrap();
    let whole = checkpoint(&training);
    let find = |what: &[u8]| whole.windows(what.len()).position(|w| w == what).unwrap();
    let digits = find(b"deltarule.checksum\":\"") + 21;
    let digits = digits..digits + 16;
    let text = find(b"option loop");
    let text = text..text
        + SafeTensors::deserialize(&whole).unwrap().tensor("training.state").unwrap().data().len();
    let sign = |bytes: &mut Vec<u8>| {
        bytes[digits.clone()].fill(b'0');
        let sum = format!("{:016x}", xxhash_rust::xxh64::xxh64(bytes, 0));
        bytes[digits.clone()].copy_from_slice(sum.as_bytes());
    };
    let mut same = whole.clone();
    sign(&mut same);
    assert!(same == whole, "not how files are signed");
    let (mut taken, mut refused) = (0, 0);
    for i in text {
        for byte in *b"09f -\n\x00\xff" {
            let mut changed = whole.clone();
            changed[i] = byte;
            sign(&mut changed);
            let mut net = net();
            let mut training = trainer().start(&mut net).unwrap();
            match training.read_checkpoint(&changed[..]) {
                Ok(()) => {
                    taken += 1;
                    // An error is a good answer too.
                    let _ = (0..3).try_for_each(|_| training.step(x.view(), labels).map(|_| ()));
                    let _ = training.flush();
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

/// Files that this version wrote are read for ever, as those of `tests/old_files.rs`.
const FROZEN: &str = "tests/data/own_loop_0_1.safetensors";
/// The network at the end of that loop, at the levels with fused multiply-adds.
const END: u64 = 0xdcf0_07e0_04e6_759e;

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
    let mut training = frozen_trainer().start(&mut net).unwrap();
    training.load_checkpoint(Path::new(env!("CARGO_MANIFEST_DIR")).join(FROZEN)).unwrap();
    assert_eq!(training.steps(), 3);
    train(&mut training, STEPS, false);
    assert_eq!(format!("{:016x}", training.network().digest()), format!("{END:016x}"));
}

#[test]
#[ignore = "writes tests/data; run by hand with a new version of the format"]
fn write_file() {
    let mut net = frozen_net(Level::avx2().unwrap());
    let mut training = frozen_trainer().start(&mut net).unwrap();
    train(&mut training, 3, false);
    training.save_checkpoint(Path::new(env!("CARGO_MANIFEST_DIR")).join(FROZEN)).unwrap();
    train(&mut training, STEPS, false);
    println!("END {:016x}", training.network().digest());
}
