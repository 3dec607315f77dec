//! Maxout (Goodfellow et al. 2013): a neuron is the largest of k linear functions of its inputs,
//! a = max(w₁ᵀx + b₁, …, wₖᵀx + bₖ). The paper trains two layers of them with dropout on MNIST without
//! looking at images as such (the permutation-invariant task) and misses 0.94 % of the test images.
//!
//! Here: two layers of 320 neurons of 2 units, dropout of 0.2 of the inputs and 0.4 of the hidden
//! outputs, AdamW with one cycle of the learning rate, and the norm of the weights into each neuron
//! kept at or below 2, as in the paper.
//!
//! `cargo run --release --example maxout`; `-- --help` lists the flags.

#[path = "common/mnist_run.rs"]
mod mnist_run;

use clap::Parser;
use deltarule::{Activation, AdamW, Mlp, Schedule, Trainer};

fn main() -> mnist_run::Outcome {
    let flags = mnist_run::Flags::parse();
    let network = |n_in| {
        Mlp::builder(n_in)
            .dropout(0.2)
            .maxout(320, 2)
            .dropout(0.4)
            .maxout(320, 2)
            .dropout(0.4)
            .dense(10, Activation::Softmax)
            .seed(flags.seed)
            .build()
    };
    let trainer = Trainer::new(AdamW::new(0.002))
        .batch_size(128)
        .epochs(30)
        .max_norm(2.0)
        .schedule(Schedule::one_cycle());
    mnist_run::run(&flags, network, trainer)
}
