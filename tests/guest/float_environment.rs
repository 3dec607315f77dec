//! Threads that flush subnormals or do not round to nearest.

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
        let mut training = trainer.session(&mut net).unwrap();
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

/// An error says that the step has not happened: repeated until it has, 200 steps end with the
/// bits of 200 steps. With gradients that wait, and running statistics, nothing may be counted
/// twice either.
#[cfg(feature = "rayon")]
#[test]
fn a_step_that_is_refused_for_a_worker_can_be_repeated() {
    const STEPS: usize = 200;
    let data = data();
    let x = data.matrix();
    let Targets::Classes { labels, .. } = data.targets() else { unreachable!() };
    let train = |threads, accumulate| {
        let net = Mlp::builder(40).dense(300, Activation::Relu).batch_norm();
        let mut net = net.dense(3, Activation::Softmax).seed(2).build().unwrap();
        let trainer = Trainer::new(Adam::new(0.01)).batch_size(64).threads(threads);
        let mut training = trainer.accumulate(accumulate).session(&mut net).unwrap();
        let (mut refused, mut losses) = (0, Vec::new());
        while training.steps() < STEPS as u64 {
            let first = training.steps() as usize % 4 * 64;
            let rows = x.view().row_range(first, first + 64);
            let targets = BatchTargets::Classes(&labels[first..first + 64]);
            match training.step(rows, targets) {
                Ok(loss) => losses.push(loss),
                Err(Error::FloatEnvironment { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            // Long enough for the workers to leave and to come anew.
            if training.steps().is_multiple_of(10) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        while let Err(error) = training.flush() {
            assert!(matches!(error, Error::FloatEnvironment { .. }), "{error}");
        }
        assert_eq!(losses.len(), STEPS);
        drop(training);
        (refused, losses, net.digest())
    };
    for accumulate in [1, 3] {
        let (_, losses, digest) = train(Threads::One, accumulate);
        let mut refused = 0;
        for mxcsr in CHANGED {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
            let pool = pool.start_handler(move |_| set(mxcsr)).build().unwrap();
            let got = pool.install(|| {
                set(USUAL);
                let got = train(Threads::Current, accumulate);
                set(mxcsr);
                got
            });
            assert!(got.1 == losses, "MXCSR {mxcsr:x}, {accumulate}");
            assert_eq!(got.2, digest, "MXCSR {mxcsr:x}, {accumulate}");
            refused += got.0;
        }
        assert!(refused > 0, "no worker came in time");
    }
}
