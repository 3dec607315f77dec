//! Where a batch's rows come from.

use crate::data::{Dataset, Features, Targets};
use crate::error::Error;
use crate::network::Mlp;
use crate::storage::{MatRef, Matrix, PanelsMut, RowSource, gather};
use crate::text::Values;
use std::fmt;

/// The targets of a batch, one entry per row. Made by `into()` of a `&[u32]` (labels), a [`MatRef`] or a
/// [`&Matrix`](Matrix) (values), or the [`&Targets`](Targets) of a data set.
#[derive(Clone, Copy)]
pub enum BatchTargets<'a> {
    /// The class of each row, below the number of the network's outputs; 0 or 1 where there is one
    /// output.
    Classes(&'a [u32]),
    /// rows x n_targets values. There are as many targets as outputs, except with losses that say
    /// otherwise ([`Loss::Quantile`](crate::Loss::Quantile) and
    /// [`Loss::GaussianNll`](crate::Loss::GaussianNll)).
    Values(MatRef<'a>),
}

/// Up to 100 values are listed; of more their number or shape is written.
impl fmt::Debug for BatchTargets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchTargets::Classes(labels) => {
                f.debug_tuple("Classes").field(&Values(labels)).finish()
            }
            BatchTargets::Values(values) => f.debug_tuple("Values").field(values).finish(),
        }
    }
}

/// A batch: rows of a source in an order.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    source: Source<'a>,
    /// The row of the source of each row; none for all rows as they are.
    order: Option<&'a [u32]>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Data(&'a Dataset),
    /// Rows that a caller holds.
    Held {
        x: MatRef<'a>,
        targets: BatchTargets<'a>,
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

/// Rows of bytes in an order.
#[derive(Clone, Copy)]
pub(crate) struct ByteRows<'a> {
    values: &'a [u8],
    n: usize,
    order: Option<&'a [u32]>,
    scaling: Option<(f32, f32)>,
}

impl RowSource for ByteRows<'_> {
    type Value = u8;
    fn row(&self, r: usize) -> &[u8] {
        let row = self.order.map_or(r, |order| order[r] as usize);
        &self.values[row * self.n..][..self.n]
    }
    fn scattered(&self, r: usize) -> Option<&[u8]> {
        let row = *self.order?.get(r)? as usize;
        Some(&self.values[row * self.n..][..self.n])
    }
    fn scaling(&self) -> Option<(f32, f32)> {
        self.scaling
    }
}

/// Rows of a matrix in an order.
#[derive(Clone, Copy)]
struct OrderedRows<'a> {
    m: MatRef<'a>,
    order: &'a [u32],
}

impl RowSource for OrderedRows<'_> {
    type Value = f32;
    fn row(&self, r: usize) -> &[f32] {
        self.m.row(self.order[r] as usize)
    }
    fn scattered(&self, r: usize) -> Option<&[f32]> {
        self.order.get(r).map(|row| self.m.row(*row as usize))
    }
    fn scaling(&self) -> Option<(f32, f32)> {
        None
    }
}

/// Copies rows of a matrix, in an order, from row `first` on. Returns the largest |x|, infinity where
/// one is not finite.
fn gather_rows(net: &Mlp, m: MatRef, order: Option<&[u32]>, first: usize, out: PanelsMut) -> f32 {
    match order {
        None => gather(net.level, m, first, out),
        Some(order) => gather(net.level, OrderedRows { m, order }, first, out),
    }
}

/// As [`gather_rows`], of the features of a data set.
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
            gather_rows(net, MatRef::sub(values, data.len(), n), order, first, out)
        }
        Features::U8 { data: values, scale, shift } => {
            let scaling = Some((scale, shift));
            gather(net.level, ByteRows { values, n, order, scaling }, first, out)
        }
    }
}

impl<'a> From<&'a [u32]> for BatchTargets<'a> {
    fn from(labels: &'a [u32]) -> Self {
        BatchTargets::Classes(labels)
    }
}

impl<'a, const N: usize> From<&'a [u32; N]> for BatchTargets<'a> {
    fn from(labels: &'a [u32; N]) -> Self {
        BatchTargets::Classes(labels)
    }
}

impl<'a> From<&'a Vec<u32>> for BatchTargets<'a> {
    fn from(labels: &'a Vec<u32>) -> Self {
        BatchTargets::Classes(labels)
    }
}

impl<'a> From<MatRef<'a>> for BatchTargets<'a> {
    fn from(values: MatRef<'a>) -> Self {
        BatchTargets::Values(values)
    }
}

impl<'a> From<&'a Matrix> for BatchTargets<'a> {
    fn from(values: &'a Matrix) -> Self {
        BatchTargets::Values(values.view())
    }
}

impl<'a> From<&'a Targets> for BatchTargets<'a> {
    /// The targets of all samples.
    fn from(targets: &'a Targets) -> Self {
        match targets {
            Targets::Classes { labels, .. } => BatchTargets::Classes(labels),
            Targets::Values { values, n_outputs: n } => {
                BatchTargets::Values(MatRef::sub(values, values.len() / n, *n))
            }
        }
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
    /// Samples of a data set.
    pub(crate) fn samples(data: &'a Dataset, order: &'a [u32]) -> Self {
        Batch { source: Source::Data(data), order: Some(order) }
    }

    /// Rows that a caller holds, which [`check_rows`] has seen.
    pub(crate) fn held(x: MatRef<'a>, targets: BatchTargets<'a>) -> Self {
        Batch { source: Source::Held { x, targets }, order: None }
    }

    pub(crate) fn rows(&self) -> usize {
        match (self.order, self.source) {
            (Some(order), _) => order.len(),
            (None, Source::Data(data)) => data.len(),
            (None, Source::Held { x, .. }) => x.rows(),
        }
    }

    /// The number of a row of the batch in its source.
    pub(crate) fn row(&self, r: usize) -> usize {
        self.order.map_or(r, |order| order[r] as usize)
    }

    /// The targets of all rows of the source.
    fn targets(&self) -> BatchTargets<'a> {
        match self.source {
            Source::Data(data) => data.targets().into(),
            Source::Held { targets, .. } => targets,
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
        let label = |row: u32| match self.targets() {
            BatchTargets::Classes(labels) => Some(labels[row as usize] as usize),
            BatchTargets::Values(_) => None,
        };
        picked.clear();
        for row in 0..rows {
            let sample = self.row(row) as u32;
            let weight = match weights {
                SampleWeights::Equal => 1.0,
                SampleWeights::Samples(s) | SampleWeights::Rows(s) => s[sample as usize],
            };
            let class = label(sample).and_then(|label| classes.weights.get(label)).unwrap_or(&1.0);
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
        let order = if picked.len() == rows { self.order } else { Some(picked) };
        let batch = Batch { order, ..self };
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
        match self.source {
            Source::Data(data) => gather_features(net, data, self.order, first, out),
            Source::Held { x, .. } => gather_rows(net, x, self.order, first, out),
        }
    }

    /// The rows as bytes, and their scale and shift, where they are of a data set of bytes.
    pub(crate) fn bytes(&self) -> Option<(ByteRows<'a>, f32, f32)> {
        let Source::Data(data) = self.source else { return None };
        let Features::U8 { data: values, scale, shift } = data.features() else { return None };
        let (n, order, scaling) = (data.n_features(), self.order, None);
        Some((ByteRows { values, n, order, scaling }, scale, shift))
    }

    /// Writes target values from row `first` on; returns whether all are finite. The batch must
    /// have them.
    pub(crate) fn values(&self, net: &Mlp, first: usize, out: PanelsMut) -> bool {
        let BatchTargets::Values(y) = self.targets() else {
            unreachable!("the kind of targets was checked before the step")
        };
        gather_rows(net, y, self.order, first, out).is_finite()
    }

    /// Writes labels from row `first` on. The batch must have them.
    pub(crate) fn labels(&self, first: usize, out: &mut [u32]) {
        let BatchTargets::Classes(labels) = self.targets() else {
            unreachable!("the kind of targets was checked before the step")
        };
        match self.order {
            None => out.copy_from_slice(&labels[first..first + out.len()]),
            Some(order) => {
                out.iter_mut().zip(&order[first..]).for_each(|(o, &i)| *o = labels[i as usize]);
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
    // A data set holds finite values only, but scaling can overflow.
    let found = match batch.source {
        Source::Data(_) => None,
        Source::Held { x, targets } => {
            // What a row of weight 0 holds does not count.
            let counts = |r| batch.order.is_none_or(|order| order.contains(&(r as u32)));
            let values = match targets {
                BatchTargets::Values(y) => find("targets", y, &counts),
                BatchTargets::Classes(_) => None,
            };
            find("x", x, &counts).or(values)
        }
    };
    found.unwrap_or_else(|| Error::value("data set", "finite numbers after scaling", "an infinity"))
}
