//! Twelve calls whose instructions `benches/instructions/count.py` counts: a step and a prediction of each
//! of the five networks and of the tiny one. `cargo bench --bench instructions` makes each once.

#[path = "../common/mod.rs"]
mod common;

use common::{Numbers, WORKLOADS, Workload};
use deltarule::{
    Activation, BatchTargets, Level, MatMut, MatRef, Predictor, Sgd, Threads, Trainer,
};

/// The network of one of Anki's schedulers' size.
const TINY: Workload = Workload {
    name: "tiny",
    layers: &[6, 64, 8, 4],
    activation: Activation::Relu,
    batch: 32,
    optimizer: || Sgd::new(1e-3).into(),
};

/// Multiply-adds of a step's forward pass at most: under the counter each takes a hundred times as long.
const MOST_WORK: usize = 20_000_000;

/// Calls before the one that is counted: the first ones fill buffers and look for zeros.
const WARM_UP: usize = 2;

/// The counter collects inside this function alone.
#[inline(never)]
fn counted_call(call: &mut dyn FnMut()) {
    call();
}

fn count(mut call: impl FnMut()) {
    (0..WARM_UP).for_each(|_| call());
    counted_call(&mut call);
}

fn step(w: &Workload) {
    let rows = w.batch.min(MOST_WORK * 2 / w.forward_flops() as usize);
    let mut net = w.net(Level::best());
    let mut numbers = Numbers(5);
    let (features, labels) = (numbers.uniform(rows * w.n_in()), numbers.labels(rows, w.n_out()));
    let trainer = Trainer::new((w.optimizer)()).batch_size(rows).threads(Threads::One);
    let mut training = trainer.session(&mut net).expect("a session");
    let x = MatRef::new(&features, rows, w.n_in()).expect("rows");
    count(|| {
        training.step(x, BatchTargets::Classes(&labels)).expect("a step");
    });
}

fn prediction(w: &Workload) {
    let net = w.net(Level::best());
    let features = Numbers(7).uniform(w.n_in());
    let mut out = vec![0.0; w.n_out()];
    let mut predictor = Predictor::new(&net, 1, Threads::One).expect("a predictor");
    let x = MatRef::new(&features, 1, w.n_in()).expect("a row");
    count(|| {
        let out = MatMut::new(&mut out, 1, w.n_out()).expect("a row");
        predictor.predict_into(x, out).expect("a prediction");
    });
}

fn main() {
    // `cargo bench` gives flags; a name makes that call alone.
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    for w in WORKLOADS.iter().chain([&TINY]) {
        for (kind, call) in [("train", step as fn(&Workload)), ("predict", prediction)] {
            let name = format!("{kind}/{}", w.name);
            if wanted.as_ref().is_none_or(|wanted| *wanted == name) {
                call(w);
                println!("{name} at {}", Level::best().name());
            }
        }
    }
}
