//! A loss of the caller's.

use super::output::Output;
use super::rows::deltas;
use crate::simd::{LINE, Level};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// From the outputs and the targets of a row: its loss, and the gradient with respect to the outputs.
type Function = dyn Fn(&[f32], &[f32], &mut [f32]) -> f32 + Send + Sync;

/// A function of the caller's as a loss; made by [`Loss::custom`](crate::Loss::custom). Two are equal if one
/// is a clone of the other.
#[derive(Clone)]
pub struct CustomLoss {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    /// Targets of a row; as many as outputs where none.
    n_targets: Option<usize>,
    function: Box<Function>,
    /// A row's outputs, targets and gradient: memory for each thread at work, so that steps allocate
    /// nothing. The lock is held to take and to return one, once per block of rows.
    buffers: Mutex<Vec<Vec<f32>>>,
}

impl CustomLoss {
    pub(super) fn new(name: String, n_targets: Option<usize>, function: Box<Function>) -> Self {
        let buffers = Mutex::new(Vec::new());
        CustomLoss { shared: Arc::new(Shared { name, n_targets, function, buffers }) }
    }

    /// The name, for errors and checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The number of targets of a row, where it is not the number of outputs.
    pub(super) fn n_targets(&self) -> Option<usize> {
        self.shared.n_targets
    }

    /// Makes memory for a number of threads, for rows of `n_out` outputs.
    pub(super) fn reserve(&self, threads: usize, n_out: usize) {
        let len = self.row_len(n_out);
        let buffers = &mut *self.lock();
        buffers.retain(|buffer| buffer.capacity() >= len);
        while buffers.len() < threads {
            buffers.push(Vec::with_capacity(len));
        }
    }

    fn row_len(&self, n_out: usize) -> usize {
        2 * n_out + self.n_targets().unwrap_or(n_out)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<f32>>> {
        // No function of the caller's runs while it is held, so it is whole.
        self.shared.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn backward(&self, level: Level, o: Output) {
        let Output { a, z, targets, mut d, losses, scale, weighting, activation } = o;
        let (a, n) = (a.view(), a.cols);
        let mut buffer = self.lock().pop().unwrap_or_default();
        buffer.resize(self.row_len(n), 0.0);
        let (outputs, rest) = buffer.split_at_mut(n);
        let (gradient, y) = rest.split_at_mut(n);
        for (row, loss) in losses.iter_mut().enumerate() {
            for (col, output) in outputs.iter_mut().enumerate() {
                *output = a.panel(col / LINE)[row].0[col % LINE];
            }
            for (col, y) in y.iter_mut().enumerate() {
                *y = targets.value(row, col, n);
            }
            gradient.fill(0.0);
            *loss = f64::from((self.shared.function)(outputs, y, gradient));
            if !gradient.iter().all(|g| g.is_finite()) {
                // The step looks for losses that are not finite.
                *loss = f64::NAN;
            }
            let scale = weighting.of_row(row, scale);
            for (col, g) in gradient.iter().enumerate() {
                d.panel_mut(col / LINE)[row].0[col % LINE] = g * scale;
            }
        }
        self.lock().push(buffer);
        deltas(level, activation, z.unwrap_or(a), d);
    }
}

impl PartialEq for CustomLoss {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Debug for CustomLoss {
    /// The name and the number of targets, which a checkpoint compares.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomLoss({:?}, {:?})", self.name(), self.n_targets())
    }
}
