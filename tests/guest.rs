//! A good guest: what a host application may rely on. Threads and processor time are counted in
//! processes of their own, because the tests of one binary run beside each other.

#[cfg(target_os = "linux")]
#[path = "support/alone.rs"]
mod alone;

use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, BatchTargets, Cancel, Control, Error, History, Matrix, Mlp, Predictor,
    Result, Threads, Trainer, Training,
};
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
                    Control::Continue
                })
                .on_step(|_| {
                    steps += 1;
                    assert!(at == 0 || steps < at, "planted");
                    Control::Continue
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

#[cfg(target_arch = "x86_64")]
mod float_environment {
    use super::*;

    /// MXCSR as threads begin with it.
    const USUAL: u32 = 0x1f80;
    /// Flush to zero, denormals are zero, rounding up.
    const CHANGED: [u32; 3] = [USUAL | 1 << 15, USUAL | 1 << 6, USUAL | 2 << 13];

    fn set(mxcsr: u32) {
        // SAFETY: loads this thread's MXCSR with exceptions masked, as they were.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &mxcsr, options(nostack)) }
    }

    /// Runs `work` in a changed environment.
    fn changed<T>(mxcsr: u32, work: impl FnOnce() -> T) -> T {
        set(mxcsr);
        let answer = work();
        set(USUAL);
        answer
    }

    fn is_refused<T>(result: Result<T>) -> bool {
        matches!(result, Err(Error::FloatEnvironment { .. }))
    }

    #[test]
    fn a_caller_with_another_environment_is_refused() {
        let (mut net, data) = (net(), data());
        let x = data.matrix();
        let mut out = Matrix::zeros(x.rows(), 3);
        let labels: Vec<u32> = vec![0; 64];
        let rows = deltarule::MatRef::new(&x.as_slice()[..64 * 40], 64, 40).unwrap();
        for mxcsr in CHANGED {
            let before = net.digest();
            assert!(is_refused(changed(mxcsr, || net.predict(x.view()))));
            assert!(is_refused(changed(mxcsr, || net.evaluate(&data))));
            assert!(is_refused(changed(mxcsr, || fit(Threads::One))));
            assert!(is_refused(changed(mxcsr, || fit(Threads::N(2)))));
            // Also when it changes later on.
            let mut predictor = net.predictor(256).unwrap();
            let mut predict = || predictor.predict_into(x.view(), out.view_mut());
            assert!(is_refused(changed(mxcsr, &mut predict)));
            assert!(predict().is_ok());
            let trainer = Trainer::new(Adam::new(0.1)).batch_size(64).threads(Threads::N(2));
            let mut training = trainer.start(&mut net).unwrap();
            let mut step = || training.step(rows, BatchTargets::Classes(&labels));
            assert!(is_refused(changed(mxcsr, &mut step)));
            drop(training);
            assert_eq!(net.digest(), before);
        }
    }

    #[cfg(feature = "rayon")]
    #[test]
    fn workers_with_another_environment_are_found() {
        for mxcsr in CHANGED {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
            let pool = pool.start_handler(move |_| set(mxcsr)).build().unwrap();
            // The caller's own environment is the usual one, as in a pool whose other workers
            // once ran a library that changed theirs.
            let refused = (0..200).any(|_| {
                is_refused(pool.install(|| {
                    set(USUAL);
                    let refused = fit(Threads::Current);
                    set(mxcsr);
                    refused
                }))
            });
            assert!(refused, "MXCSR {mxcsr:x}");
        }
    }
}

#[cfg(target_os = "linux")]
fn threads_of_this_process() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
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
        .checkpoint(folder.join("run"), deltarule::Every::Steps(1))
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
    let mut training = trainer.start(&mut net).unwrap();
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
