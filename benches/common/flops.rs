//! A wall clock whose throughput is GFLOP/s and percent of the peak. Benches give criterion their
//! FLOPs as `Throughput::Elements`.

use super::peak::peak;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use deltarule::Level;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What 100 % is for the bench that runs now, in GFLOP/s.
static PEAK: Mutex<f64> = Mutex::new(f64::NAN);

/// Says at which level and on how many cores the next benches run. The peak of n cores is taken
/// to be n times that of one.
pub fn against(level: Level, threads: usize) {
    *PEAK.lock().expect("no bench panics") = peak(level) * threads as f64;
}

/// Criterion with this clock, and times that let all benches end within minutes.
pub fn criterion() -> Criterion<Flops> {
    for level in Level::available() {
        println!("peak of one core at {}: {:.1} GFLOP/s", level.name(), peak(level));
    }
    Criterion::default()
        .with_measurement(Flops)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
}

/// See the file.
pub struct Flops;

impl Measurement for Flops {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }
    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }
    fn zero(&self) -> Duration {
        WallTime.zero()
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        &Flops
    }
}

impl ValueFormatter for Flops {
    fn format_throughput(&self, throughput: &Throughput, ns: f64) -> String {
        let mut values = [ns];
        let unit = self.scale_throughputs(ns, throughput, &mut values);
        let percent = 100.0 * values[0] / *PEAK.lock().expect("no bench panics");
        format!("{:.1} {unit} ({percent:.0} % of peak)", values[0])
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        match *throughput {
            Throughput::Elements(flops) => {
                values.iter_mut().for_each(|ns| *ns = flops as f64 / *ns);
                "GFLOP/s"
            }
            _ => WallTime.formatter().scale_throughputs(typical, throughput, values),
        }
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
