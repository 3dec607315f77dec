//! A layer with a factor is one that is trained at another rate.

use crate::support::kinds::{BODIES, N_IN, optimizers};
use crate::{N_OUT, ROWS, batches, build, copy_layer};
use deltarule::{
    AdamW, BatchTargets, Level, Mlp, Optimizer, Precision, Schedule, Threads, Trainer,
};

/// The optimiser with another rate.
fn with_rate(optimizer: Optimizer, lr: f32) -> Optimizer {
    let text = optimizer.to_string();
    let rest = text.split_once(',').map_or("", |(_, rest)| rest);
    let name = text.split_once(':').unwrap().0;
    format!("{name}:lr={lr:?},{rest}").trim_end_matches(',').parse().unwrap()
}

/// Steps of a session with factors, beside one session per factor that is trained at its rate. After
/// every step the layers of each factor are copied into all of them.
fn compare(
    place: &str,
    optimizer: Optimizer,
    options: impl Fn(Trainer<'static>) -> Trainer<'static>,
    net: &Mlp,
    factors: &[f32],
) {
    let trainer = |optimizer| options(Trainer::new(optimizer).batch_size(ROWS));
    let with_factors = factors.iter().enumerate();
    let mut run = with_factors
        .fold(trainer(optimizer), |t, (layer, factor)| t.learning_rate_factor(layer, *factor))
        .session(net.clone())
        .unwrap();
    let rate = |factor: f32| optimizer.learning_rate() * factor;
    let new =
        |factor: &f32| trainer(with_rate(optimizer, rate(*factor))).session(net.clone()).unwrap();
    let mut runs: Vec<_> = factors.iter().map(new).collect();
    for (x, labels) in batches(net.n_in(), N_OUT) {
        let labels = BatchTargets::from(&labels);
        let loss = run.step(&x, labels).unwrap();
        for run in &mut runs {
            assert_eq!(run.step(&x, labels).unwrap().to_bits(), loss.to_bits(), "{place}");
        }
        let now: Vec<_> = runs.iter().map(|run| run.network().clone()).collect();
        for run in &mut runs {
            now.iter().enumerate().for_each(|(layer, from)| copy_layer(run, layer, from));
        }
    }
    assert_eq!(run.network().digest(), runs[0].network().digest(), "{place}");
    assert_ne!(run.network().digest(), net.digest(), "{place}");
}

/// A factor for each layer, all different; 1 among them.
fn factors(n: usize) -> Vec<f32> {
    (0..n).map(|layer| [0.1, 1.0, 3.0, 0.37, 2.0][layer % 5]).collect()
}

#[test]
fn layers_of_every_kind_have_their_rates() {
    for level in Level::available() {
        for (name, body) in BODIES {
            let net = build(body, level);
            for threads in [Threads::One, Threads::N(2)] {
                let options = |t: Trainer<'static>| t.threads(threads);
                let place = format!("{name} {} {threads:?}", level.name());
                let optimizer = AdamW::new(0.01).weight_decay(0.1).into();
                compare(&place, optimizer, options, &net, &factors(net.layers().len()));
            }
        }
    }
}

#[test]
fn layers_have_their_rates_with_every_optimiser_and_option() {
    let options: [fn(Trainer<'static>) -> Trainer<'static>; 7] = [
        |t| t,
        |t| t.clip_norm(0.05),
        |t| t.clip_value(0.001),
        |t| t.l1(0.01),
        |t| t.max_norm(0.5),
        |t| t.accumulate(2),
        |t| t.precision(Precision::Bf16),
    ];
    let net = build(BODIES[1].1, Level::best());
    for optimizer in optimizers() {
        for (i, option) in options.into_iter().enumerate() {
            let place = format!("{optimizer}, option {i}");
            compare(&place, optimizer, option, &net, &factors(net.layers().len()));
        }
    }
}

/// Factors of 1 are none: the bits and the way are those of a run without them; and one factor for all
/// layers is a run at another rate.
#[test]
fn equal_factors_are_one_rate() {
    let net = build(BODIES[0].1, Level::best());
    for optimizer in optimizers() {
        for factor in [1.0, 0.3, 0.0] {
            let run = |trainer: Trainer| {
                let mut training = trainer.batch_size(ROWS).session(net.clone()).unwrap();
                for (x, labels) in batches(N_IN, N_OUT) {
                    training.step(&x, &labels).unwrap();
                }
                training.into_network().digest()
            };
            let layers = 0..net.layers().len();
            let trainer = layers.fold(Trainer::new(optimizer), |trainer, layer| {
                trainer.learning_rate_factor(layer, factor)
            });
            let scaled = with_rate(optimizer, optimizer.learning_rate() * factor);
            assert_eq!(run(trainer), run(Trainer::new(scaled)), "{optimizer} * {factor}");
        }
    }
}

/// The rate of a layer is that of the schedule times its factor, also where another thread or a
/// checkpoint comes in between.
#[test]
fn schedules_come_before_factors() {
    let data = deltarule::data::digits();
    let net = Mlp::builder(64).dense(16, deltarule::Activation::Tanh);
    let net = net.dense(10, deltarule::Activation::Softmax).seed(2).build().unwrap();
    let run = |lr: f32, factor: Option<f32>, threads| {
        let mut net = net.clone();
        let optimizer = with_rate(AdamW::new(0.01).into(), lr);
        let mut trainer = Trainer::new(optimizer).batch_size(100).epochs(2).threads(threads);
        trainer = trainer.schedule(Schedule::cosine(0.0));
        for layer in 0..2 {
            trainer = match factor {
                Some(factor) => trainer.learning_rate_factor(layer, factor),
                None => trainer,
            };
        }
        trainer.fit(&mut net, &data).unwrap();
        net.digest()
    };
    // A power of two: the schedule's factor and this one round the same in any order.
    let want = run(0.04, None, Threads::One);
    assert_eq!(run(0.01, Some(4.0), Threads::One), want);
    assert_eq!(run(0.01, Some(4.0), Threads::N(2)), want);
    assert_ne!(run(0.01, None, Threads::One), want);
}
