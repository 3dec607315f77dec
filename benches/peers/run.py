"""Runs our program and every installed peer in turn, and prints the table.

    python run.py [--build] [--workloads classic,deep] [--peers torch,jax] [--json FILE]
    python run.py --modes loop [--build] [--workloads dqn,act]

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
from statistics import median

import check
from common import LOOPS, WORKLOADS, Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "deltarule"
MODULES = {"torch": "torch", "jax": "jax", "ort": "onnxruntime", "sklearn": "sklearn"}
CRATES = ("burn", "candle")
PEERS = (*MODULES, *CRATES)
LOOP_PEERS = ("torch", *CRATES)
BF16_PEERS = ("torch",)
MODES = ("train", "predict", "loop")
PREDICT_GOAL = 1.0
TIMEOUT = 600


@dataclass(frozen=True)
class Row:
    workload: Workload
    mode: str
    rows: int
    threads: tuple

    @property
    def goal(self):
        return PREDICT_GOAL if self.mode == "predict" else self.workload.goal

    def __str__(self):
        optimizer = f", {self.workload.optimizer}" if self.mode == "train" else ""
        threads = f", {' or '.join(map(threads_text, self.threads))}" if self.mode == "loop" else ""
        return f"{self.mode} {self.workload.name}, {self.rows} row{'s' * (self.rows > 1)}{optimizer}{threads}"


def threads_text(threads):
    return {0: "own choice of threads", 1: "1 thread"}.get(threads, f"{threads} threads")


def parse_args():
    def names(text):
        return text.split(",")

    def numbers(text):
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=names, help="default: all of the modes")
    parser.add_argument("--modes", type=names, default=["train", "predict"], help="train,predict, or loop alone")
    parser.add_argument("--rows", type=numbers, default=[1, 1024], help="rows of a prediction")
    parser.add_argument("--peers", type=names, default=list(PEERS), help=f"of {','.join(PEERS)}")
    parser.add_argument("--threads-list", type=numbers, help="0: a library's own choice; default: 1,2, for loops 1,0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=0.5, help="seconds of rest before each program")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one variant in one round")
    parser.add_argument("--precision", choices=("f32", "f32x6", "high", "bf16"), default="f32")
    parser.add_argument("--ours", type=Path, help="default: our program of the mode, where cargo puts it")
    parser.add_argument("--build", action="store_true", help="first build ours, burn's and candle's programs")
    parser.add_argument("--json", type=Path, help="write every measurement to this file")
    args = parser.parse_args()
    args.loops = args.modes == ["loop"]
    if "loop" in args.modes and not (args.loops and args.precision == "f32"):
        parser.error("loops are a run of their own, in f32")
    workloads = LOOPS if args.loops else WORKLOADS
    args.workloads = args.workloads or list(workloads)
    args.threads_list = args.threads_list or ([1, 0] if args.loops else [1, 2])
    ours = crate_binary(OURS) if args.loops else ROOT / "target/release/examples/throughput"
    args.ours = args.ours or ours
    for given, known in ((args.workloads, workloads), (args.modes, MODES), (args.peers, PEERS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if args.precision == "bf16":
        args.peers = [peer for peer in args.peers if peer in BF16_PEERS]
    if args.loops:
        args.peers = [peer for peer in args.peers if peer in LOOP_PEERS]
    return args


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(args):
    say("building")
    cargo = ["cargo", "build", "--release", "--target-dir", "target"]
    if args.loops:
        subprocess.run(cargo, cwd=HERE / OURS, check=False)
    else:
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
    if row.mode == "loop":
        return [str(args.ours), *job(args, row, threads)]
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


def job(args, row, threads):
    """The arguments of a peer, and of our program for loops."""
    return [
        *("--workload", row.workload.name),
        *("--mode", row.mode),
        *("--rows", str(row.rows)),
        *("--threads", str(threads)),
        *("--seconds", str(args.seconds)),
    ]


def peer_command(args, peer, row, threads):
    script = f"peer_{peer}_loop.py" if row.mode == "loop" else f"peer_{peer}.py"
    program = [str(crate_binary(peer))] if peer in CRATES else [sys.executable, str(HERE / script)]
    command = program + job(args, row, threads)
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


def programs_of(args, peers, row):
    """Name, threads and command of every program of a row."""
    programs = [(OURS, threads, our_command(args, row, threads)) for threads in row.threads if args.ours.exists()]
    return programs + [
        (peer, threads, peer_command(args, peer, row, threads))
        for peer in peers
        for threads in row.threads
        if not (peer == "ort" and row.mode == "train")
    ]


def measure_row(args, peers, row, failures):
    """Every measurement of one row: all programs in turn, `--rounds` times; of a loop those that agree."""
    programs = programs_of(args, peers, row)
    if row.mode == "loop":
        say(f"{row}: comparing results")
        found = check.disagreements([(peer, command) for peer, _, command in programs], TIMEOUT)
        failures += [f"{row}: {peer}, {reason}" for peer, reason in found.items()]
        programs = [program for program in programs if program[0] not in found]
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


def time_text(us):
    return f"{us:,.0f}" if us >= 100 else f"{us:.1f}" if us >= 10 else f"{us:.2f}"


def cell(result):
    if result is None:
        return "–"
    return f"{time_text(result['us'])} ({result['variant']}, {result['threads'] or 'own'})"


def loop_cell(result, results, ours):
    """The best round, the median of the variant's rounds, and how much longer than ours it takes."""
    if result is None:
        return "–"
    same = [r for r in results if (r["peer"], r["variant"]) == (result["peer"], result["variant"])]
    middle = median(float(r["printed"]["us_median"]) for r in same)
    ratio = f", × {result['us'] / ours['us']:.2f}" if ours and ours is not result else ""
    return f"{time_text(result['us'])}, {time_text(middle)} ({result['variant']}{ratio})"


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
    cells = [ours, *bests.values()]
    cells = [loop_cell(r, results, ours) for r in cells] if row.mode == "loop" else [cell(r) for r in cells]
    return [str(row), *cells, *verdict]


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
    # Ours is that of the commit.
    versions = {r["peer"]: r["printed"]["version"] for r in results if "version" in r["printed"] and r["peer"] != OURS}
    versions = {"python": info["python"], **versions, "rustc": info["rustc"].removeprefix("rustc ")}
    print(f"- machine: {info['cpu']}, {info['cores']} cores, {' '.join(info['flags'])}; load at the start {info['load']:.2f}")
    print(f"- date: {info['date']}; commit {info['commit'] or 'unknown'}")
    print(f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    print(f"- {args.precision}, threads {args.threads_list}, best of {args.rounds} rounds of {args.seconds:g} s")
    print()


def print_table(args, peers, measured):
    what = "µs: best, median (variant, × ours)" if args.loops else "µs (variant, threads)"
    heads = [what, f"{OURS} {args.precision}", *peers, "ours is faster by", "goal", "verdict"]
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
        say(f"our program is not built ({args.ours}); measuring only the peers")
    peers = [peer for peer in args.peers if installed(peer)]
    missing = [peer for peer in args.peers if peer not in peers]
    if missing:
        say(f"not installed, skipped: {', '.join(missing)} (see README.md)")

    rows = []
    for mode in args.modes:
        for workload in ((LOOPS if args.loops else WORKLOADS)[name] for name in args.workloads):
            # A loop has a row for each number of threads: one is the comparison, the other shows the default.
            threads = [(n,) for n in args.threads_list] if args.loops else [tuple(args.threads_list)]
            counts = args.rows if mode == "predict" else [workload.batch]
            rows += [Row(workload, mode, count, n) for count in counts for n in threads]
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
