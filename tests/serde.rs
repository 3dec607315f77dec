//! Configurations and records in JSON: the texts themselves, what is refused, and that what was written
//! is read.

#![cfg(feature = "serde")]

use deltarule::metrics::{ConfusionMatrix, Evaluation, Scores};
use deltarule::{
    Activation, Adagrad, Adam, AdamW, EarlyStopping, Epoch, Hardware, History, Init, Layer, Lion,
    Loss, Momentum, Optimizer, Precision, RmsProp, Schedule, Sgd, StepRecord, StopReason, Threads,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, from_str, to_string};
use std::fmt::Debug;

/// That a value has this text, but for the way in which a number is written, and the text this value.
fn has_text<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, text: &str) {
    let json = |text: &str| from_str::<Value>(text).unwrap();
    assert_eq!(json(&to_string(&value).unwrap()), json(text));
    assert_eq!(from_str::<T>(text).unwrap(), value, "{text}");
}

fn refused<T: DeserializeOwned>(text: &str, reason: &str) {
    let error = from_str::<T>(text).err().expect(text).to_string();
    assert!(error.contains(reason), "{text}: {error}");
}

#[test]
fn optimizers_have_their_numbers_by_name() {
    let optimizers: [(Optimizer, &str); 8] = [
        (Sgd::new(0.1).into(), r#"{"sgd":{"learning_rate":0.1}}"#),
        (
            Momentum::new(0.1, 0.9).into(),
            r#"{"momentum":{"learning_rate":0.1,"momentum":0.9,"nesterov":false}}"#,
        ),
        (
            Momentum::new(0.1, 0.9).nesterov().into(),
            r#"{"momentum":{"learning_rate":0.1,"momentum":0.9,"nesterov":true}}"#,
        ),
        (
            Adam::new(0.001).betas(0.8, 0.99).into(),
            r#"{"adam":{"learning_rate":0.001,"beta1":0.8,"beta2":0.99,"epsilon":1e-8}}"#,
        ),
        (
            AdamW::new(0.001).weight_decay(0.5).into(),
            r#"{"adamw":{"adam":{"learning_rate":0.001,"beta1":0.9,"beta2":0.999,"epsilon":1e-8},"weight_decay":0.5}}"#,
        ),
        (
            RmsProp::new(0.01).into(),
            r#"{"rmsprop":{"learning_rate":0.01,"alpha":0.99,"epsilon":1e-8}}"#,
        ),
        (Adagrad::new(0.01).into(), r#"{"adagrad":{"learning_rate":0.01,"epsilon":1e-10}}"#),
        (
            Lion::new(0.0001).weight_decay(1.0).into(),
            r#"{"lion":{"learning_rate":0.0001,"beta1":0.9,"beta2":0.99,"weight_decay":1.0}}"#,
        ),
    ];
    for (optimizer, text) in optimizers {
        has_text(optimizer, text);
    }
    has_text(Sgd::new(0.5), r#"{"learning_rate":0.5}"#);
    has_text(Adagrad::new(0.5).epsilon(0.25), r#"{"learning_rate":0.5,"epsilon":0.25}"#);
    // A saved configuration says everything: a default that changes does not change it.
    refused::<Optimizer>(r#"{"adam":{"learning_rate":0.001}}"#, "missing field `beta1`");
    refused::<Optimizer>(r#"{"sgd":{"learning_rate":0.1,"momentum":0.9}}"#, "unknown field");
    refused::<Optimizer>(r#"{"sgd":{"learning_rate":null}}"#, "null");
    refused::<Optimizer>(r#"{"newton":{}}"#, "unknown variant `newton`");
    // The range of a number is checked where it is used.
    let negative: Optimizer = from_str(r#"{"sgd":{"learning_rate":-0.1}}"#).unwrap();
    assert!(negative.validate().is_err());
}

#[test]
fn schedules_have_their_shape_by_name() {
    let rest = r#""over":null,"warm_up":[0,0.0],"each_epoch":false,"smallest_rate":null}"#;
    has_text(Schedule::constant(), &format!(r#"{{"shape":"constant",{rest}"#));
    has_text(
        Schedule::one_cycle_with(0.25, 0.1, 0.001),
        &format!(r#"{{"shape":{{"one-cycle":{{"rise":0.25,"first":0.1,"last":0.001}}}},{rest}"#),
    );
    has_text(
        Schedule::cosine(0.1).over(500).warm_up(20, 0.5),
        r#"{"shape":{"cosine":{"floor":0.1}},"over":500,"warm_up":[20,0.5],"each_epoch":false,"smallest_rate":null}"#,
    );
    has_text(
        Schedule::plateau(0.5, 3).smallest_rate(1e-6),
        r#"{"shape":{"plateau":{"factor":0.5,"patience":3}},"over":null,"warm_up":[0,0.0],"each_epoch":true,"smallest_rate":1e-6}"#,
    );
    for schedule in [
        Schedule::step(3, 0.1),
        Schedule::step(3, 0.1).each_step(),
        Schedule::exponential(0.9),
        Schedule::one_cycle(),
    ] {
        let text = to_string(&schedule).unwrap();
        let back: Schedule = from_str(&text).unwrap();
        assert_eq!(back, schedule);
        assert_eq!(back.rate(0.1, 7).to_bits(), schedule.rate(0.1, 7).to_bits());
    }
    refused::<Schedule>(&format!(r#"{{"shape":{{"cosine":{{"floor":0.1,"x":1}}}},{rest}"#), "`x`");
    refused::<Schedule>(&format!(r#"{{"shape":"sine",{rest}"#), "unknown variant `sine`");
}

#[test]
fn layers_and_activations_have_their_text_form() {
    for activation in Activation::ALL.into_iter().chain([Activation::Maxout { units: 3 }]) {
        has_text(activation, &format!("\"{activation}\""));
    }
    has_text(Activation::LeakyRelu { slope: 0.1 }, r#""leaky-relu:0.1""#);
    has_text(
        Layer::dense(128, Activation::Relu).batch_norm().dropout(0.5).residual(2),
        r#""128 relu batch-norm dropout:0.5 residual:2""#,
    );
    has_text(Layer::affine(), r#""affine""#);
    has_text(Layer::maxout(10, 2).layer_norm(), r#""10 maxout:2 layer-norm""#);
    refused::<Activation>(r#""leaky-relu:-1""#, "at least 0");
    refused::<Activation>(r#""rely""#, "expected one of");
    refused::<Activation>("1", "string");
    refused::<Layer>(r#""10 relu norm""#, "\"norm\" is unknown");
    // The text form of these would be that of another layer.
    for rate in [-0.5, f32::NAN] {
        assert!(to_string(&Layer::affine().dropout(rate)).is_err());
    }
    has_text(Init::He, r#""he""#);
    has_text(Init::LeCun, r#""lecun""#);
    has_text(Init::LeCunUniform, r#""lecun-uniform""#);
    has_text(Init::GlorotUniform, r#""glorot-uniform""#);
    has_text(Init::Normal(0.1), r#"{"normal":0.1}"#);
    has_text(Init::Orthogonal(1.5), r#"{"orthogonal":1.5}"#);
}

#[test]
fn the_other_options_have_their_words() {
    has_text(Threads::One, r#""one""#);
    has_text(Threads::Current, r#""current""#);
    has_text(Threads::N(4), r#"{"n":4}"#);
    refused::<Threads>(r#"{"n":-1}"#, "-1");
    for precision in Precision::ALL {
        has_text(precision, &format!("\"{}\"", precision.name()));
    }
    for hardware in [Hardware::F32, Hardware::Amx, Hardware::Bf16InF32] {
        has_text(hardware, &to_string(&hardware).unwrap());
    }
    has_text(Hardware::Bf16InF32, r#""bf16-in-f32""#);
    has_text(StopReason::EarlyStopping, r#""early-stopping""#);
}

#[test]
fn early_stopping_has_what_it_watches() {
    for (stopping, text) in [
        (
            EarlyStopping::on_validation_loss(),
            r#"{"on":"validation-loss","patience":5,"min_delta":0.0}"#,
        ),
        (
            EarlyStopping::on_validation_accuracy().patience(3),
            r#"{"on":"validation-accuracy","patience":3,"min_delta":0.0}"#,
        ),
        (
            EarlyStopping::on_training_loss().min_delta(0.001),
            r#"{"on":"training-loss","patience":5,"min_delta":0.001}"#,
        ),
    ] {
        assert_eq!(to_string(&stopping).unwrap(), text);
        let back: EarlyStopping = from_str(text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{stopping:?}"));
    }
    for own in [EarlyStopping::on_smallest(|e| e.loss), EarlyStopping::on_largest(|e| e.loss)] {
        let error = to_string(&own).unwrap_err().to_string();
        assert_eq!(error, "early stopping: a function of your own has no text");
    }
    refused::<EarlyStopping>(r#"{"on":"own","patience":5,"min_delta":0.0}"#, "unknown variant");
    refused::<EarlyStopping>(r#"{"on":"training-loss","patience":5}"#, "min_delta");
}

#[test]
fn evaluations_survive() {
    let confusion = ConfusionMatrix::from_classes(&[0, 1, 1], &[0, 1, 0], 3).unwrap();
    let cells = r#"{"n_classes":3,"cells":[[0,0,1],[1,0,1],[1,1,1]]}"#;
    has_text(confusion.clone(), cells);
    has_text(
        Evaluation::of_classes(0.1 + 0.2, confusion.clone()),
        &format!(
            r#"{{"loss":0.30000000000000004,"accuracy":0.6666666666666666,"confusion":{cells}}}"#
        ),
    );
    has_text(
        Evaluation::of_regression(f64::INFINITY),
        r#"{"loss":"inf","accuracy":null,"confusion":null}"#,
    );
    let nothing: Evaluation = Evaluation::of_classes(f64::NAN, ConfusionMatrix::new(2).unwrap());
    let back: Evaluation = from_str(&to_string(&nothing).unwrap()).unwrap();
    assert!(back.loss.is_nan() && back.accuracy.is_some_and(f64::is_nan));
    let scores: Scores = from_str(&to_string(&confusion.macro_scores()).unwrap()).unwrap();
    assert_eq!(scores, confusion.macro_scores());
    let half = u64::MAX / 2;
    for (n_classes, cells, reason) in [
        (1u64, "[]".into(), "classes"),
        (1 << 33, "[]".into(), "classes"),
        (2, "[[0,2,1]]".into(), "below n_classes"),
        (2, "[[0,1,0]]".into(), "above 0"),
        (2, "[[0,1,1],[0,1,1]]".into(), "each of other classes"),
        (2, "[[0,-1,1]]".into(), "-1"),
        (2, "[[0,1]]".into(), "length 2"),
        (2, format!("[[0,0,{half}],[0,1,1]]"), "overflow"),
        (2, format!("[[0,0,{}],[0,1,{half}]]", u64::MAX), "overflow"),
    ] {
        let text = format!(r#"{{"n_classes":{n_classes},"cells":{cells}}}"#);
        refused::<ConfusionMatrix>(&text, reason);
    }
    let largest: ConfusionMatrix =
        from_str(&format!(r#"{{"n_classes":2,"cells":[[0,0,{half}]]}}"#)).unwrap();
    assert_eq!((largest.total(), largest.scores(0).f1), (half, 1.0));
}

/// The text of an epoch, with these numbers.
fn epoch(loss: &str, speed: &str, more: &str) -> String {
    format!(
        r#"{{"epoch":1,"loss":{loss},"validation":null,"learning_rate":0.1,"seconds":0.5,"samples_per_second":{speed}{more}}}"#
    )
}

#[test]
fn records_of_later_and_earlier_versions_are_read() {
    let text = epoch("0.25", "\"inf\"", "");
    let read: Epoch = from_str(&text).unwrap();
    assert_eq!(
        (read.loss, read.samples_per_second, read.learning_rate),
        (0.25, f64::INFINITY, 0.1)
    );
    assert_eq!(to_string(&read).unwrap(), text);
    let later: Epoch = from_str(&epoch("1", "2", r#","watts":3"#)).unwrap();
    assert_eq!(later.loss, 1.0);
    let earlier: History = from_str(r#"{"steps":3,"stop_reason":"cancelled"}"#).unwrap();
    assert_eq!((earlier.steps, earlier.stop_reason), (3, StopReason::Cancelled));
    assert_eq!((earlier.epochs.len(), earlier.precision), (0, Precision::F32));
    refused::<Epoch>(&epoch("null", "1", ""), "expected a number");
    refused::<StepRecord>(r#"{"epoch":1,"step":1,"loss":1e39,"learning_rate":0}"#, "number");
}

#[test]
#[cfg(feature = "digits")]
fn the_history_of_a_run_survives_and_its_options_give_the_same_run() {
    use deltarule::{Mlp, Trainer, data};

    let (train, test) = data::digits().split_at(1500).unwrap();
    let run = |optimizer: Optimizer, schedule: Schedule, layers: [Layer; 2], stopping| {
        let mut builder = Mlp::builder(64);
        for layer in layers {
            builder = builder.layer(layer);
        }
        let mut net = builder.seed(1).build().unwrap();
        let trainer = Trainer::new(optimizer).epochs(4).schedule(schedule).record_steps();
        let trainer = trainer.record_sample_losses().record_gradient_norms();
        let mut trainer = trainer.validation(&test).early_stopping(stopping).threads(Threads::One);
        (trainer.fit(&mut net, &train).unwrap(), net)
    };
    let options = (
        Optimizer::from(AdamW::new(0.003).weight_decay(0.1)),
        Schedule::one_cycle(),
        [
            Layer::dense(20, Activation::Elu { alpha: 0.3 }).dropout(0.1),
            Layer::dense(10, Activation::Softmax),
        ],
        EarlyStopping::on_validation_accuracy().patience(3),
    );
    let text = to_string(&options).unwrap();
    let (history, net) = run(options.0, options.1, options.2, options.3);
    let read = from_str::<(Optimizer, Schedule, [Layer; 2], EarlyStopping)>(&text).unwrap();
    let (again, other_net) = run(read.0, read.1, read.2, read.3);
    assert_eq!(history.steps_to_csv(), again.steps_to_csv());
    assert_eq!(net.predict(&test.matrix()).unwrap(), other_net.predict(&test.matrix()).unwrap());

    let back: History = from_str(&to_string(&history).unwrap()).unwrap();
    // `Debug` writes the shortest text of each number, which has all its bits.
    assert_eq!(format!("{back:?}"), format!("{history:?}"));
    assert!(history.epochs.len() == 4 && !history.step_records.is_empty());
    assert_eq!(history.sample_losses.len(), train.len());
    assert!(history.step_records.iter().all(|record| record.gradient_norms.len() == 2));
}

/// A loss is its text, to the last bit of its numbers; a function of the caller's is refused.
#[test]
fn losses_are_texts() {
    for (loss, text) in [
        (Loss::MeanSquared, "\"mean squared error\""),
        (Loss::Huber { delta: 0.1 }, "\"huber:0.1\""),
        (Loss::quantile(&[0.1, 0.9]), "\"quantile:0.1,0.9\""),
    ] {
        assert_eq!(serde_json::to_string(&loss).unwrap(), text);
        assert_eq!(serde_json::from_str::<Loss>(text).unwrap(), loss);
    }
    assert!(serde_json::to_string(&Loss::custom("f", |_, _, _| 0.0)).is_err());
    assert!(serde_json::from_str::<Loss>("\"l2\"").is_err());
}
