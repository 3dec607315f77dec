//! Cart-pole: the equations of motion against the conservation laws, a step against a solution of
//! Lagrange's equations, the replay buffer, and that a run solves the task.

#![allow(dead_code, reason = "of the examples, what they draw and print is not tested")]

#[path = "../cartpole.rs"]
mod cartpole;

use cart_pole::{CART, FALLEN, GRAVITY, HALF_LENGTH, POLE, TRACK};
use cartpole::cart_pole::{self, Episode, LIMIT, Outcome, Push, State};
use cartpole::numbers::Numbers;
use cartpole::replay::Replay;
use cartpole::{DISCOUNT, Run};

/// States over all that an episode can reach, and beyond.
fn states(n: usize) -> Vec<State> {
    let mut numbers = Numbers::new(7);
    let largest = [2.5, 4.0, 3.0, 5.0];
    (0..n).map(|_| largest.map(|most| most * (2.0 * numbers.uniform() - 1.0))).collect()
}

/// ∂f/∂state by central differences, times the derivative of the state with respect to time.
fn rate(f: impl Fn(State) -> f64, state: State, force: f64) -> f64 {
    const H: f64 = 1e-4;
    let [acceleration, turning] = cart_pole::accelerations(state, force);
    let change = [state[1], acceleration, state[3], turning];
    let slope = |i: usize| {
        let moved = |by: f64| f(std::array::from_fn(|k| state[k] + if k == i { by } else { 0.0 }));
        (moved(H) - moved(-H)) / (2.0 * H)
    };
    (0..4).map(|i| slope(i) * change[i]).sum()
}

/// The kinetic energy of the cart and of a rod that moves and turns, and the height of its middle.
fn energy([_, speed, angle, turn]: State) -> f64 {
    let middle = [speed + HALF_LENGTH * turn * angle.cos(), -HALF_LENGTH * turn * angle.sin()];
    // Of a rod of the length 2l about its middle: ml²/3.
    let inertia = POLE * HALF_LENGTH * HALF_LENGTH / 3.0;
    let moving = 0.5 * CART * speed * speed
        + 0.5 * POLE * (middle[0] * middle[0] + middle[1] * middle[1])
        + 0.5 * inertia * turn * turn;
    moving + POLE * GRAVITY * HALF_LENGTH * angle.cos()
}

/// Along the track.
fn momentum([_, speed, angle, turn]: State) -> f64 {
    CART * speed + POLE * (speed + HALF_LENGTH * turn * angle.cos())
}

/// dE/dt = F·ẋ and dp/dt = F. These two equations decide both accelerations, unless θ̇ is 0.
#[test]
fn a_push_changes_energy_and_momentum_as_mechanics_say() {
    for state in states(1000) {
        for force in [0.0, 10.0, -10.0] {
            // Differences of h² = 10⁻⁸ times third derivatives, below 10² J/s.
            let [power, push] = [rate(energy, state, force), rate(momentum, state, force)];
            assert!((power - force * state[1]).abs() < 1e-6, "{state:?}: {power}");
            assert!((push - force).abs() < 1e-6, "{state:?}: {push}");
        }
    }
}

/// The first from the formula in fractions: (F/1.1, ...) gives 8/41 and −12/41. The others solve
/// [M + m, ml cos θ; ml cos θ, 4/3·ml²]·(ẍ, θ̈) = (F + mlθ̇² sin θ, mgl sin θ) with NumPy.
#[test]
fn a_step_moves_the_cart_as_the_equations_say() {
    let (left, right) = (Push::Left, Push::Right);
    let cases: [(State, Push, State); 3] = [
        ([0.0; 4], right, [0.0, 8.0 / 41.0, 0.0, -12.0 / 41.0]),
        ([0.3, -1.2, 0.15, 2.0], right, [0.276, -1.0067297812034397, 0.19, 1.7572848070886238]),
        ([-1.0, 0.5, -0.2, -1.5], left, [-0.99, 0.3077894662337491, -0.23, -1.275840103173756]),
    ];
    for (state, push, want) in cases {
        let found = cart_pole::after(state, push);
        let near = found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near, "{state:?}: {found:?}, not {want:?}");
    }
}

#[test]
fn an_episode_ends_with_a_fall_or_after_its_last_step() {
    let mut numbers = Numbers::new(1);
    // Pushed from rest to one side, the pole leans 12° to the other after 0.17 s: θ̈ = 600/41 s⁻², and
    // 8.5 steps. A start of ±0.05 makes it one or two steps less or more.
    for push in Push::ALL {
        for _ in 0..100 {
            let mut episode = Episode::start(&mut numbers);
            assert!(episode.state().iter().all(|v| v.abs() < 0.05));
            while episode.step(push) == Outcome::Stands {
                assert!(episode.state()[2].abs() <= FALLEN && episode.state()[0].abs() <= TRACK);
            }
            assert!(episode.state()[2].abs() > FALLEN && (8..=11).contains(&episode.steps()));
        }
    }
    // A rule by hand keeps it upright: a push to where the pole will lean.
    let mut episode = Episode::start(&mut numbers);
    let outcome = loop {
        let [_, _, angle, turn] = episode.state();
        let lean = angle + 0.5 * turn;
        match episode.step(if lean > 0.0 { Push::Right } else { Push::Left }) {
            Outcome::Stands => {}
            ended => break ended,
        }
    };
    assert_eq!((outcome, episode.steps()), (Outcome::TimeIsUp, LIMIT));
}

/// 1000 items in a buffer of 64 leave the last 64, each drawn as often as the others.
#[test]
fn a_replay_buffer_draws_evenly_from_the_last_items() {
    const N: usize = 64;
    const DRAWS: usize = 64_000;
    let (mut replay, mut numbers) = (Replay::new(N), Numbers::new(3));
    assert_eq!(replay.draw(&mut numbers).next(), None);
    for item in 0..1000 {
        replay.push(item);
        let mut drawn = replay.draw(&mut numbers).take(10);
        assert!(drawn.all(|&i| (0..=item).contains(&i) && i + N > item));
    }
    let mut counts = [0usize; N];
    replay.draw(&mut numbers).take(DRAWS).for_each(|&item| counts[item - (1000 - N)] += 1);
    let mean = DRAWS as f64 / N as f64;
    let chi: f64 = counts.iter().map(|&c| (c as f64 - mean).powi(2) / mean).sum();
    // χ² with 63 degrees of freedom is within 25 to 121 but for 2·10⁻⁵ of the cases.
    assert!((25.0..121.0).contains(&chi), "{chi}: {counts:?}");
}

/// A few seconds. `MOST_EPISODES` bounds a run that does not learn.
#[test]
fn a_run_solves_the_task() {
    let mut run = Run::new(1).unwrap();
    run.solve().unwrap();
    assert!(run.is_solved());
    let last = &run.returns[run.returns.len() - 100..];
    assert!(last.iter().sum::<usize>() >= 19_500 && last.iter().all(|&steps| steps <= LIMIT));
    assert_eq!(run.returns.iter().sum::<usize>() as u64, run.steps);
    // Without learning, pushes at random last for 22 steps on average.
    let first: usize = run.returns[..10].iter().sum();
    assert!((100..600).contains(&first), "{first}");
}

/// By hand: Q chooses the action, Q′ says what it is worth, and a fall is worth −1 whatever they say.
#[test]
fn goals_are_those_of_double_q_learning() {
    let (q, target) = ([-0.5, -0.25], [-0.125, -0.75]);
    for outcome in [Outcome::Stands, Outcome::TimeIsUp] {
        assert_eq!(cartpole::goal(outcome, &q, &target), DISCOUNT * -0.75);
        assert_eq!(cartpole::goal(outcome, &target, &q), DISCOUNT * -0.5);
    }
    assert_eq!(cartpole::goal(Outcome::Fallen, &q, &target), -1.0);
}

/// Of Huber's loss in f64, by central differences, with respect to both outputs.
#[test]
fn gradients_reach_the_action_taken_alone() {
    let huber = |e: f64| if e.abs() <= 1.0 { e * e / 2.0 } else { e.abs() - 0.5 };
    for action in [0, 1] {
        for error in [-3.0, -1.25, -0.75, 0.0, 0.5, 1.5] {
            let (goal, mut q) = (-0.5, [0.25; 2]);
            q[action] = goal + error;
            let mut dq = [f32::NAN; 2];
            cartpole::gradient(&q.map(|q| q as f32), action, goal as f32, &mut dq);
            for output in [0, 1] {
                let moved = |by: f64| {
                    let mut q = q;
                    q[output] += by;
                    huber(q[action] - goal)
                };
                let want = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                assert!((f64::from(dq[output]) - want).abs() < 1e-9, "{action} {error}: {dq:?}");
            }
        }
    }
}

#[test]
fn a_seed_decides_a_run() {
    let run = |seed| {
        let mut run = Run::new(seed).unwrap();
        let first = run.agent.network().digest();
        // About half of them learns: the warm-up of 500 steps is 23 episodes of random actions.
        (0..40).for_each(|_| run.episode().unwrap());
        assert_ne!(run.agent.network().digest(), first);
        (run.agent.network().digest(), run.returns)
    };
    let [first, again, other] = [1, 1, 2].map(run);
    assert_eq!(first, again);
    assert_ne!(first, other);
}
