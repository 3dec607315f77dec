//! The averages beside their formulas in f64, and PyTorch.

use crate::support::kinds::BODIES;
use crate::support::{assert_close, widen};
use crate::{ROWS, build, data, trainer, values};
use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Level, Loss, Matrix, Mlp, Sgd, Trainer};
use std::ops::ControlFlow;

/// The parameters after each update of a run without an average: those of runs that are stopped there.
fn after_updates(net: &Mlp, data: &Dataset, steps: impl Iterator<Item = u64>) -> Vec<Vec<f64>> {
    let stopped_at = |step: u64| {
        let (mut net, mut done) = (net.clone(), 0);
        let count = |_: &deltarule::Progress| {
            done += 1;
            if done == step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        trainer().on_step(count).fit(&mut net, data).unwrap();
        values(&net)
    };
    steps.map(stopped_at).collect()
}

/// A blend rounds twice, by half a unit in the last place of the larger operand each: 15 of them lose at
/// most 15 · 2⁻²³ of the largest weight.
const TOLERANCE: f64 = 15.0 / (1 << 23) as f64;

#[test]
fn an_exponential_average_has_falling_weights() {
    let data = data(1, ROWS);
    for level in Level::available() {
        for (name, body) in BODIES {
            let net = build(body, level);
            let nets = after_updates(&net, &data, 1..=15);
            for decay in [0.0, 0.75, 0.99] {
                let mut averaged = net.clone();
                trainer().exponential_average(decay).fit(&mut averaged, &data).unwrap();
                let decay = f64::from(decay);
                let mut want = nets[0].clone();
                for net in &nets[1..] {
                    let pairs = want.iter_mut().zip(net);
                    pairs.for_each(|(want, w)| *want = decay * *want + (1.0 - decay) * w);
                }
                assert_close(format!("{name}, {decay}"), &values(&averaged), &want, TOLERANCE);
            }
        }
    }
}

#[test]
fn a_stochastic_average_has_equal_weights() {
    let data = data(1, ROWS);
    for level in Level::available() {
        for (name, body) in BODIES {
            let net = build(body, level);
            // The last updates of the epochs.
            let nets = after_updates(&net, &data, (1..=5).map(|epoch| 3 * epoch));
            for first in 1..=5 {
                let mut averaged = net.clone();
                trainer().stochastic_average(first).fit(&mut averaged, &data).unwrap();
                let nets = &nets[first - 1..];
                let mean =
                    |i: usize| nets.iter().map(|net| net[i]).sum::<f64>() / nets.len() as f64;
                let want: Vec<_> = (0..nets[0].len()).map(mean).collect();
                assert_close(format!("{name} from {first}"), &values(&averaged), &want, TOLERANCE);
            }
        }
    }
}

/// Two of three batches make an update, and the third one makes one at the end of the epoch: the average
/// has these updates, not the steps.
#[test]
fn updates_are_averaged_where_gradients_accumulate() {
    let data = data(1, ROWS);
    let net = build(BODIES[0].1, Level::best());
    let mut nets: Vec<Vec<f64>> = Vec::new();
    for epochs in 1..=2 {
        for stop in [Some(2), None] {
            // After the second step of the last epoch, or at its end.
            let (mut net, mut done) = (net.clone(), 0);
            let count = |_: &deltarule::Progress| {
                done += 1;
                let is_there = stop.is_some_and(|stop| done == 3 * (epochs - 1) + stop);
                if is_there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let mut trainer = trainer().accumulate(2).epochs(epochs).on_step(count);
            trainer.fit(&mut net, &data).unwrap();
            nets.push(values(&net));
        }
    }
    let mut averaged = net.clone();
    let mut trainer = trainer().accumulate(2).epochs(2).exponential_average(0.5);
    trainer.fit(&mut averaged, &data).unwrap();
    let mut want = nets[0].clone();
    for net in &nets[1..] {
        want.iter_mut().zip(net).for_each(|(want, w)| *want = 0.5 * *want + 0.5 * w);
    }
    assert_close("accumulated", &values(&averaged), &want, TOLERANCE);
}

/// `AveragedModel` of `torch.optim.swa_utils` (PyTorch 2.15, in f64) with `get_ema_multi_avg_fn(0.75)`,
/// and with its default from the third epoch on; `SGD` with a rate of 1/8 and `mse_loss` on all rows, six
/// times, from these weights.
#[test]
fn averages_are_those_of_pytorch() {
    let features = vec![0.5, -1.0, 1.5, 0.25, -0.75, 2.0];
    let targets = Targets::Values { values: vec![1.0, -0.5, 0.25], n_outputs: 1 };
    let data = Dataset::from_f32(features, 2, targets).unwrap();
    let trainer = || Trainer::new(Sgd::new(0.125)).loss(Loss::MeanSquared).batch_size(3).epochs(6);
    for (mut trainer, want) in [
        (
            trainer().exponential_average(0.75),
            [-0.142_960_795_298_984_03, -0.260_399_398_494_075_73, 0.281_429_574_524_354_63],
        ),
        (
            trainer().stochastic_average(3),
            [-0.209_944_786_068_981_7, -0.237_120_825_900_220_85, 0.311_103_815_199_057_4],
        ),
    ] {
        let mut net = Mlp::builder(2).dense(1, Activation::Identity).build().unwrap();
        let weights = Matrix::from_vec(2, 1, vec![0.25, -0.5]).unwrap();
        net.set_parameters(0, weights.view(), &[0.125]).unwrap();
        trainer.fit(&mut net, &data).unwrap();
        let got = [net.weights(0).unwrap().as_slice(), &net.biases(0).unwrap()].concat();
        assert_close("PyTorch", &widen(&got), &want, TOLERANCE);
    }
}
