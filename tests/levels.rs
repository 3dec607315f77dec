//! Which SIMD levels the tests of this run covered. Every test that takes a level runs over
//! `Level::available()`, so a level that is not in there was not tested; this says so, and fails
//! where it should have been there.

use deltarule::{Activation, Level, MatRef, Mlp};

/// Names, with commas between, that must be available: set by CI for what it knows the CPU has.
const REQUIRED: &str = "DELTARULE_REQUIRED_LEVELS";

#[test]
fn required_levels_ran() {
    let ran: Vec<&str> = Level::available().map(Level::name).collect();
    for name in ["avx512", "avx2", "portable"] {
        let verdict = if ran.contains(&name) { "tested" } else { "NOT TESTED: this CPU lacks it" };
        println!("level {name}: {verdict}");
    }
    assert_eq!(ran.last(), Some(&"portable"));
    let required = std::env::var(REQUIRED).unwrap_or_default();
    for name in required.split(',').filter(|name| !name.is_empty()) {
        assert!(ran.contains(&name), "{REQUIRED} names {name}; this run tested {ran:?}");
    }
}

/// The CPU's own word against the library's.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn no_level_of_this_cpu_is_left_out() {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |names: &[&str]| names.iter().all(|&n| flags.split_whitespace().any(|f| f == n));
    if has(&["avx2", "fma"]) {
        assert!(Level::avx2().is_some());
    }
    if has(&["avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"]) {
        assert!(Level::avx512().is_some());
    }
}

#[test]
fn a_network_runs_at_the_level_it_was_given() {
    for level in Level::available() {
        let net = Mlp::builder(3).dense(2, Activation::Softmax).level(level).build().unwrap();
        assert_eq!(net.level(), level);
        let p = net.predict(MatRef::new(&[1.0, 2.0, 3.0], 1, 3).unwrap()).unwrap();
        assert!((p.row(0).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
