//! Why a network needs a non-linear activation: without one, consecutive layers are one linear map,
//!
//! (x·W₁ + b₁)·W₂ + b₂ = x·(W₁·W₂) + (b₁·W₂ + b₂),
//!
//! for any number of layers. The example trains a network of four such layers on handwritten digits and
//! multiplies its matrices. The resulting single layer returns the same outputs. With tanh between the
//! layers the same product gives a different network.
//!
//! `cargo run --release --example linear_collapse`

use deltarule::data::{self, Dataset};
use deltarule::{Activation, Adam, MatRef, Matrix, Mlp, Result, Trainer};

/// Returns 64-48-32-16-10 with a softmax output, trained for a few epochs.
pub fn deep(hidden: Activation, train: &Dataset, seed: u64) -> Result<Mlp> {
    let mut net = Mlp::builder(train.n_features())
        .dense(48, hidden)
        .dense(32, hidden)
        .dense(16, hidden)
        .dense(10, Activation::Softmax)
        .seed(seed)
        .build()?;
    Trainer::new(Adam::new(0.002)).epochs(10).seed(seed).fit(&mut net, train)?;
    Ok(net)
}

/// Returns the single layer that is equal to the network if its hidden layers have no activation: the
/// product of all weights, computed in f64.
pub fn multiplied_out(net: &Mlp) -> Result<Mlp> {
    let (n_in, n_out) = (net.n_in(), net.n_out());
    // Row i of `map` is the output for the unit vector i, the last row the output for 0.
    let mut map = vec![0.0; (n_in + 1) * n_in];
    (0..n_in).for_each(|i| map[i * n_in + i] = 1.0);
    for (i, layer) in net.layers().enumerate() {
        let (w, b) = (net.weights(i)?, net.biases(i)?);
        let mut next = vec![0.0; (n_in + 1) * layer.n_out];
        let rows = map.chunks(layer.n_in).zip(next.chunks_mut(layer.n_out));
        for (row, (from, to)) in rows.enumerate() {
            for (x, w) in from.iter().zip(w.as_slice().chunks(layer.n_out)) {
                to.iter_mut().zip(w).for_each(|(sum, &w)| *sum += x * f64::from(w));
            }
            if row == n_in {
                to.iter_mut().zip(&b).for_each(|(sum, &b)| *sum += f64::from(b));
            }
        }
        map = next;
    }
    let map: Vec<f32> = map.iter().map(|&x| x as f32).collect();
    let (weights, biases) = map.split_at(n_in * n_out);
    let mut one = Mlp::builder(n_in).dense(n_out, Activation::Softmax).build()?;
    one.set_parameters(0, MatRef::new(weights, n_in, n_out)?, biases)?;
    Ok(one)
}

/// Returns the largest difference between the networks' probabilities, and how often both predict the
/// same class.
pub fn compared(a: &Mlp, b: &Mlp, x: &Matrix) -> Result<(f32, f64)> {
    let [a, b] = [a.predict(x.view())?, b.predict(x.view())?];
    let differences = a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| (a - b).abs());
    let largest = |row: &[f32]| (0..row.len()).max_by(|&i, &j| row[i].total_cmp(&row[j]));
    let agree = (0..a.rows()).filter(|&r| largest(a.row(r)) == largest(b.row(r))).count();
    Ok((differences.fold(0.0, f32::max), agree as f64 / a.rows() as f64))
}

fn main() -> Result<()> {
    let (train, test) = data::digits().split_at(1400)?;
    let x = test.matrix();
    println!("hidden     four layers  multiplied out  largest difference  same class");
    for hidden in [Activation::Identity, Activation::Tanh] {
        let net = deep(hidden, &train, 1)?;
        let one = multiplied_out(&net)?;
        let (difference, agree) = compared(&net, &one, &x)?;
        let [a, b] = [&net, &one].map(|net| net.evaluate(&test).map(|e| e.accuracy.unwrap_or(0.0)));
        println!(
            "{:10} {:>10.2}% {:>14.2}% {difference:>19.1e} {:>10.1}%",
            hidden.to_string(),
            100.0 * a?,
            100.0 * b?,
            100.0 * agree
        );
    }
    Ok(())
}
