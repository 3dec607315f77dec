//! Where a batch's rows come from.

use crate::data::{Dataset, Features, Targets};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::network::Mlp;
use crate::storage::{MatRef, PanelsMut, RowSource, gather};

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
pub(crate) enum Batch<'a> {
    Samples {
        data: &'a Dataset,
        order: &'a [u32],
    },
    Rows {
        x: MatRef<'a>,
        targets: BatchTargets<'a>,
    },
    /// Some of the rows that a caller holds.
    Picked {
        x: MatRef<'a>,
        targets: BatchTargets<'a>,
        picked: &'a [u32],
    },
}

/// Weights of samples.
#[derive(Clone, Copy)]
pub(crate) enum SampleWeights<'a> {
    /// All count the same.
    Equal,
    /// One per sample of the data set.
    Samples(&'a [f32]),
    /// One per row of the batch.
    Rows(&'a [f32]),
}

/// The rows of a data set in an order.
#[derive(Clone, Copy)]
pub(crate) struct Ordered<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) n: usize,
    /// The sample of each row; `None` is the data set's own order.
    pub(crate) order: Option<&'a [u32]>,
    pub(crate) scaling: Option<(f32, f32)>,
}

impl<T: crate::storage::InputValue> RowSource for Ordered<'_, T> {
    type Value = T;
    fn row(&self, r: usize) -> &[T] {
        let sample = self.order.map_or(r, |order| order[r] as usize);
        &self.values[sample * self.n..][..self.n]
    }
    fn scattered(&self, r: usize) -> Option<&[T]> {
        let sample = *self.order?.get(r)? as usize;
        Some(&self.values[sample * self.n..][..self.n])
    }
    fn scaling(&self) -> Option<(f32, f32)> {
        self.scaling
    }
}

/// Copies rows of a data set, in an order, from row `first` on. Returns the largest |x|, infinity where
/// one is not finite.
pub(crate) fn gather_features(
    net: &Mlp,
    data: &Dataset,
    order: Option<&[u32]>,
    first: usize,
    out: PanelsMut,
) -> f32 {
    let n = data.n_features();
    match data.features() {
        Features::F32(values) => {
            gather(net.level, Ordered { values, n, order, scaling: None }, first, out)
        }
        Features::U8 { data: values, scale, shift } => {
            let scaling = Some((scale, shift));
            gather(net.level, Ordered { values, n, order, scaling }, first, out)
        }
    }
}

/// Rows of a matrix in an order.
#[derive(Clone, Copy)]
struct PickedRows<'a> {
    m: MatRef<'a>,
    picked: &'a [u32],
}

impl RowSource for PickedRows<'_> {
    type Value = f32;
    fn row(&self, r: usize) -> &[f32] {
        self.m.row(self.picked[r] as usize)
    }
    fn scaling(&self) -> Option<(f32, f32)> {
        None
    }
}

/// The classes' weights, and whether a row whose class weighs 0 has a loss (by label smoothing).
#[derive(Clone, Copy)]
pub(crate) struct ClassWeights<'a> {
    pub(crate) weights: &'a [f32],
    pub(crate) are_smoothed: bool,
}

/// What the rows of a batch weigh.
pub(crate) struct Weighed<'a> {
    /// The rows that count.
    pub(crate) batch: Batch<'a>,
    /// Σ s_i·n_i; 0 where no row counts.
    pub(crate) sum: f64,
}

impl<'a> Batch<'a> {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Batch::Samples { order, .. } => order.len(),
            Batch::Rows { x, .. } => x.rows(),
            Batch::Picked { picked, .. } => picked.len(),
        }
    }

    /// The label of a row of a batch that has labels.
    fn label(&self, row: usize) -> Option<usize> {
        match *self {
            Batch::Samples { data, order } => match data.targets() {
                Targets::Classes { labels, .. } => Some(labels[order[row] as usize] as usize),
                Targets::Values { .. } => None,
            },
            Batch::Rows { targets, .. } => targets.label(row),
            Batch::Picked { targets, picked, .. } => targets.label(picked[row] as usize),
        }
    }

    /// The rows that count, and what each of them counts: s_i / Σ s_i·n_i, with s the weights of the
    /// samples and n those of their classes. So a weight of 2 is the same as the row twice, and one
    /// of 0 as if the row were not there. `picked` and `shares` are room for a number a row.
    pub(crate) fn weigh(
        self,
        weights: SampleWeights,
        classes: ClassWeights,
        picked: &'a mut Vec<u32>,
        shares: &mut [f32],
    ) -> Weighed<'a> {
        let (mut sum, rows) = (0.0, self.rows());
        picked.clear();
        for row in 0..rows {
            let sample = match self {
                Batch::Samples { order, .. } => order[row],
                Batch::Rows { .. } => row as u32,
                Batch::Picked { picked, .. } => picked[row],
            };
            let weight = match weights {
                SampleWeights::Equal => 1.0,
                SampleWeights::Samples(s) | SampleWeights::Rows(s) => s[sample as usize],
            };
            let class =
                self.label(row).and_then(|label| classes.weights.get(label)).unwrap_or(&1.0);
            if weight > 0.0 && (*class > 0.0 || classes.are_smoothed) {
                shares[picked.len()] = weight;
                picked.push(sample);
                sum += f64::from(weight) * f64::from(*class);
            }
        }
        if sum <= 0.0 {
            picked.clear();
        }
        let picked = &picked[..];
        let shares = shares[..picked.len()].iter_mut();
        shares.for_each(|share| *share = (f64::from(*share) / sum) as f32);
        let batch = match self {
            whole if picked.len() == rows => whole,
            Batch::Samples { data, .. } => Batch::Samples { data, order: picked },
            Batch::Rows { x, targets } | Batch::Picked { x, targets, .. } => {
                Batch::Picked { x, targets, picked }
            }
        };
        Weighed { batch, sum }
    }

    /// The largest |x| that its values can have, where that is known without a scan. Bytes
    /// count as such too, since products multiply them before their scale.
    pub(crate) fn largest_input(&self) -> Option<f32> {
        let (_, scale, shift) = self.bytes()?;
        Some((255.0 * scale.abs() + shift.abs()).max(255.0))
    }

    /// Writes features from row `first` on. Returns the largest |x|, infinity where one is not finite.
    pub(crate) fn features(&self, net: &Mlp, first: usize, out: PanelsMut) -> f32 {
        match *self {
            Batch::Samples { data, order } => gather_features(net, data, Some(order), first, out),
            Batch::Rows { x, .. } => gather(net.level(), x, first, out),
            Batch::Picked { x, picked, .. } => {
                gather(net.level(), PickedRows { m: x, picked }, first, out)
            }
        }
    }

    /// The rows as bytes, and their scale and shift, where they are of a data set of bytes.
    pub(crate) fn bytes(&self) -> Option<(Ordered<'a, u8>, f32, f32)> {
        let Batch::Samples { data, order } = *self else { return None };
        let Features::U8 { data: values, scale, shift } = data.features() else { return None };
        let (n, order, scaling) = (data.n_features(), Some(order), None);
        Some((Ordered { values, n, order, scaling }, scale, shift))
    }

    /// Writes target values from row `first` on; returns whether all are finite. The batch must
    /// have them.
    pub(crate) fn values(&self, net: &Mlp, first: usize, out: PanelsMut) -> bool {
        let largest = match *self {
            Batch::Samples { data, order } => match data.targets() {
                Targets::Values { values, n_outputs } => {
                    let order = Some(order);
                    let source = Ordered { values, n: *n_outputs, order, scaling: None };
                    gather(net.level(), source, first, out)
                }
                Targets::Classes { .. } => unreachable!("checked by `Training::check`"),
            },
            Batch::Rows { targets: BatchTargets::Values(y), .. } => {
                gather(net.level(), y, first, out)
            }
            Batch::Picked { targets: BatchTargets::Values(y), picked, .. } => {
                gather(net.level(), PickedRows { m: y, picked }, first, out)
            }
            Batch::Rows { .. } | Batch::Picked { .. } => unreachable!("checked by `check_rows`"),
        };
        largest.is_finite()
    }

    /// Writes labels from row `first` on. The batch must have them.
    pub(crate) fn labels(&self, first: usize, out: &mut [u32]) {
        let pick = |from: &[u32], rows: &[u32], out: &mut [u32]| {
            out.iter_mut().zip(&rows[first..]).for_each(|(o, &i)| *o = from[i as usize]);
        };
        match *self {
            Batch::Samples { data, order } => {
                if let Targets::Classes { labels, .. } = data.targets() {
                    pick(labels, order, out);
                }
            }
            Batch::Rows { targets: BatchTargets::Classes(labels), .. } => {
                out.copy_from_slice(&labels[first..first + out.len()]);
            }
            Batch::Picked { targets: BatchTargets::Classes(labels), picked, .. } => {
                pick(labels, picked, out);
            }
            Batch::Rows { .. } | Batch::Picked { .. } => unreachable!("checked by `check_rows`"),
        }
    }
}

impl BatchTargets<'_> {
    fn label(&self, row: usize) -> Option<usize> {
        match self {
            BatchTargets::Classes(labels) => Some(labels[row] as usize),
            BatchTargets::Values(_) => None,
        }
    }
}

/// Checks rows that a caller holds: shapes and labels. (NaN and infinity are found on the way
/// into the first layer, see [`first_non_finite_value`].)
pub(crate) fn check_rows(
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
pub(crate) fn first_non_finite_value(batch: &Batch) -> Error {
    let find = |place: &str, m: MatRef, counts: &dyn Fn(usize) -> bool| {
        let rows = (0..m.rows()).filter(|r| counts(*r));
        let values = rows.flat_map(|r| m.row(r).iter().enumerate().map(move |v| (r, v)));
        let non_finite = values.into_iter().find(|(_, (_, x))| !x.is_finite());
        non_finite
            .map(|(r, (c, x))| Error::value(format!("{place} ({r}, {c})"), "a finite number", x))
    };
    let of_rows = |x, targets: BatchTargets, counts: &dyn Fn(usize) -> bool| {
        let y = match targets {
            BatchTargets::Values(y) => find("targets", y, counts),
            BatchTargets::Classes(_) => None,
        };
        find("x", x, counts).or(y)
    };
    let found = match *batch {
        Batch::Rows { x, targets } => of_rows(x, targets, &|_| true),
        // What a row of weight 0 holds does not count.
        Batch::Picked { x, targets, picked } => {
            of_rows(x, targets, &|r| picked.iter().any(|row| *row as usize == r))
        }
        // A data set holds finite values only, but scaling can overflow.
        Batch::Samples { .. } => None,
    };
    found.unwrap_or_else(|| Error::value("data set", "finite numbers after scaling", "an infinity"))
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
