//! The losses of rows, against formulas in f64.

use crate::support::kinds::{BODIES, N_IN};
use crate::support::{Data, assert_close};
use crate::{N_OUT, ROWS, bits, build, labels, matrix};
use deltarule::{
    Activation, Adam, BatchTargets, Error, Level, Loss, Matrix, Sgd, Threads, Trainer, Training,
};

/// The loss of a row, from its outputs and its targets.
type Formula = fn(&[f64], &[f64]) -> f64;

fn mean(y: &[f64], t: &[f64], loss: impl Fn(f64, f64) -> f64) -> f64 {
    y.iter().zip(t).map(|(y, t)| loss(*y, *t)).sum::<f64>() / y.len() as f64
}

/// A loss for values, its output layer, the number of its targets, and its formula.
type Case = (Loss, Activation, usize, Formula);

fn of_values() -> Vec<Case> {
    use Activation::{Gelu, Identity, Sigmoid, Softplus, Tanh};
    let cubed = Loss::custom("cubed", |y, t, dy| {
        dy.iter_mut().zip(y).zip(t).for_each(|((dy, y), t)| *dy = 3.0 * (y - t) * (y - t).abs());
        y.iter().zip(t).map(|(y, t)| (y - t).abs().powi(3)).sum()
    });
    vec![
        (Loss::BinaryCrossEntropy, Sigmoid, N_OUT, binary_cross_entropy),
        (Loss::MeanSquared, Identity, N_OUT, |y, t| mean(y, t, |y, t| (y - t).powi(2))),
        (Loss::Quadratic, Sigmoid, N_OUT, |y, t| {
            y.iter().zip(t).map(|(y, t)| 0.5 * (y - t).powi(2)).sum()
        }),
        (Loss::MeanAbsolute, Tanh, N_OUT, |y, t| mean(y, t, |y, t| (y - t).abs())),
        (Loss::Huber { delta: 0.25 }, Softplus, N_OUT, |y, t| {
            mean(y, t, |y, t| match (y - t).abs() {
                e if e < 0.25 => 0.5 * e * e,
                e => 0.25 * (e - 0.125),
            })
        }),
        (Loss::quantile(&[0.25, 0.5, 0.75]), Identity, N_OUT / 3, |y, t| {
            let pinball = |(i, y): (usize, &f64)| {
                let (e, quantile) = (t[i / 3] - y, [0.25, 0.5, 0.75][i % 3]);
                f64::max(e * quantile, e * (quantile - 1.0))
            };
            y.iter().enumerate().map(pinball).sum::<f64>() / y.len() as f64
        }),
        (Loss::PoissonNll, Identity, N_OUT, |y, t| mean(y, t, |y, t| y.exp() - t * y)),
        (Loss::GaussianNll, Identity, N_OUT / 2, |y, t| {
            let nll = |(y, t): (&[f64], &f64)| 0.5 * (y[1] + (y[0] - t).powi(2) / y[1].exp());
            y.chunks(2).zip(t).map(nll).sum::<f64>() / t.len() as f64
        }),
        (cubed, Gelu, N_OUT, |y, t| y.iter().zip(t).map(|(y, t)| (y - t).abs().powi(3)).sum()),
    ]
}

/// The targets are one-hot rows.
fn of_labels() -> Vec<Case> {
    vec![
        (Loss::CrossEntropy, Activation::Softmax, 0, |y, t| {
            y.iter().zip(t).map(|(y, t)| if *t == 1.0 { -y.ln() } else { 0.0 }).sum()
        }),
        (Loss::BinaryCrossEntropy, Activation::Sigmoid, 0, binary_cross_entropy),
        (Loss::Hinge, Activation::Identity, 0, |y, t| {
            let largest = |of_class: f64| {
                let values = y.iter().zip(t).filter(move |(_, t)| **t == of_class);
                values.map(|(y, _)| *y).fold(f64::NEG_INFINITY, f64::max)
            };
            f64::max(0.0, 1.0 + largest(0.0) - largest(1.0))
        }),
    ]
}

fn binary_cross_entropy(y: &[f64], t: &[f64]) -> f64 {
    mean(y, t, |y, t| -t * y.ln() - (1.0 - t) * (1.0 - y).ln())
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|x| f64::from(*x)).collect()
}

fn one_hot(label: u32) -> Vec<f64> {
    (0..N_OUT as u32).map(|class| f64::from(u8::from(class == label))).collect()
}

/// A step, or its parts, of each number of rows. Compares with the formula; the bits of all losses.
fn check(place: &str, training: &mut Training, n_targets: usize, formula: Formula) -> Vec<u64> {
    assert!(training.row_losses().is_empty());
    let (mut data, mut all) = (Data::new(3), Vec::new());
    // The second batch is smaller.
    for (rows, in_parts) in [(ROWS, false), (ROWS - 5, false), (ROWS - 1, true)] {
        let x = matrix(&mut data, rows, N_IN);
        let labels = labels(&mut data, rows);
        let mut y = matrix(&mut data, rows, n_targets);
        y.as_mut_slice().iter_mut().for_each(|y| *y = y.abs());
        let targets = match n_targets {
            0 => BatchTargets::from(&labels),
            _ => BatchTargets::from(&y),
        };
        let outputs = training.network().predict(&x).unwrap();
        let mean = if in_parts {
            let mut dy = Matrix::zeros(rows, N_OUT);
            training.forward(&x).unwrap();
            training.loss_gradient(targets, &mut dy).unwrap()
        } else {
            training.step(&x, targets).unwrap()
        };
        let losses = training.row_losses();
        let of_row = |row: usize| match n_targets {
            0 => formula(&wide(outputs.row(row)), &one_hot(labels[row])),
            _ => formula(&wide(outputs.row(row)), &wide(y.row(row))),
        };
        let want: Vec<f64> = (0..rows).map(of_row).collect();
        // Outputs and losses are f32, 2⁻²⁴ of each; 1 − y of a sigmoid near 1 has more.
        assert_close(place, losses, &want, 2e-6);
        assert_eq!(mean, (losses.iter().sum::<f64>() / rows as f64) as f32, "{place}");
        all.extend(bits(losses));
    }
    all
}

#[test]
fn every_row_has_its_loss_for_every_loss() {
    let cases = of_values().into_iter().chain(of_labels());
    for (loss, output, n_targets, formula) in cases {
        let mut all = Vec::new();
        for level in Level::available() {
            for threads in [Threads::One, Threads::N(2), Threads::N(3)] {
                let net = build(BODIES[0].1, output, level);
                let trainer = Trainer::new(Sgd::new(0.1)).loss(loss.clone()).batch_size(ROWS);
                let trainer = trainer.threads(threads);
                let mut training = match n_targets {
                    0 => trainer.session(net).unwrap(),
                    _ => trainer.session_values(net).unwrap(),
                };
                let place = format!("{loss} {} {threads:?}", level.name());
                all.push((level, check(&place, &mut training, n_targets, formula)));
            }
        }
        all.retain(|(level, _)| *level != Level::portable());
        assert!(all.windows(2).all(|two| two[0].1 == two[1].1), "{loss}");
    }
}

/// Rows of weight 0 are left out of a step: they have no loss, and the others keep their places.
#[test]
fn rows_that_weigh_nothing_have_no_loss() {
    let mut data = Data::new(3);
    let (x, labels) = (matrix(&mut data, ROWS, N_IN), labels(&mut data, ROWS));
    for (pattern, is_left_out) in [
        (0, (|row| row % 3 == 0) as fn(usize) -> bool),
        (1, |row| row != 7),
        (2, |row| row < 20),
        (3, |_| true),
        (4, |_| false),
    ] {
        let weights: Vec<f32> =
            (0..ROWS).map(|row| if is_left_out(row) { 0.0 } else { 0.5 + row as f32 }).collect();
        let trainer = Trainer::new(Adam::new(0.01)).batch_size(ROWS);
        let net = build(BODIES[0].1, Activation::Softmax, Level::best());
        let (mut whole, mut part) =
            (trainer.session(net.clone()).unwrap(), trainer.session(net).unwrap());
        let mean = part.step_weighted(&x, &labels, &weights).unwrap();
        whole.step(&x, &labels).unwrap();
        let (mut sum, mut weight) = (0.0, 0.0);
        assert_eq!(part.row_losses().len(), ROWS);
        for (row, (got, want)) in part.row_losses().iter().zip(whole.row_losses()).enumerate() {
            if is_left_out(row) {
                assert!(got.is_nan(), "{pattern}: {row}");
                continue;
            }
            // A loss does not depend on the rows beside it.
            assert_eq!(got.to_bits(), want.to_bits(), "{pattern}: {row}");
            sum += f64::from(weights[row]) * got;
            weight += f64::from(weights[row]);
        }
        let want = if weight == 0.0 { 0.0 } else { sum / weight };
        assert!((f64::from(mean) - want).abs() <= 1e-6 * want, "{pattern}: {mean} {want}");
    }
}

/// As PyTorch's losses without a reduction: l = −w_y ln p_y.
#[test]
fn the_weight_of_a_rows_class_is_in_its_loss() {
    const WEIGHTS: [f32; N_OUT] = [1.0, 0.0, 2.0, 0.5, 3.0, 1.0];
    let mut data = Data::new(3);
    let x = matrix(&mut data, ROWS, N_IN);
    let labels: Vec<u32> = (0..ROWS).map(|row| (row % N_OUT) as u32).collect();
    let net = build(BODIES[0].1, Activation::Softmax, Level::best());
    let p = net.predict(&x).unwrap();
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(ROWS).class_weights(WEIGHTS.to_vec());
    let mut training = trainer.session(net).unwrap();
    training.step(&x, &labels).unwrap();
    let loss = |(row, label): (usize, &u32)| match WEIGHTS[*label as usize] {
        0.0 => f64::NAN,
        weight => -f64::from(weight) * f64::from(p.row(row)[*label as usize]).ln(),
    };
    let want: Vec<f64> = labels.iter().enumerate().map(loss).collect();
    assert_close("weights of classes", training.row_losses(), &want, 1e-6);
}

#[test]
fn a_step_that_fails_has_no_losses() {
    let mut data = Data::new(3);
    let net = build(BODIES[0].1, Activation::Identity, Level::best());
    let trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS);
    let mut training = trainer.session_values(net).unwrap();
    let (x, mut y) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, N_OUT));
    training.step(&x, &y).unwrap();
    assert_eq!(training.row_losses().len(), ROWS);
    y.as_mut_slice()[5] = 1e30;
    assert!(matches!(training.step(&x, &y), Err(Error::NonFinite { .. })));
    assert!(training.row_losses().is_empty());
    y.as_mut_slice()[5] = 1.0;
    training.step(&x, &y).unwrap();
    assert_eq!(training.row_losses().len(), ROWS);
}
