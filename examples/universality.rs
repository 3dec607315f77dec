//! Any continuous function by steps and bumps, with weights set by hand (chapter 4 of Nielsen's book;
//! Cybenko 1989, Hornik, Stinchcombe and White 1989).
//!
//! One input: a sigmoid with a large weight, σ(w(x − s)), is a step at s = −b/w. Two steps with the output
//! weights h and −h are a bump of height h. N bumps side by side, each as high as f there, are a piecewise
//! constant function. Its error is half the range of f over a bump, so it falls as 1/N.
//!
//! Two inputs: a bump along x plus a bump along y is 2h where both are and h where only one is. A neuron
//! of a second hidden layer, σ(h(bump + bump) − 3h/2), is near 1 on the square and near 0 elsewhere: a
//! tower. N² towers cover the unit square. In the book each tower has four steps of its own; here a row
//! and a column of towers share theirs. Where four towers meet, each sees half a bump twice, h < 3h/2, and
//! the output has a hole as wide as a step.
//!
//! In the book the output neuron is a sigmoid, and the bumps add up to σ⁻¹(f). Here it is linear, and they
//! add up to f.
//!
//! `cargo run --release --example universality` compares such networks with trained networks of the same
//! size, and draws both into `target/lecture/universality.svg`.

#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, MatRef, Mlp, Result, Schedule, Trainer};
use plot::{COLORS, Curve, Panel, RGBColor};

/// Bumps, for one input.
pub const BUMPS: [usize; 5] = [5, 10, 50, 100, 500];
/// Towers in each direction, for two inputs.
pub const TOWERS: [usize; 4] = [4, 8, 16, 32];

/// Weight of a step, times the width of a bump: a step rises from 10 % to 90 % within 0.4 % of a bump.
pub const STEEPNESS: f64 = 1000.0;
/// h of the second hidden layer: σ(−h/2) = 2·10⁻⁹ is left of a tower outside of its square.
pub const TOWER: f32 = 40.0;

/// The book's function of one input, for x in 0..1.
pub fn f(x: f64) -> f64 {
    0.2 + 0.4 * x * x + 0.3 * x * (15.0 * x).sin() + 0.05 * (50.0 * x).cos()
}

/// A function of two inputs, for x and y in 0..1.
pub fn g(x: f64, y: f64) -> f64 {
    0.5 + 0.4 * (5.0 * x).sin() * (4.0 * y).cos()
}

/// The largest and the mean distance.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// max |ŷ − y|
    pub largest: f64,
    /// mean |ŷ − y|
    pub mean: f64,
}

fn distance(errors: impl Iterator<Item = f64>) -> Distance {
    let (n, largest, sum) =
        errors.fold((0, 0f64, 0.0), |(n, largest, sum), e| (n + 1, largest.max(e), sum + e));
    Distance { largest, mean: sum / f64::from(n) }
}

/// Returns where the steps of n bumps are. The outer ones are a bump outside of 0..1, so that f is whole
/// at its ends.
fn edges(n: usize) -> Vec<f64> {
    let mut edges: Vec<f64> = (0..=n).map(|k| k as f64 / n as f64).collect();
    edges[0] -= 1.0 / n as f64;
    edges[n] += 1.0 / n as f64;
    edges
}

/// Returns the middle of the range of values: the height with the smallest largest error.
fn height(values: impl Iterator<Item = f64>) -> f32 {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = values.fold(ends, |(low, high), v| (low.min(v), high.max(v)));
    ((low + high) / 2.0) as f32
}

/// Returns points from one edge to the next of bump i of n. Between 33 points f is straight enough.
fn across(i: usize, n: usize) -> impl Iterator<Item = f64> {
    (0..=32).map(move |k| (i as f64 + f64::from(k) / 32.0) / n as f64)
}

/// Makes the first layer steps σ(w(x − s)) at these places, along each input.
fn set_steps(net: &mut Mlp, places: &[f64], w: f64) -> Result<()> {
    let (n_in, n) = (net.n_in(), places.len());
    let mut weights = vec![0.0; n_in * n_in * n];
    weights.chunks_mut(n).step_by(n_in + 1).for_each(|of_input| of_input.fill(w as f32));
    let biases: Vec<f32> = places.iter().map(|s| (-w * s) as f32).collect();
    net.set_parameters(0, MatRef::new(&weights, n_in, n_in * n)?, &biases.repeat(n_in))
}

/// Returns the network 1-2n-1 whose n bumps are f.
pub fn bumps(n: usize) -> Result<Mlp> {
    let mut net = size_of_bumps(n, 0)?;
    let ends: Vec<f64> = edges(n).windows(2).flatten().copied().collect();
    set_steps(&mut net, &ends, STEEPNESS * n as f64)?;
    let heights = (0..n).map(|i| height(across(i, n).map(f)));
    let outputs: Vec<f32> = heights.flat_map(|h| [h, -h]).collect();
    net.set_parameters(1, MatRef::new(&outputs, 2 * n, 1)?, &[0.0])?;
    Ok(net)
}

/// Returns the network 2-2(n + 1)-n²-1 whose n x n towers are g.
pub fn towers(n: usize) -> Result<Mlp> {
    let mut net = size_of_towers(n, 0)?;
    set_steps(&mut net, &edges(n), STEEPNESS * n as f64)?;
    let (along_y, count) = (n + 1, n * n);
    let mut squares = vec![0.0; 2 * (n + 1) * count];
    let mut heights = Vec::with_capacity(count);
    for (tower, (i, j)) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).enumerate() {
        for (begin, end) in [(i, i + 1), (along_y + j, along_y + j + 1)] {
            squares[begin * count + tower] = TOWER;
            squares[end * count + tower] = -TOWER;
        }
        heights.push(height(across(i, n).flat_map(|x| across(j, n).map(move |y| g(x, y)))));
    }
    let thresholds = vec![-1.5 * TOWER; count];
    net.set_parameters(1, MatRef::new(&squares, 2 * (n + 1), count)?, &thresholds)?;
    net.set_parameters(2, MatRef::new(&heights, count, 1)?, &[0.0])?;
    Ok(net)
}

fn size_of_bumps(n: usize, seed: u64) -> Result<Mlp> {
    let net = Mlp::builder(1).dense(2 * n, Activation::Sigmoid).dense(1, Activation::Identity);
    net.seed(seed).build()
}

fn size_of_towers(n: usize, seed: u64) -> Result<Mlp> {
    let net = Mlp::builder(2).dense(2 * (n + 1), Activation::Sigmoid);
    net.dense(n * n, Activation::Sigmoid).dense(1, Activation::Identity).seed(seed).build()
}

/// Returns a trained network of the size of n bumps. Training begins with gentle steps, evenly spaced:
/// with the usual small weights, sigmoids of x in 0..1 are nearly straight lines.
pub fn trained_bumps(n: usize, seed: u64) -> Result<Mlp> {
    let mut net = size_of_bumps(n, seed)?;
    let places: Vec<f64> = (0..2 * n).map(|k| (k as f64 + 0.5) / (2 * n) as f64).collect();
    // A step rises from 10 % to 90 % within 4.4/w = 0.11; cos 50x has a period of 0.13.
    set_steps(&mut net, &places, 40.0)?;
    let x: Vec<f32> = (0..1000).map(|i| (i as f32 + 0.5) / 1000.0).collect();
    let values = x.iter().map(|&x| f(x.into()) as f32).collect();
    train(&mut net, &Dataset::from_f32(x, 1, Targets::Values { values, n_outputs: 1 })?, seed)?;
    Ok(net)
}

/// Returns a trained network of the size of n x n towers. It begins with gentle steps too.
pub fn trained_towers(n: usize, seed: u64) -> Result<Mlp> {
    let mut net = size_of_towers(n, seed)?;
    let places: Vec<f64> = (0..=n).map(|k| k as f64 / n as f64).collect();
    // Wider, as the waves of g are.
    set_steps(&mut net, &places, 10.0)?;
    let at = |i: usize| (i as f32 + 0.5) / 32.0;
    let x: Vec<f32> = (0..32 * 32).flat_map(|i| [at(i / 32), at(i % 32)]).collect();
    let values = x.chunks(2).map(|p| g(p[0].into(), p[1].into()) as f32).collect();
    train(&mut net, &Dataset::from_f32(x, 2, Targets::Values { values, n_outputs: 1 })?, seed)?;
    Ok(net)
}

fn train(net: &mut Mlp, data: &Dataset, seed: u64) -> Result<()> {
    let trainer = Trainer::new(Adam::new(0.01)).schedule(Schedule::one_cycle()).seed(seed);
    trainer.batch_size(32).epochs(400).fit(net, data)?;
    Ok(())
}

/// Returns the network's outputs for these inputs, one row after the other.
pub fn outputs(net: &Mlp, x: &[f64]) -> Result<Vec<f64>> {
    let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    let y = net.predict(MatRef::new(&x, x.len() / net.n_in(), net.n_in())?)?;
    Ok(y.as_slice().iter().map(|&y| y.into()).collect())
}

/// Returns how far a network is from f, at 10,001 points.
pub fn distance_on_line(net: &Mlp) -> Result<Distance> {
    let x: Vec<f64> = (0..=10_000).map(|i| f64::from(i) / 10_000.0).collect();
    let y = outputs(net, &x)?;
    Ok(distance(x.iter().zip(y).map(|(&x, y)| (y - f(x)).abs())))
}

/// Whether a point is where four of n x n towers meet: within ten times the width of a step of an edge
/// along x and of an edge along y. 0.04 % of the square.
pub fn is_at_corner(x: f64, y: f64, n: usize) -> bool {
    let near = |x: f64| (x * n as f64 - (x * n as f64).round()).abs() < 10.0 / STEEPNESS;
    near(x) && near(y)
}

/// Returns how far a network is from g, on a grid of 241 x 241 points without the corners of n x n towers.
pub fn distance_on_square(net: &Mlp, n: usize) -> Result<Distance> {
    let points: Vec<f64> = (0..241 * 241)
        .map(|i| (f64::from(i / 241) / 240.0, f64::from(i % 241) / 240.0))
        .filter(|&(x, y)| !is_at_corner(x, y, n))
        .flat_map(|(x, y)| [x, y])
        .collect();
    let z = outputs(net, &points)?;
    Ok(distance(points.chunks(2).zip(z).map(|(p, z)| (z - g(p[0], p[1])).abs())))
}

/// Draws f, the bumps and the trained network.
fn line_panel(n: usize, by_hand: &Mlp, trained: &Mlp) -> Result<Panel> {
    let x: Vec<f64> = (0..=600).map(|i| f64::from(i) / 600.0).collect();
    let of = |y: Vec<f64>| x.iter().copied().zip(y).collect();
    let mut panel = Panel::new(format!("{n} bumps, {} neurons", 2 * n), 0.0..1.0, 0.0..1.3);
    let curves = [
        ("f", COLORS[1], x.iter().map(|&x| f(x)).collect()),
        ("by hand", COLORS[0], outputs(by_hand, &x)?),
        ("trained", COLORS[2], outputs(trained, &x)?),
    ];
    for (name, color, y) in curves {
        panel.curves.push(Curve { name: name.into(), color, points: of(y) });
    }
    Ok(panel)
}

/// Draws a function of two inputs in shades.
fn square_panel(title: String, values: impl Fn(&[f64]) -> Result<Vec<f64>>) -> Result<Panel> {
    // Eight cells a tower, so that no middle is at a corner.
    const CELLS: usize = 64;
    let mut panel = Panel::new(title, 0.0..1.0, 0.0..1.0);
    let values = values(&panel.middles(CELLS))?;
    // Twelve shades: a step of 0.08 in g.
    let shade = |v: f64| (v.clamp(0.0, 1.0) * 12.0).round() / 12.0;
    panel.fill(CELLS, |cell| plot::mixed(COLORS[0], RGBColor(255, 255, 255), shade(values[cell])));
    Ok(panel)
}

const HEADING: &str = "    width  neurons   by hand: max, mean   trained: max, mean";

fn print_row(width: &str, neurons: usize, by_hand: Distance, trained: Distance) {
    let [a, b] = [by_hand, trained].map(|d| format!("{:8.5} {:8.5}", d.largest, d.mean));
    println!("{width:>9} {neurons:>8}    {a}    {b}");
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    println!("f(x) = 0.2 + 0.4x² + 0.3x·sin 15x + 0.05·cos 50x: |ŷ − f|");
    println!("{}", HEADING.replace("width", "bumps"));
    let mut panels = Vec::new();
    for n in BUMPS {
        let (by_hand, trained) = (bumps(n)?, trained_bumps(n, 1)?);
        let [a, b] = [distance_on_line(&by_hand)?, distance_on_line(&trained)?];
        print_row(&n.to_string(), 2 * n, a, b);
        // More are not told apart in a picture.
        if n <= 50 {
            panels.push(line_panel(n, &by_hand, &trained)?);
        }
    }
    println!(
        "\ng(x, y) = 0.5 + 0.4·sin 5x·cos 4y: |ŷ − g| without the corners where four towers meet"
    );
    println!("{}", HEADING.replace(" width", "towers"));
    panels.push(square_panel("g".into(), |p| Ok(p.chunks(2).map(|p| g(p[0], p[1])).collect()))?);
    for n in TOWERS {
        let (by_hand, trained) = (towers(n)?, trained_towers(n, 1)?);
        let [a, b] = [distance_on_square(&by_hand, n)?, distance_on_square(&trained, n)?];
        print_row(&format!("{n} x {n}"), 2 * (n + 1) + n * n, a, b);
        if n == 8 {
            panels.push(square_panel(format!("{n} x {n} towers"), |p| outputs(&by_hand, p))?);
            panels.push(square_panel("trained, the same size".into(), |p| outputs(&trained, p))?);
        }
    }
    let middle = outputs(&towers(8)?, &[0.5, 0.5])?[0];
    println!("at the corner (½, ½) of 8 x 8 towers: ŷ = {middle:.1e}, g = {:.3}", g(0.5, 0.5));
    let file = plot::file("universality")?;
    plot::save(&file, 3, &panels)?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
