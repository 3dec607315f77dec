//! Many classes: what an evaluation, a history and a checkpoint cost follows the samples, not the
//! square of the classes.

use deltarule::data::{Dataset, Targets};
use deltarule::metrics::{ConfusionMatrix, accuracy};
use deltarule::{Activation, CheckpointInterval, Mlp, Sgd, Threads, Trainer};
use folder::Folder;

#[path = "support/folder.rs"]
mod folder;

const CLASSES: usize = 20_000;
const SAMPLES: usize = 96;

fn data() -> Dataset {
    let x = (0..2 * SAMPLES).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let labels = (0..SAMPLES as u32).map(|i| (i * 7919) % CLASSES as u32).collect();
    Dataset::from_f32(x, 2, Targets::Classes { labels, n_classes: CLASSES }).unwrap()
}

fn net() -> Mlp {
    Mlp::builder(2).dense(CLASSES, Activation::Softmax).seed(5).build().unwrap()
}

#[test]
fn twenty_thousand_classes_are_evaluated_kept_and_resumed() {
    let folder = Folder::new("many-classes");
    let path = folder.0.join("run");
    let data = data();
    let trainer = || {
        let trainer = Trainer::new(Sgd::new(0.5)).batch_size(32).threads(Threads::One);
        trainer.validation(&data)
    };
    let mut whole = net();
    let history = trainer().epochs(4).fit(&mut whole, &data).unwrap();
    for epoch in &history.epochs {
        let confusion = epoch.validation.as_ref().unwrap().confusion.as_ref().unwrap();
        assert_eq!((confusion.n_classes(), confusion.total()), (CLASSES, SAMPLES as u64));
        assert!(confusion.cells().count() <= SAMPLES);
    }
    let mut half = net();
    trainer()
        .epochs(2)
        .checkpoint(&path, CheckpointInterval::Epochs(1))
        .fit(&mut half, &data)
        .unwrap();
    // The parameters, some text for each sample and epoch, and the header.
    let parameters = 4 * 3 * CLASSES;
    let size = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(size < parameters + 2 * SAMPLES * 20 + 4096, "{size} bytes");
    let resumed = trainer().epochs(4).resume(&path).fit(&mut half, &data).unwrap();
    assert_eq!(half.digest(), whole.digest());
    for (a, b) in history.epochs.iter().zip(&resumed.epochs) {
        assert_eq!(a.validation, b.validation);
    }

    let evaluation = whole.evaluate(&data).unwrap();
    let Targets::Classes { labels, .. } = data.targets() else { unreachable!() };
    let outputs = whole.predict(data.matrix().view()).unwrap();
    let best = |row: &[f32]| {
        let first_best =
            |best: usize, class: usize| if row[class] > row[best] { class } else { best };
        (0..CLASSES).fold(0, first_best) as u32
    };
    let predicted: Vec<u32> = (0..SAMPLES).map(|r| best(outputs.row(r))).collect();
    assert_eq!(evaluation.accuracy, Some(accuracy(labels, &predicted).unwrap()));
    let confusion = ConfusionMatrix::from_classes(labels, &predicted, CLASSES).unwrap();
    assert_eq!(evaluation.confusion, Some(confusion));
    let text = evaluation.to_string();
    assert!(text.lines().count() < 12 && text.len() < 600, "{text}");
}
