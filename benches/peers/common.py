"""What the Python peers share: the workloads, the arguments, the data, the clock, the output.

A peer is a script that calls `parse_args`, builds a function that does one train step or one
prediction, and hands it to `measure`, which prints one line.
"""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
BATCHES = 8
# Small enough that no network fits its random labels while it is timed: gradients that
# shrink to zeros or subnormals would change the cost of a step.
LEARNING_RATE = {"sgd": 1e-3, "momentum": 1e-4, "adam": 1e-6}
MOMENTUM = 0.9


@dataclass(frozen=True)
class Workload:
    name: str
    layers: tuple
    activation: str
    batch: int
    optimizer: str
    goal: float

    @property
    def learning_rate(self):
        return LEARNING_RATE[self.optimizer]


def read_workloads(file):
    text = (Path(__file__).parent / file).read_text()
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {
        name: Workload(name, tuple(map(int, layers.split(","))), activation, int(batch), optimizer, float(goal))
        for name, layers, activation, batch, optimizer, goal in rows
    }


WORKLOADS = read_workloads("workloads.txt")
LOOPS = read_workloads("loops.txt")


def parse_args(precisions=("f32",), modes=("train", "predict")):
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=[*WORKLOADS, *LOOPS], required=True)
    parser.add_argument("--mode", choices=modes, required=True)
    parser.add_argument("--rows", type=int, help="rows of a batch (default: the workload's batch)")
    parser.add_argument("--threads", type=int, default=1, help="0: the library's own choice")
    parser.add_argument("--seconds", type=float, default=2.0, help="measuring time of one variant")
    parser.add_argument("--precision", choices=precisions, default="f32")
    if "loop" in modes:
        parser.add_argument("--check", type=Path, help="write what was computed to this folder, instead of measuring")
    args = parser.parse_args()
    args.workload = (LOOPS if args.mode == "loop" else WORKLOADS)[args.workload]
    args.rows = args.rows or args.workload.batch
    # For every library whose pool is sized when it is imported; parse_args comes before the import.
    if args.threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(args.threads)
    return args


def make_batches(args):
    """A few batches of uniform inputs in 0..1 with random labels."""
    import numpy as np

    rng = np.random.default_rng(1)
    layers = args.workload.layers
    return [
        (
            rng.random((args.rows, layers[0]), dtype=np.float32),
            rng.integers(0, layers[-1], args.rows),
        )
        for _ in range(BATCHES if args.mode == "train" else 1)
    ]


def make_weights(workload):
    """A list of (weights [in, out], bias [out]), uniform within 1/sqrt(in)."""
    import numpy as np

    rng = np.random.default_rng(2)
    weights = []
    for fan_in, fan_out in zip(workload.layers, workload.layers[1:]):
        bound = fan_in**-0.5
        w = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
        b = rng.uniform(-bound, bound, fan_out).astype(np.float32)
        weights.append((w, b))
    return weights


def measure(args, peer, variant, version, call, steps=1):
    """Times `call(i)`, which does `steps` steps or predictions, and prints the line.

    Warms up for a quarter of the time, then runs ROUNDS rounds in the rest; a round's figure
    is its mean, and the line has the best and the median round.
    """

    def run(count):
        start = time.perf_counter()
        for i in range(count):
            call(i)
        return time.perf_counter() - start

    run(2)
    calls = warm = 1
    spent = run(1)
    while spent < args.seconds / 4:
        calls = max(1, min(2 * calls, int((args.seconds / 4 - spent) / (spent / warm))))
        spent += run(calls)
        warm += calls
    calls = max(1, round(0.75 * args.seconds / ROUNDS / (spent / warm)))
    times = sorted(run(calls) / calls / steps * 1e6 for _ in range(ROUNDS))

    print(
        f"peer={peer} variant={variant} mode={args.mode} workload={args.workload.name} rows={args.rows} "
        f"threads={args.threads} precision={args.precision} us={times[0]:.3f} "
        f"us_median={times[ROUNDS // 2]:.3f} version={version}",
        flush=True,
    )
