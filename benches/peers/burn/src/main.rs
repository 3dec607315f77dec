//! burn on its flex backend (pure Rust, CPU).

#[path = "../../common.rs"]
mod common;
#[path = "../../loops.rs"]
mod loops;
mod own_loop;

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use common::{Args, MOMENTUM, Mode};
use std::hint::black_box;

/// This package has the version of the burn that it pins.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Module, Debug)]
struct Model {
    layers: Vec<Linear>,
}

impl Model {
    fn new(args: &Args, device: &Device) -> Self {
        let layers = args
            .layers
            .windows(2)
            .map(|size| LinearConfig::new(size[0], size[1]).init(device))
            .collect();
        Self { layers }
    }

    fn forward(&self, mut x: Tensor<2>, activation: fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let (last, hidden) = self.layers.split_last().expect("a layer");
        for layer in hidden {
            x = activation(layer.forward(x));
        }
        last.forward(x)
    }
}

fn main() {
    let args = Args::parse();
    if args.mode == Mode::Loop {
        let (name, variant, version) = ("burn", "flex", VERSION);
        return own_loop::run(&args, &loops::Peer { name, variant, version });
    }
    let device = if args.mode == Mode::Train { Device::flex().autodiff() } else { Device::flex() };
    let model = Model::new(&args, &device);
    let activate: fn(Tensor<2>) -> Tensor<2> = match args.activation.as_str() {
        "relu" => activation::relu,
        "tanh" => activation::tanh,
        "sigmoid" => activation::sigmoid,
        other => panic!("no activation is called {other}"),
    };
    let batches: Vec<(Tensor<2>, Tensor<1, Int>)> = args
        .batches()
        .into_iter()
        .map(|batch| {
            let labels: Vec<i32> = batch.labels.iter().map(|&label| label as i32).collect();
            (
                Tensor::from_data(
                    TensorData::new(batch.inputs, [args.rows, args.layers[0]]),
                    &device,
                ),
                Tensor::from_data(TensorData::new(labels, [args.rows]), &device),
            )
        })
        .collect();

    if args.mode == Mode::Train {
        let loss: CrossEntropyLoss = CrossEntropyLossConfig::new().init(&device);
        let mut optimizer = match args.optimizer.as_str() {
            "adam" => AdamConfig::new().init(),
            "momentum" => {
                let momentum =
                    MomentumConfig { momentum: MOMENTUM, dampening: 0.0, nesterov: false };
                SgdConfig::new().with_momentum(Some(momentum)).init()
            }
            _ => SgdConfig::new().init(),
        };
        // Moved through each step, so that the optimiser may update in place.
        let mut current = Some(model);
        args.measure("burn", "flex", VERSION, |i| {
            let model = current.take().expect("the model");
            let (x, y) = batches[i % batches.len()].clone();
            let grads = loss.forward(model.forward(x, activate), y).backward();
            let grads = GradientsParams::from_grads(grads, &model);
            current = Some(optimizer.step(args.learning_rate, model, grads));
        });
    } else {
        args.measure("burn", "flex", VERSION, |_| {
            let x = batches[0].0.clone();
            drop(black_box(activation::softmax(model.forward(x, activate), 1)));
        });
    }
}
