//! Checkpoints: a run that was interrupted anywhere ends with the same bits as one that was not.

#![cfg(feature = "digits")]

use deltarule::data::{Dataset, digits};
use deltarule::{
    Activation, Adam, Control, EarlyStopping, Ending, Error, Every, History, Mlp, Momentum,
    Schedule, Sgd, Threads, Trainer,
};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("deltarule-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.join("run.safetensors")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Sets {
    train: Dataset,
    test: Dataset,
    weights: Vec<f32>,
}

fn sets() -> Sets {
    let (some, _) = digits().split_at(110).unwrap();
    let (train, test) = some.split_at(70).unwrap();
    let weights = (0..70).map(|i| 0.5 + (i % 5) as f32 / 4.0).collect();
    Sets { train, test, weights }
}

fn net() -> Mlp {
    net_from(5)
}

/// With running statistics and with masks that are functions of the step.
fn net_from(seed: u64) -> Mlp {
    Mlp::builder(64)
        .dropout(0.0625)
        .dense(9, Activation::Tanh)
        .batch_norm()
        .dropout(0.125)
        .dense(10, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap()
}

/// Three epochs of five batches, the last one short.
const EPOCHS: usize = 3;
const STEPS: usize = EPOCHS * 5;

/// A way to train, in all of whose state a checkpoint must not forget anything.
type Recipe = for<'a> fn(&'a Sets) -> Trainer<'a>;

fn base<'a>(optimizer: impl Into<deltarule::Optimizer>) -> Trainer<'a> {
    Trainer::new(optimizer).batch_size(16).epochs(EPOCHS).seed(3).record_steps()
}

const RECIPES: [(&str, Recipe); 5] = [
    ("plain", |_| base(Sgd::new(0.1))),
    ("cosine, validation", |sets| {
        base(Adam::new(0.01)).validate(&sets.test).schedule(Schedule::cosine(0.1).warm_up(3, 0.1))
    }),
    ("early stopping keeps the best", |sets| {
        // A rate so high that the first epochs are the best ones.
        let stopping = EarlyStopping::on_loss().patience(2);
        base(Adam::new(0.3)).validate(&sets.test).early_stopping(stopping)
    }),
    ("accumulated, clipped, weighted", |sets| {
        let trainer = base(Momentum::new(0.1, 0.9)).accumulate(3).clip_norm(0.5).l2(0.01);
        trainer.sample_weights(&sets.weights).label_smoothing(0.1)
    }),
    ("plateau", |sets| {
        base(Adam::new(0.2)).validate(&sets.test).schedule(Schedule::plateau(0.5, 0))
    }),
];

/// Everything of a run that must not depend on interruptions: no seconds.
fn facts(net: &Mlp, history: &History) -> String {
    let epochs: Vec<_> = history
        .epochs
        .iter()
        .map(|e| (e.epoch, e.loss.to_bits(), e.validation.clone(), e.learning_rate.to_bits()))
        .collect();
    format!(
        "{:016x} {epochs:?} {:?} {} {} {:?} {:?}",
        net.digest(),
        history.step_records,
        history.steps,
        history.stopped,
        history.ending,
        history.best_epoch
    )
}

/// The run that nothing interrupts.
fn uninterrupted(sets: &Sets, recipe: Recipe) -> String {
    let mut net = net();
    let history = recipe(sets).threads(Threads::One).fit(&mut net, &sets.train).unwrap();
    facts(&net, &history)
}

/// The rest of a run, after a checkpoint.
fn resumed(sets: &Sets, recipe: Recipe, path: &Path, threads: Threads) -> String {
    // Nothing of the network's own parameters may be left.
    let mut net = net_from(99);
    let history = recipe(sets).resume(path).threads(threads).fit(&mut net, &sets.train).unwrap();
    facts(&net, &history)
}

#[test]
fn a_stop_at_every_step_changes_nothing() {
    let (folder, sets) = (Folder::new("every-step"), sets());
    for (name, recipe) in RECIPES {
        let want = uninterrupted(&sets, recipe);
        let copy = |step: usize| folder.0.join(format!("{step}"));
        // As a crash leaves it: the checkpoint of every step, by copies of the file.
        let mut step = 0;
        let mut run = net();
        recipe(&sets)
            .threads(Threads::One)
            .checkpoint(folder.path(), Every::Steps(1))
            .on_step(|_| {
                if step > 0 {
                    fs::copy(folder.path(), copy(step)).unwrap();
                }
                step += 1;
                Control::Continue
            })
            .fit(&mut run, &sets.train)
            .unwrap();
        fs::copy(folder.path(), copy(step)).unwrap();
        assert!(step <= STEPS);
        for step in 1..=step {
            for threads in [Threads::One, Threads::N(2), Threads::N(3), Threads::Current] {
                let got = resumed(&sets, recipe, &copy(step), threads);
                assert_eq!(got, want, "{name}: after step {step}, {threads:?}");
            }
        }
        // A callback that stops the run leaves a checkpoint from which the same run goes on.
        for stop in 1..=step {
            let mut steps = 0;
            let mut run = net();
            let history = recipe(&sets)
                .checkpoint(folder.path(), Every::Epochs(1000))
                .on_step(|_| {
                    steps += 1;
                    if steps == stop { Control::Stop } else { Control::Continue }
                })
                .fit(&mut run, &sets.train)
                .unwrap();
            assert_eq!(history.ending, Ending::Callback);
            let got = resumed(&sets, recipe, &folder.path(), Threads::N(2));
            assert_eq!(got, want, "{name}: stopped at step {stop}");
        }
    }
}

#[test]
fn a_stop_after_every_epoch_changes_nothing() {
    let (folder, sets) = (Folder::new("every-epoch"), sets());
    for (name, recipe) in RECIPES {
        let want = uninterrupted(&sets, recipe);
        for epochs in 1..=EPOCHS {
            let mut run = net();
            let mut trainer = recipe(&sets).checkpoint(folder.path(), Every::Epochs(1));
            let mut own_loop = trainer.run(&mut run, &sets.train).unwrap();
            for _ in 0..epochs {
                own_loop.next().transpose().unwrap();
            }
            drop(own_loop);
            let got = resumed(&sets, recipe, &folder.path(), Threads::N(2));
            assert_eq!(got, want, "{name}: after {epochs} epochs");
        }
    }
}

#[test]
fn a_finished_run_can_be_made_longer() {
    let (folder, sets) = (Folder::new("longer"), sets());
    let (mut short, mut long, mut rest) = (net(), net(), net());
    let trainer = |epochs| base(Adam::new(0.01)).epochs(epochs);
    trainer(2).checkpoint(folder.path(), Every::Epochs(1000)).fit(&mut short, &sets.train).unwrap();
    assert_eq!(Mlp::load(folder.path()).unwrap().digest(), short.digest());
    let want = trainer(4).fit(&mut long, &sets.train).unwrap();
    let got = trainer(4).resume(folder.path()).fit(&mut rest, &sets.train).unwrap();
    assert_eq!(facts(&rest, &got), facts(&long, &want));
    let error = trainer(1).resume(folder.path()).fit(&mut rest, &sets.train).unwrap_err();
    assert!(error.to_string().starts_with("epochs: "), "{error}");
}

#[test]
fn the_checkpoint_of_another_run_is_refused_by_name() {
    let (folder, sets) = (Folder::new("other-run"), sets());
    let path = folder.path();
    base(Adam::new(0.01)).checkpoint(&path, Every::Epochs(1)).fit(&mut net(), &sets.train).unwrap();
    let refused = |trainer: Trainer, data: &Dataset, option: &str| {
        let mut net = net();
        let before = net.digest();
        let error = trainer.resume(&path).fit(&mut net, data).unwrap_err();
        let Error::Config { option: named, .. } = &error else { panic!("{error}") };
        assert_eq!(named, option, "{error}");
        assert_eq!(net.digest(), before);
    };
    let same = || base(Adam::new(0.01));
    refused(same().seed(4), &sets.train, "seed");
    refused(same().batch_size(17), &sets.train, "batch size");
    refused(base(Adam::new(0.02)), &sets.train, "optimizer");
    refused(same().l2(0.1), &sets.train, "adjustments");
    refused(same().label_smoothing(0.1), &sets.train, "label smoothing");
    refused(same().class_weights([1.0; 10]), &sets.train, "class weights");
    refused(same().sample_weights(&sets.weights), &sets.train, "sample weights");
    refused(same().schedule(Schedule::cosine(0.0)), &sets.train, "schedule");
    refused(
        same().early_stopping(EarlyStopping::on_training_loss()),
        &sets.train,
        "early stopping",
    );
    refused(same().validate(&sets.test), &sets.train, "validation set");
    refused(same(), &sets.test, "data set");
    let mut other = Mlp::builder(64).dense(10, Activation::Softmax).build().unwrap();
    let error = same().resume(&path).fit(&mut other, &sets.train).unwrap_err();
    assert!(error.to_string().starts_with("network: "), "{error}");
}

#[test]
fn every_flipped_byte_and_every_cut_is_detected() {
    let (folder, sets) = (Folder::new("flips"), sets());
    let (path, damaged) = (folder.path(), folder.0.join("damaged"));
    let (_, recipe) = RECIPES[3];
    let small = || Mlp::builder(64).dense(1, Activation::Tanh).dense(10, Activation::Softmax);
    recipe(&sets)
        .checkpoint(&path, Every::Steps(1))
        .on_step(|p| if p.step == 2 { Control::Stop } else { Control::Continue })
        .fit(&mut small().build().unwrap(), &sets.train)
        .unwrap();
    let whole = fs::read(&path).unwrap();
    let mut net = small().build().unwrap();
    let before = net.digest();
    let mut model = Vec::new();
    net.write_to(&mut model).unwrap();
    let mut file = fs::File::create(&damaged).unwrap();
    let mut refused = |bytes: &[u8], what: &str| {
        // Not emptied first: ext4 waits for the disk when an emptied file is written again.
        file.set_len(bytes.len() as u64).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(bytes).unwrap();
        let result =
            recipe(&sets).resume(&damaged).threads(Threads::One).fit(&mut net, &sets.train);
        assert!(result.is_err(), "{what}");
        assert_eq!(net.digest(), before, "{what}");
    };
    for i in 0..whole.len() {
        refused(&whole[..i], &format!("cut at {i}"));
        let mut flipped = whole.clone();
        flipped[i] ^= 1 << (i % 8);
        refused(&flipped, &format!("byte {i}"));
        // Every other value of the byte by the same reader, without the disk.
        for flip in 1..=255 {
            flipped[i] = whole[i] ^ flip;
            assert!(Mlp::read_from(&flipped[..]).is_err(), "byte {i} ^ {flip}");
        }
    }
    refused(&[&whole[..], &[0]].concat(), "one byte more");
    refused(&model, "a model");
}

#[test]
fn what_cannot_be_written_or_read_is_an_error() {
    let (folder, sets) = (Folder::new("errors"), sets());
    let path = folder.0.join("missing/run");
    for threads in [Threads::One, Threads::Current] {
        for every in [Every::Steps(1), Every::Epochs(1), Every::Epochs(1000)] {
            let mut net = net();
            let mut trainer = base(Sgd::new(0.1)).checkpoint(&path, every).threads(threads);
            let error = trainer.fit(&mut net, &sets.train).unwrap_err();
            assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
        }
    }
    let mut net = net();
    let error = base(Sgd::new(0.1)).resume(&path).fit(&mut net, &sets.train).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
    let mut own = base(Sgd::new(0.1)).checkpoint(&path, Every::Epochs(1));
    let mut run = own.run(&mut net, &sets.train).unwrap();
    assert!(run.next().unwrap().is_err());
    assert!(run.next().is_none());
    let mut zero = base(Sgd::new(0.1)).checkpoint(folder.path(), Every::Steps(0));
    assert!(matches!(zero.fit(&mut net, &sets.train), Err(Error::Config { .. })));
}

/// This test binary, running one ignored test alone in `folder`.
fn alone(test: &str, folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--test-threads=1", "--nocapture"]);
    command.env("DELTARULE_FOLDER", folder);
    command
}

fn folder_of_parent() -> PathBuf {
    PathBuf::from(std::env::var_os("DELTARULE_FOLDER").unwrap())
}

#[test]
#[ignore = "a part of `a_disk_that_fills_up_leaves_the_old_checkpoint`"]
fn checkpoint_on_a_full_disk() {
    let path = folder_of_parent().join("run.safetensors");
    let sets = sets();
    let wide = Mlp::builder(64).dense(200, Activation::Relu).dense(10, Activation::Softmax);
    let mut trainer = base(Sgd::new(0.1)).checkpoint(&path, Every::Epochs(1));
    let error = trainer.fit(&mut wide.build().unwrap(), &sets.train).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_old_checkpoint() {
    let (folder, sets) = (Folder::new("full"), sets());
    let mut small = net();
    let mut trainer = base(Sgd::new(0.1)).checkpoint(folder.path(), Every::Epochs(1));
    trainer.fit(&mut small, &sets.train).unwrap();
    // Files of at most 16 blocks of 512 bytes (or 1 KiB), and no signal when there would be more.
    let child = alone("checkpoint_on_a_full_disk", &folder.0);
    let limited = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"])
        .arg(child.get_program())
        .args(child.get_args())
        .env("DELTARULE_FOLDER", &folder.0)
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stdout));
    assert!(String::from_utf8_lossy(&limited.stdout).contains("1 passed"));
    assert_eq!(Mlp::load(folder.path()).unwrap().digest(), small.digest());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

/// The run that is killed: long enough for many kills, a checkpoint at every third step.
fn long_run() -> (Mlp, History) {
    let sets = sets();
    let path = folder_of_parent().join("run.safetensors");
    let mut net = net();
    let mut trainer = base(Adam::new(0.01)).epochs(60).validate(&sets.test);
    trainer = trainer.checkpoint(&path, Every::Steps(3)).threads(Threads::N(2));
    if path.exists() {
        trainer = trainer.resume(&path);
    }
    let history = trainer.fit(&mut net, &sets.train).unwrap();
    (net, history)
}

#[test]
#[ignore = "a part of `killed_runs_end_with_the_same_bits`"]
fn run_until_killed() {
    let (net, history) = long_run();
    println!("\nfacts {}", facts(&net, &history));
}

/// What a child said of its run, if it came to the end.
fn facts_of(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().find_map(|line| line.strip_prefix("facts ").map(String::from))
}

/// 20 kills at random moments; `DELTARULE_KILLS=1000` makes it as many.
#[test]
fn killed_runs_end_with_the_same_bits() {
    let kills: u32 = std::env::var("DELTARULE_KILLS").map_or(20, |n| n.parse().unwrap());
    let folder = Folder::new("kills");
    let child = || alone("run_until_killed", &folder.0);
    let start = std::time::Instant::now();
    let want = facts_of(&child().output().unwrap().stdout).expect("a whole run");
    let whole_run = start.elapsed();
    fs::remove_file(folder.path()).unwrap();
    // Moments from a fixed seed (an odd multiplicative congruential generator): spread over the
    // first third of a run, where the start of the process and its first checkpoints are.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut done, mut finished) = (0, 0);
    let mut check = |output: &[u8]| {
        let Some(got) = facts_of(output) else { return };
        assert_eq!(got, want);
        finished += 1;
        fs::remove_file(folder.path()).unwrap();
    };
    while done < kills {
        let mut running = child().stdout(std::process::Stdio::piped()).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = (random >> 40) as f64 / f64::from(1 << 24);
        std::thread::sleep(whole_run.mul_f64(share / 3.0));
        running.kill().unwrap();
        let output = running.wait_with_output().unwrap();
        if output.status.success() {
            check(&output.stdout);
            continue;
        }
        done += 1;
        if folder.path().exists() {
            Mlp::load(folder.path()).expect("the last good checkpoint");
        }
    }
    check(&child().output().unwrap().stdout);
    assert!(finished > 0);
    // What the killed ones left unfinished is gone.
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
    println!("{kills} kills, {finished} runs to their end");
}
