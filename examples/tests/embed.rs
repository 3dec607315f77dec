//! The service of `embed.rs`: jobs that share a pool do not change each other's bits, whatever ends them;
//! what it learns is near the simulation's own formula; learning a review allocates nothing; no thread is
//! left.

#![allow(dead_code, reason = "of the example, what it prints is not tested")]

#[path = "../../tests/support/alone.rs"]
mod alone;
#[path = "../embed.rs"]
mod embed;

use deltarule::{Cancel, Level, Mlp, StopReason};
use embed::{FEATURES, Job, Learner, Region, Report, Review, Service, Trained};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const USERS: u64 = 24;
const REVIEWS: usize = 100;

/// Held by the test that runs: what one test allocates would count in another's region.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn job(user: u64) -> Job {
    Job::new(user, &embed::reviews(user, REVIEWS)).unwrap()
}

fn jobs() -> Vec<Job> {
    (0..USERS).map(job).collect()
}

fn train(threads: usize, jobs: Vec<Job>) -> Vec<Trained> {
    Service::new(threads).unwrap().train(jobs, |_| ()).unwrap()
}

/// The digest of each user's network.
fn bits(trained: &[Trained]) -> Vec<(u64, u64)> {
    trained.iter().map(|t| (t.user, t.net.digest())).collect()
}

#[test]
fn bits_do_not_depend_on_the_pool_or_the_order_of_the_jobs() {
    let _alone = alone();
    let want = bits(&train(1, jobs()));
    assert_eq!(want.len(), USERS as usize);
    // They are 24 networks, not one.
    let mut different: Vec<u64> = want.iter().map(|&(_, digest)| digest).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), USERS as usize);
    for threads in [1, 2, 4] {
        assert_eq!(bits(&train(threads, jobs())), want, "{threads} threads");
        let mut jobs = jobs();
        jobs.reverse();
        assert_eq!(bits(&train(threads, jobs)), want, "{threads} threads, last job first");
        // Job i is that of user 7·i mod 24.
        let shuffled = (0..USERS).map(|i| job(7 * i % USERS)).collect();
        assert_eq!(bits(&train(threads, shuffled)), want, "{threads} threads, shuffled");
    }
}

#[test]
fn a_cancelled_job_stops_and_changes_no_other() {
    let _alone = alone();
    let want = bits(&train(1, jobs()));
    for threads in [1, 2, 4] {
        let mut jobs = jobs();
        // It would never end.
        jobs[5].epochs = usize::MAX;
        let cancel = jobs[5].cancel.clone();
        let mut reports = vec![0; USERS as usize];
        let trained = Service::new(threads).unwrap().train(jobs, |Report { user, epoch, loss }| {
            assert!(loss.is_finite());
            reports[user as usize] += 1;
            assert!(user == 5 || epoch == reports[user as usize]);
            if (user, epoch) == (5, 3) {
                cancel.cancel();
            }
        });
        let trained = trained.unwrap();
        assert!(reports[5] >= 3);
        for (i, trained) in trained.iter().enumerate() {
            let want_stop = if i == 5 { StopReason::Cancelled } else { StopReason::Finished };
            assert_eq!(trained.stop, want_stop, "user {i}");
            assert!(i == 5 || (trained.net.digest() == want[i].1 && reports[i] == 30), "user {i}");
        }
        // Three epochs of 4 steps, or more.
        assert!(trained[5].steps >= 12);
    }
}

#[test]
fn a_job_that_was_cancelled_before_takes_no_step() {
    let _alone = alone();
    let mut jobs = jobs();
    let cancel = Cancel::new();
    cancel.cancel();
    jobs[2].cancel = cancel;
    let trained = train(2, jobs);
    assert_eq!((trained[2].stop, trained[2].steps), (StopReason::Cancelled, 0));
}

#[test]
fn a_job_out_of_time_stops_at_its_step_with_a_network_that_works() {
    let _alone = alone();
    let want = bits(&train(1, jobs()));
    let mut jobs = jobs();
    jobs[3].limit = Duration::ZERO;
    jobs[4].limit = Duration::from_millis(20);
    jobs[4].epochs = usize::MAX;
    let trained = train(2, jobs);
    assert_eq!((trained[3].stop, trained[3].steps), (StopReason::Callback, 1));
    assert_eq!(trained[4].stop, StopReason::Callback);
    // A step takes some microseconds; 50 of them fit into 20 ms on a busy machine too.
    assert!(trained[4].steps > 50, "{} steps", trained[4].steps);
    let others = (0..).zip(&trained).filter(|(i, _)| ![3, 4].contains(i));
    assert!(others.into_iter().all(|(i, t)| t.net.digest() == want[i].1));
    for late in trained.into_iter().filter(|t| t.stop == StopReason::Callback) {
        // It predicts, and learns on as any other.
        let reviews = embed::reviews(late.user, 2000);
        let (new, held_out) = reviews.split_at(1000);
        let error = embed::error(&late.net, held_out).unwrap();
        let mut learner = Learner::new(late.net).unwrap();
        new.iter().for_each(|review| assert!(learner.learn(review).unwrap().is_finite()));
        let later = embed::error(&learner.into_network(), held_out).unwrap();
        assert!(later < error.max(0.1), "user {}: {error} and {later}", late.user);
    }
}

/// The mean error |p − R| of one constant, the share of recalled reviews.
fn error_of_share(learned: &[Review], held_out: &[Review]) -> f64 {
    let mean = |reviews: &[Review], of: &dyn Fn(&Review) -> f64| {
        reviews.iter().map(of).sum::<f64>() / reviews.len() as f64
    };
    let share = mean(learned, &|r| r.recalled.into());
    mean(held_out, &|r| (r.probability - share).abs())
}

/// The networks see outcomes only; the simulation's own probabilities judge them.
#[test]
fn probabilities_are_near_those_of_the_simulation_and_come_nearer() {
    let _alone = alone();
    let (mut share, mut first, mut later) = (0.0, 0.0, 0.0);
    for trained in train(2, jobs()) {
        let reviews = embed::reviews(trained.user, 3 * REVIEWS);
        let [learned, new, held_out] = [0, 1, 2].map(|i| &reviews[i * REVIEWS..][..REVIEWS]);
        share += error_of_share(learned, held_out) / USERS as f64;
        first += embed::error(&trained.net, held_out).unwrap() / USERS as f64;
        let mut learner = Learner::new(trained.net).unwrap();
        new.iter().for_each(|review| _ = learner.learn(review).unwrap());
        later += embed::error(learner.network(), held_out).unwrap() / USERS as f64;
    }
    assert!(first < 0.7 * share && later < first, "{share} {first} {later}");
}

#[test]
fn predicting_and_learning_a_review_allocates_nothing() {
    let _alone = alone();
    let reviews = embed::reviews(1, 1000);
    for level in [Level::avx2(), Level::avx512()].into_iter().flatten() {
        let net = Mlp::builder(FEATURES).dense(16, deltarule::Activation::Tanh);
        let net = net.dense(1, deltarule::Activation::Sigmoid).level(level).build().unwrap();
        // From the first step on, and after the first prediction. The harness allocates too, when the test beside this one ends, so
        // the fewest of three.
        let count = |_| {
            let mut learner = Learner::new(net.clone()).unwrap();
            learner.recall(&reviews[0].features).unwrap();
            let region = Region::start();
            for review in &reviews {
                assert!((0.0..=1.0).contains(&learner.recall(&review.features).unwrap()));
                learner.learn(review).unwrap();
            }
            region.end().allocations
        };
        assert_eq!((0..3).map(count).min(), Some(0), "{}", level.name());
    }
    let region = Region::start();
    drop(Learner::new(train(1, vec![job(0)]).remove(0).net).unwrap());
    assert!(region.end().allocations > 0, "the counter sees what a job allocates");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "a part of `no_thread_is_left`"]
fn alone_threads() {
    let before = embed::threads().unwrap();
    let service = Service::new(3).unwrap();
    assert_eq!(embed::threads(), Some(before + 3));
    let trained = service.train(jobs(), |_| ()).unwrap();
    let mut learner = Learner::new(trained.into_iter().next().unwrap().net).unwrap();
    learner.learn(&embed::reviews(0, 1)[0]).unwrap();
    // Neither the jobs nor the session nor a prediction started a thread or the global pool.
    embed::error(learner.network(), &embed::reviews(0, 1000)).unwrap();
    assert_eq!(embed::threads(), Some(before + 3));
    drop(service);
    assert_eq!(embed::threads_left(before), Some(0));
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the host's own pool");
}

/// In a process of its own, where no test beside it starts threads.
#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_left() {
    alone::assert_passes(alone::alone("alone_threads"));
}

/// A receiver that is gone ends its jobs.
#[test]
fn a_job_ends_when_nobody_listens() {
    let _alone = alone();
    let service = Service::new(1).unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    service.submit(Job { epochs: usize::MAX, ..job(0) }, sender);
    drop(events);
    // The only thread gets to the next job.
    assert_eq!(service.train(vec![job(1)], |_| ()).unwrap()[0].stop, StopReason::Finished);
}
