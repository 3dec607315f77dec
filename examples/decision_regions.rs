//! Decision regions of a linear model and of two networks.
//!
//! A linear model, ŷ = softmax(xᵀW + b), divides the plane with straight lines: the boundary of the
//! classes i and j is xᵀ(wᵢ − wⱼ) + bᵢ − bⱼ = 0. With a hidden layer the boundaries are curved. The
//! pictures show the regions of a linear model, a small network and a larger network for three problems:
//! a circle in a ring, two moons, and three spirals.
//!
//! `cargo run --release --example decision_regions` writes `target/lecture/decision_regions.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{Dataset, Features, Targets, synthetic};
use deltarule::{Activation, Adam, MatRef, Mlp, Result, Trainer};
use plot::{COLORS, Panel, RGBColor};

/// The models: name, and neurons of each hidden layer.
pub const MODELS: [(&str, &[usize]); 3] =
    [("linear", &[]), ("2-8-k tanh", &[8]), ("2-32-32-k tanh", &[32, 32])];

/// The problems, with noise.
pub fn problems() -> Result<[(&'static str, Dataset); 3]> {
    Ok([
        ("circles", synthetic::circles(400, 0.06, 1)?),
        ("moons", synthetic::moons(400, 0.08, 1)?),
        ("spirals", synthetic::spirals(450, 3, 0.02, 1)?),
    ])
}

/// Returns a trained network with these hidden layers.
pub fn trained(hidden: &[usize], data: &Dataset, seed: u64) -> Result<Mlp> {
    let Targets::Classes { n_classes, .. } = data.targets() else {
        unreachable!("the problems have classes")
    };
    let builder =
        hidden.iter().fold(Mlp::builder(2), |builder, &n| builder.dense(n, Activation::Tanh));
    let mut net = builder.dense(*n_classes, Activation::Softmax).seed(seed).build()?;
    Trainer::new(Adam::new(0.01)).batch_size(32).epochs(200).seed(seed).fit(&mut net, data)?;
    Ok(net)
}

/// Number of cells of a picture, in each direction.
const CELLS: usize = 60;
/// The part of the plane that is drawn. It contains all samples of the problems.
const X: (f64, f64) = (-1.6, 2.4);
const Y: (f64, f64) = (-1.5, 1.5);

/// Draws the regions, and the samples on top of them.
fn panel(title: String, net: &Mlp, data: &Dataset) -> Result<Panel> {
    let mut panel = Panel::new(title, X.0..X.1, Y.0..Y.1);
    let points: Vec<f32> = panel.middles(CELLS).iter().map(|&x| x as f32).collect();
    let outputs = net.predict(MatRef::new(&points, CELLS * CELLS, 2)?)?;
    let class = |cell: usize| {
        let p = outputs.row(cell);
        (0..p.len()).max_by(|&i, &j| p[i].total_cmp(&p[j])).unwrap_or(0)
    };
    panel.fill(CELLS, |cell| pale(COLORS[class(cell)]));
    // Every fifth sample: the classes alternate, and 5 has no common divisor with 2 or 3 classes.
    if let (Features::F32(x), Targets::Classes { labels, .. }) = (data.features(), data.targets()) {
        let dots = x.chunks(2).zip(labels).step_by(5);
        panel.dots.extend(
            dots.map(|(p, &label)| ((f64::from(p[0]), f64::from(p[1])), COLORS[label as usize])),
        );
    }
    Ok(panel)
}

/// Returns the colour mixed with white, a quarter of it.
fn pale(c: RGBColor) -> RGBColor {
    let mix = |x: u8| 255 - (255 - x) / 4;
    RGBColor(mix(c.0), mix(c.1), mix(c.2))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    print!("accuracy  ");
    MODELS.iter().for_each(|(name, _)| print!("{name:>16}"));
    println!();
    let mut panels = Vec::new();
    for (problem, data) in problems()? {
        print!("{problem:10}");
        for (name, hidden) in MODELS {
            let net = trained(hidden, &data, 1)?;
            let accuracy = net.evaluate(&data)?.accuracy.unwrap_or(0.0);
            print!("{accuracy:16.3}");
            panels.push(panel(format!("{problem}, {name}: {accuracy:.3}"), &net, &data)?);
        }
        println!();
    }
    let file = plot::file("decision_regions")?;
    plot::save(&file, MODELS.len(), &panels)?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
