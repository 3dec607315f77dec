//! The largest inputs and deltas of each layer in a step.

use super::batch::Batch;
use crate::network::Mlp;
use crate::optim::LIMIT;
use crate::simd::Line;
use std::sync::atomic::{AtomicU32, Ordering};

/// The largest |x| that reached a layer in a step. The bits of floats from 0 on are in their order.
#[derive(Default)]
pub(crate) struct Peaks {
    input: AtomicU32,
    /// Over all buffers whose column sums are gradients of the layer's vectors.
    delta: AtomicU32,
}

fn note(peak: &AtomicU32, value: f32) {
    peak.fetch_max(value.to_bits(), Ordering::Relaxed);
}

fn get(peak: &AtomicU32) -> f64 {
    f64::from(f32::from_bits(peak.load(Ordering::Relaxed)))
}

impl Peaks {
    /// Before a step: nothing was seen, except the largest inputs that are known.
    pub(crate) fn reset(all: &mut [Peaks], net: &Mlp, batch: &Batch) {
        for (i, peaks) in all.iter_mut().enumerate() {
            let known = i > 0 && net.layers[i - 1].is_within_one();
            let input = if known { 1.0f32.to_bits() } else { 0 };
            *peaks = Peaks { input: input.into(), delta: 0.into() };
        }
        if let Some(largest) = batch.largest_input() {
            all[0].note_batch(net, largest);
        }
    }

    /// The largest feature of a batch, before dropout.
    pub(crate) fn note_batch(&self, net: &Mlp, largest: f32) {
        note(&self.input, largest / (1.0 - net.input_dropout));
    }

    pub(crate) fn note_input(&self, value: f32) {
        note(&self.input, value);
    }

    pub(crate) fn note_delta(&self, value: f32) {
        note(&self.delta, value);
    }

    /// What no element of the gradient over `rows` rows exceeds. The inputs of biases are 1.
    pub(crate) fn gradient(&self, rows: usize) -> f64 {
        match rows {
            0 => 0.0,
            rows => rows as f64 * get(&self.input).max(1.0) * get(&self.delta),
        }
    }

    /// A mean or a variance that running statistics could not hold: no update comes of it.
    pub(crate) fn note_moments(&self, moments: &[Line], lanes: impl Fn(usize) -> usize) {
        let values = moments.iter().enumerate().flat_map(|(p, line)| &line.0[..lanes(p)]);
        let mut fit = values.map(|x| f64::from(x.abs()) <= LIMIT);
        if !fit.all(|fits| fits) {
            note(&self.delta, f32::INFINITY);
        }
    }
}
