//! Normalisation: Y = γ ⊙ Ẑ + β with ẑ = (z − μ)·r and r = 1/√(v + 10⁻⁵), where μ and v are the mean
//! and variance of a group: a row, or a column of the batch.

use super::real::{Real, mean};

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
struct Group<T> {
    /// Their indices in Z, each with its ẑ.
    values: Vec<(usize, T)>,
    r: T,
}

impl<T: Real> Norm<T> {
    /// The groups of z, which is (rows, columns).
    fn groups(&self, z: &[T], columns: usize) -> Vec<Group<T>> {
        let rows = z.len() / columns;
        let (n_groups, length) = match self.kind {
            NormKind::Layer => (rows, columns),
            NormKind::Batch => (columns, rows),
        };
        let group = |g: usize| {
            let at = |i: usize| match self.kind {
                NormKind::Layer => g * columns + i,
                NormKind::Batch => i * columns + g,
            };
            let mu = mean((0..length).map(|i| z[at(i)]));
            let variance = mean((0..length).map(|i| (z[at(i)] - mu) * (z[at(i)] - mu)));
            let r = T::ONE / (variance + T::from_f64(1e-5)).sqrt();
            Group { values: (0..length).map(|i| (at(i), (z[at(i)] - mu) * r)).collect(), r }
        };
        (0..n_groups).map(group).collect()
    }
}

/// Y for z of (rows, columns).
#[must_use]
pub fn norm_forward<T: Real>(norm: &Norm<T>, z: &[T], columns: usize) -> Vec<T> {
    let mut y = vec![T::ZERO; z.len()];
    for (at, normal) in norm.groups(z, columns).into_iter().flat_map(|group| group.values) {
        y[at] = norm.gamma[at % columns] * normal + norm.beta[at % columns];
    }
    y
}

/// ∂L/∂Z, ∂L/∂γ and ∂L/∂β from ∂L/∂Y. With h = γ ⊙ dy and means over the group:
/// dz = r·(h − mean(h) − ẑ·mean(h ⊙ ẑ)); dγ and dβ are the column sums of dy ⊙ ẑ and dy.
#[must_use]
pub fn norm_backward<T: Real>(norm: &Norm<T>, dy: &[T], z: &[T], columns: usize) -> [Vec<T>; 3] {
    let mut dz = vec![T::ZERO; z.len()];
    let (mut dgamma, mut dbeta) = (vec![T::ZERO; columns], vec![T::ZERO; columns]);
    for Group { values, r } in norm.groups(z, columns) {
        let h = |at: usize| norm.gamma[at % columns] * dy[at];
        let shift = mean(values.iter().map(|&(at, _)| h(at)));
        let slope = mean(values.iter().map(|&(at, normal)| h(at) * normal));
        for (at, normal) in values {
            dz[at] = r * (h(at) - shift - normal * slope);
            dgamma[at % columns] += dy[at] * normal;
            dbeta[at % columns] += dy[at];
        }
    }
    [dz, dgamma, dbeta]
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
