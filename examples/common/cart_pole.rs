//! A pole on a cart, to be kept upright by pushes to the left and to the right.
//!
//! The equations and constants are those of Barto, Sutton and Anderson (IEEE Transactions on Systems, Man,
//! and Cybernetics 13, 834–846, 1983), without friction, as in the CartPole benchmark (Brockman et al. 2016,
//! arXiv:1606.01540) with at most 200 steps:
//!
//! θ̈ = (g sin θ − cos θ·(F + mlθ̇² sin θ)/(m + M)) / (l(4/3 − m cos² θ/(m + M)))
//! ẍ = (F + ml(θ̇² sin θ − θ̈ cos θ)) / (m + M)
//!
//! with the mass m and half the length l of the pole, the mass M of the cart, and θ = 0 upright.

use super::numbers::Numbers;

/// Of the earth, m/s².
pub const GRAVITY: f64 = 9.8;
/// Of the cart, kg.
pub const CART: f64 = 1.0;
/// Of the pole, kg.
pub const POLE: f64 = 0.1;
/// From the joint to the middle of the pole, m.
pub const HALF_LENGTH: f64 = 0.5;
/// Of a push, N.
pub const FORCE: f64 = 10.0;
/// Between two pushes, s.
pub const INTERVAL: f64 = 0.02;

/// The track ends this far from its middle, m.
pub const TRACK: f64 = 2.4;
/// A pole that leans farther than 12° has fallen, rad.
pub const FALLEN: f64 = 12.0 * std::f64::consts::PI / 180.0;
/// Steps of an episode in which the pole does not fall.
pub const LIMIT: usize = 200;
/// An episode starts with each number of its state between this and minus this.
const START: f64 = 0.05;

/// x, ẋ, θ, θ̇ in m, m/s, rad, rad/s.
pub type State = [f64; 4];

/// What can be done in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// Along −x.
    Left,
    /// Along x.
    Right,
}

impl Push {
    /// In the order of the network's outputs.
    pub const ALL: [Push; 2] = [Push::Left, Push::Right];

    fn force(self) -> f64 {
        match self {
            Push::Left => -FORCE,
            Push::Right => FORCE,
        }
    }
}

/// What a step has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pole stands.
    Stands,
    /// The pole has fallen or the cart has left the track: no reward follows.
    Fallen,
    /// The pole stands after the last step of the episode. It would go on, so the value of this state is
    /// not 0 (Pardo et al. 2018, arXiv:1712.00378).
    TimeIsUp,
}

/// ẍ and θ̈ under a force along x.
pub fn accelerations([_, _, angle, turn]: State, force: f64) -> [f64; 2] {
    let (sin, cos) = angle.sin_cos();
    let mass = CART + POLE;
    let shared = (force + POLE * HALF_LENGTH * turn * turn * sin) / mass;
    let inertia = HALF_LENGTH * (4.0 / 3.0 - POLE * cos * cos / mass);
    let turning = (GRAVITY * sin - cos * shared) / inertia;
    [shared - POLE * HALF_LENGTH * turning * cos / mass, turning]
}

/// The state after a push: one step of Euler's method, as in the benchmark.
pub fn after(state: State, push: Push) -> State {
    let [x, speed, angle, turn] = state;
    let [acceleration, turning] = accelerations(state, push.force());
    [
        x + INTERVAL * speed,
        speed + INTERVAL * acceleration,
        angle + INTERVAL * turn,
        turn + INTERVAL * turning,
    ]
}

/// An episode.
#[derive(Clone, Debug)]
pub struct Episode {
    state: State,
    steps: usize,
}

impl Episode {
    /// Starts one near the middle of the track, the pole nearly upright.
    pub fn start(numbers: &mut Numbers) -> Self {
        let state = [(); 4].map(|()| START * (2.0 * numbers.uniform() - 1.0));
        Episode { state, steps: 0 }
    }

    /// The state as it is now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Steps so far, each of which has a reward of 1.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Pushes the cart for one step.
    pub fn step(&mut self, push: Push) -> Outcome {
        self.state = after(self.state, push);
        self.steps += 1;
        if self.state[0].abs() > TRACK || self.state[2].abs() > FALLEN {
            Outcome::Fallen
        } else if self.steps == LIMIT {
            Outcome::TimeIsUp
        } else {
            Outcome::Stands
        }
    }
}
