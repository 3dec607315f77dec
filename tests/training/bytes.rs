//! A data set of bytes trains as the values it stands for do: x = scale · byte + shift in one
//! rounding, at every level. The right values are those of [`Dataset::matrix`].

use super::support::Data;
use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, BatchTargets, Level, MatRef, Mlp, Sgd, Threads, Trainer};

/// With shifts that two roundings would give to other bits, as in standardised pictures.
const SCALINGS: [(f32, f32); 5] = [
    (0.02, -2.0),
    (1.0 / 255.0, 0.0),
    (1.0 / 255.0 / 0.3081, -0.1307 / 0.3081),
    (-0.013, 1.7),
    (1e-5, 0.3),
];

fn targets(rows: usize) -> Targets {
    let values = (0..rows).map(|i| (i as f32 * 0.7).sin()).collect();
    Targets::Values { values, n_outputs: 1 }
}

/// Bytes, and the same values as f32.
fn both(bytes: Vec<u8>, n_in: usize, (scale, shift): (f32, f32)) -> [Dataset; 2] {
    let rows = bytes.len() / n_in;
    let bytes = Dataset::from_u8(bytes, n_in, targets(rows)).unwrap();
    let bytes = bytes.with_scale(scale, shift).unwrap();
    let values = bytes.matrix().into_vec();
    [bytes, Dataset::from_f32(values, n_in, targets(rows)).unwrap()]
}

/// The digest and losses of every way to train on a data set: whole epochs, portions, rows of one's
/// own; and the loss of an evaluation.
fn trained(level: Level, data: &Dataset) -> Vec<u64> {
    let net = || {
        let builder = Mlp::builder(data.n_features()).dense(5, Activation::Tanh);
        builder.dense(1, Activation::Identity).level(level).seed(3).build().unwrap()
    };
    let trainer = || Trainer::new(Adam::new(0.01)).batch_size(7).threads(Threads::One).epochs(2);
    let mut fitted = net();
    let history = trainer().fit(&mut fitted, data).unwrap();
    let mut all = vec![fitted.digest(), history.epochs[1].loss.to_bits()];
    let mut portions = net();
    let mut training = trainer().session_values(&mut portions).unwrap();
    all.push(training.partial_fit(data).unwrap().to_bits());
    all.push(training.evaluate(data).unwrap().loss.to_bits());
    drop(training);
    all.push(portions.digest());
    let mut rows = net();
    let mut training = trainer().session_values(&mut rows).unwrap();
    let (x, n) = (data.matrix(), data.n_features());
    let Targets::Values { values, .. } = data.targets() else { unreachable!("made above") };
    for (x, y) in x.as_slice().chunks(7 * n).zip(values.chunks(7)) {
        let y = BatchTargets::Values(MatRef::new(y, y.len(), 1).unwrap());
        training.step(MatRef::new(x, x.len() / n, n).unwrap(), y).unwrap();
    }
    drop(training);
    assert_eq!(rows.digest(), portions.digest(), "rows of one's own, {}", level.name());
    all
}

#[test]
fn bytes_train_as_their_values_do() {
    let mut data = Data::new(11);
    for level in Level::available() {
        for n_in in [1, 3, 8, 16, 17, 70] {
            for scaling in SCALINGS {
                let bytes = (0..20 * n_in).map(|_| data.below(256) as u8).collect();
                let [bytes, floats] = both(bytes, n_in, scaling);
                let place = format!("{} {n_in} {scaling:?}", level.name());
                assert_eq!(trained(level, &bytes), trained(level, &floats), "{place}");
            }
        }
    }
}

/// Where all samples are the same, no order changes anything: portions are an epoch.
#[test]
fn portions_of_bytes_are_an_epoch() {
    for level in Level::available() {
        for byte in [1, 99, 101, 255] {
            let train = |data: &Dataset, portions: bool| {
                let mut net = Mlp::builder(1).dense(1, Activation::Identity).level(level);
                net = net.seed(1);
                let mut net = net.build().unwrap();
                let mut trainer = Trainer::new(Sgd::new(0.1)).batch_size(4).epochs(1);
                if portions {
                    trainer.session_values(&mut net).unwrap().partial_fit(data).unwrap();
                } else {
                    trainer.fit(&mut net, data).unwrap();
                }
                net.digest()
            };
            let targets = Targets::Values { values: vec![0.3; 12], n_outputs: 1 };
            let bytes = Dataset::from_u8(vec![byte; 12], 1, targets.clone()).unwrap();
            let bytes = bytes.with_scale(0.02, -2.0).unwrap();
            let floats = Dataset::from_f32(bytes.matrix().into_vec(), 1, targets).unwrap();
            let want = train(&floats, false);
            for (data, portions) in [(&bytes, false), (&bytes, true), (&floats, true)] {
                assert_eq!(train(data, portions), want, "{} byte {byte}", level.name());
            }
        }
    }
}
