//! The networks of Michael Nielsen's "Neural Networks and Deep Learning" and their training.
//!
//! The book's data: 50,000 images to train on, 10,000 to validate with, 10,000 to test. Its update,
//! with rate η, L2 by λ, n training images and batches of m = 10, is
//!
//! w ← (1 − ηλ/n)·w − η/m Σ ∂C/∂w, b ← b − η/m Σ ∂C/∂b.
//!
//! Chapter 1 (network.py) takes C = ½‖a − y‖² and draws all weights and biases from N(0, 1); chapter
//! 3 (network2.py) takes C = −Σ y ln a + (1 − y) ln(1 − a), the sum over the ten outputs. Ours is
//! their mean, so η is ten times and λ a tenth of the book's. The better initialisation is
//! N(0, 1/n_in), with biases of 0 (of N(0, 1) in the book).
//!
//! What the original does and this does not: network3.py never shuffles its samples, scales its
//! initial weights by the outputs of a layer instead of its inputs, begins the mask of every dropout
//! layer from the same seed, and leaves out the samples that do not fill a batch.

use deltarule::data::{Dataset, Features, Targets};
use deltarule::{Activation, EarlyStopping, Init, Loss, Mlp, Result, Sgd, Threads, Trainer};

/// A network of the book and how it is trained.
#[derive(Clone)]
pub struct Experiment {
    /// Where in the book, and what.
    pub name: &'static str,
    /// Percent of the images that the book's network gets right, where it says.
    pub book: Option<f64>,
    /// Neurons of the hidden layers.
    pub hidden: &'static [usize],
    /// The cost: quadratic, or cross-entropy.
    pub loss: Loss,
    /// Initial weights.
    pub init: Init,
    /// η, in the book's terms.
    pub rate: f32,
    /// λ, in the book's terms.
    pub lambda: f32,
    /// Passes over the training images.
    pub epochs: usize,
    /// What else it does.
    pub variant: Variant,
}

/// What a network's training has besides.
#[derive(Clone, Copy, PartialEq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// Stops when ten epochs have not improved the accuracy on the validation images.
    EarlyStopping,
    /// Trains also on every image moved by a pixel up, down, left and right.
    Expanded,
}

/// Chapter 1, network.py.
const CHAPTER_1: Experiment = Experiment {
    name: "1: 784-30-10, quadratic cost",
    book: Some(95.42),
    hidden: &[30],
    loss: Loss::Quadratic,
    init: Init::Normal(1.0),
    rate: 3.0,
    lambda: 0.0,
    epochs: 30,
    variant: Variant::Plain,
};

/// Chapter 3, network2.py.
const CHAPTER_3: Experiment = Experiment {
    name: "3: 784-30-10, cross-entropy",
    book: Some(95.49),
    loss: Loss::BinaryCrossEntropy,
    rate: 0.5,
    ..CHAPTER_1
};

/// Chapter 5, network2.py with its better initialisation and L2.
const CHAPTER_5: Experiment = Experiment {
    name: "5: 784-30-10",
    book: Some(96.48),
    init: Init::LeCun,
    rate: 0.1,
    lambda: 5.0,
    ..CHAPTER_3
};

/// What is run, in the order of the book.
pub const EXPERIMENTS: [Experiment; 13] = [
    CHAPTER_1,
    Experiment {
        name: "1: 784-100-10, quadratic cost",
        book: Some(96.59),
        hidden: &[100],
        ..CHAPTER_1
    },
    CHAPTER_3,
    Experiment {
        name: "3: 784-100-10, cross-entropy",
        book: Some(96.82),
        hidden: &[100],
        ..CHAPTER_3
    },
    Experiment {
        name: "3: 784-100-10, cross-entropy, L2",
        book: Some(97.92),
        hidden: &[100],
        lambda: 5.0,
        ..CHAPTER_3
    },
    Experiment {
        name: "3: 784-100-10, cross-entropy, L2, better initialisation",
        book: None,
        hidden: &[100],
        lambda: 5.0,
        init: Init::LeCun,
        ..CHAPTER_3
    },
    Experiment {
        name: "3: 784-100-10, the same, η = 0.1, 60 epochs",
        book: Some(98.04),
        hidden: &[100],
        epochs: 60,
        ..CHAPTER_5
    },
    Experiment {
        name: "3: 784-100-10, better initialisation, early stopping",
        book: None,
        hidden: &[100],
        init: Init::LeCun,
        epochs: 100,
        variant: Variant::EarlyStopping,
        ..CHAPTER_3
    },
    Experiment {
        name: "3: 784-100-10, L2, better initialisation, expanded data",
        book: None,
        hidden: &[100],
        epochs: 12,
        variant: Variant::Expanded,
        ..CHAPTER_5
    },
    CHAPTER_5,
    Experiment { name: "5: 784-30-30-10", book: Some(96.90), hidden: &[30; 2], ..CHAPTER_5 },
    Experiment { name: "5: 784-30-30-30-10", book: Some(96.57), hidden: &[30; 3], ..CHAPTER_5 },
    Experiment { name: "5: 784-30-30-30-30-10", book: Some(96.53), hidden: &[30; 4], ..CHAPTER_5 },
];

/// The three sets of the book.
pub struct Data {
    /// To train on.
    pub train: Dataset,
    /// To stop by.
    pub validation: Dataset,
    /// To test with.
    pub test: Dataset,
    /// n of λ/n: on fewer samples than the book's the same λ would be another penalty.
    pub n: usize,
}

/// One run.
pub struct Run {
    /// Percent of the test images right, at the end.
    pub last: f64,
    /// The same after the best epoch, as the book reports it for chapter 1; after the end for
    /// early stopping, which keeps the best weights itself.
    pub best: f64,
    /// Epochs.
    pub epochs: usize,
    /// Seconds of training.
    pub seconds: f64,
}

/// Trains a network with one seed.
pub fn run(e: &Experiment, data: &Data, seed: u64) -> Result<Run> {
    let expanded;
    let (train, n) = match e.variant {
        Variant::Expanded => {
            expanded = expand(&data.train)?;
            (&expanded, 5 * data.n)
        }
        _ => (&data.train, data.n),
    };
    let builder = e.hidden.iter().fold(Mlp::builder(train.n_features()), |builder, &n| {
        builder.dense(n, Activation::Sigmoid)
    });
    let mut net = builder.dense(10, Activation::Sigmoid).init(e.init).seed(seed).build()?;
    // The book's cost is this many of ours.
    let costs = if e.loss == Loss::Quadratic { 1.0 } else { 10.0 };
    let mut trainer = Trainer::new(Sgd::new(e.rate * costs))
        .loss(e.loss.clone())
        .l2(e.lambda / (costs * n as f32))
        .decay_biases(false)
        .batch_size(10)
        .epochs(e.epochs)
        .seed(seed)
        .threads(Threads::One);
    trainer = match e.variant {
        Variant::EarlyStopping => trainer
            .validation(&data.validation)
            .early_stopping(EarlyStopping::on_validation_accuracy().patience(10)),
        _ => trainer.validation(&data.test),
    };
    let history = trainer.fit(&mut net, train)?;
    let percent = |accuracy: Option<f64>| 100.0 * accuracy.unwrap_or(0.0);
    let last = percent(net.evaluate(&data.test)?.accuracy);
    let of_epochs =
        history.epochs.iter().filter_map(|e| e.validation.as_ref()).map(|v| percent(v.accuracy));
    let best = match e.variant {
        Variant::EarlyStopping => last,
        _ => of_epochs.fold(last, f64::max),
    };
    Ok(Run { last, best, epochs: history.epochs.len(), seconds: history.seconds() })
}

/// Each image, and the same moved by one pixel in each of the four directions; what moves in is
/// paper.
pub fn expand(data: &Dataset) -> Result<Dataset> {
    let (Features::U8 { data: pixels, scale, shift }, Targets::Classes { labels, n_classes }) =
        (data.features(), data.targets())
    else {
        unreachable!("images of bytes with classes")
    };
    let n = data.n_features();
    let side = n.isqrt();
    let mut moved = Vec::with_capacity(5 * pixels.len());
    let mut classes = Vec::with_capacity(5 * labels.len());
    for (image, &label) in pixels.chunks(n).zip(labels) {
        for (down, right) in [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)] {
            let pixel = |row: isize, col: isize| {
                let inside = |i: isize| (0..side as isize).contains(&i);
                let (row, col) = (row - down, col - right);
                if inside(row) && inside(col) {
                    image[row as usize * side + col as usize]
                } else {
                    0
                }
            };
            moved.extend((0..n).map(|i| pixel((i / side) as isize, (i % side) as isize)));
            classes.push(label);
        }
    }
    let targets = Targets::Classes { labels: classes, n_classes: *n_classes };
    Dataset::from_u8(moved, n, targets)?.with_scale(scale, shift)
}
