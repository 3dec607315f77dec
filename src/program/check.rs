//! Whether a batch, a data set or weights fit a network and a loss.

use super::batch::BatchTargets;
use crate::data::{Dataset, Targets};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::network::Mlp;
use crate::storage::MatRef;

/// The number of classes that a network tells apart. One output decides between two, except that softmax
/// over one is always 1.
fn n_classes(net: &Mlp, loss: &Loss) -> usize {
    if net.n_out() == 1 && *loss != Loss::CrossEntropy { 2 } else { net.n_out() }
}

/// Checks rows that a caller holds for a training with target values, or with classes. (NaN and infinity
/// are found on the way into the first layer.)
pub(crate) fn check_rows(
    net: &Mlp,
    loss: &Loss,
    x: MatRef,
    targets: BatchTargets,
    values: bool,
) -> Result<()> {
    let shape = |m: MatRef| format!("{} x {}", m.rows(), m.cols());
    if x.rows() == 0 || x.cols() != net.n_in() {
        return Err(Error::shape("x", format!("at least one row of {}", net.n_in()), shape(x)));
    }
    check_targets(net, loss, x.rows(), targets, values)
}

/// Checks the targets of `rows` rows.
pub(crate) fn check_targets(
    net: &Mlp,
    loss: &Loss,
    rows: usize,
    targets: BatchTargets,
    values: bool,
) -> Result<()> {
    match targets {
        BatchTargets::Classes(_) if values => {
            Err(Error::config("targets", "this training has target values, got class labels"))
        }
        BatchTargets::Values(_) if !values => {
            Err(Error::config("targets", "this training has class labels, got target values"))
        }
        BatchTargets::Classes(labels) if labels.len() != rows => {
            Err(Error::shape("labels", rows, labels.len()))
        }
        BatchTargets::Classes(labels) => {
            let classes = n_classes(net, loss);
            let Some(row) = labels.iter().position(|&l| l as usize >= classes) else {
                return Ok(());
            };
            let expected = format!("a class below {classes}");
            Err(Error::value(format!("label of row {row}"), expected, labels[row]))
        }
        BatchTargets::Values(y) => {
            let n_targets = loss.n_targets(net.n_out());
            check_shape("targets", (rows, n_targets), (y.rows(), y.cols()))?;
            loss.check_values((0..y.rows()).flat_map(|r| y.row(r)))
        }
    }
}

/// Checks a shape, rows and columns.
pub(crate) fn check_shape(name: &str, expected: (usize, usize), got: (usize, usize)) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    let [expected, got] = [expected, got].map(|(rows, cols)| format!("{rows} x {cols}"));
    Err(Error::shape(name, expected, got))
}

/// Checks that a data set fits a network and a loss.
pub(crate) fn check_data(net: &Mlp, data: &Dataset, loss: &Loss) -> Result<()> {
    let refuse = |expected: String, got: String| Err(Error::shape("data set", expected, got));
    if data.n_features() != net.n_in() {
        let expected = format!("{} features a sample, the network's inputs", net.n_in());
        return refuse(expected, data.n_features().to_string());
    }
    let is_values = matches!(data.targets(), Targets::Values { .. });
    loss.check_kind(is_values)?;
    let (n_targets, classes) = (loss.n_targets(net.n_out()), n_classes(net, loss));
    match data.targets() {
        Targets::Classes { n_classes, .. } if *n_classes > classes => {
            let expected = format!("at most {classes} classes, the network's outputs");
            refuse(expected, format!("{n_classes} classes"))
        }
        Targets::Classes { .. } => Ok(()),
        Targets::Values { n_outputs, .. } if *n_outputs != n_targets => {
            let expected = match n_targets == net.n_out() {
                true => format!("{n_targets} targets a sample, the network's outputs"),
                false => format!("{n_targets} targets a sample, for {} outputs", net.n_out()),
            };
            refuse(expected, n_outputs.to_string())
        }
        Targets::Values { values, .. } => loss.check_values(values),
    }
}

/// Checks one weight per sample.
pub(crate) fn check_sample_weights(weights: &[f32], samples: usize) -> Result<()> {
    if weights.len() != samples {
        return Err(Error::shape("sample weights", samples, weights.len()));
    }
    match weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
        Some(i) => Err(Error::value(
            format!("sample weight {i}"),
            "a finite number of at least 0",
            weights[i],
        )),
        None => Ok(()),
    }
}
