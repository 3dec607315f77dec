//! A Gaussian blur of small fields, one axis after the other.
//!
//! Multiplications and additions only, in a fixed order, with the lanes along a row: the same bits
//! on every machine, and fast on all that have any vectors.

/// Columns that are summed side by side: eight SSE registers, so that their additions overlap and
/// a row of 28 is done in one go.
const LANES: usize = 32;

/// The blur of `width x height` fields whose surroundings count as zero. Caller-held memory:
/// nothing is allocated after it is made.
#[derive(Clone)]
pub(super) struct Blur {
    width: usize,
    height: usize,
    /// `2 * radius + 1` weights that sum to 1.
    weights: Vec<f32>,
    /// One row between zeros: radius + width (in whole lanes) + radius.
    row: Vec<f32>,
    /// Rows blurred along x, between zeros above and below.
    rows: Vec<f32>,
}

impl Blur {
    /// The blur with standard deviation `sigma` in pixels, cut off at three of them.
    pub(super) fn new(width: usize, height: usize, sigma: f64) -> Self {
        let radius = (3.0 * sigma).ceil() as usize;
        let weight = |k: usize| {
            let distance = k.abs_diff(radius) as f64 / sigma;
            exp_minus(0.5 * distance * distance)
        };
        let sum: f64 = (0..=2 * radius).map(weight).sum();
        let lanes = width.next_multiple_of(LANES);
        Blur {
            width,
            height,
            weights: (0..=2 * radius).map(|k| (weight(k) / sum) as f32).collect(),
            row: vec![0.0; lanes + 2 * radius],
            rows: vec![0.0; lanes * (height + 2 * radius)],
        }
    }

    /// Replaces the `width x height` values of `field` by `factor` times their blur.
    pub(super) fn apply(&mut self, field: &mut [f32], factor: f32) {
        let radius = self.weights.len() / 2;
        let lanes = self.width.next_multiple_of(LANES);
        let inside = self.rows[radius * lanes..].chunks_exact_mut(lanes);
        for (from, to) in field.chunks_exact(self.width).zip(inside) {
            self.row[radius..][..self.width].copy_from_slice(from);
            for (x, to) in to.chunks_exact_mut(LANES).enumerate() {
                to.copy_from_slice(&weighted(&self.weights, &self.row[x * LANES..], 1));
            }
        }
        for (y, to) in field.chunks_exact_mut(self.width).take(self.height).enumerate() {
            for (x, to) in to.chunks_mut(LANES).enumerate() {
                let sums = weighted(&self.weights, &self.rows[y * lanes + x * LANES..], lanes);
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = factor * sum);
            }
        }
    }
}

/// The sums over k of `weights[k] * from[k * stride + lane]`.
#[inline(always)]
fn weighted(weights: &[f32], from: &[f32], stride: usize) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (k, &weight) in weights.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(&from[k * stride..][..LANES]) {
            *sum += weight * x;
        }
    }
    sums
}

/// exp(-x) for x in 0..5, from IEEE operations: the Taylor series at x/16, four times squared.
fn exp_minus(x: f64) -> f64 {
    let x = -x / 16.0;
    let mut sum = 1.0;
    for k in (1..=14).rev() {
        sum = 1.0 + sum * x / f64::from(k);
    }
    (0..4).fold(sum, |sum, _| sum * sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_normal_density() {
        for i in 0..500 {
            let x = f64::from(i) / 100.0;
            assert!((exp_minus(x) / (-x).exp() - 1.0).abs() < 1e-14, "{x}");
        }
        let blur = Blur::new(5, 5, 4.0);
        assert_eq!(blur.weights.len(), 25);
        assert!((blur.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((blur.weights[12] / blur.weights[16] - 0.5f32.exp()).abs() < 1e-5);
    }

    #[test]
    fn equals_the_plain_double_sum() {
        for (width, height, sigma) in [(28, 28, 4.0), (16, 3, 1.3), (17, 20, 0.4), (1, 1, 2.0)] {
            let mut blur = Blur::new(width, height, sigma);
            let radius = (blur.weights.len() / 2) as isize;
            for round in 0..2 {
                let value = |i: usize| ((i * 37 + round * 11) % 19) as f32 / 9.0 - 1.0;
                let field: Vec<f32> = (0..width * height).map(value).collect();
                let mut got = field.clone();
                blur.apply(&mut got, 3.0);
                let at = |x: isize, y: isize| {
                    let inside =
                        (0..width as isize).contains(&x) && (0..height as isize).contains(&y);
                    if inside { f64::from(field[y as usize * width + x as usize]) } else { 0.0 }
                };
                let weight = |k: isize| f64::from(blur.weights[(k + radius) as usize]);
                for (i, &got) in got.iter().enumerate() {
                    let (x, y) = ((i % width) as isize, (i / width) as isize);
                    let mut sum = 0.0;
                    for j in -radius..=radius {
                        for k in -radius..=radius {
                            sum += weight(j) * weight(k) * at(x + k, y + j);
                        }
                    }
                    assert!((f64::from(got) - 3.0 * sum).abs() < 1e-6, "{got} {}", 3.0 * sum);
                }
            }
        }
    }
}
