//! Where a batch's rows come from.

use crate::data::{Dataset, Targets};
use crate::gemm::{PanelsMut, gather};
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

impl Batch<'_> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Batch::Samples { order, .. } => order.len(),
            Batch::Rows { x, .. } => x.rows(),
        }
    }

    /// Writes features from row `first` on; answers whether all are finite.
    pub(super) fn features(&self, net: &Mlp, first: usize, out: PanelsMut) -> bool {
        match *self {
            Batch::Samples { data, order } => gather_features(net, data, Some(order), first, out),
            Batch::Rows { x, .. } => gather(net.level(), x, first, out),
        }
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
pub(super) fn check_rows(net: &Mlp, x: MatRef, targets: BatchTargets, values: bool) -> Result<()> {
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
            match labels.iter().position(|&l| l as usize >= net.n_out()) {
                Some(row) => Err(Error::value(
                    format!("label of row {row}"),
                    format!("a class below {}", net.n_out()),
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
            Ok(())
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
