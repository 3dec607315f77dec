//! A network is a non-linear classifier. A linear one, ŷ = softmax(xᵀW + b), parts the plane with
//! straight lines: the classes i and j meet where xᵀ(wᵢ − wⱼ) + bᵢ − bⱼ = 0. A hidden layer bends
//! them: here the regions of a linear model, of a small and of a larger network on a circle in a
//! ring, two moons, and three spirals.
//!
//! `cargo run --release --example decision_regions` writes `target/lecture/decision_regions.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{Dataset, Features, Targets, synthetic};
use deltarule::{Activation, Adam, MatRef, Mlp, Result, Trainer};
use plot::{COLORS, Panel, RGBColor};

/// The models: a name, and the neurons of each hidden layer.
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

/// A network with these hidden layers, trained.
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

/// Cells of a picture, across and down.
const CELLS: usize = 60;
/// The plane that is drawn: all problems lie in it.
const X: (f64, f64) = (-1.6, 2.4);
const Y: (f64, f64) = (-1.5, 1.5);

/// The regions, and the samples on top of them.
fn panel(title: String, net: &Mlp, data: &Dataset) -> Result<Panel> {
    let at = |(from, to): (f64, f64), i: usize| from + (to - from) * i as f64 / CELLS as f64;
    let middle = |range, i| ((at(range, i) + at(range, i + 1)) / 2.0) as f32;
    let cells = (0..CELLS * CELLS).map(|i| (i / CELLS, i % CELLS));
    let points: Vec<f32> = cells.flat_map(|(row, col)| [middle(X, col), middle(Y, row)]).collect();
    let outputs = net.predict(MatRef::new(&points, CELLS * CELLS, 2)?)?;
    let class = |row: usize, col: usize| {
        let p = outputs.row(row * CELLS + col);
        (0..p.len()).max_by(|&i, &j| p[i].total_cmp(&p[j])).unwrap_or(0)
    };
    let mut panel = Panel::new(title, X.0..X.1, Y.0..Y.1);
    for row in 0..CELLS {
        // Neighbours of one class are one rectangle.
        let mut start = 0;
        for col in 1..=CELLS {
            if col == CELLS || class(row, col) != class(row, start) {
                let corners = [(at(X, start), at(Y, row)), (at(X, col), at(Y, row + 1))];
                panel.areas.push((corners, pale(COLORS[class(row, start)])));
                start = col;
            }
        }
    }
    // Every fifth: samples come with their classes in turn, and there are two or three classes.
    if let (Features::F32(x), Targets::Classes { labels, .. }) = (data.features(), data.targets()) {
        let dots = x.chunks(2).zip(labels).step_by(5);
        panel.dots.extend(
            dots.map(|(p, &label)| ((f64::from(p[0]), f64::from(p[1])), COLORS[label as usize])),
        );
    }
    Ok(panel)
}

/// The colour on white paper, a quarter of it.
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
