"""PyTorch: eager, torch.compile of the model and loss, and torch.compile of the whole step.

The first two use the optimisers' fused kernels; the third is a function of the weights
(torch.func.grad and the update written out), since torch.compile does not trace `backward`.
"""

from common import MOMENTUM, make_batches, make_weights, measure, parse_args

args = parse_args(precisions=("f32", "bf16"))

import torch
import torch.nn.functional as F
import torch_parts

torch.set_num_threads(args.threads)
workload = args.workload


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16")


def make_model():
    layers = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in make_weights(workload)]
    return torch_parts.make_model(layers, workload.activation)


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


def make_whole_step():
    model = make_model()
    weights = {name: w.detach() for name, w in model.named_parameters()}

    update, state = {
        "sgd": (torch_parts.sgd, ()),
        "momentum": (torch_parts.momentum, {name: torch.zeros_like(w) for name, w in weights.items()}),
        "adam": (torch_parts.adam, torch_parts.adam_state(weights)),
    }[workload.optimizer]
    rate = workload.learning_rate

    @torch.compile
    def step(weights, state, x, y):
        def loss(weights):
            return loss_of(lambda x: torch.func.functional_call(model, weights, (x,)), x, y)

        update(rate, weights, torch.func.grad(loss)(weights), state)

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
