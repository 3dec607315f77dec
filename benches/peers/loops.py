"""What the Python peers share for loops of the caller's own: the starting weights, the data, the check.

The counterpart of `loops.rs`: both give the same numbers, so that all programs compute the same.
"""

from array import array
from dataclasses import dataclass

from common import BATCHES

DISCOUNT = 0.99
# Steps of a check: more than one batch each, and enough for the corrections of Adam's moments to count.
CHECK_STEPS = 10
# Weights move by up to a hundredth in a check, so that a wrong gradient shows; the timed steps have the
# tiny rate of `LEARNING_RATE`.
CHECK_RATE = 1e-3
# Of the sequence of the same name in loops.rs (Knuth's MMIX constants).
FACTOR, INCREMENT = 6364136223846793005, 1442695040888963407


class Numbers:
    def __init__(self, seed):
        self.state = seed

    def bits(self):
        """24 bits: as many as an f32 holds."""
        self.state = (self.state * FACTOR + INCREMENT) % 2**64
        return self.state >> 40

    def uniform(self, count, bound=1.0):
        """Uniform in -bound..bound."""
        return array("f", ((self.bits() / 2**23 - 1) * bound for _ in range(count)))


@dataclass
class Batch:
    x: array  # rows x n_in
    next: array  # the states after the actions
    goes_on: array  # 0 at the end of an episode, else 1
    rewards: array
    actions: array
    targets: array  # of twin-q


def make_layers(workload, network):
    """A list of (weights [in x out], biases): the starting weights of network 0 or 1 of a loop."""
    numbers = Numbers(2 + network)
    layers = []
    for n_in, n_out in zip(workload.layers, workload.layers[1:]):
        bound = 1 / n_in**0.5
        layers.append((numbers.uniform(n_in * n_out, bound), numbers.uniform(n_out, bound)))
    return layers


def make_loop_batches(args):
    numbers = Numbers(1)
    rows, n_in, n_out = args.rows, args.workload.layers[0], args.workload.layers[-1]
    return [
        Batch(
            x=numbers.uniform(rows * n_in),
            next=numbers.uniform(rows * n_in),
            # One transition in eight ends its episode.
            goes_on=array("f", (numbers.bits() % 8 > 0 for _ in range(rows))),
            rewards=numbers.uniform(rows),
            actions=array("q", (numbers.bits() % n_out for _ in range(rows))),
            targets=numbers.uniform(rows),
        )
        for _ in range(BATCHES)
    ]


def write_check(args, peer, variant, values):
    """A file of little-endian f32, which `run.py` compares."""
    (args.check / f"{peer}-{variant}").write_bytes(array("f", values).tobytes())
