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
use deltarule::{Activation, Adam, Matrix, Mlp, Pipeline, Result, Schedule, Trainer};
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
/// Points of a higher energy are left out. It is 3300 at the upper right, and −41 at the higher saddle point.
pub const HIGHEST: f64 = 100.0;

/// Sizes of the training set.
pub const SAMPLES: [usize; 3] = [500, 1000, 2000];

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

/// Returns n points with an energy below `HIGHEST`, after this number of others. They fill the plane evenly (the
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
    /// Energies of points.
    pub pipeline: Pipeline,
    /// The standardisation of the points.
    pub inputs: Standardizer,
    /// The standardisation of the energies.
    pub energies: Standardizer,
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
        // A smooth activation: the forces are its derivatives.
        let net = Mlp::builder(2).dense(64, Activation::Gelu).dense(64, Activation::Gelu);
        let mut net = net.dense(1, Activation::Identity).seed(seed).build()?;
        // After 300 epochs the error of the forces is 2.7 %.
        let trainer = Trainer::new(Adam::new(0.01)).schedule(Schedule::one_cycle());
        trainer.epochs(1000).seed(seed).fit(&mut net, &data)?;
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
                // Steps of less than 2/curvature are stable; the largest curvature is 4100.
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

/// The root mean square of the errors, and of the forces themselves.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// Of the energies.
    pub energy: f64,
    /// Of the components of the forces.
    pub force: f64,
    /// The forces of the formula.
    pub size_of_force: f64,
}

/// Compares a surrogate with the formula at these points.
pub fn errors(surrogate: &Surrogate, points: &[Vector]) -> Result<Errors> {
    let energies = surrogate.energies(points)?;
    let forces = surrogate.forces(points)?;
    let differences = points.iter().zip(&forces).flat_map(|(&p, f)| {
        let truth = force(p);
        [f[0] - truth[0], f[1] - truth[1]]
    });
    Ok(Errors {
        energy: rms(points.iter().zip(energies).map(|(&p, e)| e - energy(p))),
        force: rms(differences),
        size_of_force: rms(points.iter().flat_map(|&p| force(p))),
    })
}

/// Returns this number of points on straight lines from minimum to saddle to minimum, with the share of the way.
fn path(n: usize) -> Vec<(f64, Vector)> {
    let stops = [MINIMA[0], SADDLES[0], MINIMA[1], SADDLES[1], MINIMA[2]];
    let at = |share: f64| {
        let leg = ((share * 4.0) as usize).min(3);
        let (from, to, t) = (stops[leg], stops[leg + 1], share * 4.0 - leg as f64);
        [0, 1].map(|i| from[i] + (to[i] - from[i]) * t)
    };
    (0..n).map(|i| i as f64 / (n - 1) as f64).map(|share| (share, at(share))).collect()
}

/// Draws the energy in steps of 25.
fn map_panel(title: &str, of: impl Fn(&[Vector]) -> Result<Vec<f64>>) -> Result<Panel> {
    const CELLS: usize = 60;
    let mut panel = Panel::new(title, X.0..X.1, Y.0..Y.1);
    let points: Vec<Vector> = panel.middles(CELLS).chunks(2).map(|p| [p[0], p[1]]).collect();
    let energies = of(&points)?;
    panel.fill(CELLS, |cell| {
        if energy(points[cell]) > HIGHEST {
            return RGBColor(225, 225, 225);
        }
        let share = ((energies[cell] + 150.0) / 25.0).floor() / 10.0;
        plot::mixed(COLORS[0], RGBColor(255, 255, 255), share.clamp(0.0, 1.0))
    });
    panel.dots.extend(MINIMA.iter().map(|&[x, y]| ((x, y), COLORS[1])));
    Ok(panel)
}

/// A quantity on the path: name, by the formula, by the surrogate at fewer points.
type OnPath<'a> = (&'a str, Vec<f64>, Vec<f64>);

/// Draws the formula as a line, the surrogate as dots.
fn path_panel(title: &str, range: std::ops::Range<f64>, quantities: &[OnPath]) -> Panel {
    let mut panel = Panel::new(title, 0.0..1.0, range);
    let shares = |n| path(n).into_iter().map(|(share, _)| share);
    for ((name, truth, found), color) in quantities.iter().zip(COLORS) {
        let points = shares(truth.len()).zip(truth.iter().copied()).collect();
        panel.curves.push(Curve { name: (*name).into(), color, points });
        let dots = shares(found.len()).zip(found);
        panel.dots.extend(dots.map(|(share, &y)| ((share, y), color)));
    }
    panel
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    println!("root mean square error at 2000 other points, of energies and forces");
    println!("{:>8} {:>8} {:>8} {:>22}", "samples", "energy", "force", "share of the force");
    // The points after those of the largest set, so that no set has seen them.
    let held_out = points(SAMPLES[SAMPLES.len() - 1], 2000);
    let mut surrogates = Vec::new();
    for n in SAMPLES {
        let surrogate = Surrogate::trained(&points(0, n), 1)?;
        let Errors { energy, force, size_of_force } = errors(&surrogate, &held_out)?;
        println!("{n:>8} {energy:>8.3} {force:>8.2} {:>20.1} %", 100.0 * force / size_of_force);
        surrogates.push(surrogate);
    }
    let surrogate = &surrogates[surrogates.len() - 1];
    // In the basin of each minimum.
    let starts = [[-0.8, 1.2], [-0.2, 0.6], [0.4, 0.2]];
    let found = surrogate.descend(&starts)?;
    println!("\n{:>22} {:>10}   {:>22} {:>10}", "minimum", "energy", "of the surrogate", "energy");
    for ((truth, found), e) in MINIMA.iter().zip(&found).zip(surrogate.energies(&found)?) {
        let text = |p: &Vector| format!("({:.3}, {:.3})", p[0], p[1]);
        println!("{:>22} {:>10.2}   {:>22} {e:>10.2}", text(truth), energy(*truth), text(found));
    }
    let [line, dots] = [300, 41].map(|n| path(n).into_iter().map(|(_, p)| p).collect::<Vec<_>>());
    let true_energies = line.iter().map(|&p| energy(p)).collect();
    let forces = surrogate.forces(&dots)?;
    let [fx, fy] = [("Fx", 0), ("Fy", 1)].map(|(name, i)| {
        let truth = line.iter().map(|&p| force(p)[i]).collect();
        (name, truth, forces.iter().map(|f| f[i]).collect())
    });
    let energies = ("E", true_energies, surrogate.energies(&dots)?);
    let panels = [
        map_panel("energy: formula", |p| Ok(p.iter().map(|&p| energy(p)).collect()))?,
        map_panel("energy: network", |p| surrogate.energies(p))?,
        path_panel("energy on the path", -160.0..20.0, &[energies]),
        path_panel("forces on the path", -300.0..650.0, &[fx, fy]),
    ];
    let file = plot::file("surrogate")?;
    plot::save(&file, 2, &panels)?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
