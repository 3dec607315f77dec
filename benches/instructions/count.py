#!/usr/bin/env python3
"""Counts the instructions of twelve key calls under valgrind's callgrind and compares them with
`counts.txt` beside this file: a difference of more than 2 % fails.

    python3 benches/instructions/count.py             # compare
    python3 benches/instructions/count.py --update    # write what was counted, after a change that is meant

Counts are the same on any x86-64 machine with AVX2, whatever else it does, for one version of the
compiler: with another one than that of `counts.txt`, differences are printed and nothing fails. Valgrind
knows no AVX-512, so all counts are of the level avx2. They see a call that is no longer inlined, a check in
a loop, a copy too many; they do not see caches, memory, spills that cost no more instructions, or threads.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COUNTS = HERE / "counts.txt"
TOLERANCE = 0.02
CALLS = [f"{kind}/{net}" for net in ("nielsen", "classic", "medium", "deep", "large", "tiny") for kind in ("train", "predict")]


def build():
    command = ["cargo", "bench", "--no-run", "--bench", "instructions", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    programs = [json.loads(line).get("executable") for line in lines if line.startswith("{")]
    return next(program for program in programs if program and "instructions" in program)


def count(program, call):
    """The instructions of a call, and the level that it ran at."""
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "--tool=callgrind", "--toggle-collect=*counted_call*", f"--callgrind-out-file={folder}/out"]
        done = subprocess.run([*tool, program, call], capture_output=True, text=True)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not collected:
        sys.exit(f"{call}: {done.stderr[-1000:]}")
    return int(collected.group(1)), done.stdout.split()[-1]


def compiler():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def read():
    """The compiler and the count of each call."""
    lines = [line.split("#")[0].strip() for line in COUNTS.read_text().splitlines()]
    head, *calls = [line for line in lines if line]
    return head, {name: int(number) for name, number in (line.split() for line in calls)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write counts.txt instead of comparing")
    args = parser.parse_args()
    program, found = build(), {}
    for call in CALLS:
        found[call], level = count(program, call)
        if level != "avx2":
            print(f"skipped: the counts are of avx2, and {level} is what runs under valgrind here")
            return
    if args.update:
        lines = ["# Instructions of a call at avx2, one thread; written by count.py --update", compiler()]
        COUNTS.write_text("\n".join([*lines, *(f"{call} {n}" for call, n in found.items())]) + "\n")
    stored_by, stored = read()
    same_compiler, failed = stored_by == compiler(), False
    for call, n in found.items():
        change = n / stored[call] - 1
        failed |= abs(change) > TOLERANCE
        print(f"{call:16} {n:12,} {change:+8.2%}{'  more than 2 %' if abs(change) > TOLERANCE else ''}")
    if failed and not same_compiler:
        print(f"not compared: counted by {compiler()}, stored by {stored_by}")
    elif failed:
        sys.exit("instruction counts changed: explain them, then --update")


if __name__ == "__main__":
    main()
