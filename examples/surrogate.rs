//! A surrogate: a network that has learned a potential energy E(x, y) from samples of it, and gives the
//! forces, F = −∂E/∂x, as the gradient of its output with respect to its inputs.
//!
//! The potential is that of Müller and Brown (Theoretica Chimica Acta 53, 75–93, 1979), a model of a
//! chemical reaction with three minima and two saddle points between them:
//!
//! E = Σₖ Aₖ exp(aₖ(x − xₖ)² + bₖ(x − xₖ)(y − yₖ) + cₖ(y − yₖ)²)
//!
//! The network sees energies only. Its forces are compared with the derivative of the formula.
//!
//! Inputs and energies are standardised: E = m + s·ŷ(z) with zᵢ = (xᵢ − mᵢ)/sᵢ, so Fᵢ = −s/sᵢ·∂ŷ/∂zᵢ.
//!
//! `cargo run --release --example surrogate` prints the errors, finds the minima with the surrogate's
//! forces, and draws energies and forces into `target/lecture/surrogate.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{Dataset, Standardizer, Targets};
use deltarule::{Activation, Adam, Matrix, Mlp, Pipeline, Result, Schedule, Threads, Trainer};
use plot::{COLORS, Curve, Panel, RGBColor};

/// A point of the plane, or a force.
pub type Vector = [f64; 2];

/// A term of the potential: A, a, b, c, and its middle (x, y).
struct Term(f64, [f64; 3], Vector);

const TERMS: [Term; 4] = [
    Term(-200.0, [-1.0, 0.0, -10.0], [1.0, 0.0]),
    Term(-100.0, [-1.0, 0.0, -10.0], [0.0, 0.5]),
    Term(-170.0, [-6.5, 11.0, -6.5], [-0.5, 1.5]),
    Term(15.0, [0.7, 0.6, 0.7], [-1.0, 1.0]),
];

/// The minima, to three digits.
pub const MINIMA: [Vector; 3] = [[-0.558, 1.442], [-0.050, 0.467], [0.623, 0.028]];
/// The saddle points between them.
pub const SADDLES: [Vector; 2] = [[-0.822, 0.624], [0.212, 0.293]];

/// The part of the plane that is sampled.
const X: (f64, f64) = (-1.5, 1.2);
const Y: (f64, f64) = (-0.4, 2.0);
/// Points of a higher energy are left out: at the corners it is above 1000, and no reaction gets there.
pub const HIGHEST: f64 = 100.0;

/// The potential.
pub fn energy([x, y]: Vector) -> f64 {
    let of = |Term(height, [a, b, c], [x0, y0]): &Term| {
        let (dx, dy) = (x - x0, y - y0);
        height * (a * dx * dx + b * dx * dy + c * dy * dy).exp()
    };
    TERMS.iter().map(of).sum()
}

/// The force: minus the derivative of the potential.
pub fn force([x, y]: Vector) -> Vector {
    let mut force = [0.0; 2];
    for Term(height, [a, b, c], [x0, y0]) in &TERMS {
        let (dx, dy) = (x - x0, y - y0);
        let e = height * (a * dx * dx + b * dx * dy + c * dy * dy).exp();
        force[0] -= e * (2.0 * a * dx + b * dy);
        force[1] -= e * (b * dx + 2.0 * c * dy);
    }
    force
}

/// Returns n points with an energy below `HIGHEST`, after so many others. They fill the plane evenly (the
/// additive recurrence of Roberts 2018, with the powers of 1/1.3247…, the root of r³ = r + 1).
pub fn points(skip: usize, n: usize) -> Vec<Vector> {
    const R: f64 = 1.324_717_957_244_746;
    let at = |i: u32, step: f64, (from, to): (f64, f64)| {
        from + (to - from) * (0.5 + f64::from(i) * step).fract()
    };
    let all = (1..).map(|i| [at(i, 1.0 / R, X), at(i, 1.0 / (R * R), Y)]);
    all.filter(|&p| energy(p) < HIGHEST).skip(skip).take(n).collect()
}

/// A network that gives energies and forces.
pub struct Surrogate {
    /// The network and the standardisation.
    pub pipeline: Pipeline,
    inputs: Standardizer,
    energies: Standardizer,
}

impl Surrogate {
    /// Returns one that has learned the energies at these points.
    pub fn trained(points: &[Vector], seed: u64) -> Result<Surrogate> {
        let values = points.iter().map(|&p| energy(p) as f32).collect();
        let targets = Targets::Values { values, n_outputs: 1 };
        let data = Dataset::from_f32(rows(points)?.into_vec(), 2, targets)?;
        let inputs = Standardizer::fit_features(&data);
        let energies = Standardizer::fit_targets(&data)?;
        let data = energies.apply_to_targets(&inputs.apply_to_features(&data)?)?;
        // A smooth activation: forces are its derivatives.
        let ev = |n: &str, d: &str| std::env::var(n).unwrap_or(d.into());
        let w: usize = ev("W", "64").parse().unwrap();
        let act: Activation = ev("ACT", "tanh").parse()?;
        let net = Mlp::builder(2).dense(w, act).dense(w, act);
        let mut net = net.dense(1, Activation::Identity).seed(seed).build()?;
        let trainer = Trainer::new(Adam::new(ev("LR", "0.003").parse().unwrap()))
            .schedule(Schedule::one_cycle());
        trainer
            .batch_size(ev("B", "32").parse().unwrap())
            .epochs(ev("EP", "300").parse().unwrap())
            .seed(seed)
            .fit(&mut net, &data)?;
        let pipeline = Pipeline::new(net).inputs(inputs.clone())?.targets(energies.clone())?;
        Ok(Surrogate { pipeline, inputs, energies })
    }

    /// Returns the energy at each point.
    pub fn energies(&self, points: &[Vector]) -> Result<Vec<f64>> {
        let y = self.pipeline.predict(rows(points)?.view())?;
        Ok(y.as_slice().iter().map(|&e| e.into()).collect())
    }

    /// Returns the force at each point.
    pub fn forces(&self, points: &[Vector]) -> Result<Vec<Vector>> {
        let n = points.len();
        let mut z = rows(points)?;
        self.inputs.apply(z.view_mut())?;
        let mut predictor = self.pipeline.network().predictor(n)?;
        let dy = Matrix::from_vec(n, 1, vec![1.0; n])?;
        let mut dz = Matrix::zeros(n, 2);
        predictor.input_gradient(&z, &dy, &mut dz)?;
        let scale = [0, 1].map(|i| -self.energies.std()[0] / self.inputs.std()[i]);
        let force = |d: &[f32]| [0, 1].map(|i| scale[i] * f64::from(d[i]));
        Ok(dz.as_slice().chunks(2).map(force).collect())
    }

    /// Returns the minimum below each point: steps along the force.
    pub fn descend(&self, points: &[Vector]) -> Result<Vec<Vector>> {
        let mut points = points.to_vec();
        for _ in 0..2000 {
            let forces = self.forces(&points)?;
            for (p, f) in points.iter_mut().zip(forces) {
                // The curvature is at most about 4000, the 2·A·c of the first term, so this is stable.
                *p = [0, 1].map(|i| p[i] + 2e-4 * f[i]);
            }
        }
        Ok(points)
    }
}

fn rows(points: &[Vector]) -> Result<Matrix> {
    Matrix::from_vec(points.len(), 2, points.iter().flatten().map(|&x| x as f32).collect())
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0, 0.0), |(n, sum), v| (n + 1, sum + v * v));
    (sum / f64::from(n.max(1))).sqrt()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let train = points(0, std::env::var("N").unwrap_or("2000".into()).parse()?);
    let held_out = points(train.len(), 2000);
    let s = Surrogate::trained(&train, 1)?;
    for set in [&train, &held_out] {
        let e = rms(set.iter().zip(s.energies(set)?).map(|(&p, e)| e - energy(p)));
        let f = rms(set.iter().zip(s.forces(set)?).flat_map(|(&p, f)| {
            let t = force(p);
            [f[0] - t[0], f[1] - t[1]]
        }));
        let ft = rms(set.iter().flat_map(|&p| force(p)));
        println!(
            "E {e:.4}  of std {:.3}; F {f:.3} of {ft:.3} = {:.2} %",
            s.energies.std()[0],
            100.0 * f / ft
        );
    }
    println!("{:?} {:?}", MINIMA.map(energy), SADDLES.map(energy));
    println!("{:?} {:?}", MINIMA.map(force), SADDLES.map(force));
    println!("{:?}", s.descend(&MINIMA)?);
    Ok(())
}
