//! A service that holds the crate: it trains a small network for each of its users in its own pool of
//! threads, many at once, and goes on training each of them as new data comes in.
//!
//! The networks are models of memory, as programs for spaced repetition have: the probability that a user
//! recalls a card, from the days since the last review, the card's stability (the days after which an
//! average user recalls it with a probability of 0.9), and its difficulty. Reviews are simulated.
//!
//! `cargo run --release --example embed` trains the networks, cancels one job, lets another run out of
//! time, feeds new reviews, and prints a table. It fails if weights depend on the pool.

// To count allocations; a service has no use for it.
#[path = "../tests/support/alloc.rs"]
mod alloc;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/reviews.rs"]
mod reviews;

pub use alloc::Region;
pub use reviews::{FEATURES, Review, reviews};

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, Cancel, MatMut, MatRef, Matrix, Mlp, Result, StopReason, Threads, Trainer,
    Training,
};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

/// The mean error |p − R| of a network's probabilities p.
pub fn error(net: &Mlp, reviews: &[Review]) -> Result<f64> {
    let features = reviews.iter().flat_map(|r| r.features).collect();
    let p = net.predict(&Matrix::from_vec(reviews.len(), FEATURES, features)?)?;
    let errors =
        p.as_slice().iter().zip(reviews).map(|(&p, r)| (f64::from(p) - r.probability).abs());
    Ok(errors.sum::<f64>() / reviews.len() as f64)
}

/// The training of one user's network.
pub struct Job {
    /// Whose network; the seed of its weights and of the order of its samples.
    pub user: u64,
    /// What it learns from.
    pub data: Dataset,
    /// Passes over the data.
    pub epochs: usize,
    /// The time that it may take from its start on. A job that takes longer ends with the step that it is
    /// in, and its network keeps what it has learned.
    pub limit: Duration,
    /// Stops it from any thread.
    pub cancel: Cancel,
}

/// What became of a job.
pub struct Trained {
    /// The user of the job.
    pub user: u64,
    /// The network; whatever ended the job, it is whole.
    pub net: Mlp,
    /// `Finished`, `Cancelled`, or `Callback` for a job out of time.
    pub stop: StopReason,
    /// Steps taken.
    pub steps: u64,
}

/// How far a job is.
pub struct Report {
    /// The user of the job.
    pub user: u64,
    /// Epochs done.
    pub epoch: usize,
    /// The mean loss of the last one.
    pub loss: f64,
}

/// What a job sends.
pub enum Event {
    /// After an epoch.
    Progress(Report),
    /// At the end.
    Done(Result<Trained>),
}

impl Job {
    /// A job without a limit.
    pub fn new(user: u64, reviews: &[Review]) -> Result<Job> {
        let features = reviews.iter().flat_map(|r| r.features).collect();
        let values = reviews.iter().map(|r| r.recalled).collect();
        let data = Dataset::from_f32(features, FEATURES, Targets::Values { values, n_outputs: 1 })?;
        Ok(Job { user, data, epochs: 30, limit: Duration::MAX, cancel: Cancel::new() })
    }

    /// Trains on the calling thread.
    fn run(self, events: &Sender<Event>) -> Result<Trained> {
        let Job { user, data, epochs, limit, cancel } = self;
        let net = Mlp::builder(FEATURES).dense(16, Activation::Tanh);
        let mut net = net.dense(1, Activation::Sigmoid).seed(user).build()?;
        let started = Instant::now();
        let history = Trainer::new(Adam::new(0.01))
            .epochs(epochs)
            .seed(user)
            // There are more jobs than threads, so each job needs one only. `Threads::Current`, the default,
            // would give the same bits and let idle threads of the pool help with large steps.
            .threads(Threads::One)
            .cancel(&cancel)
            .on_step(|_| match started.elapsed() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
            .on_epoch(|epoch| {
                let report = Report { user, epoch: epoch.epoch, loss: epoch.loss };
                // Nobody waits for a job whose receiver is gone.
                let sent = events.send(Event::Progress(report));
                sent.map_or(ControlFlow::Break(()), ControlFlow::Continue)
            })
            .fit(&mut net, &data)?;
        Ok(Trained { user, net, stop: history.stop_reason, steps: history.steps })
    }
}

/// The service: a pool of threads. When it is dropped, they end after the jobs that they have.
pub struct Service {
    pool: ThreadPool,
}

impl Service {
    /// Starts the threads.
    pub fn new(threads: usize) -> std::result::Result<Service, ThreadPoolBuildError> {
        let name = |i| format!("trainer {i}");
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()?;
        Ok(Service { pool })
    }

    /// Begins a job as soon as a thread is free, and returns at once.
    pub fn submit(&self, job: Job, events: Sender<Event>) {
        self.pool.spawn(move || {
            let done = Event::Done(job.run(&events));
            // The receiver may be gone, and with it the interest in the network.
            let _ = events.send(done);
        });
    }

    /// Does these jobs, and calls `watch` on this thread while they run. Returns what became of them, in
    /// the order of their users.
    pub fn train(&self, jobs: Vec<Job>, mut watch: impl FnMut(Report)) -> Result<Vec<Trained>> {
        let (sender, events) = mpsc::channel();
        jobs.into_iter().for_each(|job| self.submit(job, sender.clone()));
        drop(sender);
        let mut all = Vec::new();
        for event in events {
            match event {
                Event::Progress(report) => watch(report),
                Event::Done(trained) => all.push(trained?),
            }
        }
        all.sort_by_key(|trained| trained.user);
        Ok(all)
    }
}

/// Reviews that a step of a `Learner` takes: the new one and those before it, for one alone would pull the
/// network towards its own answer.
const WINDOW: usize = 16;

/// A user's network in service, which learns from each review as it comes.
pub struct Learner {
    /// It owns its network, so this struct borrows nothing and can be stored and sent to any thread.
    training: Training<'static>,
    /// The last reviews; a new one replaces the oldest.
    features: Matrix,
    recalled: Matrix,
    seen: usize,
}

impl Learner {
    /// Takes a network into service.
    pub fn new(net: Mlp) -> Result<Learner> {
        // A tenth of the rate of the training before: each review is in `WINDOW` steps.
        let trainer = Trainer::new(Adam::new(0.0003)).batch_size(WINDOW).threads(Threads::One);
        let training = trainer.session_values(net)?;
        let (features, recalled) = (Matrix::zeros(WINDOW, FEATURES), Matrix::zeros(WINDOW, 1));
        Ok(Learner { training, features, recalled, seen: 0 })
    }

    /// The probability that the user recalls a card, without an allocation after the first call.
    pub fn recall(&mut self, features: &[f32; FEATURES]) -> Result<f32> {
        let mut p = [0.0];
        let (x, out) = (MatRef::new(features, 1, FEATURES)?, MatMut::new(&mut p, 1, 1)?);
        self.training.predict_into(x, out)?;
        Ok(p[0])
    }

    /// Makes a step with a new review, without an allocation. Returns the loss before it.
    pub fn learn(&mut self, review: &Review) -> Result<f32> {
        let oldest = self.seen % WINDOW;
        self.features.view_mut().row_mut(oldest).copy_from_slice(&review.features);
        self.recalled.view_mut().row_mut(oldest)[0] = review.recalled;
        self.seen += 1;
        let rows = self.seen.min(WINDOW);
        let [x, y] = [&self.features, &self.recalled].map(|m| m.view().row_range(0, rows));
        self.training.step(x, y)
    }

    /// The network as it is now.
    pub fn network(&self) -> &Mlp {
        self.training.network()
    }

    /// Takes the network out of service.
    pub fn into_network(self) -> Mlp {
        self.training.into_network()
    }
}

/// A number for all weights of these networks.
pub fn digest<'a>(nets: impl IntoIterator<Item = &'a Mlp>) -> u64 {
    // FNV-1a, by words instead of bytes.
    let next = |all: u64, net: &Mlp| (all ^ net.digest()).wrapping_mul(0x0000_0100_0000_01b3);
    nets.into_iter().fold(0xcbf2_9ce4_8422_2325, next)
}

/// Threads of this process, where the system tells (Linux).
pub fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// Threads more than before. Rayon does not wait for the threads of a pool that is dropped, so this does,
/// for at most a second.
pub fn threads_left(before: usize) -> Option<usize> {
    for _ in 0..1000 {
        if threads()? <= before {
            return Some(0);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(threads()?.saturating_sub(before))
}

/// Users, and reviews of each to learn from; more follow.
const USERS: u64 = 200;
const REVIEWS: usize = 300;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let before = threads();
    let all: Vec<_> = (0..USERS).map(|user| reviews(user, 2 * REVIEWS)).collect();
    let jobs = || -> Result<Vec<Job>> {
        (0..).zip(&all).map(|(user, reviews)| Job::new(user, &reviews[..REVIEWS])).collect()
    };
    let cores = std::thread::available_parallelism()?.get();
    println!("{USERS} users, {REVIEWS} reviews each\n");
    let mut digests = Vec::new();
    for threads in [1, cores] {
        let (service, jobs, start) = (Service::new(threads)?, jobs()?, Instant::now());
        let trained = service.train(jobs, |_| ())?;
        let speed = USERS as f64 / start.elapsed().as_secs_f64();
        // The last two users are those of the next run whose jobs do not finish.
        digests.push(digest(trained[..trained.len() - 2].iter().map(|t| &t.net)));
        println!("{:<34} {speed:>8.0}", format!("networks per second, pool of {threads}"));
    }

    // Two jobs that would not end: one is cancelled at its first report, one is out of time.
    let service = Service::new(cores)?;
    let mut jobs = jobs()?;
    let [.., cancelled, late] = &mut jobs[..] else { return Err("too few users".into()) };
    (cancelled.epochs, late.epochs) = (usize::MAX, usize::MAX);
    late.limit = Duration::from_millis(50);
    let (user, cancel) = (cancelled.user, cancelled.cancel.clone());
    // This thread watches, those of the pool train.
    let trained = service.train(jobs, |report| {
        if report.user == user {
            cancel.cancel();
        }
    })?;
    let ended = |stop| trained.iter().filter(|t| t.stop == stop).count();
    println!("{:<34} {:>8}", "jobs finished", ended(StopReason::Finished));
    println!("{:<34} {:>8}", "jobs cancelled", ended(StopReason::Cancelled));
    println!("{:<34} {:>8}", "jobs out of time", ended(StopReason::Callback));
    let finished = trained.iter().filter(|t| t.stop == StopReason::Finished);
    digests.push(digest(finished.map(|t| &t.net)));

    // New reviews of all users but the two.
    let held_out = |user: u64| reviews(user, 3 * REVIEWS).split_off(2 * REVIEWS);
    let n = trained.len() - 2;
    let (mut first, mut later) = (0.0, 0.0);
    let mut learners = Vec::new();
    for Trained { user, net, .. } in trained.into_iter().take(n) {
        first += error(&net, &held_out(user))? / n as f64;
        let mut learner = Learner::new(net)?;
        learner.recall(&all[0][0].features)?;
        learners.push(learner);
    }
    let (mut asked, mut recalled) = (0.0, 0.0);
    let (region, start) = (Region::start(), Instant::now());
    for review in REVIEWS..2 * REVIEWS {
        for (learner, reviews) in learners.iter_mut().zip(&all) {
            // The service asks before it shows the card, and learns from the answer.
            asked += f64::from(learner.recall(&reviews[review].features)?);
            recalled += f64::from(reviews[review].recalled);
            learner.learn(&reviews[review])?;
        }
    }
    let (time, steps) = (start.elapsed(), learners.len() * REVIEWS);
    let allocations = region.end().allocations;
    for (user, learner) in (0..).zip(&learners) {
        later += error(learner.network(), &held_out(user))? / n as f64;
    }
    println!("{:<34} {steps:>8}", "reviews learned as they came");
    println!(
        "{:<34} {:>8.2}",
        "µs to predict and learn a review",
        time.as_secs_f64() * 1e6 / steps as f64
    );
    println!("{:<34} {allocations:>8}", "allocations meanwhile");
    let [asked, recalled] = [asked, recalled].map(|sum| sum / steps as f64);
    println!("{:<34} {asked:>8.3}", "share recalled, as predicted");
    println!("{:<34} {recalled:>8.3}", "share recalled");
    println!("{:<34} {first:>8.3}", "error of the probability, before");
    println!("{:<34} {later:>8.3}", "error of the probability, after");

    drop((service, learners));
    let left = before.and_then(threads_left);
    let text = left.map_or("unknown".into(), |n| n.to_string());
    println!("{:<34} {text:>8}", "threads left");
    println!("{:<34} {:016x}", "digest of the finished jobs", digests[0]);
    if digests.iter().any(|&digest| digest != digests[0]) {
        return Err(format!("the digests differ: {digests:016x?}").into());
    }
    Ok(())
}
