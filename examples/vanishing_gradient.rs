//! The vanishing gradient (Hochreiter 1991; chapter 5 of Nielsen's book): going back through a
//! layer multiplies the delta by Wᵀ and by σ′,
//!
//! δₗ = (δₗ₊₁·Wₗ₊₁ᵀ) ⊙ σ′(zₗ).
//!
//! The sigmoid's σ′ is at most 1/4, so with weights of the usual size each layer takes about three
//! quarters of what is left, and eight layers down the gradient is ten thousand times smaller:
//! the layers at the bottom hardly learn. ReLU's σ′ is 1 wherever a neuron is active, and He's
//! initialisation makes up for the half that is not.
//!
//! `cargo run --release --example vanishing_gradient` prints the norm of every layer's gradient, and
//! draws how it goes on in training into `target/lecture/vanishing_gradient.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{self, Dataset, Targets};
use deltarule::gradient::gradients;
use deltarule::{Activation, BatchTargets, Init, Loss, Mlp, Result, Sgd, Trainer};
use plot::{COLORS, Curve, Panel};

/// Hidden layers, and neurons in each.
pub const DEPTH: usize = 8;
const WIDTH: usize = 30;
const EPOCHS: usize = 20;

/// 64-30-…-30-10.
pub fn network(hidden: Activation, init: Init, seed: u64) -> Result<Mlp> {
    let layers = (0..DEPTH).fold(Mlp::builder(64), |builder, _| builder.dense(WIDTH, hidden));
    layers.dense(10, Activation::Softmax).init(init).seed(seed).build()
}

/// The Euclidean norm of each layer's gradient, over a whole data set.
pub fn norms(net: &Mlp, data: &Dataset) -> Result<Vec<f64>> {
    let Targets::Classes { labels, .. } = data.targets() else { return Ok(Vec::new()) };
    let x = data.matrix();
    let found = gradients(net, x.view(), BatchTargets::Classes(labels), Loss::CrossEntropy)?;
    Ok(found.layers.iter().map(|layer| layer.norm()).collect())
}

/// The norms at the start and after each epoch of gradient descent, and the accuracy at the end.
pub fn trained(net: &mut Mlp, data: &Dataset) -> Result<(Vec<Vec<f64>>, f64)> {
    let mut course = vec![norms(net, data)?];
    for epoch in 0..EPOCHS {
        Trainer::new(Sgd::new(0.03)).batch_size(10).seed(epoch as u64).fit(net, data)?;
        course.push(norms(net, data)?);
    }
    Ok((course, net.evaluate(data)?.accuracy.unwrap_or(0.0)))
}

fn panel(title: String, course: &[Vec<f64>]) -> Panel {
    let mut panel = Panel::new(title, 0.0..EPOCHS as f64, -6.5..4.0);
    let layers = course[0].len();
    for layer in 0..layers {
        // From blue at the bottom to orange at the top.
        let share = layer as f64 / (layers - 1) as f64;
        let color = plot::mixed(COLORS[0], COLORS[1], share);
        let name = match layer {
            0 => "first layer".to_string(),
            l if l == layers - 1 => "last layer".to_string(),
            _ => String::new(),
        };
        let points = course.iter().enumerate();
        let points = points.map(|(epoch, n)| (epoch as f64, n[layer].max(1e-30).log10())).collect();
        panel.curves.push(Curve { name, color, points });
    }
    panel
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let digits = data::digits();
    let mut panels = Vec::new();
    for (hidden, init) in [(Activation::Sigmoid, Init::LeCun), (Activation::Relu, Init::He)] {
        let mut net = network(hidden, init, 1)?;
        let (course, accuracy) = trained(&mut net, &digits)?;
        println!("{hidden}, {DEPTH} hidden layers: norm of the gradient at the start");
        for (layer, norm) in course[0].iter().enumerate() {
            // One mark a factor of 10^(1/6) above 10⁻⁸.
            let marks = ((norm.log10() + 8.0) * 6.0).max(0.0) as usize;
            println!("  layer {layer}  {norm:8.1e}  {}", "█".repeat(marks));
        }
        println!("  accuracy after {EPOCHS} epochs: {accuracy:.3}\n");
        panels.push(panel(format!("{hidden}: log₁₀ of the norm, by epoch"), &course));
    }
    let file = plot::file("vanishing_gradient")?;
    plot::save(&file, 2, &panels)?;
    println!("written: {}", file.display());
    Ok(())
}
