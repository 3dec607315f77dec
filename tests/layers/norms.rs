//! The parameters and running statistics of norms.

use crate::{batch, everything};
use deltarule::data::{Dataset, Targets};
use deltarule::{
    Activation, BatchTargets, EarlyStopping, Error, Level, MatRef, Mlp, NormParameters, Sgd,
    Trainer,
};

/// Running statistics belong to the weights: a step whose loss overflows leaves them, and early
/// stopping brings back those of the best epoch.
#[test]
fn running_statistics_go_with_the_weights() {
    let build = || {
        let net = Mlp::builder(100).dense(30, Activation::Relu).batch_norm();
        net.dense(10, Activation::Identity).seed(1).build().unwrap()
    };
    let mut net = build();
    let b = batch(8, 100);
    let x = MatRef::new(&b.x, 8, 100).unwrap();
    let good = net.digest();
    let mut training = Trainer::new(Sgd::new(0.1)).batch_size(8).session_values(&mut net).unwrap();
    let huge = [3e38; 80];
    let y = BatchTargets::Values(MatRef::new(&huge, 8, 10).unwrap());
    assert!(matches!(training.step(x, y), Err(Error::NonFinite { .. })));
    drop(training);
    assert_eq!(net.digest(), good);

    let labels = Targets::Classes { labels: b.labels.clone(), n_classes: 10 };
    let data = Dataset::from_f32(b.x.clone(), 100, labels).unwrap();
    let build = || {
        let net = Mlp::builder(100).dense(30, Activation::Relu).batch_norm().dropout(0.2);
        net.dense(10, Activation::Softmax).seed(1).build().unwrap()
    };
    let trainer = || Trainer::new(Sgd::new(0.1)).batch_size(4).seed(3);
    let best = EarlyStopping::on_largest(|e| if e.epoch == 3 { 1.0 } else { 0.0 }).patience(4);
    let (mut stopped, mut short) = (build(), build());
    let history = trainer().epochs(20).early_stopping(best).fit(&mut stopped, &data).unwrap();
    trainer().epochs(3).fit(&mut short, &data).unwrap();
    assert_eq!((history.best_epoch, stopped.digest()), (Some(3), short.digest()));
}

#[test]
fn norm_parameters_are_checked() {
    let mut net = everything(Level::best());
    let good = net.norm_parameters(2).unwrap().unwrap();
    assert_eq!((good.gamma.len(), good.mean.len(), good.variance[0]), (100, 100, 1.0));
    // Layer normalisation; an affine layer, whose γ begins as 1; maxout.
    assert_eq!(net.norm_parameters(4).unwrap().unwrap().mean.len(), 0);
    let scales = net.norm_parameters(0).unwrap().unwrap();
    assert_eq!((&scales.gamma[..], &scales.beta[..]), (&[1.0; 100][..], &[0.0; 100][..]));
    assert_eq!((scales.mean.len(), scales.variance.len()), (0, 0));
    assert_eq!(net.norm_parameters(1).unwrap(), None);
    assert!(net.norm_parameters(9).is_err());
    let before = net.digest();
    let short = NormParameters { beta: vec![0.0; 99], ..good.clone() };
    assert!(matches!(net.set_norm_parameters(2, &short), Err(Error::Shape { .. })));
    let negative = NormParameters { variance: vec![-1.0; 100], ..good.clone() };
    assert!(matches!(net.set_norm_parameters(2, &negative), Err(Error::Value { .. })));
    assert!(matches!(net.set_norm_parameters(1, &good), Err(Error::Config { .. })));
    assert_eq!(net.digest(), before);
}
