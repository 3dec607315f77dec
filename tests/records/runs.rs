//! Records of runs.

use crate::folder::Folder;
use crate::support::Data;
use crate::support::kinds::{BODIES, Body, N_IN};
use crate::{N_OUT, bits, build};
use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, Adam, CheckpointInterval, History, Level, Matrix, Progress, StopReason, Threads,
    Trainer,
};
use std::ops::ControlFlow;

const SAMPLES: usize = 50;
/// The last batch of an epoch is smaller.
const BATCH: usize = 20;
const EPOCHS: usize = 4;

fn data(samples: usize) -> Dataset {
    let mut data = Data::new(1);
    let features = data.f32s(samples * N_IN);
    let labels = data.labels(samples, N_OUT).iter().map(|label| *label as u32).collect();
    Dataset::from_f32(features, N_IN, Targets::Classes { labels, n_classes: N_OUT }).unwrap()
}

/// Inputs and labels of some samples.
fn rows(data: &Dataset, samples: &[u32]) -> (Matrix, Vec<u32>) {
    let indices: Vec<usize> = samples.iter().map(|sample| *sample as usize).collect();
    let batch = data.select(&indices).unwrap();
    let Targets::Classes { labels, .. } = batch.targets() else { panic!("classes") };
    (batch.matrix(), labels.to_vec())
}

fn trainer<'a>() -> Trainer<'a> {
    let trainer = Trainer::new(Adam::new(0.02)).batch_size(BATCH).epochs(EPOCHS).seed(3);
    trainer.record_steps().record_sample_losses().record_gradient_norms()
}

/// Sees every step of a run.
fn run(trainer: Trainer, body: Body) -> (History, Vec<Progress>, u64) {
    let (data, mut seen) = (data(SAMPLES), Vec::new());
    let mut net = build(body, Activation::Softmax, Level::best());
    let history = trainer
        .on_step(|progress| {
            seen.push(progress.clone());
            ControlFlow::Continue(())
        })
        .fit(&mut net, &data)
        .unwrap();
    (history, seen, net.digest())
}

/// A callback gets what the history has, and both are those of a session that takes the same steps.
#[test]
fn runs_record_what_their_steps_have() {
    let data = data(SAMPLES);
    for (_, body) in BODIES {
        let (history, seen, digest) = run(trainer(), body);
        let mut net = build(body, Activation::Softmax, Level::best());
        let session = trainer();
        let mut training = session.session(&mut net).unwrap();
        let mut last = vec![f32::NAN; SAMPLES];
        assert_eq!((seen.len(), history.step_records.len()), (12, 12));
        for (record, progress) in history.step_records.iter().zip(&seen) {
            assert_eq!(progress.samples.len(), if progress.step == 3 { 10 } else { BATCH });
            let (x, labels) = rows(&data, &progress.samples);
            let loss = training.step(&x, &labels).unwrap();
            assert_eq!(loss.to_bits(), progress.loss.to_bits());
            assert_eq!(bits(training.row_losses()), bits(&progress.row_losses));
            assert_eq!(bits(training.gradient_norms()), bits(&progress.gradient_norms));
            assert_eq!(bits(&record.gradient_norms), bits(&progress.gradient_norms));
            for (sample, loss) in progress.samples.iter().zip(&progress.row_losses) {
                last[*sample as usize] = *loss as f32;
            }
        }
        drop(training);
        assert_eq!(net.digest(), digest);
        assert_eq!(history.sample_losses, last);
        assert!(last.iter().all(|loss| *loss > 0.0));
    }
}

#[test]
fn what_is_not_asked_for_is_not_recorded() {
    let plain = || Trainer::new(Adam::new(0.02)).batch_size(BATCH).epochs(EPOCHS).seed(3);
    let (history, seen, digest) = run(plain(), BODIES[1].1);
    assert!(history.step_records.is_empty() && history.sample_losses.is_empty());
    assert!(seen.iter().all(|progress| progress.gradient_norms.is_empty()));
    assert_eq!(digest, run(trainer(), BODIES[1].1).2);
    let (history, _, _) = run(plain().record_steps(), BODIES[1].1);
    assert!(history.step_records.iter().all(|record| record.gradient_norms.is_empty()));
    assert_eq!(history.steps_to_csv().lines().next(), Some("epoch,step,loss,learning_rate"));
}

#[test]
fn records_have_the_same_bits_for_any_threads() {
    for (_, body) in BODIES {
        let (want, ..) = run(trainer().threads(Threads::One), body);
        let (got, ..) = run(trainer().threads(Threads::N(3)), body);
        assert_eq!(got.sample_losses, want.sample_losses);
        assert_eq!(got.step_records, want.step_records);
    }
}

/// A step without an update has no norm: an empty field.
#[test]
fn steps_are_written_with_a_column_per_layer() {
    let (history, seen, _) = run(trainer().accumulate(3), BODIES[0].1);
    let text = history.steps_to_csv();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("epoch,step,loss,learning_rate,gradient_norm_0,gradient_norm_1,gradient_norm_2")
    );
    for (i, (line, record)) in lines.zip(&history.step_records).enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 7);
        let norms = fields[4..].iter().filter_map(|field| field.parse().ok());
        assert_eq!(norms.collect::<Vec<f64>>(), record.gradient_norms);
        let updated = i % 3 == 2;
        assert_eq!(record.gradient_norms.len(), if updated { 3 } else { 0 });
        assert_eq!(seen[i].gradient_norms, record.gradient_norms);
    }
}

/// Samples of weight 0 have no loss, and nothing else changes for the others.
#[test]
fn samples_that_weigh_nothing_have_no_loss() {
    let weights: Vec<f32> = (0..SAMPLES).map(|i| if i % 7 == 3 { 0.0 } else { 1.0 }).collect();
    let (history, seen, _) = run(trainer().sample_weights(&weights), BODIES[1].1);
    for (sample, loss) in history.sample_losses.iter().enumerate() {
        assert_eq!(loss.is_nan(), sample % 7 == 3);
    }
    for progress in seen {
        for (sample, loss) in progress.samples.iter().zip(&progress.row_losses) {
            assert_eq!(loss.is_nan(), sample % 7 == 3);
        }
    }
}

/// Stopped in the middle of an epoch and resumed from the file.
#[test]
fn records_go_on_from_a_checkpoint() {
    let folder = Folder::new("records");
    let (data, path) = (data(SAMPLES), folder.0.join("run"));
    for body in [BODIES[1].1, BODIES[2].1] {
        let (want, _, digest) = run(trainer(), body);
        let mut net = build(body, Activation::Softmax, Level::best());
        let mut steps = 0;
        let history = trainer()
            .checkpoint(&path, CheckpointInterval::Epochs(99))
            .on_step(|_| {
                steps += 1;
                if steps == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .fit(&mut net, &data)
            .unwrap();
        assert_eq!((history.stop_reason, history.step_records.len()), (StopReason::Callback, 5));
        let (history, seen, resumed) = run(trainer().resume(&path), body);
        assert_eq!((seen.len(), resumed), (7, digest));
        assert_eq!(history.sample_losses, want.sample_losses);
        assert_eq!(history.step_records, want.step_records);
        assert_eq!(history.steps_to_csv(), want.steps_to_csv());

        // Without records of its own a run drops those of the file; with new ones it begins them.
        let plain = || Trainer::new(Adam::new(0.02)).batch_size(BATCH).epochs(EPOCHS).seed(3);
        let (history, _, resumed) = run(plain().resume(&path), body);
        assert_eq!((history.sample_losses.len(), resumed), (0, digest));
    }
}
