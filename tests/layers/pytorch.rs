//! Against the training that PyTorch's file (layers.json) holds.

use crate::support::assert_close;
use deltarule::{
    Activation, BatchTargets, Level, MatRef, Mlp, Momentum, NormKind, Threads, Trainer,
};
use serde_json::Value;

fn fixtures() -> Value {
    serde_json::from_str(include_str!("../fixtures/layers.json")).unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn narrow(v: &Value) -> Vec<f32> {
    numbers(v).into_iter().map(|x| x as f32).collect()
}

const N_IN: usize = 6;

/// The network of a case, before training.
fn net(case: &Value, level: Level) -> Mlp {
    let mut builder = Mlp::builder(N_IN).level(level);
    let layers = case["layers"].as_array().unwrap();
    for l in layers {
        let n_out = l["n_out"].as_u64().unwrap() as usize;
        builder = match l["pieces"].as_u64().unwrap() {
            1 => {
                let name = l["activation"].as_str().unwrap();
                builder.dense(n_out, name.parse::<Activation>().unwrap())
            }
            units => builder.maxout(n_out, units as usize),
        };
        builder = match l["norm"].as_str() {
            Some("layer") => builder.layer_norm(),
            Some(_) => builder.batch_norm(),
            None => builder,
        };
        if let residual @ 1.. = l["residual"].as_u64().unwrap() {
            builder = builder.residual(residual as usize);
        }
    }
    let mut net = builder.build().unwrap();
    for (i, p) in case["before"].as_array().unwrap().iter().enumerate() {
        let (w, b) = (narrow(&p["w"]), narrow(&p["b"]));
        let w = MatRef::new(&w, w.len() / b.len(), b.len()).unwrap();
        net.set_parameters(i, w, &b).unwrap();
        if let Some(mut norm) = net.norm_parameters(i).unwrap() {
            (norm.gamma, norm.beta) = (narrow(&p["gamma"]), narrow(&p["beta"]));
            net.set_norm_parameters(i, &norm).unwrap();
        }
    }
    net
}

#[test]
fn training_follows_pytorch() {
    for (name, case) in fixtures().as_object().unwrap() {
        let x = narrow(&case["x"]);
        let x = MatRef::new(&x, x.len() / N_IN, N_IN).unwrap();
        let labels: Vec<u32> = numbers(&case["labels"]).iter().map(|&l| l as u32).collect();
        for level in Level::available() {
            // As it is, and through kept gradients (a limit that is never reached).
            for limit in [None, Some(1e30)] {
                let place = |what: &str| format!("{name}, {level:?}, limit {limit:?}: {what}");
                let mut net = net(case, level);
                let mut trainer = Trainer::new(Momentum::new(0.1, 0.9)).batch_size(16);
                if let Some(limit) = limit {
                    trainer = trainer.clip_norm(limit);
                }
                let mut training = trainer.threads(Threads::One).session(&mut net).unwrap();
                for (step, want) in numbers(&case["losses"]).into_iter().enumerate() {
                    let loss = training.step(x, BatchTargets::Classes(&labels)).unwrap();
                    assert_close(place(&format!("loss {step}")), &[loss], &[want], 3e-6);
                }
                drop(training);
                for (i, p) in case["after"].as_array().unwrap().iter().enumerate() {
                    let place = |what: &str| place(&format!("layer {i}: {what}"));
                    let w = net.weights(i).unwrap();
                    assert_close(place("w"), w.as_slice(), &numbers(&p["w"]), 1e-5);
                    // Before batch normalisation the true gradient of a bias is zero.
                    let b = net.biases(i).unwrap();
                    assert_close(place("b"), &b, &numbers(&p["b"]), 1e-5);
                    let Some(norm) = net.norm_parameters(i).unwrap() else { continue };
                    assert_close(place("gamma"), &norm.gamma, &numbers(&p["gamma"]), 1e-5);
                    assert_close(place("beta"), &norm.beta, &numbers(&p["beta"]), 1e-5);
                    if !norm.mean.is_empty() {
                        assert_close(place("mean"), &norm.mean, &numbers(&p["mean"]), 1e-5);
                        let want = numbers(&p["variance"]);
                        assert_close(place("variance"), &norm.variance, &want, 1e-5);
                    }
                }
                let got = net.predict(x).unwrap();
                assert_close(place("outputs"), got.as_slice(), &numbers(&case["outputs"]), 1e-5);
                // Folding changes no output beyond rounding.
                let folded = net.folded().unwrap();
                assert!(folded.layers().all(|l| l.layer.norm != Some(NormKind::Batch)));
                let got = folded.predict(x).unwrap();
                assert_close(place("folded"), got.as_slice(), &numbers(&case["outputs"]), 1e-5);
            }
        }
    }
}
