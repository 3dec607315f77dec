//! A clock that stands still where there is none.

use std::time::{Duration, Instant};

/// On `wasm32-unknown-unknown` asking for the time compiles, and panics.
const HAS_CLOCK: bool = !cfg!(all(target_family = "wasm", target_os = "unknown"));

/// A moment; without a clock all are one, and the seconds of a history are zero.
#[derive(Clone, Copy)]
pub(super) struct Moment(Option<Instant>);

impl Moment {
    pub(super) fn now() -> Self {
        Moment(HAS_CLOCK.then(Instant::now))
    }

    /// What passed since then.
    pub(super) fn elapsed(self) -> Duration {
        self.0.map_or(Duration::ZERO, |start| start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_clock_no_time_passes() {
        assert_eq!(Moment(None).elapsed(), Duration::ZERO);
        let start = Moment::now();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(HAS_CLOCK, start.elapsed() >= Duration::from_millis(1));
    }
}
