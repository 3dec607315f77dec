//! Loops of the caller's own, as in reinforcement learning: Q-learning and twin critics with gradients
//! of their own, and acting on one state; every level on one thread, the best on two, and the naive
//! path. `benches/peers` runs the same in other libraries. `cargo bench --bench own_loop`.

mod common;

use common::{Numbers, flops};
use criterion::{Criterion, Throughput};
use deltarule::{
    Activation, Adam, BatchTargets, Level, Loss, MatMut, MatRef, Matrix, Mlp, Predictor, Threads,
    Trainer, Training, reference,
};
use std::hint::black_box;

type Clock = Criterion<flops::Flops>;

/// Of Q-learning, γ.
const DISCOUNT: f32 = 0.99;
/// While the levels are compared: weights move by a thousandth a step.
const CHECK_RATE: f32 = 1e-3;
const CHECK_STEPS: usize = 5;
/// While a loop is timed: millions of steps on one batch, which must not fit it.
const RATE: f32 = 1e-6;

/// A job's networks and its batch.
struct Shape {
    layers: &'static [usize],
    rows: usize,
}

const DQN: Shape = Shape { layers: &[4, 64, 2], rows: 64 };
/// 17 numbers of a state and 6 of an action, as for the robots of MuJoCo.
const TWIN_Q: Shape = Shape { layers: &[23, 256, 256, 1], rows: 256 };

impl Shape {
    fn n_in(&self) -> usize {
        self.layers[0]
    }

    fn n_out(&self) -> usize {
        self.layers[self.layers.len() - 1]
    }

    fn forward_flops(&self) -> u64 {
        let products = self.layers.windows(2).map(|w| 2 * w[0] * w[1]).sum::<usize>();
        (self.rows * products) as u64
    }

    /// Without the gradient of the inputs of the first layer.
    fn train_flops(&self) -> u64 {
        3 * self.forward_flops() - (2 * self.rows * self.layers[0] * self.layers[1]) as u64
    }

    fn net(&self, seed: u64, level: Level) -> Mlp {
        let (&last, hidden) = self.layers[1..].split_last().expect("at least two sizes");
        let builder = Mlp::builder(self.n_in()).level(level).seed(seed);
        let builder = hidden.iter().fold(builder, |b, &n| b.dense(n, Activation::Relu));
        builder.dense(last, Activation::Identity).build().expect("a network")
    }

    fn batch(&self) -> Batch {
        let mut numbers = Numbers(5);
        let matrix = |values| Matrix::from_vec(self.rows, self.n_in(), values).expect("a batch");
        Batch {
            x: matrix(numbers.uniform(self.rows * self.n_in())),
            next: matrix(numbers.uniform(self.rows * self.n_in())),
            actions: numbers.labels(self.rows, self.n_out()),
            rewards: numbers.uniform(self.rows),
        }
    }

    fn zeros(&self) -> Matrix {
        Matrix::zeros(self.rows, self.n_out())
    }
}

struct Batch {
    x: Matrix,
    /// The states after the actions.
    next: Matrix,
    actions: Vec<u32>,
    /// For critics the targets.
    rewards: Vec<f32>,
}

/// Where and how fast a loop learns.
#[derive(Clone, Copy)]
struct Way {
    level: Level,
    threads: Threads,
    rate: f32,
}

/// An iteration. Returns its loss.
type Step<'a> = Box<dyn FnMut() -> f32 + 'a>;
/// A loop on a batch.
type Loop = for<'a> fn(Way, &'a Batch) -> Step<'a>;

fn training(shape: &Shape, seed: u64, way: Way) -> Training<'static> {
    Trainer::new(Adam::new(way.rate))
        .loss(Loss::MeanSquared)
        .batch_size(shape.rows)
        .threads(way.threads)
        .session_values(shape.net(seed, way.level))
        .expect("options that fit")
}

fn largest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::MIN, f32::max)
}

/// The error of Q(s, a) against r + γ·max Q'(s', ·).
fn td_error(batch: &Batch, row: usize, q: &[f32], next: &[f32]) -> f32 {
    q[batch.actions[row] as usize] - (batch.rewards[row] + DISCOUNT * largest(next))
}

/// The mean of the squared errors: ∂L/∂Q = 2/B times the error at the action taken, else 0.
fn dqn(way: Way, batch: &Batch) -> Step<'_> {
    let mut online = training(&DQN, 1, way);
    let target = DQN.net(2, way.level);
    let mut target = Predictor::new(target, DQN.rows, way.threads).expect("a predictor");
    let (mut next, mut dq) = (DQN.zeros(), DQN.zeros());
    Box::new(move || {
        target.predict_into(&batch.next, &mut next).expect("outputs");
        let q = online.forward(&batch.x).expect("outputs");
        let mut loss = 0.0;
        for (row, dq) in dq.as_mut_slice().chunks_mut(DQN.n_out()).enumerate() {
            let error = td_error(batch, row, q.row(row), next.row(row));
            dq.fill(0.0);
            dq[batch.actions[row] as usize] = 2.0 / DQN.rows as f32 * error;
            loss += error * error;
        }
        online.backward(&dq).expect("gradients");
        online.update().expect("an update");
        loss / DQN.rows as f32
    })
}

/// Two critics with the same targets: the sum of their mean squared errors.
fn twin_q(way: Way, batch: &Batch) -> Step<'_> {
    let mut critics = [1, 2].map(|seed| training(&TWIN_Q, seed, way));
    let mut dq = TWIN_Q.zeros();
    Box::new(move || {
        let mut loss = 0.0;
        for critic in &mut critics {
            let q = critic.forward(&batch.x).expect("outputs");
            for (row, (dq, target)) in dq.as_mut_slice().iter_mut().zip(&batch.rewards).enumerate()
            {
                let error = q.row(row)[0] - target;
                *dq = 2.0 / TWIN_Q.rows as f32 * error;
                loss += error * error;
            }
            critic.backward(&dq).expect("gradients");
            critic.update().expect("an update");
        }
        loss / TWIN_Q.rows as f32
    })
}

/// The same by `Training::step`, whose loss this is: what separate calls cost.
fn twin_q_by_step(way: Way, batch: &Batch) -> Step<'_> {
    let mut critics = [1, 2].map(|seed| training(&TWIN_Q, seed, way));
    let y = MatRef::new(&batch.rewards, TWIN_Q.rows, 1).expect("targets");
    Box::new(move || {
        let step =
            |critic: &mut Training| critic.step(&batch.x, BatchTargets::Values(y)).expect("a step");
        critics.iter_mut().map(step).sum()
    })
}

fn naive_optimizer(way: Way) -> reference::Optimizer<f32> {
    reference::Optimizer::new(reference::Rule::adam(), f64::from(way.rate))
}

/// The quadratic cost's gradient is (Q − y)/B, so targets of 2y − Q for the actions taken, and Q for the
/// others, give that of the squared error. The pass for the gradients is a second one.
fn naive_dqn(way: Way, batch: &Batch) -> Step<'_> {
    let mut online = common::naive(&DQN.net(1, way.level));
    let target = common::naive(&DQN.net(2, way.level));
    let mut optimizer = naive_optimizer(way);
    Box::new(move || {
        let next = target.forward(batch.next.as_slice()).expect("outputs");
        let mut q = online.forward(batch.x.as_slice()).expect("outputs");
        let mut loss = 0.0;
        for (row, (q, next)) in q.chunks_mut(DQN.n_out()).zip(next.chunks(DQN.n_out())).enumerate()
        {
            let error = td_error(batch, row, q, next);
            q[batch.actions[row] as usize] -= 2.0 * error;
            loss += error * error;
        }
        let samples = reference::Batch::new(batch.x.as_slice(), reference::Target::Values(&q));
        online.step(&samples, &reference::Loss::Quadratic, &mut optimizer).expect("a step");
        loss / DQN.rows as f32
    })
}

fn naive_twin_q(way: Way, batch: &Batch) -> Step<'_> {
    let mut critics = [1, 2].map(|seed| common::naive(&TWIN_Q.net(seed, way.level)));
    let mut optimizers = [1, 2].map(|_| naive_optimizer(way));
    let target = reference::Target::Values(&batch.rewards);
    let samples = reference::Batch::new(batch.x.as_slice(), target);
    Box::new(move || {
        let both = critics.iter_mut().zip(&mut optimizers);
        both.map(|(critic, optimizer)| {
            critic.step(&samples, &reference::Loss::MeanSquaredError, optimizer).expect("a step")
        })
        .sum()
    })
}

struct Job<'a> {
    name: &'a str,
    flops: u64,
    batch: Batch,
    /// At every level and on two threads.
    of: Loop,
    /// At the best level on one thread.
    others: &'a [(&'a str, Loop)],
}

fn learn(c: &mut Clock, job: &Job) {
    let Job { name, flops, batch, of, others } = job;
    let mut group = c.benchmark_group(format!("own_loop/{name}"));
    group.throughput(Throughput::Elements(*flops));
    let best = Level::best();
    let mut ways: Vec<(String, Level, usize, Loop)> = Vec::new();
    for level in Level::available() {
        ways.push((level.name().to_string(), level, 1, *of));
    }
    if common::two_cores() {
        ways.push((format!("{}-2-threads", best.name()), best, 2, *of));
    }
    ways.extend(others.iter().map(|&(id, other)| (id.to_string(), best, 1, other)));

    let mut want: Vec<f32> = Vec::new();
    for (id, level, threads, of) in ways {
        let way = |rate| {
            let threads = if threads == 1 { Threads::One } else { Threads::N(threads) };
            Way { level, threads, rate }
        };
        let mut step = of(way(CHECK_RATE), batch);
        let losses: Vec<f32> = (0..CHECK_STEPS).map(|_| step()).collect();
        assert!(losses[CHECK_STEPS - 1] < losses[0], "{name} {id}: the losses are {losses:?}");
        if want.is_empty() {
            want.clone_from(&losses);
        }
        let agree = losses.iter().zip(&want).all(|(loss, want)| (loss / want - 1.0).abs() < 1e-4);
        assert!(agree, "{name} {id}: the losses are {losses:?}, not {want:?}");

        let mut step = of(way(RATE), batch);
        flops::against(level, threads);
        group.bench_function(id, |bench| bench.iter(&mut step));
    }
    group.finish();
}

/// The number of the highest output for one state.
fn act(c: &mut Clock) {
    let one = Shape { rows: 1, ..DQN };
    let mut group = c.benchmark_group("own_loop/act");
    group.throughput(Throughput::Elements(one.forward_flops()));
    let batch = DQN.batch();
    let argmax = |row: &[f32]| row.iter().position(|&q| q == largest(row)).expect("a number");
    let naive = common::naive(&one.net(1, Level::best()));
    let naive = |x: MatRef| argmax(&naive.forward(x.row(0)).expect("outputs"));
    let states: Vec<MatRef> = (0..DQN.rows).map(|i| batch.x.view().row_range(i, i + 1)).collect();
    for level in Level::available() {
        let net = one.net(1, level);
        let mut predictor = Predictor::new(&net, 1, Threads::One).expect("a predictor");
        let mut q = vec![0.0; one.n_out()];
        let mut act = |x: MatRef| {
            let out = MatMut::new(&mut q, 1, one.n_out()).expect("outputs");
            predictor.predict_into(x, out).expect("a row that fits");
            argmax(&q)
        };
        let agree = states.iter().all(|&x| act(x) == naive(x));
        assert!(agree, "act {}: other actions than the naive path's", level.name());
        flops::against(level, 1);
        group.bench_function(level.name(), |bench| bench.iter(|| act(black_box(states[0]))));
    }
    flops::against(Level::best(), 1);
    group.bench_function("naive", |bench| bench.iter(|| naive(black_box(states[0]))));
    group.finish();
}

fn main() {
    let mut c = flops::criterion().configure_from_args();
    let dqn = Job {
        name: "dqn",
        flops: DQN.forward_flops() + DQN.train_flops(),
        batch: DQN.batch(),
        of: dqn,
        others: &[("naive", naive_dqn)],
    };
    let twin_q = Job {
        name: "twin_q",
        flops: 2 * TWIN_Q.train_flops(),
        batch: TWIN_Q.batch(),
        of: twin_q,
        others: &[("step", twin_q_by_step), ("naive", naive_twin_q)],
    };
    learn(&mut c, &dqn);
    learn(&mut c, &twin_q);
    act(&mut c);
    c.final_summary();
}
