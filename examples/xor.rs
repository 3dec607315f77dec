//! Why a network needs a non-linear activation: without one, layers in a row are still one linear
//! map, and its decision boundary is a straight line. No straight line solves XOR, nor parts two
//! moons that reach into each other; one hidden layer of tanh does both.
//!
//! `cargo run --release --example xor`

use deltarule::data::{Dataset, Features, Targets, synthetic};
use deltarule::{Activation, Adam, MatRef, Mlp, Trainer};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Characters of a picture.
const WIDTH: usize = 36;
const HEIGHT: usize = 15;

/// A problem in the plane, and how long to train for it.
struct Problem {
    name: &'static str,
    data: Dataset,
    epochs: usize,
    /// The part of the plane that is drawn.
    x: (f32, f32),
    y: (f32, f32),
}

fn main() -> Outcome<()> {
    let corners = vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let xor = Targets::Classes { labels: vec![0, 1, 1, 0], n_classes: 2 };
    let problems = [
        Problem {
            name: "XOR",
            data: Dataset::from_f32(corners, 2, xor)?,
            epochs: 500,
            x: (-0.5, 1.5),
            y: (-0.5, 1.5),
        },
        Problem {
            name: "two moons",
            data: synthetic::moons(400, 0.08, 1)?,
            epochs: 100,
            x: (-1.5, 2.5),
            y: (-1.0, 1.5),
        },
    ];
    for problem in &problems {
        // Three layers without a bend between them: as good as one.
        let linear = trained(problem, Activation::Identity)?;
        let hidden = trained(problem, Activation::Tanh)?;
        let [left, right] = [&linear, &hidden].map(|net| picture(problem, net));
        let accuracy = |net: &Mlp| net.evaluate(&problem.data).map(|e| e.accuracy.unwrap_or(0.0));
        let (a, b) = (accuracy(&linear)?, accuracy(&hidden)?);
        println!(
            "{}: o and x are the classes, shaded where the network says x, dotted where it is torn",
            problem.name
        );
        println!("{:WIDTH$}   with tanh in the hidden layer", "without activation");
        for (left, right) in left?.iter().zip(right?) {
            println!("{left}   {right}");
        }
        let caption = format!("accuracy {a:.3}");
        println!("{caption:WIDTH$}   accuracy {b:.3}\n");
        if a > 0.95 || b < 0.99 {
            return Err("expected the linear network to fail and the other to succeed".into());
        }
    }
    Ok(())
}

/// A network of 2-16-2 after training.
fn trained(problem: &Problem, activation: Activation) -> Outcome<Mlp> {
    let mut net =
        Mlp::builder(2).dense(16, activation).dense(2, Activation::Softmax).seed(1).build()?;
    let mut trainer = Trainer::new(Adam::new(0.02)).batch_size(32).epochs(problem.epochs).seed(1);
    trainer.fit(&mut net, &problem.data)?;
    Ok(net)
}

/// The class the network gives each place of the plane, with samples of the data on top.
fn picture(problem: &Problem, net: &Mlp) -> Outcome<Vec<String>> {
    let Problem { data, x, y, .. } = problem;
    let at = |(from, to): (f32, f32), i: usize, n: usize| {
        from + (to - from) * (i as f32 + 0.5) / n as f32
    };
    // The first line of text is the top.
    let places = (0..HEIGHT).flat_map(|row| (0..WIDTH).map(move |col| (row, col)));
    let points: Vec<f32> = places
        .flat_map(|(row, col)| [at(*x, col, WIDTH), at(*y, HEIGHT - 1 - row, HEIGHT)])
        .collect();
    let outputs = net.predict(MatRef::new(&points, WIDTH * HEIGHT, 2)?)?;
    let shade = |i: usize| match outputs.row(i)[1] {
        p if p > 0.51 => '░',
        p if p > 0.49 => '·',
        _ => ' ',
    };
    let mut cells: Vec<char> = (0..WIDTH * HEIGHT).map(shade).collect();

    let (Features::F32(features), Targets::Classes { labels, .. }) =
        (data.features(), data.targets())
    else {
        return Err("expected f32 features and classes".into());
    };
    let cell = |(from, to): (f32, f32), value: f32, n: usize| {
        (((value - from) / (to - from) * n as f32).max(0.0) as usize).min(n - 1)
    };
    // At most about 60 of them, so that the shade can be seen.
    let step = data.len().div_ceil(60) | 1;
    for (point, label) in features.chunks(2).zip(labels).step_by(step) {
        let (col, row) = (cell(*x, point[0], WIDTH), cell(*y, point[1], HEIGHT));
        cells[(HEIGHT - 1 - row) * WIDTH + col] = if *label == 1 { 'x' } else { 'o' };
    }
    Ok(cells.chunks(WIDTH).map(|line| line.iter().collect()).collect())
}
