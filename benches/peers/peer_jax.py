"""JAX: one step a jitted call, and many steps in one jitted lax.scan."""

import os

from common import MOMENTUM, make_batches, make_weights, measure, parse_args

args = parse_args()
# XLA sizes its pool by the processors it may run on.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
os.environ["JAX_PLATFORMS"] = "cpu"

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax, nn

workload = args.workload
# Steps of one scan: enough that dispatching the call counts for nothing.
SCAN_STEPS = {"nielsen": 1000, "classic": 300, "medium": 100, "deep": 100, "large": 4}
ACTIVATION = {"sigmoid": nn.sigmoid, "tanh": jnp.tanh, "relu": nn.relu}[workload.activation]


def logits_of(weights, x):
    *hidden, (w, b) = weights
    for v, c in hidden:
        x = ACTIVATION(x @ v + c)
    return x @ w + b


def loss_of(weights, x, y):
    chosen = jnp.take_along_axis(nn.log_softmax(logits_of(weights, x)), y[:, None], axis=1)
    return -chosen.mean()


def sgd(weights, grads, state):
    return jax.tree.map(lambda w, g: w - workload.learning_rate * g, weights, grads), state


def momentum(weights, grads, velocity):
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
    return sgd(weights, velocity, velocity)


def adam(weights, grads, state):
    t, m, v = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    rate = workload.learning_rate / (1 - 0.9**t)
    scale = 1 / (1 - 0.999**t)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v * scale) + 1e-8), weights, m, v)
    return weights, (t, m, v)


def start():
    weights = [(jnp.asarray(w), jnp.asarray(b)) for w, b in make_weights(workload)]
    if workload.optimizer == "adam":
        zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
        return weights, (jnp.zeros(()), *zeros)
    if workload.optimizer == "momentum":
        return weights, jax.tree.map(jnp.zeros_like, weights)
    return weights, ()


def train_step(model, x, y):
    weights, state = model
    loss, grads = jax.value_and_grad(loss_of)(weights, x, y)
    update = {"sgd": sgd, "momentum": momentum, "adam": adam}[workload.optimizer]
    return update(weights, grads, state), loss


def train(batches):
    step = jax.jit(train_step, donate_argnums=0)
    model = start()

    def one_step(i):
        nonlocal model
        model, loss = step(model, *batches[i % len(batches)])
        loss.block_until_ready()

    measure(args, "jax", "jit", jax.__version__, one_step)

    xs, ys = (jnp.stack(part) for part in zip(*batches))
    steps = SCAN_STEPS[workload.name]

    @partial(jax.jit, donate_argnums=0)
    def epoch(model, xs, ys):
        return lax.scan(lambda model, i: train_step(model, xs[i], ys[i]), model, jnp.arange(steps) % len(batches))

    model = start()

    def many_steps(_):
        nonlocal model
        model, losses = epoch(model, xs, ys)
        losses.block_until_ready()

    measure(args, "jax", "scan", jax.__version__, many_steps, steps)


def predict(batches):
    (x, _), (weights, _) = batches[0], start()
    forward = jax.jit(lambda weights, x: nn.softmax(logits_of(weights, x)))
    measure(args, "jax", "jit", jax.__version__, lambda _: forward(weights, x).block_until_ready())


batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in make_batches(args)]
(train if args.mode == "train" else predict)(batches)
