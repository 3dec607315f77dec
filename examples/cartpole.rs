//! Q-learning with a network: a pole is kept upright on a cart by pushes to the left and to the right.
//!
//! The network gives Q(s, a), the expected discounted sum of the rewards after action a in state s. Each step
//! adds a transition (s, a, r, s′) to a replay buffer, and learns from a batch of it (Mnih et al., Nature 518,
//! 529–533, 2015). The error of a row is
//!
//! e = Q(s, a) − (r + γ·Q′(s′, argmax Q(s′, ·)))
//!
//! where Q′ is the target network, a moving average of Q (Lillicrap et al. 2016, arXiv:1509.02971), and the
//! next action is Q's own choice (double Q-learning, van Hasselt, Guez and Silver 2016, arXiv:1509.06461). The
//! loss is Huber's with δ = 1, so ∂L/∂Q(s, a) is e within −1..1, and 0 for the action not taken.
//!
//! As in Barto, Sutton and Anderson's work, the reward is −1 when the pole falls, else 0. For a pole that falls
//! in step T from s, Q = −γ^(T−1). The benchmark's reward of 1 per step gives (1 − γ^T)/(1 − γ) = (1 + γQ)/(1 − γ):
//! the same order of the actions, by numbers up to 100 instead of −1..0.
//!
//! The task is solved when the mean return of 100 consecutive episodes is 195 of at most 200 steps.
//!
//! `cargo run --release --example cartpole` learns with five seeds, and draws the mean returns into
//! `target/lecture/cartpole.svg`.

#[path = "common/cart_pole.rs"]
pub mod cart_pole;
#[path = "common/numbers.rs"]
pub mod numbers;
#[path = "common/plot.rs"]
mod plot;
#[path = "common/replay.rs"]
pub mod replay;

use cart_pole::{Episode, FALLEN, LIMIT, Outcome, Push, State, TRACK};
use deltarule::{
    Activation, Adam, MatMut, MatRef, Matrix, Mlp, Predictor, Result, Threads, Trainer, Training,
};
use numbers::Numbers;
use plot::{COLORS, Curve, Panel, RGBColor, SeriesLabelPosition};
use replay::Replay;
use std::time::Instant;

/// γ: a fall counts half if it is 69 steps away, a third of an episode.
pub const DISCOUNT: f32 = 0.99;
/// Neurons of each of the two hidden layers. With 64 one seed of ten is not solved within 600 episodes.
const HIDDEN: usize = 128;
/// Transitions that are kept: the last 250 full episodes, so most runs keep all.
const CAPACITY: usize = 50_000;
/// Transitions of a step of learning, which takes about 0.1 ms.
const BATCH: usize = 128;
/// Steps before the first step of learning: about 23 episodes, most of whose actions are random.
const WARM_UP: u64 = 500;
/// The share of random actions falls from 1 to the last within this number of steps.
const EXPLORED: f64 = 4_000.0;
/// Two actions of an episode.
const LEAST_EXPLORATION: f64 = 0.01;
/// Of the optimiser. With 1e-3 and 64 neurons four seeds of ten are not solved within 600 episodes.
const RATE: f32 = 3e-4;
/// Of the target network: it averages over about 100 steps.
const TAU: f32 = 0.01;

/// Episodes that a mean return is over.
pub const WINDOW: usize = 100;
/// The mean return of a solved task.
pub const SOLVED: f64 = 195.0;
/// A run without success ends after this number of episodes.
const MOST_EPISODES: usize = 1000;
/// Runs of the program, each with its seed.
const SEEDS: u64 = 5;

/// What the buffer keeps.
#[derive(Clone, Copy, Debug)]
struct Transition {
    state: [f32; 4],
    action: usize,
    next: [f32; 4],
    outcome: Outcome,
}

/// The numbers of a state as the network takes them, each about within −1..1.
fn inputs([x, speed, angle, turn]: State) -> [f32; 4] {
    // Speeds that the cart and the pole reach when they are pushed to one side for a quarter of a second.
    const SPEED: f64 = 2.5;
    const TURN: f64 = 3.5;
    [x / TRACK, speed / SPEED, angle / FALLEN, turn / TURN].map(|v| v as f32)
}

/// The number of the larger output.
fn best(q: &[f32]) -> usize {
    usize::from(q[1] > q[0])
}

/// What Q(s, a) should be: r + γ·Q′(s′, argmax Q(s′, ·)), from the values of s′ by Q and by Q′. No reward
/// follows a fall.
pub fn goal(outcome: Outcome, next_q: &[f32], target_q: &[f32]) -> f32 {
    match outcome {
        Outcome::Fallen => -1.0,
        Outcome::Stands | Outcome::TimeIsUp => DISCOUNT * target_q[best(next_q)],
    }
}

/// ∂L/∂Q of a row, for Huber's loss of Q(s, a) against its goal with δ = 1.
pub fn gradient(q: &[f32], action: usize, goal: f32, dq: &mut [f32]) {
    dq.fill(0.0);
    dq[action] = (q[action] - goal).clamp(-1.0, 1.0);
}

/// A network that learns, with what it needs for a step.
pub struct Agent {
    online: Training<'static>,
    target: Predictor<'static>,
    replay: Replay<Transition>,
    numbers: Numbers,
    /// Of a batch: states and the states that followed.
    states: Matrix,
    next: Matrix,
    /// Outputs of the online and the target network for the states that followed.
    next_q: Matrix,
    target_q: Matrix,
    gradient: Matrix,
    drawn: Vec<Transition>,
}

impl Agent {
    /// One that knows nothing yet.
    pub fn new(seed: u64) -> Result<Self> {
        let n = Push::ALL.len();
        let net = Mlp::builder(4).dense(HIDDEN, Activation::Relu).dense(HIDDEN, Activation::Relu);
        let net = net.dense(n, Activation::Identity).seed(seed).build()?;
        Ok(Agent {
            target: Predictor::new(net.clone(), BATCH, Threads::One)?,
            online: Trainer::new(Adam::new(RATE))
                .batch_size(BATCH)
                .threads(Threads::One)
                .session_values(net)?,
            replay: Replay::new(CAPACITY),
            numbers: Numbers::new(seed),
            states: Matrix::zeros(BATCH, 4),
            next: Matrix::zeros(BATCH, 4),
            next_q: Matrix::zeros(BATCH, n),
            target_q: Matrix::zeros(BATCH, n),
            gradient: Matrix::zeros(BATCH, n),
            drawn: Vec::with_capacity(BATCH),
        })
    }

    /// The network as it is now.
    pub fn network(&self) -> &Mlp {
        self.online.network()
    }

    /// The action with the largest Q.
    pub fn greedy(&mut self, state: State) -> Result<usize> {
        let mut q = [0.0; 2];
        let x = inputs(state);
        self.online.predict_into(MatRef::new(&x, 1, 4)?, MatMut::new(&mut q, 1, 2)?)?;
        Ok(best(&q))
    }

    /// A step of learning from a batch.
    fn learn(&mut self) -> Result<()> {
        self.drawn.clear();
        self.drawn.extend(self.replay.draw(&mut self.numbers).take(BATCH));
        for (row, t) in self.drawn.iter().enumerate() {
            self.states.as_mut_slice()[4 * row..][..4].copy_from_slice(&t.state);
            self.next.as_mut_slice()[4 * row..][..4].copy_from_slice(&t.next);
        }
        self.online.predict_into(&self.next, &mut self.next_q)?;
        self.target.predict_into(&self.next, &mut self.target_q)?;
        let q = self.online.forward(&self.states)?;
        let rows = self.drawn.iter().zip(self.gradient.as_mut_slice().chunks_mut(2));
        for (row, (t, dq)) in rows.enumerate() {
            let goal = goal(t.outcome, self.next_q.row(row), self.target_q.row(row));
            gradient(q.row(row), t.action, goal, dq);
            // L is the mean over the batch.
            dq[t.action] /= BATCH as f32;
        }
        self.online.backward(&self.gradient)?;
        self.online.update()?;
        self.target.blend(self.online.network(), TAU)?;
        Ok(())
    }
}

/// What a run has come to.
pub struct Run {
    /// The network at the end.
    pub agent: Agent,
    /// Of each episode, the steps until it ended.
    pub returns: Vec<usize>,
    /// Of all episodes.
    pub steps: u64,
}

impl Run {
    /// One before its first step.
    pub fn new(seed: u64) -> Result<Run> {
        Ok(Run { agent: Agent::new(seed)?, returns: Vec::new(), steps: 0 })
    }

    /// Learns until the task is solved, or the run has no more episodes.
    pub fn solve(&mut self) -> Result<()> {
        while self.returns.len() < MOST_EPISODES && !self.is_solved() {
            self.episode()?;
        }
        Ok(())
    }

    /// Whether the last episodes have solved the task.
    pub fn is_solved(&self) -> bool {
        self.returns.len() >= WINDOW && self.mean(self.returns.len() - 1) >= SOLVED
    }

    /// The mean return of this episode and those before it, as many as there are.
    pub fn mean(&self, episode: usize) -> f64 {
        let last = &self.returns[(episode + 1).saturating_sub(WINDOW)..=episode];
        last.iter().sum::<usize>() as f64 / last.len() as f64
    }

    /// Acts and learns until an episode ends.
    pub fn episode(&mut self) -> Result<()> {
        let agent = &mut self.agent;
        let mut episode = Episode::start(&mut agent.numbers);
        loop {
            let state = episode.state();
            let explored = (1.0 - self.steps as f64 / EXPLORED).max(LEAST_EXPLORATION);
            let action = if agent.numbers.uniform() < explored {
                agent.numbers.below(Push::ALL.len())
            } else {
                agent.greedy(state)?
            };
            let outcome = episode.step(Push::ALL[action]);
            let (state, next) = (inputs(state), inputs(episode.state()));
            agent.replay.push(Transition { state, action, next, outcome });
            self.steps += 1;
            if self.steps > WARM_UP {
                agent.learn()?;
            }
            if outcome != Outcome::Stands {
                self.returns.push(episode.steps());
                return Ok(());
            }
        }
    }
}

/// Returns the mean return of episodes without random actions, from other states than those of the run.
pub fn greedy_return(agent: &mut Agent, episodes: usize, seed: u64) -> Result<f64> {
    let mut numbers = Numbers::new(seed);
    let mut steps = 0;
    for _ in 0..episodes {
        let mut episode = Episode::start(&mut numbers);
        while episode.step(Push::ALL[agent.greedy(episode.state())?]) == Outcome::Stands {}
        steps += episode.steps();
    }
    Ok(steps as f64 / episodes as f64)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    println!(
        "until the mean return of {WINDOW} episodes is {SOLVED}; then {WINDOW} others without exploration"
    );
    println!(
        "{:>4} {:>9} {:>7} {:>8} {:>11}",
        "seed", "episodes", "steps", "seconds", "mean return"
    );
    let mut curves = Vec::new();
    for seed in 0..SEEDS {
        let start = Instant::now();
        let mut run = Run::new(seed)?;
        run.solve()?;
        let seconds = start.elapsed().as_secs_f64();
        let note = if run.is_solved() { "" } else { "  not solved" };
        // Another seed than those of the runs.
        let greedy = greedy_return(&mut run.agent, WINDOW, SEEDS + seed)?;
        let (episodes, steps) = (run.returns.len(), run.steps);
        println!("{seed:>4} {episodes:>9} {steps:>7} {seconds:>8.1} {greedy:>11.1}{note}");
        let points = (0..episodes).map(|i| (i as f64, run.mean(i))).collect();
        let color = COLORS[seed as usize % COLORS.len()];
        curves.push(Curve { name: format!("seed {seed}"), color, points });
    }
    let longest = curves.iter().map(|c| c.points.len()).max().unwrap_or(1) as f64;
    let title = format!("mean return of {WINDOW} episodes");
    let mut panel = Panel::new(title, 0.0..longest, 0.0..LIMIT as f64 + 5.0);
    // Where no curve is: they end at the top.
    panel.legend = SeriesLabelPosition::LowerRight;
    panel.curves = curves;
    panel.curves.extend(dashes(SOLVED, longest));
    let file = plot::file("cartpole")?;
    plot::save(&file, 1, &[panel])?;
    println!("\nwritten: {}", file.display());
    Ok(())
}

/// A dashed line at this height, from 0 to `end`.
fn dashes(height: f64, end: f64) -> impl Iterator<Item = Curve> {
    const DASHES: usize = 40;
    (0..DASHES).map(move |i| {
        let at = |share: f64| ((i as f64 + share) / DASHES as f64 * end, height);
        Curve { name: String::new(), color: RGBColor(0, 0, 0), points: vec![at(0.0), at(0.5)] }
    })
}
