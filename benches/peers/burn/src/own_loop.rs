//! Loops of the caller's own.

use crate::common::Args;
use crate::loops::{self, Actor, Batch, DISCOUNT, Learner, Peer, batches, layers};
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::nn::loss::{MseLoss, Reduction};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
}

impl Network {
    fn new(args: &Args, number: u64, device: &Device) -> Self {
        let linear = |layer: loops::Layer| {
            let weights = TensorData::new(layer.weights, [layer.n_in, layer.n_out]);
            let biases = TensorData::new(layer.biases, [layer.n_out]);
            Linear {
                weight: Param::from_data(weights, device),
                bias: Some(Param::from_data(biases, device)),
            }
        };
        Self { layers: layers(args, number).into_iter().map(linear).collect() }
    }

    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        let (last, hidden) = self.layers.split_last().expect("a layer");
        for layer in hidden {
            x = activation::relu(layer.forward(x));
        }
        last.forward(x)
    }

    fn parameters(&self) -> Vec<f32> {
        let of = |layer: &Linear| {
            let biases = layer.bias.as_ref().expect("biases").val();
            [numbers(layer.weight.val()), numbers(biases)].concat()
        };
        self.layers.iter().flat_map(of).collect()
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("numbers")
}

struct Tensors {
    x: Tensor<2>,
    next: Tensor<2>,
    goes_on: Tensor<2>,
    rewards: Tensor<2>,
    actions: Tensor<2, Int>,
    targets: Tensor<2>,
}

impl Tensors {
    /// The inputs of networks in training on `device`, all else without autodiff.
    fn of(args: &Args, device: &Device) -> Vec<Self> {
        let (rows, n_in) = (args.rows, args.layers[0]);
        let plain = Device::flex();
        let matrix =
            |values, cols, device| Tensor::from_data(TensorData::new(values, [rows, cols]), device);
        let tensors = |batch: Batch| {
            let actions: Vec<i32> = batch.actions.iter().map(|&action| action as i32).collect();
            Self {
                x: matrix(batch.x, n_in, device),
                next: matrix(batch.next, n_in, &plain),
                goes_on: matrix(batch.goes_on, 1, &plain),
                rewards: matrix(batch.rewards, 1, &plain),
                actions: Tensor::from_data(TensorData::new(actions, [rows, 1]), device),
                targets: matrix(batch.targets, 1, device),
            }
        };
        batches(args).into_iter().map(tensors).collect()
    }
}

struct Adam {
    optimizer: ModuleOptimizer,
    rate: f64,
}

impl Adam {
    fn new(rate: f64) -> Self {
        Self { optimizer: AdamConfig::new().with_epsilon(1e-8).init(), rate }
    }

    fn step<M: Module>(&mut self, module: M, loss: &Tensor<1>) -> M {
        let grads = GradientsParams::from_grads(loss.backward(), &module);
        self.optimizer.step(self.rate, module, grads)
    }
}

/// Networks are moved through each step, so that the optimiser may update in place.
struct Dqn {
    batches: Vec<Tensors>,
    online: Option<Network>,
    target: Network,
    adam: Adam,
}

impl Learner for Dqn {
    type Loss = Tensor<1>;

    fn new(args: &Args, rate: f64) -> Self {
        let device = Device::flex().autodiff();
        Self {
            batches: Tensors::of(args, &device),
            online: Some(Network::new(args, 0, &device)),
            target: Network::new(args, 1, &Device::flex()).valid(),
            adam: Adam::new(rate),
        }
    }

    fn step(&mut self, i: usize) -> Tensor<1> {
        let (batch, online) = (&self.batches[i], self.online.take().expect("a network"));
        let best = self.target.forward(batch.next.clone()).max_dim(1);
        let target = batch.rewards.clone() + best * DISCOUNT * batch.goes_on.clone();
        let q = online.forward(batch.x.clone()).gather(1, batch.actions.clone());
        let loss = MseLoss::new().forward(q, target.autodiff(), Reduction::Mean);
        self.online = Some(self.adam.step(online, &loss));
        loss
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar()
    }

    fn parameters(&self) -> Vec<f32> {
        self.online.as_ref().expect("a network").parameters()
    }
}

#[derive(Module, Debug)]
struct Critics {
    first: Network,
    second: Network,
}

struct TwinQ {
    batches: Vec<Tensors>,
    critics: Option<Critics>,
    adam: Adam,
}

impl Learner for TwinQ {
    type Loss = Tensor<1>;

    fn new(args: &Args, rate: f64) -> Self {
        let device = Device::flex().autodiff();
        let critic = |number| Network::new(args, number, &device);
        Self {
            batches: Tensors::of(args, &device),
            critics: Some(Critics { first: critic(0), second: critic(1) }),
            adam: Adam::new(rate),
        }
    }

    fn step(&mut self, i: usize) -> Tensor<1> {
        let (batch, critics) = (&self.batches[i], self.critics.take().expect("two networks"));
        let error = |critic: &Network| {
            let q = critic.forward(batch.x.clone());
            MseLoss::new().forward(q, batch.targets.clone(), Reduction::Mean)
        };
        let loss = error(&critics.first) + error(&critics.second);
        self.critics = Some(self.adam.step(critics, &loss));
        loss
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar()
    }

    fn parameters(&self) -> Vec<f32> {
        let critics = self.critics.as_ref().expect("two networks");
        [critics.first.parameters(), critics.second.parameters()].concat()
    }
}

struct Act {
    batches: Vec<Tensors>,
    network: Network,
}

impl Act {
    fn forward(&self, i: usize) -> Tensor<2> {
        self.network.forward(self.batches[i].x.clone())
    }
}

impl Actor for Act {
    fn new(args: &Args) -> Self {
        let device = Device::flex();
        let network = Network::new(args, 0, &device).valid();
        Self { batches: Tensors::of(args, &device), network }
    }

    fn outputs(&mut self, i: usize) -> Vec<f32> {
        numbers(self.forward(i))
    }

    fn act(&mut self, i: usize) -> u32 {
        self.forward(i).argmax(1).into_scalar()
    }

    fn value(&mut self, i: usize) -> f32 {
        self.forward(i).into_scalar()
    }
}

pub fn run(args: &Args, peer: &Peer) {
    loops::run::<Dqn, TwinQ, Act>(args, peer);
}
