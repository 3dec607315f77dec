//! Loops of the caller's own.

use crate::common::Args;
use crate::loops::{self, Actor, Batch, DISCOUNT, Learner, Peer, batches, layers};
use candle_core::{D, Device, Module, Result, Tensor, Var};
use candle_nn::{AdamW, Linear, Optimizer, ParamsAdamW, loss};

/// Weights are variables in training, and plain tensors, of which no graph is recorded, else.
struct Network {
    layers: Vec<Linear>,
    vars: Vec<Var>,
}

impl Network {
    fn new(args: &Args, number: u64) -> Result<Self> {
        let (mut linears, mut vars) = (Vec::new(), Vec::new());
        for layer in layers(args, number) {
            let shape = (layer.n_out, layer.n_in);
            let weights = Tensor::from_vec(layer.transposed(), shape, &Device::Cpu)?;
            let biases = Tensor::from_vec(layer.biases, layer.n_out, &Device::Cpu)?;
            let (weights, biases) = (Var::from_tensor(&weights)?, Var::from_tensor(&biases)?);
            linears
                .push(Linear::new(weights.as_tensor().clone(), Some(biases.as_tensor().clone())));
            vars.extend([weights, biases]);
        }
        Ok(Self { layers: linears, vars })
    }

    fn detached(args: &Args, number: u64) -> Result<Self> {
        let network = Self::new(args, number)?;
        let layers = network
            .layers
            .iter()
            .map(|layer| Linear::new(layer.weight().detach(), layer.bias().map(Tensor::detach)));
        Ok(Self { layers: layers.collect(), vars: Vec::new() })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (last, hidden) = self.layers.split_last().expect("a layer");
        let mut x = x.clone();
        for layer in hidden {
            x = layer.forward(&x)?.relu()?;
        }
        last.forward(&x)
    }

    fn parameters(&self) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for layer in &self.layers {
            all.extend(layer.weight().t()?.flatten_all()?.to_vec1::<f32>()?);
            all.extend(layer.bias().expect("biases").to_vec1::<f32>()?);
        }
        Ok(all)
    }
}

struct Tensors {
    x: Tensor,
    next: Tensor,
    goes_on: Tensor,
    rewards: Tensor,
    actions: Tensor,
    targets: Tensor,
}

impl Tensors {
    fn of(args: &Args) -> Result<Vec<Self>> {
        let (rows, n_in) = (args.rows, args.layers[0]);
        let matrix = |values, cols| Tensor::from_vec(values, (rows, cols), &Device::Cpu);
        let tensors = |batch: Batch| {
            Ok(Self {
                x: matrix(batch.x, n_in)?,
                next: matrix(batch.next, n_in)?,
                goes_on: matrix(batch.goes_on, 1)?,
                rewards: matrix(batch.rewards, 1)?,
                actions: Tensor::from_vec(batch.actions, (rows, 1), &Device::Cpu)?,
                targets: matrix(batch.targets, 1)?,
            })
        };
        batches(args).into_iter().map(tensors).collect()
    }
}

fn adam(vars: Vec<Var>, rate: f64) -> Result<AdamW> {
    let params = ParamsAdamW { lr: rate, weight_decay: 0.0, ..Default::default() };
    AdamW::new(vars, params)
}

struct Dqn {
    batches: Vec<Tensors>,
    online: Network,
    target: Network,
    adam: AdamW,
}

impl Dqn {
    fn with(args: &Args, rate: f64) -> Result<Self> {
        let online = Network::new(args, 0)?;
        Ok(Self {
            batches: Tensors::of(args)?,
            adam: adam(online.vars.clone(), rate)?,
            online,
            target: Network::detached(args, 1)?,
        })
    }

    fn loss(&mut self, i: usize) -> Result<Tensor> {
        let batch = &self.batches[i];
        let best = self.target.forward(&batch.next)?.max_keepdim(1)?;
        let target = (&batch.rewards + ((best * f64::from(DISCOUNT))? * &batch.goes_on)?)?;
        let q = self.online.forward(&batch.x)?.gather(&batch.actions, 1)?;
        let loss = loss::mse(&q, &target)?;
        self.adam.step(&loss.backward()?)?;
        Ok(loss)
    }
}

impl Learner for Dqn {
    type Loss = Tensor;

    fn new(args: &Args, rate: f64) -> Self {
        Self::with(args, rate).expect("a network")
    }

    fn step(&mut self, i: usize) -> Tensor {
        self.loss(i).expect("a step")
    }

    fn value(loss: Tensor) -> f32 {
        loss.to_scalar().expect("a number")
    }

    fn parameters(&self) -> Vec<f32> {
        self.online.parameters().expect("parameters")
    }
}

struct TwinQ {
    batches: Vec<Tensors>,
    critics: [Network; 2],
    adam: AdamW,
}

impl TwinQ {
    fn with(args: &Args, rate: f64) -> Result<Self> {
        let critics = [Network::new(args, 0)?, Network::new(args, 1)?];
        let vars = critics.iter().flat_map(|critic| critic.vars.clone());
        Ok(Self { batches: Tensors::of(args)?, adam: adam(vars.collect(), rate)?, critics })
    }

    fn loss(&mut self, i: usize) -> Result<Tensor> {
        let batch = &self.batches[i];
        let [first, second] = &self.critics;
        let loss = (loss::mse(&first.forward(&batch.x)?, &batch.targets)?
            + loss::mse(&second.forward(&batch.x)?, &batch.targets)?)?;
        self.adam.step(&loss.backward()?)?;
        Ok(loss)
    }
}

impl Learner for TwinQ {
    type Loss = Tensor;

    fn new(args: &Args, rate: f64) -> Self {
        Self::with(args, rate).expect("two networks")
    }

    fn step(&mut self, i: usize) -> Tensor {
        self.loss(i).expect("a step")
    }

    fn value(loss: Tensor) -> f32 {
        Dqn::value(loss)
    }

    fn parameters(&self) -> Vec<f32> {
        let of = |critic: &Network| critic.parameters().expect("parameters");
        self.critics.iter().flat_map(of).collect()
    }
}

struct Act {
    batches: Vec<Tensors>,
    network: Network,
}

impl Act {
    fn forward(&self, i: usize) -> Tensor {
        self.network.forward(&self.batches[i].x).expect("outputs")
    }
}

impl Actor for Act {
    fn new(args: &Args) -> Self {
        Self {
            batches: Tensors::of(args).expect("rows"),
            network: Network::detached(args, 0).expect("a network"),
        }
    }

    fn outputs(&mut self, i: usize) -> Vec<f32> {
        let outputs = self.forward(i).flatten_all().expect("a row");
        outputs.to_vec1().expect("numbers")
    }

    fn act(&mut self, i: usize) -> u32 {
        let best = self.forward(i).argmax(D::Minus1).expect("a number");
        best.squeeze(0).and_then(|best| best.to_scalar()).expect("a number")
    }

    fn value(&mut self, i: usize) -> f32 {
        let value = self.forward(i).squeeze(1).and_then(|row| row.squeeze(0));
        value.and_then(|value| value.to_scalar()).expect("a number")
    }
}

pub fn run(args: &Args, peer: &Peer) {
    loops::run::<Dqn, TwinQ, Act>(args, peer);
}
