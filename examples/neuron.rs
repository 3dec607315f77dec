//! The neuron of McCulloch and Pitts (1943): it fires when the weighted sum of its inputs reaches
//! its threshold θ,
//!
//! y = 1 if w₁x₁ + … + wₙxₙ ≥ θ, else 0.
//!
//! With the bias b = −θ that is y = step(wᵀx + b): a dense layer of one neuron with the step
//! function. AND, OR and NOT are one neuron each. XOR is not: it would need w₁ ≥ θ, w₂ ≥ θ, 0 < θ
//! and w₁ + w₂ < θ, but the first three say that w₁ + w₂ ≥ 2θ > θ. Two layers can.
//!
//! `cargo run --release --example neuron`

use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Loss, MatRef, Mlp, Result, Sgd, Trainer};

/// A gate as one neuron.
pub struct Gate {
    /// What it computes.
    pub name: &'static str,
    /// w
    pub weights: &'static [f32],
    /// θ
    pub threshold: f32,
}

/// Both inputs.
pub const AND: Gate = Gate { name: "AND", weights: &[1.0, 1.0], threshold: 2.0 };
/// At least one input.
pub const OR: Gate = Gate { name: "OR", weights: &[1.0, 1.0], threshold: 1.0 };
/// The opposite of the input.
pub const NOT: Gate = Gate { name: "NOT", weights: &[-1.0], threshold: 0.0 };
/// Not both inputs.
pub const NAND: Gate = Gate { name: "NAND", weights: &[-1.0, -1.0], threshold: -1.0 };

/// One neuron: weights w and bias b = −θ.
pub fn neuron(gate: &Gate) -> Result<Mlp> {
    let n_in = gate.weights.len();
    let mut net = Mlp::builder(n_in).dense(1, Activation::Step).build()?;
    net.set_parameters(0, MatRef::new(gate.weights, n_in, 1)?, &[-gate.threshold])?;
    Ok(net)
}

/// x₁ XOR x₂ = (x₁ OR x₂) AND (x₁ NAND x₂): three neurons in two layers.
pub fn xor() -> Result<Mlp> {
    let mut net = Mlp::builder(2).dense(2, Activation::Step).dense(1, Activation::Step).build()?;
    // A column of the weights is a neuron.
    let weights = [OR.weights[0], NAND.weights[0], OR.weights[1], NAND.weights[1]];
    net.set_parameters(0, MatRef::new(&weights, 2, 2)?, &[-OR.threshold, -NAND.threshold])?;
    net.set_parameters(1, MatRef::new(AND.weights, 2, 1)?, &[-AND.threshold])?;
    Ok(net)
}

/// What the network answers to every combination of 0 and 1, counted in binary.
pub fn truth_table(net: &Mlp) -> Result<Vec<f32>> {
    let n = net.n_in();
    let inputs: Vec<f32> =
        (0..1usize << n).flat_map(|i| (0..n).rev().map(move |bit| (i >> bit & 1) as f32)).collect();
    Ok(net.predict(MatRef::new(&inputs, 1 << n, n)?)?.into_vec())
}

/// The step function's derivative is 0 wherever there is one: nothing to descend along.
pub fn train_through_step() -> Result<()> {
    let labels = Targets::Values { values: vec![0.0, 1.0, 1.0, 1.0], n_outputs: 1 };
    let or = Dataset::from_f32(vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 2, labels)?;
    Trainer::new(Sgd::new(0.1)).loss(Loss::Quadratic).fit(&mut neuron(&OR)?, &or).map(|_| ())
}

fn main() -> Result<()> {
    println!("neuron  w              θ  b = −θ  truth table");
    for gate in [AND, OR, NAND, NOT] {
        let table = truth_table(&neuron(&gate)?)?;
        let weights = format!("{:?}", gate.weights);
        let (name, theta) = (gate.name, gate.threshold);
        // 0 − θ, as −0 would print its sign.
        println!("{name:6}  {weights:12} {theta:>3} {:>7}  {}", 0.0 - theta, row(&table));
    }
    println!("\nXOR needs two layers: (OR, NAND), then AND");
    println!("{:34}{}", "XOR", row(&truth_table(&xor()?)?));
    match train_through_step() {
        Err(error) => println!("\ntraining it is refused: {error}"),
        Ok(()) => println!("\ntraining it changed nothing"),
    }
    Ok(())
}

/// "00 → 0, 01 → 1, …"
fn row(table: &[f32]) -> String {
    let bits = table.len().ilog2() as usize;
    let entries = table.iter().enumerate().map(|(i, y)| format!("{i:0bits$b} → {y}"));
    entries.collect::<Vec<_>>().join(", ")
}
