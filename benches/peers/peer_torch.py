"""PyTorch: eager, torch.compile of the model and loss, and torch.compile of the whole step.

The first two use the optimisers' fused kernels; the third is a function of the weights
(torch.func.grad and the update written out), since torch.compile does not trace `backward`.
"""

from common import MOMENTUM, make_batches, make_weights, measure, parse_args

args = parse_args(precisions=("f32", "bf16"))

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(args.threads)
workload = args.workload
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16")


def make_model():
    modules = []
    for weights, bias in make_weights(workload):
        layer = nn.Linear(*weights.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        modules += [layer, ACTIVATIONS[workload.activation]()]
    return nn.Sequential(*modules[:-1])


def make_optimizer(model):
    rate = workload.learning_rate
    if workload.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    momentum = MOMENTUM if workload.optimizer == "momentum" else 0.0
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, fused=True)


def report(variant, call):
    measure(args, "torch", variant, torch.__version__, call)


def loss_of(model, x, y):
    with autocast():
        return F.cross_entropy(model(x), y)


def make_step(loss_of):
    model = make_model()
    optimizer = make_optimizer(model)

    def step(x, y):
        loss_of(model, x, y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def sgd(weights, grads, state):
    for name, w in weights.items():
        w.sub_(workload.learning_rate * grads[name])


def momentum(weights, grads, velocity):
    for name, v in velocity.items():
        v.mul_(MOMENTUM).add_(grads[name])
    sgd(weights, velocity, ())


def adam(weights, grads, state):
    t, m, v = state
    t += 1
    rate = workload.learning_rate / (1 - 0.9**t)
    scale = 1 / (1 - 0.999**t)
    for name, w in weights.items():
        g = grads[name]
        m[name].mul_(0.9).add_(0.1 * g)
        v[name].mul_(0.999).add_(0.001 * g * g)
        w.sub_(rate * m[name] / ((v[name] * scale).sqrt() + 1e-8))


def make_whole_step():
    model = make_model()
    weights = {name: w.detach() for name, w in model.named_parameters()}

    def zeros():
        return {name: torch.zeros_like(w) for name, w in weights.items()}

    update, state = {
        "sgd": (sgd, ()),
        "momentum": (momentum, zeros()),
        "adam": (adam, (torch.zeros(()), zeros(), zeros())),
    }[workload.optimizer]

    @torch.compile
    def step(weights, state, x, y):
        def loss(weights):
            return loss_of(lambda x: torch.func.functional_call(model, weights, (x,)), x, y)

        update(weights, torch.func.grad(loss)(weights), state)

    return lambda x, y: step(weights, state, x, y)


def train(batches):
    def report_step(variant, step):
        report(variant, lambda i: step(*batches[i % len(batches)]))

    report_step("eager", make_step(loss_of))
    report_step("compiled", make_step(torch.compile(loss_of)))
    report_step("compiled-step", make_whole_step())


def predict(batches):
    model = make_model().eval()
    x, _ = batches[0]

    def forward(x):
        with autocast():
            return F.softmax(model(x), dim=1)

    with torch.inference_mode():
        report("eager", lambda _: forward(x))
        compiled = torch.compile(forward)
        report("compiled", lambda _: compiled(x))


batches = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in make_batches(args)]
(train if args.mode == "train" else predict)(batches)
