"""Runs our `throughput` example and every installed peer in turn, and prints the table.

    python run.py [--build] [--workloads classic,deep] [--peers torch,jax] [--json FILE]

Each measurement is a process of its own. For one row of the table all of them run one after
another, several rounds of that, so that a noisy minute hits all alike; the best round counts.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from common import WORKLOADS, Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "deltarule"
MODULES = {"torch": "torch", "jax": "jax", "ort": "onnxruntime", "sklearn": "sklearn"}
CRATES = ("burn", "candle")
PEERS = (*MODULES, *CRATES)
BF16_PEERS = ("torch",)
PREDICT_GOAL = 1.0
TIMEOUT = 600


@dataclass(frozen=True)
class Row:
    workload: Workload
    mode: str
    rows: int

    @property
    def goal(self):
        return self.workload.goal if self.mode == "train" else PREDICT_GOAL

    def __str__(self):
        optimizer = f", {self.workload.optimizer}" if self.mode == "train" else ""
        return f"{self.mode} {self.workload.name}, {self.rows} row{'s' * (self.rows > 1)}{optimizer}"


def parse_args():
    def names(text):
        return text.split(",")

    def numbers(text):
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=names, default=list(WORKLOADS))
    parser.add_argument("--modes", type=names, default=["train", "predict"])
    parser.add_argument("--rows", type=numbers, default=[1, 1024], help="rows of a prediction")
    parser.add_argument("--peers", type=names, default=list(PEERS), help=f"of {','.join(PEERS)}")
    parser.add_argument("--threads-list", type=numbers, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=0.5, help="seconds of rest before each program")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one variant in one round")
    parser.add_argument("--precision", choices=("f32", "f32x6", "high", "bf16"), default="f32")
    parser.add_argument("--ours", type=Path, default=ROOT / "target/release/examples/throughput")
    parser.add_argument("--build", action="store_true", help="first build ours, burn's and candle's programs")
    parser.add_argument("--json", type=Path, help="write every measurement to this file")
    args = parser.parse_args()
    for given, known in ((args.workloads, WORKLOADS), (args.modes, ("train", "predict")), (args.peers, PEERS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if args.precision == "bf16":
        args.peers = [peer for peer in args.peers if peer in BF16_PEERS]
    return args


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(args):
    say("building")
    cargo = ["cargo", "build", "--release", "--target-dir", "target"]
    subprocess.run([*cargo, "--example", "throughput"], cwd=ROOT, check=False)
    for crate in set(CRATES) & set(args.peers):
        subprocess.run(cargo, cwd=HERE / crate, check=False)


def crate_binary(crate):
    return HERE / crate / "target/release" / f"peer-{crate}"


def installed(peer):
    if peer in CRATES:
        return crate_binary(peer).exists()
    return importlib.util.find_spec(MODULES[peer]) is not None


def our_command(args, row, threads):
    command = [
        str(args.ours),
        *("--layers", ",".join(map(str, row.workload.layers))),
        *("--activation", row.workload.activation),
        *("--optimizer", row.workload.optimizer),
        *("--batch", str(row.rows)),
        *("--threads", str(threads)),
        *("--seconds", str(args.seconds)),
        *("--precision", args.precision),
    ]
    return command + ["--predict"] * (row.mode == "predict")


def peer_command(args, peer, row, threads):
    command = [str(crate_binary(peer))] if peer in CRATES else [sys.executable, str(HERE / f"peer_{peer}.py")]
    command += [
        *("--workload", row.workload.name),
        *("--mode", row.mode),
        *("--rows", str(row.rows)),
        *("--threads", str(threads)),
        *("--seconds", str(args.seconds)),
    ]
    # Peers have no precision between f32 and bf16: f32 is the weakest that is no worse.
    precision = "bf16" if args.precision == "bf16" else "f32"
    return command + ["--precision", precision] * (peer in BF16_PEERS)


def run(command):
    """The key=value pairs of each line that the program prints, and whether it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"  failed: {error}")
        return [], False
    if done.returncode != 0:
        say(f"  failed: {' '.join(command)}\n{done.stderr.strip()[-500:]}")
    lines = (dict(word.split("=", 1) for word in line.split() if "=" in word) for line in done.stdout.splitlines())
    lines = [line for line in lines if line.keys() & {"us", "us_per_step", "us_per_call"}]
    return lines, done.returncode == 0 and bool(lines)


def measure_row(args, peers, row, failures):
    """Every measurement of one row: all programs in turn, `--rounds` times."""
    programs = [(OURS, threads, our_command(args, row, threads)) for threads in args.threads_list if args.ours.exists()]
    programs += [
        (peer, threads, peer_command(args, peer, row, threads))
        for peer in peers
        for threads in args.threads_list
        if not (peer == "ort" and row.mode == "train")
    ]
    results = []
    for turn in range(args.rounds):
        for peer, threads, command in programs:
            say(f"{row}: round {turn + 1}, {peer}, threads {threads}")
            # The threads of the last program end with it; the clock of the cores takes a moment longer.
            time.sleep(args.rest)
            lines, succeeded = run(command)
            if not succeeded:
                failures.append(f"{row}: {peer}, threads {threads}, round {turn + 1}")
            for line in lines:
                us = next(float(line[key]) for key in ("us", "us_per_step", "us_per_call") if key in line)
                results.append(
                    {
                        "peer": peer,
                        "variant": line.get("variant") or line.get("level", ""),
                        "mode": row.mode,
                        "workload": row.workload.name,
                        "rows": row.rows,
                        "threads": threads,
                        "round": turn,
                        "us": us,
                        "printed": line,
                    }
                )
    return results


def best_of(results, peer):
    return min((r for r in results if r["peer"] == peer), key=lambda r: r["us"], default=None)


def cell(result):
    if result is None:
        return "–"
    us = result["us"]
    time = f"{us:,.0f}" if us >= 100 else f"{us:.1f}" if us >= 10 else f"{us:.2f}"
    return f"{time} ({result['variant']}, {result['threads']})"


def table_line(args, peers, row, results):
    ours = best_of(results, OURS)
    bests = {peer: best_of(results, peer) for peer in peers}
    rival = min((r["us"] for r in bests.values() if r), default=None)
    verdict = ["–", "–", "–"]
    if args.precision == "f32":
        verdict[1] = f"{row.goal:g}"
    if ours and rival:
        ratio = rival / ours["us"]
        verdict[0] = f"{ratio:.2f}"
        if args.precision == "f32":
            verdict[2] = "met" if ratio >= row.goal else "short"
    return [str(row), cell(ours), *map(cell, bests.values()), *verdict]


def output(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except OSError:
        return ""


def machine():
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", "").split())
    shown = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
    return {
        "cpu": fields.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in shown if flag in flags],
        "load": os.getloadavg()[0],
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": output(["git", "describe", "--always", "--dirty"]),
        "rustc": output(["rustc", "--version"]),
        "python": platform.python_version(),
    }


def print_header(args, info, results):
    versions = {r["peer"]: r["printed"]["version"] for r in results if "version" in r["printed"]}
    versions = {"python": info["python"], **versions, "rustc": info["rustc"].removeprefix("rustc ")}
    print(f"- machine: {info['cpu']}, {info['cores']} cores, {' '.join(info['flags'])}; load at the start {info['load']:.2f}")
    print(f"- date: {info['date']}; commit {info['commit'] or 'unknown'}")
    print(f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    print(f"- {args.precision}, threads {args.threads_list}, best of {args.rounds} rounds of {args.seconds:g} s")
    print()


def print_table(args, peers, measured):
    heads = ["µs (variant, threads)", f"{OURS} {args.precision}", *peers, "ours is faster by", "goal", "verdict"]
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for row, results in measured:
        print("| " + " | ".join(table_line(args, peers, row, results)) + " |")


def main():
    args = parse_args()
    if args.build:
        build(args)
    info = machine()
    if info["load"] > 0.5:
        say(f"warning: the load is {info['load']:.2f}; on a busy machine the two-thread figures mean nothing")
    if not args.ours.exists():
        say("our program is not built (cargo build --release --example throughput); measuring only the peers")
    peers = [peer for peer in args.peers if installed(peer)]
    missing = [peer for peer in args.peers if peer not in peers]
    if missing:
        say(f"not installed, skipped: {', '.join(missing)} (see README.md)")

    rows = []
    for mode in args.modes:
        for workload in (WORKLOADS[name] for name in args.workloads):
            rows += [Row(workload, mode, count) for count in ([workload.batch] if mode == "train" else args.rows)]
    measured, failures = [], []
    for row in rows:
        measured.append((row, measure_row(args, peers, row, failures)))
        if args.json:
            data = {"machine": info, "precision": args.precision, "results": [r for _, rs in measured for r in rs]}
            data |= {"missing": missing, "failures": failures}
            args.json.write_text(json.dumps(data, indent=1))

    print_header(args, info, [r for _, results in measured for r in results])
    print_table(args, peers, measured)
    for title, names in (("not installed", missing), ("failed", failures)):
        if names:
            print(f"\n{title}: {'; '.join(names)}")


if __name__ == "__main__":
    main()
