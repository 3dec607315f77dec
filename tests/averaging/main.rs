//! Averages of the weights of a run.

#[path = "../support/folder.rs"]
mod folder;
mod formulas;
mod runs;
#[path = "../support/mod.rs"]
mod support;

use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, Level, Mlp, Trainer};
use support::Data;
use support::kinds::{Body, N_IN};

const ROWS: usize = 50;
const N_OUT: usize = 5;

fn build(body: Body, level: Level) -> Mlp {
    let builder = body(Mlp::builder(N_IN).level(level).seed(5));
    builder.dense(N_OUT, Activation::Softmax).build().unwrap()
}

fn data(seed: u64, rows: usize) -> Dataset {
    let mut data = Data::new(seed);
    let features = data.f32s(rows * N_IN);
    let labels = data.labels(rows, N_OUT).iter().map(|label| *label as u32).collect();
    Dataset::from_f32(features, N_IN, Targets::Classes { labels, n_classes: N_OUT }).unwrap()
}

/// Three batches of 20 rows an epoch, the last of which is smaller.
fn trainer<'a>() -> Trainer<'a> {
    Trainer::new(Adam::new(0.02)).batch_size(20).epochs(5).seed(3)
}

/// All parameters and running statistics.
fn values(net: &Mlp) -> Vec<f64> {
    let mut all = Vec::new();
    for layer in 0..net.layers().len() {
        all.extend_from_slice(net.weights(layer).unwrap().as_slice());
        all.extend(net.biases(layer).unwrap());
        if let Some(norm) = net.norm_parameters(layer).unwrap() {
            all.extend([norm.gamma, norm.beta, norm.mean, norm.variance].concat());
        }
    }
    support::widen(&all)
}
