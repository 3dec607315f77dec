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

# An archive with what the format allows and NumPy does not write: something in front of it, a
# comment, extra fields, data descriptors (as written to a pipe), a member of another method, one
# whose name is not UTF-8, and arrays of truth values and half floats.
import io
import struct
import zipfile


class Pipe(io.RawIOBase):
    """Can be written only, so that `zipfile` puts sizes behind the data."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.bytes += data
        return len(data)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


pipe = Pipe()
with zipfile.ZipFile(pipe, "w") as archive:
    padded = zipfile.ZipInfo("truth.npy", (2024, 1, 1, 0, 0, 0))
    padded.extra = struct.pack("<HH5s", 0x4B43, 5, b"extra")
    archive.writestr(padded, npy(np.array([True, False, True])))
    half = zipfile.ZipInfo("half.npy", (2024, 1, 1, 0, 0, 0))
    half.compress_type = zipfile.ZIP_DEFLATED
    half.comment = b"of one member"
    archive.writestr(half, npy(np.array([[1, -2, 1 / 3]], np.float16)))
    other = zipfile.ZipInfo("notes.txt", (2024, 1, 1, 0, 0, 0))
    other.compress_type = zipfile.ZIP_BZIP2
    archive.writestr(other, b"compressed in another way")
    archive.writestr(zipfile.ZipInfo("b@se.npy", (2024, 1, 1, 0, 0, 0)), npy(np.arange(3)))
    archive.comment = b"of the archive"
whole = bytes(pipe.bytes).replace(b"b@se.npy", b"b\x84se.npy")
with np.load(io.BytesIO(whole)) as archive:
    assert archive["truth"].tolist() == [True, False, True]
    assert archive["half"].dtype == np.float16
    assert "notes.txt" in archive.files
(here / "legal.npz").write_bytes(b"#!/bin/sh in front\n" + whole)
assert zipfile.ZipFile(here / "legal.npz").testzip() is None
