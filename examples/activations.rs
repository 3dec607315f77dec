//! Draws every activation σ and its derivative σ′. The forward pass applies σ to a weighted sum z;
//! the backward pass multiplies the gradient by σ′.
//!
//! | | σ(z) | σ′(z) |
//! |---|---|---|
//! | sigmoid | 1/(1 + e⁻ᶻ) | σ(1 − σ), at most 1/4 |
//! | tanh | (eᶻ − e⁻ᶻ)/(eᶻ + e⁻ᶻ) | 1 − σ², at most 1 |
//! | ReLU | max(0, z) | 1 for z > 0, else 0 |
//! | leaky ReLU | max(0.1 z, z) | 1 for z > 0, else 0.1 |
//! | ELU | z for z > 0, else α(eᶻ − 1) | 1 for z > 0, else σ + α |
//! | GELU | z Φ(z) | Φ(z) + z φ(z) |
//! | SiLU | z/(1 + e⁻ᶻ) | s + z s(1 − s), s the sigmoid |
//! | SELU | λ z for z > 0, else λα(eᶻ − 1) | λ for z > 0, else σ + λα |
//! | softplus | ln(1 + eᶻ) | 1/(1 + e⁻ᶻ) |
//! | softsign | z/(1 + abs z) | 1/(1 + abs z)² |
//! | hard tanh | z limited to −1..1 | 1 inside, else 0 |
//! | step | 1 for z ≥ 0, else 0 | 0 |
//! | identity | z | 1 |
//! | maxout | max(w₁ᵀx + b₁, …, wₖᵀx + bₖ) | that of the largest unit |
//!
//! Maxout is a layer, not a function of one sum. The picture shows a neuron with one input and three
//! units. With the units z and 0.1 z maxout is the leaky ReLU, with z and −z the absolute value.
//!
//! `cargo run --release --example activations` writes `target/lecture/activations.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::{Activation, Level, MatRef, Mlp, Result};
use plot::{COLORS, Curve, Panel, RGBColor};

/// Returns σ and σ′ at each z.
pub fn values(activation: Activation, z: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
    let level = Level::from_env()?;
    let mut a = z.to_vec();
    activation.forward(level, &mut a);
    let mut derivative = vec![1.0; z.len()];
    // `backward` takes the output of the forward pass, except for these two, where it takes the input.
    let kept = if matches!(activation, Activation::Gelu | Activation::Silu) { z } else { &a };
    activation.backward(level, kept, &mut derivative)?;
    Ok((a, derivative))
}

/// All activations that are functions of one number.
pub fn all() -> impl Iterator<Item = Activation> {
    Activation::ALL.into_iter().filter(|&a| a != Activation::Softmax)
}

/// Returns the output of one maxout neuron with these units (w, b) for each x.
pub fn maxout(units: &[(f32, f32)], x: &[f32]) -> Result<Vec<f32>> {
    let k = units.len();
    let mut net = Mlp::builder(1).maxout(1, k).dense(1, Activation::Identity).build()?;
    let (w, b): (Vec<f32>, Vec<f32>) = units.iter().copied().unzip();
    net.set_parameters(0, MatRef::new(&w, 1, k)?, &b)?;
    // The output layer is the identity.
    net.set_parameters(1, MatRef::new(&[1.0], 1, 1)?, &[0.0])?;
    Ok(net.predict(MatRef::new(x, x.len(), 1)?)?.into_vec())
}

fn maxout_panel() -> Result<Panel> {
    let units = [(-0.6, -1.0), (0.1, 0.2), (0.9, -0.8)];
    let x: Vec<f32> = (-100..=100).map(|i| i as f32 / 25.0).collect();
    let mut panel = Panel::new("maxout of three units", -4.0..4.0, -1.8..2.2);
    let thin = RGBColor(190, 190, 190);
    let lines = units.map(|(w, b)| x.iter().map(|x| w * x + b).collect::<Vec<f32>>());
    let lines = lines.into_iter().map(|line| (line, thin));
    for (values, color) in lines.chain([(maxout(&units, &x)?, COLORS[0])]) {
        let points = x.iter().zip(&values).map(|(&x, &v)| (f64::from(x), f64::from(v))).collect();
        panel.curves.push(Curve { name: String::new(), color, points });
    }
    Ok(panel)
}

fn panel(activation: Activation) -> Result<Panel> {
    let z: Vec<f32> = (-100..=100).map(|i| i as f32 / 25.0).collect();
    let (a, derivative) = values(activation, &z)?;
    let mut panel = Panel::new(activation.to_string(), -4.0..4.0, -1.8..2.2);
    for (name, values, color) in [("σ", a, COLORS[0]), ("σ′", derivative, COLORS[1])] {
        let points = z.iter().zip(&values).map(|(&z, &v)| (f64::from(z), f64::from(v))).collect();
        panel.curves.push(Curve { name: name.into(), color, points });
    }
    Ok(panel)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let z = [-4.0, -1.0, -0.1, 0.1, 1.0, 4.0];
    println!("σ(z) and σ′(z)  {}", z.map(|z| format!("{z:>13}")).concat());
    for activation in all() {
        let (a, derivative) = values(activation, &z)?;
        let pairs = a.iter().zip(&derivative).map(|(a, d)| format!("  {a:>5.2} {d:>5.2}"));
        println!("{:16}{}", activation.to_string(), pairs.collect::<String>());
    }
    let file = plot::file("activations")?;
    let panels = all().map(panel).chain([maxout_panel()]).collect::<Result<Vec<_>>>()?;
    plot::save(&file, 3, &panels)?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
