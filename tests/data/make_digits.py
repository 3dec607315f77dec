"""Writes src/data/digits.bin: the 1,797 digits of scikit-learn's digits.csv.gz, packed.

    pip install scikit-learn
    python tests/data/make_digits.py

Prints what the test in src/data/digits.rs expects.
"""

import gzip
import hashlib
import pathlib

import sklearn

table = pathlib.Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz"
rows = [[int(float(x)) for x in line.split(",")] for line in gzip.open(table, "rt")]
assert len(rows) == 1797 and all(len(row) == 65 for row in rows)
assert all(0 <= p <= 16 for row in rows for p in row[:64])

bits = "".join("".join(f"{p:05b}" for p in row[:64]) + f"{row[64]:04b}" for row in rows)
bits += "0" * (-len(bits) % 8)
packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
out = pathlib.Path(__file__).resolve().parents[2] / "src/data/digits.bin"
out.write_bytes(packed)

print(f"{out}: {len(packed)} bytes")
print("class counts:", [sum(row[64] == c for row in rows) for c in range(10)])
print("sum of pixels:", sum(sum(row[:64]) for row in rows))
print("sha-256:", hashlib.sha256(bytes(b for row in rows for b in row)).hexdigest())
