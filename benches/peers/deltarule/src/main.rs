//! This crate's loops of the caller's own, beside those of the peers.

#[allow(dead_code, reason = "the other modes are in examples/throughput.rs")]
#[path = "../../common.rs"]
mod common;
#[path = "../../loops.rs"]
mod loops;

use common::{Args, Mode};
use deltarule::{
    Activation, Adam, Level, MatMut, MatRef, Matrix, Mlp, Predictor, Threads, Trainer, Training,
};
use loops::{Actor, Batch, DISCOUNT, Learner, Peer, batches, layers};

fn threads(args: &Args) -> Threads {
    match args.threads {
        0 => Threads::Current,
        1 => Threads::One,
        n => Threads::N(n),
    }
}

fn network(args: &Args, number: u64) -> Mlp {
    let layers = layers(args, number);
    let (last, hidden) = layers.split_last().expect("a layer");
    let builder = hidden.iter().fold(Mlp::builder(args.layers[0]), |builder, layer| {
        builder.dense(layer.n_out, Activation::Relu)
    });
    let mut net = builder.dense(last.n_out, Activation::Identity).build().expect("a network");
    for (i, layer) in layers.iter().enumerate() {
        let weights = MatRef::new(&layer.weights, layer.n_in, layer.n_out).expect("weights");
        net.set_parameters(i, weights, &layer.biases).expect("parameters");
    }
    net
}

fn training(args: &Args, number: u64, rate: f64) -> Training<'static> {
    Trainer::new(Adam::new(rate as f32))
        .batch_size(args.rows)
        .threads(threads(args))
        .session_values(network(args, number))
        .expect("a session")
}

fn predictor(args: &Args, number: u64) -> Predictor<'static> {
    Predictor::new(network(args, number), args.rows, threads(args)).expect("a predictor")
}

fn parameters(net: &Mlp) -> Vec<f32> {
    let of = |i| {
        let weights = net.weights(i).expect("weights").into_vec();
        [weights, net.biases(i).expect("biases")].concat()
    };
    (0..net.layers().len()).flat_map(of).collect()
}

/// Of a batch.
struct Shape {
    rows: usize,
    n_in: usize,
}

impl Shape {
    fn of(args: &Args) -> Self {
        Self { rows: args.rows, n_in: args.layers[0] }
    }

    fn matrix<'a>(&self, values: &'a [f32]) -> MatRef<'a> {
        MatRef::new(values, self.rows, self.n_in).expect("a batch")
    }
}

fn argmax(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Q-learning: the squared error of Q(s, a) to r + γ·max Q'(s', ·), the mean over the rows.
struct Dqn {
    batches: Vec<Batch>,
    shape: Shape,
    online: Training<'static>,
    target: Predictor<'static>,
    next: Matrix,
    dq: Matrix,
}

impl Learner for Dqn {
    type Loss = f32;

    fn new(args: &Args, rate: f64) -> Self {
        let outputs = || Matrix::zeros(args.rows, args.layers[args.layers.len() - 1]);
        Self {
            batches: batches(args),
            shape: Shape::of(args),
            online: training(args, 0, rate),
            target: predictor(args, 1),
            next: outputs(),
            dq: outputs(),
        }
    }

    fn step(&mut self, i: usize) -> f32 {
        let batch = &self.batches[i];
        let next = self.shape.matrix(&batch.next);
        self.target.predict_into(next, &mut self.next).expect("outputs");
        let q = self.online.forward(self.shape.matrix(&batch.x)).expect("outputs");
        let (rows, actions) = (self.next.rows(), self.next.cols());
        let dq = self.dq.as_mut_slice();
        dq.fill(0.0);
        let mut loss = 0.0;
        for row in 0..rows {
            let best = self.next.row(row).iter().copied().fold(f32::MIN, f32::max);
            let target = batch.rewards[row] + DISCOUNT * batch.goes_on[row] * best;
            let action = batch.actions[row] as usize;
            let error = q.row(row)[action] - target;
            loss += error * error;
            dq[row * actions + action] = 2.0 / rows as f32 * error;
        }
        self.online.backward(&self.dq).expect("gradients");
        self.online.update().expect("an update");
        loss / rows as f32
    }

    fn value(loss: f32) -> f32 {
        loss
    }

    fn parameters(&self) -> Vec<f32> {
        parameters(self.online.network())
    }
}

/// Two critics: the squared error of each to the same targets.
struct TwinQ {
    batches: Vec<Batch>,
    shape: Shape,
    critics: [Training<'static>; 2],
    dq: Matrix,
}

impl Learner for TwinQ {
    type Loss = f32;

    fn new(args: &Args, rate: f64) -> Self {
        Self {
            batches: batches(args),
            shape: Shape::of(args),
            critics: [training(args, 0, rate), training(args, 1, rate)],
            dq: Matrix::zeros(args.rows, 1),
        }
    }

    fn step(&mut self, i: usize) -> f32 {
        let batch = &self.batches[i];
        let (x, count) = (self.shape.matrix(&batch.x), self.shape.rows as f32);
        let mut loss = 0.0;
        for critic in &mut self.critics {
            let q = critic.forward(x).expect("outputs");
            let dq = self.dq.as_mut_slice();
            for (row, (dq, target)) in dq.iter_mut().zip(&batch.targets).enumerate() {
                let error = q.row(row)[0] - target;
                loss += error * error;
                *dq = 2.0 / count * error;
            }
            critic.backward(&self.dq).expect("gradients");
            critic.update().expect("an update");
        }
        loss / count
    }

    fn value(loss: f32) -> f32 {
        loss
    }

    fn parameters(&self) -> Vec<f32> {
        self.critics.iter().flat_map(|critic| parameters(critic.network())).collect()
    }
}

struct Act {
    batches: Vec<Batch>,
    shape: Shape,
    predictor: Predictor<'static>,
    outputs: Vec<f32>,
}

impl Act {
    fn predict(&mut self, i: usize) -> &[f32] {
        let x = self.shape.matrix(&self.batches[i].x);
        let n_out = self.outputs.len();
        let out = MatMut::new(&mut self.outputs, 1, n_out).expect("a row");
        self.predictor.predict_into(x, out).expect("outputs");
        &self.outputs
    }
}

impl Actor for Act {
    fn new(args: &Args) -> Self {
        Self {
            batches: batches(args),
            shape: Shape::of(args),
            predictor: predictor(args, 0),
            outputs: vec![0.0; args.layers[args.layers.len() - 1]],
        }
    }

    fn outputs(&mut self, i: usize) -> Vec<f32> {
        self.predict(i).to_vec()
    }

    fn act(&mut self, i: usize) -> u32 {
        argmax(self.predict(i)) as u32
    }

    fn value(&mut self, i: usize) -> f32 {
        self.predict(i)[0]
    }
}

fn main() {
    let args = Args::parse();
    assert!(args.mode == Mode::Loop, "examples/throughput.rs has the other modes");
    let (variant, version) = (Level::best().name(), env!("CARGO_PKG_VERSION"));
    let peer = Peer { name: "deltarule", variant, version };
    loops::run::<Dqn, TwinQ, Act>(&args, &peer);
}
