//! A good guest: what a host application may rely on. Threads and processor time are counted in
//! processes of their own, because the tests of one binary run beside each other.

#[cfg(target_os = "linux")]
#[path = "../support/alone.rs"]
mod alone;
#[cfg(target_arch = "x86_64")]
mod float_environment;

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Cancel, EarlyStopping, Epochs, Error, History, Matrix, Mlp,
    Predictor, Result, Threads, Trainer, Training,
};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Compiles only if a model can be shared and everything can be handed to another thread.
#[test]
fn models_are_send_and_sync() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send>() {}
    shared::<Mlp>();
    shared::<Dataset>();
    shared::<Error>();
    shared::<History>();
    shared::<Cancel>();
    sent::<Training<'_>>();
    sent::<Trainer<'_>>();
    sent::<Epochs<'_, '_>>();
    sent::<EarlyStopping<'_>>();
    sent::<Predictor<'_>>();
}

/// Steps of this are worth more than one thread.
fn net() -> Mlp {
    Mlp::builder(40)
        .dense(300, Activation::Relu)
        .dense(3, Activation::Softmax)
        .seed(2)
        .build()
        .unwrap()
}

fn data() -> Dataset {
    let value = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
    let labels = (0..256).map(|i| i as u32 * 7 % 3).collect();
    let targets = Targets::Classes { labels, n_classes: 3 };
    Dataset::from_f32((0..256 * 40).map(value).collect(), 40, targets).unwrap()
}

fn fit(threads: Threads) -> Result<u64> {
    let mut net = net();
    let mut trainer = Trainer::new(Adam::new(0.01)).batch_size(64).epochs(3).threads(threads);
    trainer.fit(&mut net, &data())?;
    Ok(net.digest())
}

#[test]
fn one_model_serves_sixteen_threads() {
    let net = Arc::new(net());
    let x = Arc::new(data().matrix());
    let want = net.predict(x.view()).unwrap();
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (net, x) = (net.clone(), x.clone());
            std::thread::spawn(move || {
                (0..20).map(|_| net.predict(x.view()).unwrap()).collect::<Vec<Matrix>>()
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().iter().all(|got| *got == want));
    }
}

#[test]
fn a_panic_in_a_callback_unwinds_once_and_leaves_the_process_well() {
    let want = fit(Threads::One).unwrap();
    let data = data();
    for threads in [Threads::One, Threads::Current, Threads::N(3)] {
        for (at, epochs) in [(0, 1), (1, 0), (5, 1)] {
            let (mut net, mut steps) = (net(), 0);
            let calls = AtomicUsize::new(0);
            let mut trainer = Trainer::new(Adam::new(0.01))
                .batch_size(64)
                .epochs(3)
                .threads(threads)
                .on_epoch(|_| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    assert!(at > 0, "planted");
                    ControlFlow::Continue(())
                })
                .on_step(|_| {
                    steps += 1;
                    assert!(at == 0 || steps < at, "planted");
                    ControlFlow::Continue(())
                });
            let caught = catch_unwind(AssertUnwindSafe(|| trainer.fit(&mut net, &data)));
            let message = caught.unwrap_err();
            assert_eq!(message.downcast_ref::<&str>(), Some(&"planted"));
            drop(trainer);
            assert_eq!(calls.load(Ordering::Relaxed), epochs);
            // The network is whole, and everything works as before.
            assert!(net.predict(data.matrix().view()).is_ok());
            assert_eq!(fit(threads).unwrap(), want);
        }
    }
}

#[cfg(feature = "rayon")]
#[test]
fn pools_of_any_kind_give_the_same_bits() {
    let want = fit(Threads::One).unwrap();
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    for n in [1, 2, 3] {
        let pool = pool(n);
        assert_eq!(pool.install(|| fit(Threads::Current)).unwrap(), want);
        // Workers of the pool that are busy with other work, or with trainings of their own.
        let stop = Arc::new(AtomicUsize::new(0));
        for _ in 1..n {
            let stop = stop.clone();
            pool.spawn(move || {
                while stop.load(Ordering::Relaxed) == 0 {
                    std::thread::yield_now();
                }
            });
        }
        assert_eq!(pool.install(|| fit(Threads::Current)).unwrap(), want);
        stop.store(1, Ordering::Relaxed);
        let inner = |_: ()| (fit(Threads::Current).unwrap(), fit(Threads::N(2)).unwrap());
        let both = pool.install(|| rayon::join(|| inner(()), || inner(())));
        assert_eq!(both, ((want, want), (want, want)));
    }
    let (a, b) = (pool(2), pool(2));
    let nested =
        a.install(|| (fit(Threads::Current).unwrap(), b.install(|| fit(Threads::Current))));
    assert_eq!((nested.0, nested.1.unwrap()), (want, want));
    std::thread::scope(|scope| {
        for i in 0..8 {
            let pool = if i % 2 == 0 { &a } else { &b };
            scope.spawn(move || {
                assert_eq!(pool.install(|| fit(Threads::Current)).unwrap(), want);
            });
        }
    });
}

#[cfg(target_os = "linux")]
fn threads_of_this_process() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// What one thread does alone.
#[cfg(all(target_os = "linux", feature = "rayon"))]
fn tiny_jobs() {
    let value = |i: usize| (i * 37 % 19) as f32 / 19.0;
    let labels: Vec<u32> = (0..12).map(|i| i % 2).collect();
    let targets = Targets::Classes { labels: labels.clone(), n_classes: 2 };
    let data = Dataset::from_f32((0..36).map(value).collect(), 3, targets).unwrap();
    let mut net =
        Mlp::builder(3).dense(4, Activation::Tanh).dense(2, Activation::Softmax).build().unwrap();
    let history = Trainer::new(Adam::new(0.01))
        .epochs(2)
        .validation(&data)
        .early_stopping(EarlyStopping::on_validation_accuracy())
        .fit(&mut net, &data)
        .unwrap();
    assert_eq!(history.epochs.len(), 2);
    net.evaluate(&data).unwrap();
    net.predict(data.matrix().view()).unwrap();
    Trainer::new(Adam::new(0.01)).range_test(&net, &data, (0.1, 1.0), 3).unwrap();
    let trainer = Trainer::new(Adam::new(0.01)).accumulate(3);
    let mut training = trainer.session(&mut net).unwrap();
    training.step(data.matrix().view(), BatchTargets::Classes(&labels)).unwrap();
    training.partial_fit(&data).unwrap();
    training.flush().unwrap();
    training.evaluate(&data).unwrap();
    let x = data.matrix();
    let targets = BatchTargets::Classes(&labels);
    let loss = deltarule::Loss::CrossEntropy;
    deltarule::gradient::gradients(training.network(), x.view(), targets, loss).unwrap();
}

#[cfg(all(target_os = "linux", feature = "rayon"))]
#[test]
#[ignore = "a part of `tiny_jobs_touch_no_pool`"]
fn alone_a_pool_after_tiny_jobs() {
    let before = threads_of_this_process();
    tiny_jobs();
    assert_eq!(threads_of_this_process(), before);
    rayon::ThreadPoolBuilder::new().num_threads(3).build_global().expect("the host's own pool");
    assert_eq!(rayon::current_num_threads(), 3);
    // Now there is one, and larger jobs use it.
    fit(Threads::Current).unwrap();
}

#[cfg(all(target_os = "linux", feature = "rayon"))]
#[test]
fn tiny_jobs_touch_no_pool() {
    alone::assert_passes(alone::alone("alone_a_pool_after_tiny_jobs"));
}

#[cfg(all(target_os = "linux", feature = "rayon"))]
#[test]
#[ignore = "a part of `a_pool_that_cannot_be_created_is_not_needed`"]
fn alone_without_threads() {
    let before = threads_of_this_process();
    let want = fit(Threads::One).unwrap();
    for _ in 0..2 {
        assert_eq!(fit(Threads::Current).unwrap(), want);
        net().evaluate(&data()).unwrap();
        net().predict(data().matrix().view()).unwrap();
        assert!(matches!(fit(Threads::N(2)), Err(Error::Threads { .. })));
    }
    assert_eq!(threads_of_this_process(), before, "threads could be started");
    // The reason: there is none, and never will be.
    assert!(std::panic::catch_unwind(rayon::current_num_threads).is_err());
}

/// A process that can start no thread (their stacks do not fit into its addresses): rayon panics
/// where its global pool is used, and the caller works alone.
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "rayon"))]
#[test]
fn a_pool_that_cannot_be_created_is_not_needed() {
    let mut child = alone::alone("alone_without_threads");
    child.env("RUST_MIN_STACK", (1u64 << 47).to_string());
    alone::assert_passes(child);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "a part of `no_thread_is_left_and_nothing_spins`"]
fn alone_threads_and_time() {
    // The pool of the host is there before and after.
    fit(Threads::Current).unwrap();
    let before = threads_of_this_process();
    fit(Threads::N(5)).unwrap();
    let folder = std::env::temp_dir().join(format!("deltarule-guest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (mut net, data) = (net(), data());
    Trainer::new(Adam::new(0.01))
        .epochs(3)
        .checkpoint(folder.join("run"), deltarule::CheckpointInterval::Steps(1))
        .threads(Threads::N(3))
        .fit(&mut net, &data)
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(threads_of_this_process(), before);
    // A live model, a live predictor and a live session that do nothing cost nothing.
    let other = net.clone();
    let mut predictor = Predictor::new(&other, 256, Threads::N(2)).unwrap();
    let x = data.matrix();
    let mut out = Matrix::zeros(256, 3);
    predictor.predict_into(x.view(), out.view_mut()).unwrap();
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(256);
    let mut training = trainer.session(&mut net).unwrap();
    let Targets::Classes { labels, .. } = data.targets() else { unreachable!() };
    training.step(x.view(), BatchTargets::Classes(labels)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let start = ticks();
    std::thread::sleep(std::time::Duration::from_secs(1));
    // A tick is 10 ms: at most 2 % of a processor.
    assert!(ticks() - start <= 2, "{} ticks of an idle second", ticks() - start);
}

#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_left_and_nothing_spins() {
    alone::assert_passes(alone::alone("alone_threads_and_time"));
}
