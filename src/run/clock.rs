//! Elapsed time, on platforms without a clock too.

use std::time::Instant;

/// On `wasm32-unknown-unknown` asking for the time compiles, and panics.
const HAS_CLOCK: bool = !cfg!(all(target_family = "wasm", target_os = "unknown"));

/// A point in time. Without a clock no time passes between two of them.
#[derive(Clone, Copy)]
pub(super) struct Moment(Option<Instant>);

impl Moment {
    pub(super) fn now() -> Self {
        Moment(HAS_CLOCK.then(Instant::now))
    }

    /// Seconds since then.
    pub(super) fn seconds(self) -> f64 {
        self.0.map_or(0.0, |start| start.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_clock_no_time_passes() {
        assert_eq!(Moment(None).seconds(), 0.0);
        let start = Moment::now();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert_eq!(HAS_CLOCK, start.seconds() >= 1e-3);
    }
}
