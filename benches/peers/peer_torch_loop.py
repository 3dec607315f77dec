"""PyTorch in loops of the caller's own: autograd eager and with the loss compiled, own gradients, and
torch.compile of the whole step.

`eager` and `compiled` differentiate the loss by autograd, `own-gradient` hands dL/dQ to `backward`. These
three have the optimiser's fused kernels; `compiled-step` is as in peer_torch.py.
"""

from common import BATCHES, measure, parse_args
from loops import CHECK_RATE, CHECK_STEPS, DISCOUNT, make_layers, make_loop_batches, write_check

args = parse_args(modes=("loop",))

import torch
import torch.nn.functional as F
import torch_parts

if args.threads:
    torch.set_num_threads(args.threads)
workload = args.workload


def matrix(values, cols):
    return torch.tensor(values).reshape(-1, cols)


def make_network(number):
    sizes = workload.layers[1:]
    layers = [(matrix(w, n), torch.tensor(b)) for n, (w, b) in zip(sizes, make_layers(workload, number))]
    return torch_parts.make_model(layers, workload.activation)


class Tensors:
    def __init__(self, batch):
        n_in = workload.layers[0]
        self.x, self.next = matrix(batch.x, n_in), matrix(batch.next, n_in)
        self.goes_on, self.rewards = matrix(batch.goes_on, 1), matrix(batch.rewards, 1)
        self.actions, self.targets = matrix(batch.actions, 1), matrix(batch.targets, 1)


batches = [Tensors(batch) for batch in make_loop_batches(args)]


class Dqn:
    """Q-learning: the squared error of Q(s, a) to r + γ max Q'(s', .), the mean over the rows."""

    def __init__(self):
        self.trained = torch.nn.ModuleList([make_network(0)])
        self.target = make_network(1).requires_grad_(False)

    def goal(self, b):
        with torch.no_grad():
            return b.rewards + DISCOUNT * b.goes_on * self.target(b.next).amax(1, keepdim=True)

    def loss(self, networks, b):
        return F.mse_loss(networks[0](b.x).gather(1, b.actions), self.goal(b))

    def backward(self, b):
        q = self.trained[0](b.x)
        with torch.no_grad():
            error = q.gather(1, b.actions) - self.goal(b)
            dq = torch.zeros_like(q).scatter_(1, b.actions, error * (2 / len(error)))
        q.backward(dq)
        return error.square().mean()


class TwinQ:
    """Two critics: the squared error of each to the same targets."""

    def __init__(self):
        self.trained = torch.nn.ModuleList([make_network(0), make_network(1)])

    def loss(self, networks, b):
        return sum(F.mse_loss(network(b.x), b.targets) for network in networks)

    def backward(self, b):
        total = 0
        for network in self.trained:
            q = network(b.x)
            error = q.detach() - b.targets
            q.backward(error * (2 / len(error)))
            total = total + error.square().mean()
        return total


def make_step(loop, rate, backward):
    optimizer = torch.optim.Adam(loop.trained.parameters(), lr=rate, fused=True)

    def step(b):
        loss = backward(b)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def by_autograd(loop, loss_of):
    def backward(b):
        loss = loss_of(loop.trained, b)
        loss.backward()
        return loss.detach()

    return backward


def make_whole_step(loop, rate):
    weights = {name: w.detach() for name, w in loop.trained.named_parameters()}
    state = torch_parts.adam_state(weights)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.trained = loop.trained

        def forward(self, b):
            return loop.loss(self.trained, b)

    loss = Loss()

    @torch.compile
    def step(weights, state, b):
        def value(weights):
            named = {f"trained.{name}": w for name, w in weights.items()}
            return torch.func.functional_call(loss, named, (b,))

        grads, result = torch.func.grad_and_value(value)(weights)
        torch_parts.adam(rate, weights, grads, state)
        return result

    return lambda b: step(weights, state, b)


VARIANTS = {
    "eager": lambda loop, rate: make_step(loop, rate, by_autograd(loop, loop.loss)),
    "own-gradient": lambda loop, rate: make_step(loop, rate, loop.backward),
    "compiled": lambda loop, rate: make_step(loop, rate, by_autograd(loop, torch.compile(loop.loss))),
    "compiled-step": make_whole_step,
}


def report(variant, call):
    measure(args, "torch", variant, torch.__version__, call)


def learn(make_loop):
    for variant, make in VARIANTS.items():
        loop = make_loop()
        if args.check:
            step = make(loop, CHECK_RATE)
            values = [step(batches[i % BATCHES]).item() for i in range(CHECK_STEPS)]
            for network in loop.trained:
                for layer in network[::2]:
                    values += [*layer.weight.detach().T.flatten().tolist(), *layer.bias.tolist()]
            write_check(args, "torch", variant, values)
        else:
            step = make(loop, workload.learning_rate)
            report(variant, lambda i: step(batches[i % BATCHES]))


def run_actor(of_outputs):
    network = make_network(0).eval()

    def call(x):
        return of_outputs(network(x))

    with torch.inference_mode():
        for variant, made in (("eager", call), ("compiled", torch.compile(call))):
            if args.check:
                values = [value for b in batches for value in (*network(b.x).flatten().tolist(), made(b.x).item())]
                write_check(args, "torch", variant, values)
            else:
                report(variant, lambda i: made(batches[i % BATCHES].x).item())


if workload.name in ("dqn", "twin-q"):
    learn({"dqn": Dqn, "twin-q": TwinQ}[workload.name])
else:
    run_actor({"act": lambda outputs: outputs.argmax(), "value": lambda outputs: outputs[0, 0]}[workload.name])
