//! Where a batch's rows come from.

use crate::data::{Dataset, Features, Targets};
use crate::gemm::{PanelsMut, gather};
use crate::loss::Loss;
use crate::nn::{Mlp, Ordered, gather_features};
use crate::{Error, MatRef, Result};

/// The targets of a batch that a caller holds.
#[derive(Clone, Copy, Debug)]
pub enum BatchTargets<'a> {
    /// The class of each row, below the number of the network's outputs.
    Classes(&'a [u32]),
    /// n_out values a row.
    Values(MatRef<'a>),
}

/// A batch: samples of a data set, or rows that a caller holds.
#[derive(Clone, Copy)]
pub(super) enum Batch<'a> {
    Samples { data: &'a Dataset, order: &'a [u32] },
    Rows { x: MatRef<'a>, targets: BatchTargets<'a> },
}

/// Weights of samples.
#[derive(Clone, Copy)]
pub(super) enum SampleWeights<'a> {
    /// All count the same.
    Equal,
    /// One a sample of the data set.
    Samples(&'a [f32]),
    /// One a row of the batch.
    Rows(&'a [f32]),
}

impl<'a> Batch<'a> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Batch::Samples { order, .. } => order.len(),
            Batch::Rows { x, .. } => x.rows(),
        }
    }

    /// The label of a row of a batch that has labels.
    fn label(&self, row: usize) -> Option<usize> {
        match *self {
            Batch::Samples { data, order } => match data.targets() {
                Targets::Classes { labels, .. } => Some(labels[order[row] as usize] as usize),
                _ => None,
            },
            Batch::Rows { targets: BatchTargets::Classes(labels), .. } => {
                Some(labels[row] as usize)
            }
            Batch::Rows { .. } => None,
        }
    }

    /// What each row counts: s_i / Σ s_i·n_i, with s the weights of the samples and n those of
    /// their classes. So a weight of 2 is the same as the row twice.
    ///
    /// # Errors
    /// [`Error::Value`] when all rows weigh nothing.
    pub(super) fn shares(
        &self,
        weights: SampleWeights,
        classes: &[f32],
        out: &mut [f32],
    ) -> Result<()> {
        let mut sum = 0.0;
        for (row, out) in out.iter_mut().enumerate() {
            *out = match (weights, self) {
                (SampleWeights::Equal, _) => 1.0,
                (SampleWeights::Samples(s), Batch::Samples { order, .. }) => s[order[row] as usize],
                (SampleWeights::Samples(s) | SampleWeights::Rows(s), _) => s[row],
            };
            let class = self.label(row).and_then(|label| classes.get(label)).unwrap_or(&1.0);
            sum += f64::from(*out) * f64::from(*class);
        }
        if sum <= 0.0 {
            return Err(Error::value("weights of a batch", "a sum above 0", sum));
        }
        out.iter_mut().for_each(|out| *out = (f64::from(*out) / sum) as f32);
        Ok(())
    }

    /// Writes features from row `first` on; answers whether all are finite.
    pub(super) fn features(&self, net: &Mlp, first: usize, out: PanelsMut) -> bool {
        match *self {
            Batch::Samples { data, order } => gather_features(net, data, Some(order), first, out),
            Batch::Rows { x, .. } => gather(net.level(), x, first, out),
        }
    }

    /// The rows as bytes, and their scale and shift, where they are of a data set of bytes.
    pub(super) fn bytes(&self) -> Option<(Ordered<'a, u8>, f32, f32)> {
        let Batch::Samples { data, order } = *self else { return None };
        let Features::U8 { data: values, scale, shift } = data.features() else { return None };
        let (n, order, scaling) = (data.n_features(), Some(order), None);
        Some((Ordered { values, n, order, scaling }, scale, shift))
    }

    /// Writes target values from row `first` on; answers whether all are finite. The batch must
    /// have them.
    pub(super) fn values(&self, net: &Mlp, first: usize, out: PanelsMut) -> bool {
        match *self {
            Batch::Samples { data, order } => match data.targets() {
                Targets::Values { values, n_outputs } => {
                    let order = Some(order);
                    let source = Ordered { values, n: *n_outputs, order, scaling: None };
                    gather(net.level(), source, first, out)
                }
                _ => unreachable!("checked by `Training::check`"),
            },
            Batch::Rows { targets: BatchTargets::Values(y), .. } => {
                gather(net.level(), y, first, out)
            }
            Batch::Rows { .. } => unreachable!("checked by `check_rows`"),
        }
    }

    /// Writes labels from row `first` on. The batch must have them.
    pub(super) fn labels(&self, first: usize, out: &mut [u32]) {
        match *self {
            Batch::Samples { data, order } => {
                if let Targets::Classes { labels, .. } = data.targets() {
                    let samples = &order[first..first + out.len()];
                    out.iter_mut().zip(samples).for_each(|(o, &i)| *o = labels[i as usize]);
                }
            }
            Batch::Rows { targets: BatchTargets::Classes(labels), .. } => {
                out.copy_from_slice(&labels[first..first + out.len()]);
            }
            Batch::Rows { .. } => unreachable!("checked by `check_rows`"),
        }
    }
}

/// Checks rows that a caller holds: shapes and labels. (NaN and infinity are found on the way
/// into the first layer, see [`first_odd_value`].)
pub(super) fn check_rows(
    net: &Mlp,
    loss: Loss,
    x: MatRef,
    targets: BatchTargets,
    values: bool,
) -> Result<()> {
    if x.rows() == 0 || x.cols() != net.n_in() {
        let expected = format!("at least one row of {}", net.n_in());
        return Err(Error::shape("x", expected, format!("{} x {}", x.rows(), x.cols())));
    }
    match targets {
        BatchTargets::Classes(_) if values => {
            Err(Error::config("targets", "this training has target values, got class labels"))
        }
        BatchTargets::Values(_) if !values => {
            Err(Error::config("targets", "this training has class labels, got target values"))
        }
        BatchTargets::Classes(labels) => {
            if labels.len() != x.rows() {
                return Err(Error::shape("labels", x.rows(), labels.len()));
            }
            let one_output = net.n_out() == 1 && loss != Loss::CrossEntropy;
            let classes = if one_output { 2 } else { net.n_out() };
            match labels.iter().position(|&l| l as usize >= classes) {
                Some(row) => Err(Error::value(
                    format!("label of row {row}"),
                    format!("a class below {classes}"),
                    labels[row],
                )),
                None => Ok(()),
            }
        }
        BatchTargets::Values(y) => {
            if (y.rows(), y.cols()) != (x.rows(), net.n_out()) {
                let expected = format!("{} x {}", x.rows(), net.n_out());
                return Err(Error::shape(
                    "targets",
                    expected,
                    format!("{} x {}", y.rows(), y.cols()),
                ));
            }
            let mut values = (0..y.rows()).flat_map(|r| y.row(r));
            match values.find(|y| **y < 0.0 || **y > 1.0) {
                Some(y) if loss == Loss::BinaryCrossEntropy => {
                    Err(Error::value("targets", "probabilities, 0 to 1", y))
                }
                _ => Ok(()),
            }
        }
    }
}

/// The error that names the first value of a batch that is not finite.
pub(super) fn first_odd_value(batch: &Batch) -> Error {
    let find = |place: &str, m: MatRef| {
        let values = (0..m.rows()).flat_map(|r| m.row(r).iter().enumerate().map(move |v| (r, v)));
        let odd = values.into_iter().find(|(_, (_, x))| !x.is_finite());
        odd.map(|(r, (c, x))| Error::value(format!("{place} ({r}, {c})"), "a finite number", x))
    };
    let found = match batch {
        Batch::Rows { x, targets: BatchTargets::Values(y) } => {
            find("x", *x).or_else(|| find("targets", *y))
        }
        Batch::Rows { x, .. } => find("x", *x),
        // A data set holds finite values only, but scaling can overflow.
        Batch::Samples { .. } => None,
    };
    found.unwrap_or_else(|| Error::value("data set", "finite numbers after scaling", "an infinity"))
}

/// Checks a weight a sample.
pub(super) fn check_sample_weights(weights: &[f32], samples: usize) -> Result<()> {
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
