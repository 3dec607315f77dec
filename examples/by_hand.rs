//! Forward propagation and backpropagation through a network 2-3-2, with numbers that can be checked
//! by hand: the biases are chosen so that every activation is a simple fraction.
//!
//! | | formula | here |
//! |---|---|---|
//! | hidden layer | z₁ = W₁ᵀx + b₁, h = σ(z₁) | h = (1/2, 3/4, 1/4) |
//! | output layer | z₂ = W₂ᵀh + b₂, ŷ = softmax(z₂) | ŷ = (3/4, 1/4) |
//! | loss | L = −ln ŷ of the true class, the first: y = (1, 0) | L = ln 4/3 |
//! | output delta | ∂L/∂z₂ = δ₂ = ŷ − y | (−1/4, 1/4) |
//! | its parameters | ∂L/∂W₂ = h·δ₂ᵀ, ∂L/∂b₂ = δ₂ | |
//! | one layer down | ∂L/∂h = W₂·δ₂ | (−1/2, 1, −1) |
//! | through σ | ∂L/∂z₁ = δ₁ = ∂L/∂h ⊙ σ′(z₁), σ′ = h(1 − h) = (1/4, 3/16, 3/16) | (−1/8, 3/16, −3/16) |
//! | its parameters | ∂L/∂W₁ = x·δ₁ᵀ, ∂L/∂b₁ = δ₁ | |
//! | the input | ∂L/∂x = W₁·δ₁ | (−11/8, 11/16) |
//!
//! W is n_in x n_out here, one neuron per column. The lecture has one neuron per row: its W is the
//! transpose of this one, ∂L/∂W = δxᵀ and ∂L/∂x = Wᵀδ.
//!
//! The program computes each value in four ways and prints all: by hand, by the crate, by plain loops
//! in f64, and by central differences of the loss, (L(w + h) − L(w − h)) / 2h.
//!
//! `cargo run --release --example by_hand`

use deltarule::gradient::{gradients, reference_network};
use deltarule::reference::{Batch, Loss as PlainLoss, Network, Target};
use deltarule::{Activation, BatchTargets, Loss, MatRef, Mlp, Result};

/// The input.
pub const X: [f32; 2] = [1.0, 2.0];
/// The class of the input.
pub const CLASS: usize = 0;
/// x·W₁ = (0, 0, 0), so z₁ = b₁ = (0, ln 3, −ln 3), where σ is 1/2, 3/4, 1/4.
pub const W1: [f32; 6] = [2.0, -2.0, 4.0, -1.0, 1.0, -2.0];
/// h·W₂ = (2, 3), so z₂ = (ln 3, 0).
pub const W2: [f32; 6] = [2.0, 0.0, 0.0, 4.0, 4.0, 0.0];

/// One quantity, computed in four ways. `by_crate` is empty if training does not compute it.
pub struct Row {
    /// The formula.
    pub name: &'static str,
    /// By hand, as fractions.
    pub by_hand: Vec<f64>,
    /// By the code that trains, in f32.
    pub by_crate: Vec<f64>,
    /// By plain loops in f64.
    pub plain: Vec<f64>,
    /// By central differences of the loss, in f64.
    pub differences: Vec<f64>,
}

/// Returns the network of the table above.
pub fn network() -> Result<Mlp> {
    let ln3 = 3f32.ln();
    let mut net =
        Mlp::builder(2).dense(3, Activation::Sigmoid).dense(2, Activation::Softmax).build()?;
    net.set_parameters(0, MatRef::new(&W1, 2, 3)?, &[0.0, ln3, -ln3])?;
    net.set_parameters(1, MatRef::new(&W2, 3, 2)?, &[ln3 - 2.0, -3.0])?;
    Ok(net)
}

/// Returns the derivatives, from the output to the input.
pub fn derivatives() -> Result<Vec<Row>> {
    let net = network()?;
    let x = MatRef::new(&X, 1, 2)?;
    let fast = gradients(&net, x, BatchTargets::Classes(&[CLASS as u32]), Loss::CrossEntropy)?;
    let mut plain = reference_network(&net)?;
    let x = X.map(f64::from);
    let batch = Batch::new(&x, Target::Labels(&[CLASS]));
    let (_, found) = plain.gradients(&batch, &PlainLoss::cross_entropy())?;
    let input = plain.input_gradient(&found);
    let wide = |values: &[f32]| values.iter().map(|&g| f64::from(g)).collect();
    let [w1, b1, w2, b2] = [(0, true), (0, false), (1, true), (1, false)]
        .map(|(layer, weights)| differences(&mut plain, layer, weights));
    Ok(vec![
        Row {
            name: "∂L/∂z₂ = ∂L/∂b₂ = ŷ − y",
            by_hand: vec![-1.0 / 4.0, 1.0 / 4.0],
            by_crate: wide(&fast.layers[1].biases),
            plain: found[1].bias.clone(),
            differences: b2?,
        },
        Row {
            name: "∂L/∂W₂ = h·δ₂ᵀ",
            by_hand: [-8.0, 8.0, -12.0, 12.0, -4.0, 4.0].map(|n| n / 64.0).to_vec(),
            by_crate: wide(fast.layers[1].weights.as_slice()),
            plain: found[1].weight.clone(),
            differences: w2?,
        },
        Row {
            name: "∂L/∂z₁ = ∂L/∂b₁ = W₂·δ₂ ⊙ σ′(z₁)",
            by_hand: vec![-1.0 / 8.0, 3.0 / 16.0, -3.0 / 16.0],
            by_crate: wide(&fast.layers[0].biases),
            plain: found[0].bias.clone(),
            differences: b1?,
        },
        Row {
            name: "∂L/∂W₁ = x·δ₁ᵀ",
            by_hand: [-2.0, 3.0, -3.0, -4.0, 6.0, -6.0].map(|n| n / 16.0).to_vec(),
            by_crate: wide(fast.layers[0].weights.as_slice()),
            plain: found[0].weight.clone(),
            differences: w1?,
        },
        Row {
            name: "∂L/∂x = W₁·δ₁",
            by_hand: vec![-11.0 / 8.0, 11.0 / 16.0],
            by_crate: vec![],
            plain: input,
            differences: input_differences(&plain)?,
        },
    ])
}

const H: f64 = 1e-5;

fn loss(network: &Network<f64>, x: &[f64]) -> Result<f64> {
    network.loss(&Batch::new(x, Target::Labels(&[CLASS])), &PlainLoss::cross_entropy())
}

/// Returns the derivative of the loss with respect to each weight or bias of a layer, by central
/// differences.
fn differences(network: &mut Network<f64>, layer: usize, weights: bool) -> Result<Vec<f64>> {
    fn values(network: &mut Network<f64>, layer: usize, weights: bool) -> &mut [f64] {
        let layer = &mut network.layers[layer];
        if weights { &mut layer.weight } else { &mut layer.bias }
    }
    let x = X.map(f64::from);
    let n = values(network, layer, weights).len();
    let slopes = (0..n).map(|i| {
        let w = values(network, layer, weights)[i];
        let mut at = |w| {
            values(network, layer, weights)[i] = w;
            loss(network, &x)
        };
        let slope = (at(w + H)? - at(w - H)?) / (2.0 * H);
        at(w)?;
        Ok(slope)
    });
    slopes.collect()
}

/// Returns the derivative of the loss with respect to each input, by central differences.
fn input_differences(network: &Network<f64>) -> Result<Vec<f64>> {
    let slopes = (0..X.len()).map(|i| {
        let at = |h: f64| {
            let mut x = X.map(f64::from);
            x[i] += h;
            loss(network, &x)
        };
        Ok((at(H)? - at(-H)?) / (2.0 * H))
    });
    slopes.collect()
}

fn main() -> Result<()> {
    let net = network()?;
    let outputs = reference_network(&net)?.layer_outputs(&X.map(f64::from))?;
    println!("forward, x = (1, 2), true class: the first");
    println!("  z₁ = {}   h = σ(z₁) = {}", row(&outputs[0].z), row(&outputs[0].a));
    println!("  z₂ = {}   ŷ = softmax(z₂) = {}", row(&outputs[1].z), row(&outputs[1].a));
    let fast = net.predict(MatRef::new(&X, 1, 2)?)?;
    println!("  ŷ of the crate: {:.6} {:.6}", fast.row(0)[0], fast.row(0)[1]);
    println!("  L = −ln ŷ₁ = {:.6}\n", -outputs[1].a[CLASS].ln());
    println!("backward        by hand     crate  f64 loops  differences");
    for derivative in derivatives()? {
        println!("{}", derivative.name);
        for (i, by_hand) in derivative.by_hand.iter().enumerate() {
            let fast = derivative.by_crate.get(i).map_or("-".into(), |g| format!("{g:.6}"));
            let (plain, numeric) = (derivative.plain[i], derivative.differences[i]);
            println!("{by_hand:>23.6} {fast:>9} {plain:>10.6} {numeric:>12.6}");
        }
    }
    Ok(())
}

fn row(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|v| format!("{v:.4}")).collect();
    format!("({})", values.join(", "))
}
