//! candle: its layers, loss and optimisers; momentum, which it lacks, from its tensor operations.

#[path = "../../common.rs"]
mod common;
#[path = "../../loops.rs"]
mod loops;
mod own_loop;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::{
    AdamW, Linear, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap, linear, loss, ops,
};
use common::{Args, MOMENTUM, Mode};
use std::hint::black_box;

/// This package has the version of the candle that it pins.
const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Model {
    layers: Vec<Linear>,
    activation: fn(&Tensor) -> Result<Tensor>,
}

impl Model {
    fn new(args: &Args, vars: &VarMap) -> Result<Self> {
        let builder = VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu);
        let layers = args
            .layers
            .windows(2)
            .enumerate()
            .map(|(i, size)| linear(size[0], size[1], builder.pp(i)))
            .collect::<Result<_>>()?;
        let activation = match args.activation.as_str() {
            "relu" => Tensor::relu,
            "tanh" => Tensor::tanh,
            "sigmoid" => ops::sigmoid,
            other => panic!("no activation is called {other}"),
        };
        Ok(Self { layers, activation })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (last, hidden) = self.layers.split_last().expect("a layer");
        let mut x = x.clone();
        for layer in hidden {
            x = (self.activation)(&layer.forward(&x)?)?;
        }
        last.forward(&x)
    }
}

enum Optim {
    Sgd(SGD),
    Adam(AdamW),
    Momentum { vars: Vec<(Var, Var)>, learning_rate: f64 },
}

impl Optim {
    fn new(args: &Args, vars: Vec<Var>) -> Result<Self> {
        let lr = args.learning_rate;
        Ok(match args.optimizer.as_str() {
            "sgd" => Self::Sgd(SGD::new(vars, lr)?),
            "adam" => Self::Adam(AdamW::new(
                vars,
                ParamsAdamW { lr, weight_decay: 0.0, ..Default::default() },
            )?),
            _ => Self::Momentum {
                vars: vars
                    .into_iter()
                    .map(|var| Ok((Var::from_tensor(&var.zeros_like()?)?, var)))
                    .collect::<Result<_>>()?,
                learning_rate: lr,
            },
        })
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.step(grads),
            Self::Adam(adam) => adam.step(grads),
            Self::Momentum { vars, learning_rate } => {
                for (velocity, var) in vars {
                    let grad = grads.get(var).expect("a gradient");
                    let next = ((velocity.as_tensor() * MOMENTUM)? + grad)?;
                    var.set(&(var.as_tensor() - (&next * *learning_rate)?)?)?;
                    velocity.set(&next)?;
                }
                Ok(())
            }
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.mode == Mode::Loop {
        own_loop::run(&args, &loops::Peer { name: "candle", variant: "native", version: VERSION });
        return Ok(());
    }
    let vars = VarMap::new();
    let model = Model::new(&args, &vars)?;
    let batches = args
        .batches()
        .into_iter()
        .map(|batch| {
            let x = Tensor::from_vec(batch.inputs, (args.rows, args.layers[0]), &Device::Cpu)?;
            let y = Tensor::from_vec(batch.labels, args.rows, &Device::Cpu)?;
            Ok((x, y))
        })
        .collect::<Result<Vec<_>>>()?;

    if args.mode == Mode::Train {
        let mut optimizer = Optim::new(&args, vars.all_vars())?;
        let mut step = |i: usize| -> Result<()> {
            let (x, y) = &batches[i % batches.len()];
            let loss = loss::cross_entropy(&model.forward(x)?, y)?;
            optimizer.step(&loss.backward()?)
        };
        args.measure("candle", "native", VERSION, |i| step(i).expect("a step"));
    } else {
        // Detached weights: no graph is recorded.
        let layers = model
            .layers
            .iter()
            .map(|layer| Linear::new(layer.weight().detach(), layer.bias().map(Tensor::detach)));
        let model = Model { layers: layers.collect(), activation: model.activation };
        let predict = || ops::softmax_last_dim(&model.forward(&batches[0].0)?);
        args.measure("candle", "native", VERSION, |_| {
            drop(black_box(predict().expect("a prediction")))
        });
    }
    Ok(())
}
