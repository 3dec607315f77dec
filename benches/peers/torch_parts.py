"""What the two programs of PyTorch share: the model, and the updates written out, for `torch.compile`.

Import it after `parse_args`, which sets the number of threads.
"""

import torch
from common import MOMENTUM
from torch import nn

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


def make_model(layers, activation):
    """Of a list of (weights [in, out], bias [out]); without an activation after the last layer."""
    modules = []
    for weights, bias in layers:
        layer = nn.Linear(*weights.shape)
        with torch.no_grad():
            layer.weight.copy_(weights.T)
            layer.bias.copy_(bias)
        modules += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*modules[:-1])


def sgd(rate, weights, grads, state):
    for name, w in weights.items():
        w.sub_(rate * grads[name])


def momentum(rate, weights, grads, velocity):
    for name, v in velocity.items():
        v.mul_(MOMENTUM).add_(grads[name])
    sgd(rate, weights, velocity, ())


def adam(rate, weights, grads, state):
    t, m, v = state
    t += 1
    rate = rate / (1 - 0.9**t)
    scale = 1 / (1 - 0.999**t)
    for name, w in weights.items():
        g = grads[name]
        m[name].mul_(0.9).add_(0.1 * g)
        v[name].mul_(0.999).add_(0.001 * g * g)
        w.sub_(rate * m[name] / ((v[name] * scale).sqrt() + 1e-8))


def adam_state(weights):
    def zeros():
        return {name: torch.zeros_like(w) for name, w in weights.items()}

    return torch.zeros(()), zeros(), zeros()
