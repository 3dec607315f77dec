//! Estimates of the rounding errors of gradients. The check compares an error with them where gradients
//! cancelled. For example, below batch normalisation over two rows nearly all gradients cancel, and what
//! is left has the rounding errors of the terms.

use crate::error::Result;
use crate::reference::{Batch, Loss, Network, Real, Target};

/// Factors of the inputs. One computation can be exact by chance; others with nearly the same values have
/// other rounding errors.
const FACTORS: [f64; 4] = [1.0, 1.001, 1.002, 1.003];

/// The largest relative error of rounding to f32.
const ROUNDING: f64 = 1.0 / (1u32 << 24) as f64;

/// The largest difference per layer between gradients of the reference in f32 and in f64, in units of the
/// relative rounding error of f32.
pub(super) fn rounding_errors(
    network: &Network<f64>,
    [x, y]: [&[f64]; 2],
    loss: &Loss,
) -> Result<Vec<f64>> {
    let mut errors = vec![0.0; network.layers.len()];
    for factor in FACTORS {
        // Both precisions have the same inputs.
        let x: Vec<f64> = x.iter().map(|x| f64::from((factor * x) as f32)).collect();
        let exact = gradients::<f64>(network, [&x, y], loss)?;
        let rounded = gradients::<f32>(network, [&x, y], loss)?;
        for ((error, exact), rounded) in errors.iter_mut().zip(exact).zip(rounded) {
            let differences = exact.iter().zip(rounded).map(|(exact, rounded)| exact - rounded);
            *error = differences.fold(*error, |max, d: f64| f64::max(max, d.abs() / ROUNDING));
        }
    }
    Ok(errors)
}

/// The gradients of each layer, computed in T.
fn gradients<T: Real>(
    network: &Network<f64>,
    [x, y]: [&[f64]; 2],
    loss: &Loss,
) -> Result<Vec<Vec<f64>>> {
    let network = network.cast::<T>();
    let [x, y] = [x, y].map(|m| m.iter().map(|&v| T::from_f64(v)).collect::<Vec<_>>());
    let batch = Batch::new(&x, Target::Values(&y));
    let layers = network.backpropagate(&batch, loss, &network.layer_outputs(&x)?);
    let values = layers.iter().map(|layer| {
        let tensors = [&layer.weight, &layer.bias, &layer.gamma, &layer.beta];
        tensors.into_iter().flatten().map(|&value| value.to_f64()).collect()
    });
    Ok(values.collect())
}
