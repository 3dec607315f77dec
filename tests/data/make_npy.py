"""Writes the NumPy files that the tests of src/data/npy.rs and npz.rs read.

    pip install numpy
    python tests/data/make_npy.py
"""

import pathlib

import numpy as np

here = pathlib.Path(__file__).resolve().parent
x = (np.arange(24) / 4).reshape(2, 3, 4)
np.save(here / "f4_big_fortran.npy", np.asfortranarray(x.astype(">f4")))
with open(here / "i8_version_2.npy", "wb") as file:
    labels = np.array([-1, 0, 1 << 40])
    np.lib.format.write_array(file, labels, version=(2, 0))

images = (np.arange(2000) % 256).astype(np.uint8).reshape(100, 20)
labels = (np.arange(100) % 3).astype(np.int64)
np.savez(here / "stored.npz", x=images, y=labels)
np.savez_compressed(here / "deflated.npz", x=images, y=labels)
