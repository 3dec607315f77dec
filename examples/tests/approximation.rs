//! Networks as functions: those of hand-built steps against bounds from the derivative, and the surrogate
//! of a potential against differences of its own energies and the derivative of the formula.

#![allow(dead_code, reason = "of the examples, what they draw and print is not tested")]
#![allow(clippy::duplicate_mod, reason = "the examples draw with the same file")]

#[path = "../surrogate.rs"]
mod surrogate;
#[path = "../universality.rs"]
mod universality;

use deltarule::gradient::reference_network;
use surrogate::{Surrogate, Vector};
use universality::{STEEPNESS, TOWER};

/// A limit of |f″|: 0.8 + 2·0.3·15 + 0.3·15² + 0.05·50².
const CURVATURE: f64 = 203.0;
/// A limit of |f′|: 0.8 + 0.3 + 0.3·15 + 0.05·50.
const SLOPE: f64 = 8.1;

/// Returns half of max − min of these values.
fn half_range(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    (high - low) / 2.0
}

/// Returns this number of points from one end to the other of interval i of n.
fn interval(i: usize, n: usize, points: usize) -> impl Iterator<Item = f64> + Clone {
    (0..points).map(move |k| (i as f64 + k as f64 / (points - 1) as f64) / n as f64)
}

/// No function that is constant between n steps is nearer to f than half its largest range over an
/// interval. The bumps, each in the middle of its range, are off by little more.
#[test]
fn bumps_are_as_near_as_constants_can_be() {
    let mut previous = f64::INFINITY;
    for n in universality::BUMPS {
        let found = universality::distance_on_line(&universality::bumps(n).unwrap()).unwrap();
        let half = |i| half_range(interval(i, n, 1000).map(universality::f));
        let half = (0..n).map(half).fold(0.0, f64::max);
        let width = 1.0 / n as f64;
        // Within ten widths 1/w of a step both heights mix, and f moves by its slope times that. Farther
        // away σ(−10) of the difference of two heights is left, which is below 1.
        let mixed = SLOPE * 10.0 * width / STEEPNESS + (-10f64).exp();
        // The range is that of 33 points. f is beyond it only at an extremum between two, f′ = 0.
        let height = CURVATURE * (width / 32.0).powi(2) / 8.0;
        // 2n terms whose partial sums are at most 1.
        let rounding = 2.0 * n as f64 * f64::from(f32::EPSILON);
        let slack = mixed + height + rounding;
        // 10,001 points are at most 1/20,000 from the worst.
        let most_missed = SLOPE / 20_000.0;
        let range = half - slack - most_missed..=half + slack;
        assert!(range.contains(&found.largest), "{n} bumps: {found:?}, not in {range:?}");
        // As 1/N.
        assert!(found.largest < SLOPE * width / 2.0 + slack);
        assert!(found.mean < found.largest / 2.0 && found.largest < previous);
        previous = found.largest;
    }
}

/// The same for towers: |∂g/∂x| ≤ 2 and |∂g/∂y| ≤ 1.6.
#[test]
fn towers_are_as_near_as_constants_can_be_but_at_corners() {
    let mut previous = f64::INFINITY;
    for n in universality::TOWERS {
        let net = universality::towers(n).unwrap();
        let found = universality::distance_on_square(&net, n).unwrap();
        let half = |i, j| {
            let ys = interval(j, n, 65);
            half_range(
                interval(i, n, 65).flat_map(|x| ys.clone().map(move |y| universality::g(x, y))),
            )
        };
        let half = (0..n * n).map(|t| half(t / n, t % n)).fold(0.0, f64::max);
        let width = 1.0 / n as f64;
        // Near an edge as for bumps, along x or y. σ(−10) of a step changes the sum of two neighbours by
        // 2·h/4 times that, as σ′ ≤ 1/4. σ(−h/2) is left of each of 2n towers in the row and the column.
        let mixed = 2.0 * 10.0 * width / STEEPNESS
            + f64::from(TOWER) / 2.0 * (-10f64).exp()
            + 2.0 * n as f64 * (-f64::from(TOWER) / 2.0).exp();
        // Second derivatives are at most 10, 6.4 and 8 across.
        let height = (10.0 + 6.4 + 2.0 * 8.0) * (width / 32.0).powi(2) / 8.0;
        let rounding = (n * n) as f64 * f64::from(f32::EPSILON);
        let bound = half + mixed + height + rounding;
        assert!(found.largest < bound, "{n} x {n} towers: {found:?}, above {bound}");
        // As 1/N, from both sides: a grid of 241 points finds more than half of it.
        assert!(found.largest < (2.0 + 1.6) * width / 2.0 + bound - half);
        assert!(found.largest > half / 2.0 && found.largest < previous);
        previous = found.largest;
    }
}

/// At a corner a tower has half a bump along each of x and y: h(½ + ½) − 3h/2 = −h/2, so nothing is left
/// of g ≥ 0.1. A fiftieth of a tower away the output is whole.
#[test]
fn towers_have_holes_where_four_meet() {
    let n = 8;
    let net = universality::towers(n).unwrap();
    let corners = (0..49).map(|k| [(k / 7 + 1) as f64 / 8.0, (k % 7 + 1) as f64 / 8.0]);
    let corners: Vec<f64> = corners.flatten().collect();
    assert!(corners.chunks(2).all(|p| universality::is_at_corner(p[0], p[1], n)));
    let at = |x: &[f64]| universality::outputs(&net, x).unwrap();
    assert!(at(&corners).into_iter().all(|y| y.abs() < 1e-6), "{:?}", at(&corners));
    let beside: Vec<f64> = corners.iter().map(|x| x + 1.0 / 400.0).collect();
    assert!(!beside.chunks(2).any(|p| universality::is_at_corner(p[0], p[1], n)));
    assert!(at(&beside).into_iter().all(|y| y > 0.09), "{:?}", at(&beside));
}

#[test]
fn trained_networks_of_the_same_size_are_nearer() {
    let on_line = |net| universality::distance_on_line(&net).unwrap().largest;
    let [by_hand, trained] = [universality::bumps(10), universality::trained_bumps(10, 1)];
    assert!(on_line(trained.unwrap()) < on_line(by_hand.unwrap()) / 5.0);
    let on_square = |net| universality::distance_on_square(&net, 8).unwrap().largest;
    let [by_hand, trained] = [universality::towers(8), universality::trained_towers(8, 1)];
    assert!(on_square(trained.unwrap()) < on_square(by_hand.unwrap()) / 2.0);
}

/// Central differences of an energy.
fn difference(energy: impl Fn(Vector) -> f64, p: Vector, h: f64) -> Vector {
    [0, 1].map(|i| {
        let at = |h: f64| {
            let mut p = p;
            p[i] += h;
            energy(p)
        };
        -(at(h) - at(-h)) / (2.0 * h)
    })
}

/// The energies that are published for the potential, to two digits, at points where there is no force:
/// with three digits of a point, at most the curvature, 4100, times 0.0005.
#[test]
fn the_potential_is_that_of_mueller_and_brown() {
    let minima = surrogate::MINIMA.into_iter().zip([-146.70, -80.77, -108.17]);
    for (p, want) in minima.chain(surrogate::SADDLES.into_iter().zip([-40.66, -72.25])) {
        assert!((surrogate::energy(p) - want).abs() < 0.01, "{p:?}: {}", surrogate::energy(p));
        assert!(surrogate::force(p).into_iter().all(|f| f.abs() < 2.1));
    }
    for p in surrogate::points(0, 100) {
        let (found, want) = (surrogate::force(p), difference(surrogate::energy, p, 1e-4));
        // The differences err by a sixth of h² times the third derivative, at most 2.4·10⁴.
        assert!((0..2).all(|i| (found[i] - want[i]).abs() < 1e-4), "{found:?}, {want:?}");
    }
}

/// Energies and forces against the same network in plain loops in f64, and its differences.
#[test]
fn forces_are_the_slope_of_the_surrogates_own_energy() {
    let surrogate = Surrogate::trained(&surrogate::points(0, 500), 1).unwrap();
    let plain = reference_network(surrogate.pipeline.network()).unwrap();
    let Surrogate { inputs, energies, .. } = &surrogate;
    let energy = |p: Vector| {
        let z = [0, 1].map(|i| (p[i] - inputs.mean()[i]) / inputs.std()[i]);
        energies.mean()[0] + energies.std()[0] * plain.forward(&z).unwrap()[0]
    };
    let points = surrogate::points(2000, 200);
    let forces = surrogate.forces(&points).unwrap();
    let size = surrogate::errors(&surrogate, &points).unwrap().size_of_force;
    for ((&p, force), e) in points.iter().zip(forces).zip(surrogate.energies(&points).unwrap()) {
        assert!((e - energy(p)).abs() < 1e-5 * energies.std()[0], "{p:?}: {e}, {}", energy(p));
        let want = difference(energy, p, 1e-4);
        // f32 through three layers.
        assert!((0..2).all(|i| (force[i] - want[i]).abs() < 1e-5 * size), "{force:?}, {want:?}");
    }
}

/// The example prints 1.6 % of the forces and 0.11 with 2000 samples, 3.5 % and 0.37 with 500.
#[test]
fn a_surrogate_trained_on_energies_has_the_forces_of_the_formula() {
    let held_out = surrogate::points(2000, 2000);
    let trained = |n| Surrogate::trained(&surrogate::points(0, n), 1).unwrap();
    let (small, large) = (trained(500), trained(2000));
    for (surrogate, energy, share) in [(&small, 0.8, 0.07), (&large, 0.25, 0.03)] {
        let errors = surrogate::errors(surrogate, &held_out).unwrap();
        let force = errors.force / errors.size_of_force;
        assert!(errors.energy < energy && force < share, "{errors:?}");
    }
    // Where its forces vanish are the minima.
    let starts = surrogate::MINIMA.map(|[x, y]| [x + 0.1, y + 0.1]);
    let found = large.descend(&starts).unwrap();
    for (found, want) in found.iter().zip(surrogate::MINIMA) {
        assert!((0..2).all(|i| (found[i] - want[i]).abs() < 0.02), "{found:?}, {want:?}");
        assert!((surrogate::energy(*found) - surrogate::energy(want)).abs() < 0.3);
    }
}
