//! What the Rust programs share for loops of the caller's own: the starting weights, the data, the check.
//! The counterpart of `loops.py`, which says why the numbers are what they are.

use crate::common::{Args, BATCHES};
use std::hint::black_box;

/// Steps of a check, and their learning rate.
const CHECK_STEPS: usize = 10;
const CHECK_RATE: f64 = 1e-3;
/// γ
pub const DISCOUNT: f32 = 0.99;

/// Names in the printed line.
pub struct Peer {
    pub name: &'static str,
    pub variant: &'static str,
    pub version: &'static str,
}

/// One or two networks in training.
pub trait Learner {
    type Loss;
    fn new(args: &Args, rate: f64) -> Self;
    /// One iteration on batch `i` of [`batches`].
    fn step(&mut self, i: usize) -> Self::Loss;
    fn value(loss: Self::Loss) -> f32;
    /// Network by network, layer by layer: the weights (n_in x n_out), then the biases.
    fn parameters(&self) -> Vec<f32>;
}

/// The outputs of a network for one row, that of batch `i` of [`batches`].
pub trait Actor {
    fn new(args: &Args) -> Self;
    fn outputs(&mut self, i: usize) -> Vec<f32>;
    /// The number of the highest output.
    fn act(&mut self, i: usize) -> u32;
    /// The first output.
    fn value(&mut self, i: usize) -> f32;
}

pub struct Layer {
    pub n_in: usize,
    pub n_out: usize,
    pub weights: Vec<f32>,
    pub biases: Vec<f32>,
}

impl Layer {
    /// The weights as rows of outputs.
    #[allow(dead_code, reason = "a library has one of the two layouts")]
    pub fn transposed(&self) -> Vec<f32> {
        transposed(&self.weights, self.n_in)
    }
}

/// The transpose of a matrix with this number of rows.
#[allow(dead_code, reason = "a library has one of the two layouts")]
pub fn transposed(matrix: &[f32], rows: usize) -> Vec<f32> {
    let cols = matrix.len() / rows;
    let at = |i| matrix[i % rows * cols + i / rows];
    (0..matrix.len()).map(at).collect()
}

pub struct Batch {
    /// rows x n_in
    pub x: Vec<f32>,
    /// The states after the actions.
    pub next: Vec<f32>,
    /// 0 at the end of an episode, else 1.
    pub goes_on: Vec<f32>,
    pub rewards: Vec<f32>,
    pub actions: Vec<u32>,
    /// Of twin-q.
    pub targets: Vec<f32>,
}

/// A fixed sequence of numbers (Knuth's MMIX constants).
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as u32
    }

    /// Uniform in −bound..bound.
    fn uniform(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count)
            .map(|_| ((f64::from(self.bits()) / f64::from(1 << 23) - 1.0) * bound) as f32)
            .collect()
    }
}

/// The starting weights of network 0 or 1 of a loop.
pub fn layers(args: &Args, network: u64) -> Vec<Layer> {
    let mut numbers = Numbers(2 + network);
    let layer = |size: &[usize]| {
        let (n_in, n_out) = (size[0], size[1]);
        let bound = 1.0 / (n_in as f64).sqrt();
        Layer {
            n_in,
            n_out,
            weights: numbers.uniform(n_in * n_out, bound),
            biases: numbers.uniform(n_out, bound),
        }
    };
    args.layers.windows(2).map(layer).collect()
}

pub fn batches(args: &Args) -> Vec<Batch> {
    let mut numbers = Numbers(1);
    let (rows, n_in, n_out) = (args.rows, args.layers[0], args.layers[args.layers.len() - 1]);
    (0..BATCHES)
        .map(|_| Batch {
            x: numbers.uniform(rows * n_in, 1.0),
            next: numbers.uniform(rows * n_in, 1.0),
            // One transition in eight ends its episode.
            goes_on: (0..rows).map(|_| f32::from(!numbers.bits().is_multiple_of(8))).collect(),
            rewards: numbers.uniform(rows, 1.0),
            actions: (0..rows).map(|_| numbers.bits() % n_out as u32).collect(),
            targets: numbers.uniform(rows, 1.0),
        })
        .collect()
}

/// Measures one loop, or writes what it computes.
pub fn run<Dqn: Learner, TwinQ: Learner, Act: Actor>(args: &Args, peer: &Peer) {
    match args.workload.as_str() {
        "dqn" => learn::<Dqn>(args, peer),
        "twin-q" => learn::<TwinQ>(args, peer),
        "act" => run_actor::<Act>(args, peer, |actor, i| actor.act(i) as f32),
        _ => run_actor::<Act>(args, peer, Act::value),
    }
}

fn learn<L: Learner>(args: &Args, peer: &Peer) {
    if args.check.is_some() {
        let mut learner = L::new(args, CHECK_RATE);
        let mut values: Vec<f32> =
            (0..CHECK_STEPS).map(|i| L::value(learner.step(i % BATCHES))).collect();
        values.extend(learner.parameters());
        return write(args, peer, &values);
    }
    let mut learner = L::new(args, args.learning_rate);
    args.measure(peer.name, peer.variant, peer.version, |i| {
        drop(black_box(learner.step(i % BATCHES)));
    });
}

fn run_actor<A: Actor>(args: &Args, peer: &Peer, call: fn(&mut A, usize) -> f32) {
    let mut actor = A::new(args);
    if args.check.is_some() {
        let mut values = Vec::new();
        for i in 0..BATCHES {
            values.extend(actor.outputs(i));
            values.push(call(&mut actor, i));
        }
        return write(args, peer, &values);
    }
    args.measure(peer.name, peer.variant, peer.version, |i| {
        black_box(call(&mut actor, i % BATCHES));
    });
}

/// A file of little-endian f32, which `run.py` compares.
fn write(args: &Args, peer: &Peer, values: &[f32]) {
    let folder = args.check.as_ref().expect("a folder");
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let file = folder.join(format!("{}-{}", peer.name, peer.variant));
    std::fs::write(file, bytes).expect("a file");
}
