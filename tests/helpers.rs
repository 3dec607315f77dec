//! The helpers of the other tests find the errors they are there to find.

mod support;

#[path = "support/alloc.rs"]
mod alloc;

use std::hint::black_box;
use std::panic::catch_unwind;
use support::{
    Data, assert_close, assert_same_bits, max_ulp_distance, relative_error, ulp_distance, widen,
};

/// The text of the panic that `f` must end in.
fn panic_text(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(f).expect_err("the planted error was not found");
    *payload.downcast::<String>().expect("a formatted text")
}

#[test]
fn ulp_distance_counts_floats() {
    let tiny = f32::from_bits(1);
    assert_eq!(ulp_distance(1.0, 1.0), 0);
    assert_eq!(ulp_distance(1.0, 1.0 + f32::EPSILON), 1);
    assert_eq!(ulp_distance(1.0, 1.0 - f32::EPSILON), 2);
    assert_eq!(ulp_distance(-1.0, -1.0 - f32::EPSILON), 1);
    assert_eq!(ulp_distance(0.0, -0.0), 0);
    assert_eq!(ulp_distance(0.0, tiny), 1);
    assert_eq!(ulp_distance(-0.0, tiny), 1);
    assert_eq!(ulp_distance(-tiny, tiny), 2);
    assert_eq!(ulp_distance(f32::MAX, f32::INFINITY), 1);
    assert_eq!(ulp_distance(-1.0, 1.0), 2 * ulp_distance(0.0, 1.0));
    // All finite floats and the two infinities, counted without zero twice.
    assert_eq!(ulp_distance(f32::NEG_INFINITY, f32::INFINITY), 2 * 0x7f80_0000);
    assert_eq!(ulp_distance(f32::NAN, -f32::NAN), 0);
    assert_eq!(ulp_distance(f32::NAN, 1.0), u32::MAX);
    assert_eq!(ulp_distance(f32::INFINITY, f32::NAN), u32::MAX);
}

#[test]
fn max_ulp_distance_finds_the_worst_place() {
    let a = Data::new(1).f32s(100);
    let mut b = a.clone();
    assert_eq!(max_ulp_distance(&a, &b), (0, 0));
    b[70] = f32::from_bits(b[70].to_bits() + 1);
    b[30] = f32::from_bits(b[30].to_bits() + 2);
    assert_eq!(max_ulp_distance(&a, &b), (2, 30));
    b[99] = f32::NAN;
    assert_eq!(max_ulp_distance(&a, &b), (u32::MAX, 99));
    let text = panic_text(|| {
        max_ulp_distance(&[1.0], &[]);
    });
    assert!(text.contains("lengths"), "{text}");
}

#[test]
fn relative_error_is_against_the_whole() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    assert_eq!(relative_error(&[1.0, 100.0], &[2.0, 100.0]), 0.01);
    assert_eq!(relative_error(&[1.0f32, -4.0], &[1.0f64, -4.0]), 0.0);
    assert_eq!(relative_error(&[0.0], &[-0.0]), 0.0);
    assert_eq!(relative_error::<f64, f64>(&[], &[]), 0.0);
    assert_eq!(relative_error(&[1e-30], &[0.0]), inf);
    assert_eq!(relative_error(&[nan, inf, 1.0], &[nan, inf, 1.0]), 0.0);
    assert_eq!(relative_error(&[inf, 1.0], &[inf, 2.0]), 0.5);
    for (got, want) in [(nan, 1.0), (1.0, nan), (inf, -inf), (inf, 1.0), (1.0, inf), (nan, inf)] {
        assert_eq!(relative_error(&[1.0, got], &[1.0, want]), inf, "{got} for {want}");
    }
}

#[test]
fn assert_close_names_the_place() {
    let want = Data::new(2).f64s(50);
    assert_close("equal", &want, &want, 0.0);
    let mut got = want.clone();
    got[17] += 1e-6;
    assert_close("near", &got, &want, 1e-5);
    let text = panic_text(|| assert_close("layer 3", &got, &want, 1e-7));
    assert!(text.contains("layer 3") && text.contains("element 17"), "{text}");
    let mut got = want.clone();
    got[40] = f64::NAN;
    let text = panic_text(|| assert_close("layer 4", &got, &want, 1e300));
    assert!(text.contains("element 40") && text.contains("NaN"), "{text}");
    assert!(panic_text(|| assert_close("short", &[1.0], &want, 1.0)).contains("lengths"));
}

#[test]
fn assert_same_bits_sees_what_equality_does_not() {
    let nan = [f32::NAN, 1.0];
    assert_same_bits("NaN", &nan, &nan);
    let text = panic_text(|| assert_same_bits("zero", &[1.0, -0.0], &[1.0, 0.0]));
    assert!(text.contains("zero: element 1") && text.contains("80000000"), "{text}");
    let next = f32::from_bits(1f32.to_bits() + 1);
    assert!(panic_text(|| assert_same_bits("ulp", &[next], &[1.0])).contains("element 0"));
}

#[test]
fn data_depends_on_the_seed_alone() {
    // The first outputs of SplitMix64 from seed 1234567, as its authors give them.
    let mut data = Data::new(1_234_567);
    assert_eq!(data.bits(), 6_457_827_717_110_365_317);
    assert_eq!(data.bits(), 3_203_168_211_198_807_973);
    assert_eq!(Data::new(3).f32s(9), Data::new(3).f32s(9));
    assert_ne!(Data::new(3).f32s(9), Data::new(4).f32s(9));
    assert!(Data::new(5).f64s(1000).iter().all(|x| (-1.0..1.0).contains(x)));
    let labels = Data::new(6).labels(1000, 4);
    assert!((0..4).all(|class| labels.iter().filter(|&&l| l == class).count() > 200));
    assert_eq!(widen(&[0.5, -2.0]), [0.5, -2.0]);
}

/// The other tests of this binary allocate meanwhile, so only lower bounds can be told here.
#[test]
fn the_allocator_counts() {
    let region = alloc::Region::start();
    let big = black_box(vec![0u8; 50_000_000]);
    drop(big);
    std::thread::spawn(|| drop(black_box(vec![1u64; 10]))).join().unwrap();
    let mut grown = black_box(Vec::<u8>::with_capacity(1));
    grown.reserve_exact(1000);
    let count = region.end();
    assert!(count.allocations >= 4, "{count:?}");
    assert!((50_000_000..100_000_000).contains(&count.peak_bytes), "{count:?}");

    let region = alloc::Region::start();
    black_box(vec![0u8; 1000]);
    let count = region.end();
    assert!(count.peak_bytes < 40_000_000, "the peak of the region before: {count:?}");
}
