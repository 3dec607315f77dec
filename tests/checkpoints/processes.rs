//! Runs in processes of their own, which are killed or whose disk is full.

use crate::alone::{alone_in, folder_of_parent};
use crate::{Folder, base, facts, net, sets};
use deltarule::{Activation, Adam, CheckpointInterval, Error, History, Mlp, Sgd, Threads};
use std::fs;

#[test]
#[ignore = "a part of `a_disk_that_fills_up_leaves_the_old_checkpoint`"]
fn checkpoint_on_a_full_disk() {
    let path = folder_of_parent().join("run.safetensors");
    let sets = sets();
    let wide = Mlp::builder(64).dense(200, Activation::Relu).dense(10, Activation::Softmax);
    let mut trainer = base(Sgd::new(0.1)).checkpoint(&path, CheckpointInterval::Epochs(1));
    let error = trainer.fit(&mut wide.build().unwrap(), &sets.train).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(p), .. } if *p == path), "{error}");
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_old_checkpoint() {
    use crate::alone::{assert_passes, on_a_full_disk};
    let (folder, sets) = (Folder::new("full"), sets());
    let mut small = net();
    let mut trainer = base(Sgd::new(0.1)).checkpoint(folder.path(), CheckpointInterval::Epochs(1));
    trainer.fit(&mut small, &sets.train).unwrap();
    let child = alone_in(&folder.0, "processes::checkpoint_on_a_full_disk");
    assert_passes(on_a_full_disk(&child, 16));
    assert_eq!(Mlp::load(folder.path()).unwrap().digest(), small.digest());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

/// The run that is killed: long enough for many kills, a checkpoint at every third step.
fn long_run() -> (Mlp, History) {
    let sets = sets();
    let path = folder_of_parent().join("run.safetensors");
    let mut net = net();
    let mut trainer = base(Adam::new(0.01)).epochs(60).validation(&sets.test);
    trainer = trainer.checkpoint(&path, CheckpointInterval::Steps(3)).threads(Threads::N(2));
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
    let child = || {
        let mut child = alone_in(&folder.0, "processes::run_until_killed");
        child.arg("--nocapture");
        child
    };
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
