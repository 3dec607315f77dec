//! The checkpoint of another session, or of a run over a data set, is refused by name.

use super::{Folder, ROWS, base, checkpoint, net_from, train};
use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, CheckpointInterval, Error, Loss, Mlp, Sgd, Trainer};

fn option_of(error: &Error) -> &str {
    let Error::Config { option, .. } = error else { panic!("{error}") };
    option
}

#[test]
fn the_checkpoint_of_another_session_is_refused_by_name() {
    let mut net = net_from(5);
    let mut training = base(Adam::new(0.01)).session(&mut net).unwrap();
    train(&mut training, 2, false);
    let bytes = checkpoint(&training);
    let refused = |trainer: Trainer, mut net: Mlp, option: &str| {
        let before = net.digest();
        let mut training = trainer.session(&mut net).unwrap();
        let error = training.read_checkpoint(&bytes[..]).unwrap_err();
        assert_eq!(option_of(&error), option, "{error}");
        assert_eq!((training.network().digest(), training.steps()), (before, 0));
    };
    let same = || base(Adam::new(0.01));
    refused(same().seed(4), net_from(5), "seed");
    refused(same().batch_size(ROWS + 1), net_from(5), "batch size");
    refused(base(Adam::new(0.02)), net_from(5), "optimizer");
    refused(base(Sgd::new(0.01)), net_from(5), "optimizer");
    refused(same().accumulate(2), net_from(5), "adjustments");
    refused(same().label_smoothing(0.1), net_from(5), "label smoothing");
    refused(same().class_weights([1.0; 3]), net_from(5), "class weights");
    let other = Mlp::builder(130).dense(3, Activation::Softmax).build().unwrap();
    refused(same(), other, "network");
    let net = |seed| Mlp::builder(4).dense(3, Activation::Sigmoid).seed(seed).build().unwrap();
    let (mut labels, mut values) = (net(1), net(2));
    let trainer = || base(Sgd::new(0.1)).loss(Loss::MeanSquared);
    let bytes = checkpoint(&trainer().session(&mut labels).unwrap());
    let mut regression = trainer().session_values(&mut values).unwrap();
    let error = regression.read_checkpoint(&bytes[..]).unwrap_err();
    assert_eq!(option_of(&error), "targets", "{error}");
}

#[test]
fn runs_and_own_loops_do_not_take_each_others_checkpoints() {
    let folder = Folder::new("own-loop-kinds");
    let (run, own) = (folder.0.join("run"), folder.0.join("own"));
    let net = || Mlp::builder(4).dense(3, Activation::Softmax).build().unwrap();
    let targets = Targets::Classes { labels: vec![0, 1, 2, 1], n_classes: 3 };
    let data = Dataset::from_f32(vec![0.5; 16], 4, targets).unwrap();
    // Everything is the same but the loop.
    let trainer = || Trainer::new(Adam::new(0.1)).batch_size(4);
    trainer().checkpoint(&run, CheckpointInterval::Epochs(1)).fit(&mut net(), &data).unwrap();
    let mut session_net = net();
    let mut training = trainer().session(&mut session_net).unwrap();
    training.save_checkpoint(&own).unwrap();
    let error = training.load_checkpoint(&run).unwrap_err();
    assert_eq!(option_of(&error), "checkpoint");
    assert!(error.to_string().contains("`Trainer::resume`"), "{error}");
    let error = trainer().resume(&own).fit(&mut net(), &data).unwrap_err();
    assert_eq!(option_of(&error), "checkpoint");
    assert!(error.to_string().contains("`Training::load_checkpoint`"), "{error}");
    let mut model = Vec::new();
    net().write_to(&mut model).unwrap();
    let error = training.read_checkpoint(&model[..]).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}
