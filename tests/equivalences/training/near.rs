//! Runs that differ by roundings.

use super::*;

/// Two ways of the same arithmetic, whose sums round differently, over a few small updates: measured
/// at most 2e-6.
const TOLERANCE: f64 = 2e-5;

/// A random network may amplify rounding without a bound: two units of maxout that are nearly equal, a
/// layer norm of neurons that are. `twin` is `want` from [`nudged`] weights and with its sums in another
/// order, so its distance measures how much. The factor is for two roundings of which one is lucky.
const LUCK: f64 = 10.0;

pub fn near(place: &str, seed: u64, got: &Mlp, [want, twin]: [&Mlp; 2]) {
    let want = parameters(want);
    let allowed = TOLERANCE.max(LUCK * relative_error(&parameters(twin), &want));
    let error = relative_error(&parameters(got), &want);
    assert!(error <= allowed, "{place}, seed {seed}: {error:e} above {allowed:e}, {got:?}");
}

pub fn near_loss(place: &str, seed: u64, got: f64, [want, twin]: [f64; 2]) {
    let allowed = (1e-5 * want.abs().max(1e-3)).max(LUCK * (twin - want).abs());
    assert!((got - want).abs() <= allowed, "{place}, seed {seed}: {got}, {want}, {twin}");
}

/// The same network with every weight one unit in the last place larger or smaller.
pub fn nudged(net: &Mlp, data: &mut Data) -> Mlp {
    let mut net = net.clone();
    let layers = net.layers().len();
    for layer in 0..layers {
        let (mut weights, biases) = (net.weights(layer).unwrap(), net.biases(layer).unwrap());
        for w in weights.as_mut_slice() {
            *w = if data.below(2) == 0 { w.next_up() } else { w.next_down() };
        }
        net.set_parameters(layer, weights.view(), &biases).unwrap();
    }
    net
}
