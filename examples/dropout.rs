//! Dropout (Srivastava et al. 2014): in training each output of a hidden layer is 0 with probability
//! p and else divided by 1 − p, so that no neuron can lean on another one; predicting uses them all.
//! A network of 784-512-512-10 with ReLU, AdamW (Loshchilov and Hutter 2019) and one cycle of the
//! learning rate (Smith and Topin 2018), 20 epochs: at least 98.6 % of MNIST's test images.
//!
//! `cargo run --release --example dropout`; `-- --help` lists the flags.

#[path = "common/mnist_run.rs"]
mod mnist_run;

use clap::Parser;
use deltarule::{Activation, AdamW, Mlp, Schedule, Trainer};

fn main() -> mnist_run::Outcome {
    let flags = mnist_run::Flags::parse();
    let network = |n_in| {
        Mlp::builder(n_in)
            .dropout(0.1)
            .dense(512, Activation::Relu)
            .dropout(0.3)
            .dense(512, Activation::Relu)
            .dropout(0.3)
            .dense(10, Activation::Softmax)
            .seed(flags.seed)
            .build()
    };
    let trainer =
        Trainer::new(AdamW::new(0.002)).batch_size(128).epochs(20).schedule(Schedule::one_cycle());
    mnist_run::run(&flags, network, trainer)
}
