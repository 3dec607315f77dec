//! The run spec: every option that decides the bits of a run, as text. A run continues from a
//! checkpoint only with the same spec.

use super::setup::Setup;
use super::text::OptionText;
use super::trainer::Trainer;
use crate::data::{Dataset, Features, Targets};
use crate::error::{Error, Result};
use crate::gemm::bf16::Precision;
use crate::math::Hasher;
use crate::network::Mlp;
use crate::optim::{Adjustments, LayerRates};
use crate::simd::Level;

/// The option that only the spec of a session has.
const LOOP: &str = "loop";

/// The loop that makes the steps. A checkpoint of one kind does not serve the other: that of a run
/// contains which samples come next, that of a session does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckpointKind {
    /// A run over a data set.
    Run,
    /// A session, for a loop of the caller's.
    Session,
}

/// Compares the options of a checkpoint with those of a run or session of this kind.
///
/// # Errors
/// [`Error::Config`] with the other kind, or the first option that differs.
pub(super) fn check_spec(
    kind: CheckpointKind,
    found: &[(&str, &str)],
    local: &[OptionText],
) -> Result<()> {
    let of_session = found.iter().any(|(name, _)| *name == LOOP);
    let other_kind = |reason| Err(Error::config("checkpoint", reason));
    match (kind, of_session) {
        (CheckpointKind::Run, false) | (CheckpointKind::Session, true) => {}
        (CheckpointKind::Run, true) => {
            return other_kind(
                "is of a loop of one's own: `Training::load_checkpoint` goes on from it",
            );
        }
        (CheckpointKind::Session, false) => {
            return other_kind("is of a run over a data set: `Trainer::resume` goes on from it");
        }
    }
    let names = local.iter().map(|(name, _)| *name).chain(found.iter().map(|(name, _)| *name));
    for name in names {
        let ours = local.iter().find(|(local, _)| *local == name).map(|(_, v)| v.as_str());
        let theirs = found.iter().find(|(found, _)| *found == name).map(|(_, v)| *v);
        if ours != theirs {
            let [theirs, ours] = [theirs, ours].map(|value| value.unwrap_or("none"));
            let reason = format!("the checkpoint's run has {theirs}, this one has {ours}");
            return Err(Error::config(name, reason));
        }
    }
    Ok(())
}

/// The options of a run over `data`, with the setup of its session.
pub(super) fn run_spec(
    trainer: &Trainer,
    setup: &Setup,
    net: &Mlp,
    data: &Dataset,
) -> Vec<OptionText> {
    let mut spec = step_spec(setup, net);
    spec.extend([
        ("schedule", format!("{:?}", trainer.schedule)),
        ("early stopping", format!("{:?}", trainer.stopping)),
        ("sample weights", trainer.sample_weights.map_or("none".into(), fingerprint_of_weights)),
        ("data set", fingerprint(data)),
        ("validation set", trainer.validation.map_or("none".into(), fingerprint)),
    ]);
    if let Some(averaging) = trainer.averaging {
        spec.push(("average of the weights", format!("{averaging:?}")));
    }
    if trainer.schedule.is_some() {
        // A schedule may depend on the length of the run; without one a run can be made longer.
        spec.push(("epochs", trainer.epochs.to_string()));
    }
    spec
}

/// The options of a session, on target values or on labels.
pub(super) fn session_spec(setup: &Setup, net: &Mlp, values: bool) -> Vec<OptionText> {
    let mut spec = vec![(LOOP, "own".into())];
    spec.extend(step_spec(setup, net));
    spec.push(("targets", if values { "values" } else { "labels" }.into()));
    spec
}

/// Every option that decides the bits of a step.
///
/// The `Debug` texts of optimiser, loss and schedule are part of the format: an addition must not
/// change the texts of the others (`tests/old_files.rs` checks it).
fn step_spec(setup: &Setup, net: &Mlp) -> Vec<OptionText> {
    let level = match net.level() {
        l if l == Level::portable() => "portable",
        _ => "avx2 or avx512",
    };
    let mut options = vec![
        ("network", net.architecture().to_string()),
        ("SIMD level", level.into()),
        ("optimizer", format!("{:?}", setup.optimizer)),
        ("adjustments", adjustments(&setup.adjustments)),
        ("loss", format!("{:?}", setup.loss(net))),
        ("label smoothing", format!("{:?}", setup.smoothing)),
        ("class weights", format!("{:?}", setup.class_weights)),
        ("batch size", setup.batch_size.to_string()),
        ("seed", setup.seed.to_string()),
    ];
    if setup.precision != Precision::F32 {
        // Not f32's, so that a run of an older version has no other words than before.
        let words = match setup.precision {
            // The same bits on both.
            Precision::Bf16 => "bf16".into(),
            other => format!("{other} on {}", other.hardware(net.level())),
        };
        options.push(("precision", words));
    }
    // None where every layer is trained at one rate, for the same reason.
    let LayerRates { frozen, factors } = &setup.rates;
    if !frozen.is_empty() {
        options.push(("frozen layers", format!("{frozen:?}")));
    }
    if !factors.is_empty() {
        options.push(("learning-rate factors", format!("{factors:?}")));
    }
    options
}

/// The adjustments that are not the default, so that a new one does not change the text of the others.
fn adjustments(a: &Adjustments) -> String {
    let none = Adjustments::default();
    // By name, so that a new one cannot be forgotten.
    let &Adjustments { l1, l2, decay, biases, max_norm, clip_value, clip_norm, accumulate } = a;
    let words = [
        ("l1", l1.to_string(), l1 != none.l1),
        ("l2", l2.to_string(), l2 != none.l2),
        ("decay", decay.to_string(), decay != none.decay),
        ("biases", biases.to_string(), biases != none.biases),
        ("max-norm", format!("{max_norm:?}"), max_norm != none.max_norm),
        ("clip-value", format!("{clip_value:?}"), clip_value != none.clip_value),
        ("clip-norm", format!("{clip_norm:?}"), clip_norm != none.clip_norm),
        ("accumulate", accumulate.to_string(), accumulate != none.accumulate),
    ];
    let set = words.into_iter().filter(|(.., is_set)| *is_set);
    let set: Vec<_> = set.map(|(name, value, _)| format!("{name} {value}")).collect();
    if set.is_empty() { "none".into() } else { set.join(", ") }
}

/// Maximum number of rows in a fingerprint: reading a large data set would take too long.
const FINGERPRINT_ROWS: usize = 1000;

/// The shape of a data set, the scale of its bytes, and a hash of up to [`FINGERPRINT_ROWS`] rows at
/// equal distances.
fn fingerprint(data: &Dataset) -> String {
    let mut hasher = Hasher::new();
    let n = data.n_features();
    let every = data.len().div_ceil(FINGERPRINT_ROWS);
    for i in (0..data.len()).step_by(every) {
        match data.features() {
            Features::U8 { data, .. } => hasher.update(&data[i * n..][..n]),
            Features::F32(values) => add(&mut hasher, &values[i * n..][..n]),
        }
        match data.targets() {
            Targets::Classes { labels, .. } => hasher.update(&labels[i].to_le_bytes()),
            Targets::Values { values, n_outputs } => {
                add(&mut hasher, &values[i * n_outputs..][..*n_outputs]);
            }
        }
    }
    let kind = match data.features() {
        Features::U8 { scale, shift, .. } => format!("bytes * {scale:?} + {shift:?}"),
        Features::F32(_) => "f32".into(),
    };
    format!("{} x {n} {kind} {:016x}", data.len(), hasher.finish())
}

fn fingerprint_of_weights(weights: &[f32]) -> String {
    let mut hasher = Hasher::new();
    add(&mut hasher, weights);
    format!("{} {:016x}", weights.len(), hasher.finish())
}

fn add(hasher: &mut Hasher, values: &[f32]) {
    values.iter().for_each(|x| hasher.update(&x.to_bits().to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_data_sets_apart() {
        let labels = || Targets::Classes { labels: vec![0, 1, 2], n_classes: 3 };
        let print =
            |features: Vec<f32>| fingerprint(&Dataset::from_f32(features, 2, labels()).unwrap());
        let first = print(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(first.starts_with("3 x 2 f32 "), "{first}");
        assert_eq!(first, print(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_ne!(first, print(vec![0.0, 1.0, 2.0, 3.0, 4.0, -5.0]));
        let bytes = Dataset::from_u8(vec![0, 1, 2, 3, 4, 5], 2, labels()).unwrap();
        let scaled = bytes.clone().with_scale(1.0, 0.5).unwrap();
        assert_ne!(fingerprint(&bytes), fingerprint(&scaled));
        let other = Targets::Classes { labels: vec![0, 1, 1], n_classes: 3 };
        assert_ne!(fingerprint(&bytes), fingerprint(&bytes.with_targets(other).unwrap()));
        assert_ne!(fingerprint_of_weights(&[1.0, 2.0]), fingerprint_of_weights(&[1.0, 2.5]));
    }
}
