//! Bounds in f64 of weights and state values after an update, from a bound of the gradients. They show
//! before an update whether all values that it writes will be finite.

use super::method::UpdateBounds;
use super::optimizer::Optimizer;

/// Bounds of |w| and |state values| of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Magnitude {
    pub(crate) weight: f64,
    pub(crate) slots: [f64; 2],
}

/// The largest bound with which no sum or product of an update overflows: a quarter of f32's range,
/// which leaves room for roundings and for sums of two such values.
pub(crate) const LIMIT: f64 = (1u128 << 126) as f64;

/// The growth of a bound per step for roundings, which are 2⁻²⁴ each.
const ROUNDING: f64 = 1.0 + 1.0 / (1u32 << 20) as f64;

impl Magnitude {
    /// Whether values within these bounds, and sums of two of them, are finite in f32; false for NaN.
    pub(crate) fn fits(&self) -> bool {
        self.weight <= LIMIT && self.slots.iter().all(|slot| *slot <= LIMIT)
    }

    fn times(self, factor: f64) -> Self {
        Magnitude { weight: self.weight * factor, slots: self.slots.map(|slot| slot * factor) }
    }
}

impl Optimizer {
    /// The bounds after update `step` with |gradients| of at most `g`; infinite if an intermediate value
    /// may be. Weight decay only shrinks weights.
    pub(crate) fn grow(&self, (step, lr): (u64, f32), m: Magnitude, g: f64) -> Magnitude {
        let UpdateBounds { direction, slots } = self.method().bounds(step, m.slots, g);
        // An intermediate value that overflows in f32 is not bounded.
        let direction = if direction <= LIMIT { direction } else { f64::INFINITY };
        Magnitude { weight: m.weight + f64::from(lr) * direction, slots }.times(ROUNDING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::UpdateRule;
    use crate::optim::{Adagrad, Adam, AdamW, Lion, Momentum, RmsProp, Sgd, VisitRule};
    use crate::simd::{Kernel, LINE, Level, Simd, dispatch};

    struct Update<R>(R, f32, f32, [f32; 2]);

    impl<R: UpdateRule> Kernel for Update<R> {
        type Output = [f32; 3];
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; 3] {
            let mut slots = self.3.map(|x| s.splat(x));
            let w = self.0.update(s, s.splat(self.1), s.splat(self.2), &mut slots);
            [w, slots[0], slots[1]].map(|v| {
                let mut out = [0.0; LINE];
                s.store(v, &mut out);
                out[0]
            })
        }
    }

    struct Visit(f32, f32, [f32; 2]);

    impl VisitRule for Visit {
        type Output = [f32; 3];
        fn visit<R: UpdateRule>(self, rule: R) -> [f32; 3] {
            let slots = if R::SLOTS == 0 { [0.0; 2] } else { self.2 };
            dispatch(Level::best(), Update(rule, self.0, self.1, slots))
        }
    }

    /// Gradients of every size and sign, with sudden jumps: values that fit are finite and within the
    /// bound.
    #[test]
    fn no_update_exceeds_its_bound() {
        let optimizers: [Optimizer; 9] = [
            Sgd::new(0.5).into(),
            Momentum::new(0.5, 0.9).into(),
            Momentum::new(0.5, 0.99).nesterov().into(),
            Adam::new(0.1).into(),
            Adam::new(0.1).betas(0.0, 0.0).epsilon(1e-38).into(),
            AdamW::new(0.1).betas(0.999_999, 0.5).into(),
            RmsProp::new(0.1).into(),
            Adagrad::new(0.1).epsilon(1e-30).into(),
            Lion::new(0.1).into(),
        ];
        for optimizer in optimizers {
            let (mut fitted, mut refused) = (0, 0);
            for run in 0..200u32 {
                let (mut w, mut slots, mut bound) = (0.5f32, [0.0f32; 2], Magnitude::default());
                bound.weight = 0.5;
                for t in 1..30u32 {
                    // A cheap mix of the counters: exponents from -30 to 38.
                    let mix = (run * 31 + t).wrapping_mul(2_654_435_761);
                    let exponent = if mix % 7 == 0 { 40 } else { 20 } * (mix >> 16 & 255) as i32;
                    let size = 10f64.powi(exponent / 256 - 10 + i32::from(mix % 7 == 0) * 10);
                    let g = (size * if mix & 256 == 0 { 3.0 } else { -3.0 }) as f32;
                    if !g.is_finite() {
                        continue;
                    }
                    let at = (u64::from(t), optimizer.learning_rate());
                    let next = optimizer.grow(at, bound, f64::from(g.abs()));
                    if !next.fits() {
                        refused += 1;
                        continue;
                    }
                    let [new, first, second] = optimizer.with_rule(at, Visit(w, g, slots));
                    let used = [first, second];
                    (w, slots, bound) = (new, used, next);
                    fitted += 1;
                    assert!(w.is_finite() && f64::from(w.abs()) <= bound.weight, "{optimizer:?}");
                    let used = slots.iter().zip(bound.slots).take(optimizer.slots());
                    for (slot, bound) in used {
                        assert!(f64::from(slot.abs()) <= bound, "{optimizer:?}: {slot} > {bound}");
                    }
                }
            }
            assert!(fitted > 1000, "{optimizer:?}: {fitted}");
            assert!(refused > 0 || matches!(optimizer, Optimizer::Lion(_)), "{optimizer:?}");
        }
    }
}
