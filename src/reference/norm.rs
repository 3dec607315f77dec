//! Normalisation: Y = γ ⊙ Ẑ + β with ẑ = (z − μ)·r and r = 1/√(v + 10⁻⁵), where μ and v are the mean
//! and variance of a group: a row, or a column of the batch.

use super::real::Real;

/// Which values are normalised together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// The values of a row (layer normalisation; Ba, Kiros and Hinton 2016).
    Layer,
    /// The values of a column, over the batch (batch normalisation; Ioffe and Szegedy 2015).
    Batch,
}

/// The normalisation of a layer's Z.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm<T> {
    /// Which values are normalised together.
    pub kind: NormKind,
    /// γ, one per column.
    pub gamma: Vec<T>,
    /// β, one per column.
    pub beta: Vec<T>,
}

/// The values that are normalised together.
pub(crate) struct Group<T> {
    /// Their indices in Z.
    pub(crate) indices: Vec<usize>,
    /// ẑ of each index.
    pub(crate) normal: Vec<T>,
    /// μ
    pub(crate) mean: T,
    /// r
    pub(crate) r: T,
}

impl<T: Real> Norm<T> {
    /// The groups of z, which is (rows, columns).
    pub(crate) fn groups(&self, z: &[T], columns: usize) -> Vec<Group<T>> {
        let rows = z.len() / columns;
        let groups: Vec<Vec<usize>> = match self.kind {
            NormKind::Layer => {
                (0..rows).map(|i| (i * columns..(i + 1) * columns).collect()).collect()
            }
            NormKind::Batch => {
                (0..columns).map(|j| (0..rows).map(|i| i * columns + j).collect()).collect()
            }
        };
        let group = |indices: Vec<usize>| {
            let mean = mean(indices.iter().map(|&at| z[at]));
            let variance = self::mean(indices.iter().map(|&at| (z[at] - mean) * (z[at] - mean)));
            let r = T::ONE / (variance + T::from_f64(1e-5)).sqrt();
            let normal = indices.iter().map(|&at| (z[at] - mean) * r).collect();
            Group { indices, normal, mean, r }
        };
        groups.into_iter().map(group).collect()
    }
}

/// Y for z of (rows, columns).
pub fn norm_forward<T: Real>(norm: &Norm<T>, z: &[T], columns: usize) -> Vec<T> {
    let mut y = vec![T::ZERO; z.len()];
    for group in norm.groups(z, columns) {
        for (&at, &normal) in group.indices.iter().zip(&group.normal) {
            y[at] = norm.gamma[at % columns] * normal + norm.beta[at % columns];
        }
    }
    y
}

/// ∂L/∂Z, ∂L/∂γ and ∂L/∂β from ∂L/∂Y. With h = γ ⊙ dy and means over the group:
/// dz = r·(h − mean(h) − ẑ·mean(h ⊙ ẑ)); dγ and dβ are the column sums of dy ⊙ ẑ and dy.
pub fn norm_backward<T: Real>(norm: &Norm<T>, dy: &[T], z: &[T], columns: usize) -> [Vec<T>; 3] {
    let mut dz = vec![T::ZERO; z.len()];
    let (mut dgamma, mut dbeta) = (vec![T::ZERO; columns], vec![T::ZERO; columns]);
    for group in norm.groups(z, columns) {
        let h = |at: usize| norm.gamma[at % columns] * dy[at];
        let all = || group.indices.iter().copied().zip(group.normal.iter().copied());
        let shift = mean(all().map(|(at, _)| h(at)));
        let slope = mean(all().map(|(at, normal)| h(at) * normal));
        for (at, normal) in all() {
            dz[at] = group.r * (h(at) - shift - normal * slope);
            dgamma[at % columns] += dy[at] * normal;
            dbeta[at % columns] += dy[at];
        }
    }
    [dz, dgamma, dbeta]
}

pub(crate) fn mean<T: Real>(values: impl ExactSizeIterator<Item = T>) -> T {
    let n = T::from_f64(values.len() as f64);
    values.fold(T::ZERO, |sum, value| sum + value) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values that are far apart are normalised to −1 and 1.
    #[test]
    fn rows_and_columns() {
        let (gamma, beta) = (vec![2.0, 3.0], vec![10.0, 20.0]);
        let z = [1000.0, 3000.0, 5000.0, 9000.0];
        for (kind, want) in
            [(NormKind::Layer, [8.0, 23.0, 8.0, 23.0]), (NormKind::Batch, [8.0, 17.0, 12.0, 23.0])]
        {
            let norm = Norm { kind, gamma: gamma.clone(), beta: beta.clone() };
            for (got, want) in norm_forward(&norm, &z, 2).into_iter().zip(want) {
                assert!((got - want).abs() < 1e-9, "{kind:?}: {got}, not {want}");
            }
        }
    }
}
