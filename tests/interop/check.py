"""Compares our models with PyTorch and ONNX Runtime, both ways; run from the repository's root.

    python3 tests/interop/check.py [--fixtures]

Needs torch, safetensors, onnx, onnxruntime and numpy. It runs the example `interop`, which writes
our models. PyTorch loads our safetensors files, strictly, and its outputs are compared with ours;
random weights that PyTorch saves are read by us and compared the same way; ONNX Runtime runs our
ONNX files, which ONNX's own checker has seen. All differences have to be at most 1e-6 of the
largest output. With --fixtures the files of tests/data that a test compares with are written anew.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

LIMIT = 1e-6


class Step(nn.Module):
    def forward(self, z):
        return (z >= 0).to(z.dtype)


def activation(text):
    name, _, parameter = text.partition(":")
    return {
        "identity": nn.Identity,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "leaky-relu": lambda: nn.LeakyReLU(float(parameter)),
        "elu": lambda: nn.ELU(float(parameter)),
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "selu": nn.SELU,
        "softplus": nn.Softplus,
        "softsign": nn.Softsign,
        "hard-tanh": nn.Hardtanh,
        "step": Step,
        "softmax": lambda: nn.Softmax(dim=1),
    }[name]()


class Net(nn.Module):
    """The network that the metadata describes, with our names of the parameters."""

    def __init__(self, architecture):
        super().__init__()
        width, *layers = architecture.split(", ")
        width, self.layers, self.activations = int(width), nn.ModuleList(), []
        for layer in layers:
            n_out, name = layer.split(" ")
            self.layers.append(nn.Linear(width, int(n_out)))
            self.activations.append(activation(name))
            width = int(n_out)

    def forward(self, x):
        for layer, f in zip(self.layers, self.activations):
            x = f(layer(x))
        return x


def example(mode, folder):
    command = ["cargo", "run", "--quiet", "--release", "--example", "interop", "--"]
    subprocess.run([*command, mode, folder], check=True)


def main():
    folder = Path(tempfile.mkdtemp())
    example("write", folder)
    names = sorted(p.name.removesuffix(".onnx") for p in folder.glob("*.onnx"))
    worst = 0.0

    def compare(what, got, want):
        nonlocal worst
        error = float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))
        worst = max(worst, error)
        print(f"{what:32} {error:.1e}")
        assert error <= LIMIT, what

    theirs = {}
    for name in names:
        path = lambda end: folder / f"{name}.{end}"
        x = np.loadtxt(path("x.txt"), dtype=np.float32, ndmin=2)
        y = np.loadtxt(path("y.txt"), dtype=np.float32, ndmin=2)
        with safe_open(path("safetensors"), "pt") as file:
            net = Net(file.metadata()["deltarule.architecture"])
        net.load_state_dict(load_file(path("safetensors")))
        with torch.no_grad():
            compare(f"{name}: ours in PyTorch", net(torch.tensor(x)).numpy(), y)
        onnx.checker.check_model(onnx.load(path("onnx")), full_check=True)
        session = onnxruntime.InferenceSession(path("onnx"), providers=["CPUExecutionProvider"])
        ort = session.run(None, {"input": x})[0]
        compare(f"{name}: ours in ONNX Runtime", ort, y)
        if name == "all" and "--fixtures" in sys.argv:
            shutil.copy(path("onnx"), "tests/data/all_activations.onnx")
            np.savetxt("tests/data/all_activations.txt", ort, fmt="%.9g")
        torch.manual_seed(1)
        other = Net(safe_open(path("safetensors"), "pt").metadata()["deltarule.architecture"])
        with torch.no_grad():
            theirs[name] = other(torch.tensor(x)).numpy()
        # The names of nn.Sequential, with activations between the layers.
        parts = [m for pair in zip(other.layers, other.activations) for m in pair]
        save_file(nn.Sequential(*parts).state_dict(), path("others.safetensors"))
        if name == "all" and "--fixtures" in sys.argv:
            shutil.copy(path("others.safetensors"), "tests/data/pytorch.safetensors")
            np.savetxt("tests/data/pytorch.txt", theirs[name], fmt="%.9g")
    example("read", folder)
    for name in names:
        read = np.loadtxt(folder / f"{name}.read.txt", dtype=np.float32, ndmin=2)
        compare(f"{name}: PyTorch's in ours", read, theirs[name])
    shutil.rmtree(folder)
    print(f"{len(names)} networks, largest difference {worst:.1e}")


main()
