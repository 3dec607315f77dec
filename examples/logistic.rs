//! The logistic neuron ŷ = σ(wᵀx + b) with σ(z) = 1/(1 + e⁻ᶻ). Its output is the probability of the
//! second class.
//!
//! Reason for this formula: for two equally frequent classes with normal distributions around m₀ and m₁
//! and the same variance s², Bayes' theorem gives exactly this form, with w = (m₁ − m₀)/s² and
//! b = (|m₀|² − |m₁|²)/2s². The neuron does not know m and s. It finds w and b by minimising the
//! cross-entropy L = −y ln ŷ − (1 − y) ln(1 − ŷ), whose derivative is ∂L/∂z = ŷ − y.
//!
//! `cargo run --release --example logistic` draws ŷ, the true probability and the frequency of the class
//! in the samples into `target/lecture/logistic.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{Dataset, Features, Targets, synthetic};
use deltarule::{Activation, Adam, Loss, MatRef, Mlp, Result, Trainer};
use plot::{COLORS, Curve, Panel};

/// Standard deviation of both classes around (1, 0) and (−1, 0).
pub const NOISE: f64 = 0.8;

/// Returns samples of two overlapping classes.
pub fn samples(n: usize) -> Result<Dataset> {
    synthetic::blobs(n, 2, NOISE, 1)
}

/// Returns the trained neuron.
pub fn trained(data: &Dataset) -> Result<Mlp> {
    let mut net = Mlp::builder(2).dense(1, Activation::Sigmoid).build()?;
    // One step per epoch over the whole set: the loss is convex, so descent converges to its minimum.
    let mut trainer = Trainer::new(Adam::new(0.02)).loss(Loss::BinaryCrossEntropy);
    trainer = trainer.batch_size(data.len()).epochs(1500);
    trainer.fit(&mut net, data)?;
    Ok(net)
}

/// Returns the probability of the second class at x₁, by Bayes' theorem: w = (−2/s², 0), b = 0.
pub fn truth(x1: f64) -> f64 {
    1.0 / (1.0 + (2.0 * x1 / (NOISE * NOISE)).exp())
}

/// Returns, for each of `bins` intervals of x₁ in −3..3, the number of samples and the fraction of the
/// second class.
pub fn shares(data: &Dataset, bins: usize) -> Vec<(usize, f64)> {
    let mut counts = vec![(0usize, 0.0); bins];
    if let (Features::F32(x), Targets::Classes { labels, .. }) = (data.features(), data.targets()) {
        for (point, &label) in x.chunks(2).zip(labels) {
            let bin = (f64::from(point[0]) + 3.0) / 6.0 * bins as f64;
            if (0.0..bins as f64).contains(&bin) {
                let (n, ones) = &mut counts[bin as usize];
                *n += 1;
                *ones += f64::from(label);
            }
        }
    }
    counts.into_iter().map(|(n, ones)| (n, ones / n.max(1) as f64)).collect()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    const BINS: usize = 12;
    let data = samples(4000)?;
    let net = trained(&data)?;
    let (w, b) = (net.weights(0)?, net.biases(0)?);
    println!("found: w = ({:.3}, {:.3}), b = {:.3}", w.row(0)[0], w.row(1)[0], b[0]);
    println!("Bayes: w = ({:.3}, 0), b = 0\n", -2.0 / (NOISE * NOISE));
    println!("{:>6} {:>8} {:>8} {:>8}", "x₁", "neuron", "Bayes", "samples");
    let mut panel = Panel::new("probability of the second class", -3.0..3.0, -0.02..1.45);
    for (i, (n, share)) in shares(&data, BINS).into_iter().enumerate() {
        let x1 = -3.0 + 6.0 * (i as f64 + 0.5) / BINS as f64;
        let y = net.predict(MatRef::new(&[x1 as f32, 0.0], 1, 2)?)?.row(0)[0];
        let bar = "█".repeat((share * 30.0).round() as usize);
        println!("{x1:6.2} {y:8.3} {:8.3} {share:8.3}  {bar}", truth(x1));
        if n >= 10 {
            panel.dots.push(((x1, share), COLORS[2]));
        }
    }
    let x: Vec<f32> = (-300..=300).map(|i| i as f32 / 100.0).collect();
    let points: Vec<f32> = x.iter().flat_map(|&x1| [x1, 0.0]).collect();
    let outputs = net.predict(MatRef::new(&points, x.len(), 2)?)?;
    let of = |y: Vec<f64>| x.iter().map(|&x| f64::from(x)).zip(y).collect();
    let neuron = of(outputs.as_slice().iter().map(|&y| f64::from(y)).collect());
    let bayes = of(x.iter().map(|&x| truth(x.into())).collect());
    for (name, points, color) in [("neuron", neuron, COLORS[0]), ("Bayes", bayes, COLORS[1])] {
        panel.curves.push(Curve { name: name.into(), color, points });
    }
    let file = plot::file("logistic")?;
    plot::save(&file, 1, &[panel])?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
