//! What the Rust peers share: the workloads, the arguments, the data, the clock, the output.
//! The counterpart of `common.py`, which says why the numbers are what they are.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

const ROUNDS: usize = 5;
pub const BATCHES: usize = 8;
pub const MOMENTUM: f64 = 0.9;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Train,
    Predict,
    /// A loop of the caller's own.
    Loop,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Train => "train",
            Mode::Predict => "predict",
            Mode::Loop => "loop",
        }
    }
}

pub struct Args {
    pub workload: String,
    pub layers: Vec<usize>,
    pub activation: String,
    pub optimizer: String,
    pub learning_rate: f64,
    pub mode: Mode,
    pub rows: usize,
    /// 0 is the library's own choice.
    pub threads: usize,
    seconds: f64,
    /// Loops only: write what was computed to this folder, instead of measuring.
    pub check: Option<PathBuf>,
}

pub struct Batch {
    pub inputs: Vec<f32>,
    pub labels: Vec<u32>,
}

impl Args {
    /// Reads the command line and sets rayon's thread count (0 is rayon's own choice), before any thread runs.
    pub fn parse() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let option = |name: &str| {
            let at = args.iter().position(|arg| arg == name)?;
            Some(args.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")).as_str())
        };
        let workload = option("--workload").expect("--workload NAME is needed");
        let mode = [Mode::Train, Mode::Predict, Mode::Loop]
            .into_iter()
            .find(|mode| option("--mode") == Some(mode.name()))
            .expect("--mode train|predict|loop is needed");
        let table = match mode {
            Mode::Train | Mode::Predict => include_str!("workloads.txt"),
            Mode::Loop => include_str!("loops.txt"),
        };
        let [_, layers, activation, batch, optimizer, _] = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find_map(|row| <[&str; 6]>::try_from(row).ok().filter(|row| row[0] == workload))
            .unwrap_or_else(|| panic!("no workload is called {workload}"));
        let threads: usize = number(option("--threads").unwrap_or("1"));

        // SAFETY: the only thread so far is this one.
        unsafe { std::env::set_var("RAYON_NUM_THREADS", threads.to_string()) };

        Self {
            workload: workload.to_string(),
            layers: layers.split(',').map(number).collect(),
            activation: activation.to_string(),
            optimizer: optimizer.to_string(),
            learning_rate: match optimizer {
                "sgd" => 1e-3,
                "momentum" => 1e-4,
                "adam" => 1e-6,
                other => panic!("no optimiser is called {other}"),
            },
            mode,
            rows: number(option("--rows").unwrap_or(batch)),
            threads,
            seconds: number(option("--seconds").unwrap_or("2")),
            check: option("--check").map(PathBuf::from),
        }
    }

    /// A few batches of uniform inputs in 0..1 with random labels.
    pub fn batches(&self) -> Vec<Batch> {
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as u32
        };
        let classes = *self.layers.last().unwrap() as u32;
        (0..if self.mode == Mode::Train { BATCHES } else { 1 })
            .map(|_| Batch {
                inputs: (0..self.rows * self.layers[0])
                    .map(|_| random() as f32 / (1 << 24) as f32)
                    .collect(),
                labels: (0..self.rows).map(|_| random() % classes).collect(),
            })
            .collect()
    }

    /// Times `call(i)`, one step or prediction, and prints the line: a quarter of the time is
    /// warm-up, the rest `ROUNDS` rounds, each of which counts by its mean.
    pub fn measure(&self, peer: &str, variant: &str, version: &str, mut call: impl FnMut(usize)) {
        let mut run = |count: usize| {
            let start = Instant::now();
            (0..count).for_each(&mut call);
            start.elapsed().as_secs_f64()
        };
        run(2);
        let (mut warm, mut calls, mut spent) = (1, 1, run(1));
        while spent < self.seconds / 4.0 {
            let left = (self.seconds / 4.0 - spent) / (spent / warm as f64);
            calls = (2 * calls).min(left as usize).max(1);
            spent += run(calls);
            warm += calls;
        }
        let calls =
            (0.75 * self.seconds / ROUNDS as f64 / (spent / warm as f64)).round().max(1.0) as usize;
        let mut times = [0.0; ROUNDS].map(|_: f64| run(calls) / calls as f64 * 1e6);
        times.sort_by(f64::total_cmp);

        println!(
            "peer={peer} variant={variant} mode={} workload={} rows={} threads={} precision=f32 us={:.3} us_median={:.3} version={version}",
            self.mode.name(),
            self.workload,
            self.rows,
            self.threads,
            times[0],
            times[ROUNDS / 2],
        );
    }
}

fn number<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}
