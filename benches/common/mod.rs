//! What the benches share: the five networks, numbers to fill them with, and a clock that prints
//! GFLOP/s and percent of the peak beside its times.

#![allow(dead_code, reason = "no bench uses all of it")]

pub mod flops;
pub mod peak;
pub mod tiles;

use deltarule::{Activation, Adam, Level, Mlp, Momentum, Optimizer, Sgd, reference};

/// One of the networks that every comparison runs.
pub struct Workload {
    pub name: &'static str,
    pub layers: &'static [usize],
    pub activation: Activation,
    pub batch: usize,
    pub optimizer: fn() -> Optimizer,
}

/// From a thousandth of a millisecond to a fifth of a second a step. The learning rates are small:
/// a bench trains on the same random batch again and again.
pub const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "nielsen",
        layers: &[784, 30, 10],
        activation: Activation::Sigmoid,
        batch: 10,
        optimizer: || Sgd::new(1e-3).into(),
    },
    Workload {
        name: "classic",
        layers: &[784, 128, 10],
        activation: Activation::Relu,
        batch: 128,
        optimizer: || Adam::new(1e-5).into(),
    },
    Workload {
        name: "medium",
        layers: &[784, 512, 512, 10],
        activation: Activation::Relu,
        batch: 128,
        optimizer: || Adam::new(1e-5).into(),
    },
    Workload {
        name: "deep",
        layers: &[784, 256, 256, 256, 256, 256, 256, 256, 256, 10],
        activation: Activation::Tanh,
        batch: 256,
        optimizer: || Momentum::new(1e-4, 0.9).into(),
    },
    Workload {
        name: "large",
        layers: &[784, 2048, 2048, 2048, 10],
        activation: Activation::Relu,
        batch: 1024,
        optimizer: || Sgd::new(1e-3).into(),
    },
];

impl Workload {
    pub fn n_in(&self) -> usize {
        self.layers[0]
    }

    pub fn n_out(&self) -> usize {
        self.layers[self.layers.len() - 1]
    }

    pub fn net(&self, level: Level) -> Mlp {
        net(self.layers, self.activation, level)
    }

    /// Floating-point operations of the products of a forward pass of one row.
    pub fn forward_flops(&self) -> u64 {
        self.layers.windows(2).map(|w| 2 * (w[0] * w[1]) as u64).sum()
    }

    /// The same for a training step of one row: forward, the gradient of the weights, and that of
    /// the inputs for every layer but the first.
    pub fn train_flops(&self) -> u64 {
        3 * self.forward_flops() - 2 * (self.layers[0] * self.layers[1]) as u64
    }
}

/// A network with a softmax output layer.
pub fn net(layers: &[usize], activation: Activation, level: Level) -> Mlp {
    let (&last, hidden) = layers[1..].split_last().expect("at least two sizes");
    let mut builder = Mlp::builder(layers[0]).level(level).seed(1);
    for &n in hidden {
        builder = builder.dense(n, activation);
    }
    builder.dense(last, Activation::Softmax).build().expect("a network")
}

/// The same network on the naive path.
pub fn naive(net: &Mlp) -> reference::Network<f32> {
    let layers = net.layers().enumerate().map(|(i, l)| {
        let activation = match l.layer.activation() {
            Activation::Sigmoid => reference::Activation::Sigmoid,
            Activation::Relu => reference::Activation::Relu,
            Activation::Tanh => reference::Activation::Tanh,
            Activation::Softmax => reference::Activation::Softmax,
            Activation::Identity => reference::Activation::Identity,
            other => panic!("{other} is not in the benches"),
        };
        let weights = net.weights(i).expect("weights").into_vec();
        let biases = net.biases(i).expect("biases");
        reference::Layer::new(l.n_in, l.n_out, activation, weights, biases).expect("a layer")
    });
    reference::Network::new(layers.collect()).expect("a network")
}

/// A fixed sequence of numbers (Knuth's MMIX constants).
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// Uniform in 0..1.
    pub fn uniform(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32 / (1u64 << 31) as f32).collect()
    }

    /// Whole numbers from −8 to 8: sums of up to 2^18 products of them are exact in f32.
    pub fn whole(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() % 17) as f32 - 8.0).collect()
    }

    /// Classes below `classes`.
    pub fn labels(&mut self, n: usize, classes: usize) -> Vec<u32> {
        (0..n).map(|_| (self.next() % classes as u64) as u32).collect()
    }
}

/// Whether the machine has a second core for the benches of two threads.
pub fn two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2)
}
