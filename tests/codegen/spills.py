#!/usr/bin/env python3
"""Fails if an inner loop of a product moves a vector register to the stack, and names the tile.

Builds the library with readable symbol names, disassembles it, and looks at each loop over the depth in
the kernels of the products: an innermost loop that multiplies by numbers which it broadcasts from memory.
Such a loop only reads its operands: a vector store in it is a register that did not fit. Needs cargo and objdump; runs on any x86-64 machine, since both levels
are compiled on all of them.

`--planted` tests the check itself: a loop with a planted spill is found, the same loop without is not.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The kernels of the products by their demangled names: level, what it is, panels, vectors per panel.
KERNEL = re.compile(
    r"(avx2|avx512)_enter::<.*?(rows::Stripe|weights::Column|row::RowProduct)(?:<(?:.*?, )?(\d+), (\d+)>)?"
)
# Tiles that must be among the loops, or the check looks in the wrong place: level, kernel, panels,
# vectors, rows. The shapes are those of `src/simd/tile_shapes.rs`.
EXPECTED = {
    *(("avx2", "rows::Stripe", 1, 2, rows) for rows in range(3, 7)),
    *(("avx2", "rows::Stripe", 2, 2, rows) for rows in (2, 3)),
    *(("avx2", "weights::Column", 1, 2, rows) for rows in (4, 5, 6)),
    *(("avx512", "rows::Stripe", 3, 1, rows) for rows in range(2, 9)),
    *(("avx512", "rows::Stripe", 2, 1, rows) for rows in range(3, 11)),
    *(("avx512", "rows::Stripe", 1, 1, rows) for rows in range(4, 11)),
    *(("avx512", "weights::Column", panels, 1, 8) for panels in (1, 2, 3)),
}
# A loop with fewer multiply-adds has registers to spare.
FEWEST = 2
# Constants are broadcast too, but from where the code is.
BROADCAST = re.compile(r"vbroadcastss\s+[^%\s]*\((?!%r[is]p)|\((?!%r[is]p)[^)]*\)\{1to16\}")

JUMP = re.compile(r"j\w+\s+([0-9a-f]+)\b")
MULTIPLY_ADD = re.compile(r"vfn?madd\d+ps\b.*%[yz]mm")
STORE = re.compile(r"vmov\w+\s+%[xyz]mm\d+,.*\(%rsp")
RELOAD = re.compile(r"\(%rsp.*\),.*%[xyz]mm")


def functions(binary):
    """(name, [(address, instruction)]) of each function of an object file or archive."""
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", str(binary)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name, body = None, []
    for line in text.splitlines():
        if found := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            if name:
                yield name, body
            name, body = found.group(1), []
        elif found := re.match(r"\s+([0-9a-f]+):\s+(.*)", line):
            body.append((int(found.group(1), 16), found.group(2)))
    if name:
        yield name, body


def innermost_loops(body):
    """The instructions of each loop that has none inside."""
    place = {address: i for i, (address, _) in enumerate(body)}
    jumps = []
    for i, (_, instruction) in enumerate(body):
        if found := JUMP.match(instruction):
            target = place.get(int(found.group(1), 16))
            if target is not None and target <= i:
                jumps.append((target, i))
    for first, last in jumps:
        if not any(first <= other and end < last for other, end in jumps):
            yield [instruction for _, instruction in body[first : last + 1]]


def check(binary, expected):
    """Prints what is wrong; returns whether nothing is."""
    seen, faults, loops = set(), [], 0
    for name, body in functions(binary):
        if not (kernel := KERNEL.search(name)):
            continue
        level, what = kernel.group(1), kernel.group(2)
        for loop in innermost_loops(body):
            sums = sum(bool(MULTIPLY_ADD.match(i)) for i in loop)
            if sums < FEWEST or not any(BROADCAST.search(i) for i in loop):
                continue
            loops += 1
            if kernel.group(3):
                panels, vectors = int(kernel.group(3)), int(kernel.group(4))
                rows = sums / (panels * vectors)
                seen.add((level, what, panels, vectors, rows))
                tile = f"{level} {what}, {rows:g} rows, {panels} panels of {vectors} vectors"
            else:
                tile = f"{level} {what}, {sums} vectors"
            moved = [i for i in loop if STORE.match(i) or RELOAD.search(i)]
            if moved:
                faults.append(f"{tile}: {len(moved)} vector registers on the stack, first: {moved[0]}")
    faults += [f"no such loop was found: {tile}" for tile in sorted(expected - seen)]
    for fault in faults:
        print(fault)
    print(f"{loops} inner loops of products, {len(faults)} faults")
    return not faults


def build():
    target = ROOT / "target/codegen"
    command = ["cargo", "rustc", "--quiet", "--release", "--lib", "--target-dir", str(target), "--"]
    subprocess.run([*command, "-C", "symbol-mangling-version=v0"], cwd=ROOT, check=True)
    return max(target.glob("release/libdeltarule.rlib"), key=lambda path: path.stat().st_mtime)


# The mangled name of avx2_enter::<rows::Stripe<1, 2>>, and a loop of six rows without an end to its sums.
PLANTED = """
.globl {name}
{name}:
1:  vbroadcastss (%rdx), %ymm0
    {spill}
    {sums}
    dec %rax
    jne 1b
    ret
"""
NAME = "_RINvNtNtC4test4simd8dispatch10avx2_enterINtNtNtB6_4gemm4rows6StripeKj1_Kj2_EEB6_"


def planted():
    """Whether a planted spill is found, and nothing without one."""
    sums = "\n    ".join(f"vfmadd231ps (%rcx), %ymm0, %ymm{i}" for i in range(1, 13))
    results = []
    for spill in ("", "vmovups %ymm13, 32(%rsp)", "vmovaps %ymm14, (%rsp)", "vmulps 64(%rsp), %ymm1, %ymm1"):
        with tempfile.TemporaryDirectory() as folder:
            source, binary = pathlib.Path(folder, "planted.s"), pathlib.Path(folder, "planted.o")
            source.write_text(PLANTED.format(name=NAME, spill=spill, sums=sums))
            subprocess.run(["cc", "-c", str(source), "-o", str(binary)], check=True)
            results.append(check(binary, {("avx2", "rows::Stripe", 1, 2, 6)}))
    return results == [True, False, False, False]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planted", action="store_true", help="test the check itself")
    parser.add_argument("--binary", type=pathlib.Path, help="an object file or archive that is built already")
    args = parser.parse_args()
    if args.planted:
        if not planted():
            sys.exit("a planted spill was not told from none")
        print("planted spills are found")
        return
    if not check(args.binary or build(), EXPECTED):
        sys.exit(1)


if __name__ == "__main__":
    main()
