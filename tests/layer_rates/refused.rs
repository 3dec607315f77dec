//! Options of layers that do not fit are errors that name the layer.

use deltarule::{Activation, AdamW, Mlp, Sgd, Trainer};

fn net() -> Mlp {
    let builder = Mlp::builder(3).dense(4, Activation::Relu);
    builder.dense(2, Activation::Softmax).build().unwrap()
}

#[test]
fn layers_and_factors_that_do_not_fit() {
    let new = || Trainer::new(Sgd::new(0.1));
    for (trainer, words) in [
        (new().freeze(2), ["frozen layers", "below 2, got layer 2"]),
        (new().freeze(0).freeze(usize::MAX), ["frozen layers", "below 2"]),
        (new().freeze(0).freeze(1), ["frozen layers", "no layer is left to train"]),
        (new().learning_rate_factor(2, 1.0), ["learning-rate factors", "below 2, got layer 2"]),
        (new().learning_rate_factor(1, -0.5), ["factor of layer 1", "-0.5"]),
        (new().learning_rate_factor(1, f32::NAN), ["factor of layer 1", "NaN"]),
        (new().learning_rate_factor(0, f32::INFINITY), ["factor of layer 0", "inf"]),
        (new().freeze(1).learning_rate_factor(1, 0.5), ["factor of layer 1", "frozen"]),
        (new().weight_decay(1.0).learning_rate_factor(0, 10.0), ["times decay", "1"]),
        (
            Trainer::new(AdamW::new(0.1).weight_decay(0.5)).learning_rate_factor(0, 20.0),
            ["times decay", "1"],
        ),
    ] {
        let mut net = net();
        let before = net.digest();
        let error = trainer.session(&mut net).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        let data = deltarule::data::Dataset::from_f32(
            vec![0.5; 6],
            3,
            deltarule::data::Targets::Classes { labels: vec![0, 1], n_classes: 2 },
        );
        let mut trainer = trainer;
        let error = trainer.fit(&mut net, &data.unwrap()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(net.digest(), before);
    }
}

/// A rate that a layer's factor makes too large for the decay is refused, and the rate is as before.
#[test]
fn a_rate_that_a_factor_makes_too_large() {
    let trainer = Trainer::new(Sgd::new(0.1)).weight_decay(0.5).learning_rate_factor(1, 4.0);
    let mut training = trainer.session(net()).unwrap();
    assert!(training.set_learning_rate(0.4).is_ok());
    let error = training.set_learning_rate(0.5).unwrap_err().to_string();
    assert!(error.contains("learning rate times decay"), "{error}");
    assert_eq!(training.learning_rate(), 0.4);
}
