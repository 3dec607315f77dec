"""Whether the programs of a loop compute the same.

Each program takes a few steps from the same weights on the same batches, and writes the loss of each step and
every weight, or the outputs, to a file (`loops.py` and `loops.rs` say which). Adam divides a gradient by its
size, so weights do not show a constant factor of it.
"""

import subprocess
import tempfile
from array import array
from pathlib import Path

# Between two values. Weights move by up to 1e-2 in a check, losses are about 0.5. The largest difference seen
# is 3.5e-6, where a gradient is so near 0 that Adam, which divides by its size, makes a step of its rounding
# error.
TOLERANCE = 2e-5


def difference(values, wanted):
    """The largest difference; infinite for a missing value and for NaN."""
    if len(values) != len(wanted):
        return float("inf")
    worst = 0.0
    for a, b in zip(values, wanted):
        if not abs(a - b) <= worst:
            worst = abs(a - b) if a == a and b == b else float("inf")
    return worst


def disagreements(programs, timeout):
    """For each program that does not agree with the first, its name and why. `programs` has names and commands."""
    found = {}
    results = {}
    for name, command in programs:
        with tempfile.TemporaryDirectory() as folder:
            try:
                subprocess.run([*command, "--check", folder], capture_output=True, check=True, timeout=timeout)
            except (OSError, subprocess.SubprocessError) as error:
                found[name] = f"no check: {error}"
            results[name] = {path.name: array("f", path.read_bytes()) for path in Path(folder).iterdir()}
    wanted = next(iter(next(iter(results.values())).values()), array("f"))
    for name, files in results.items():
        worst = max((difference(values, wanted) for values in files.values()), default=float("inf"))
        if worst > TOLERANCE:
            found.setdefault(name, f"its results differ by {worst:.1e}")
    return found
