"""Compares our models with PyTorch and ONNX Runtime, both ways; run from the repository's root.

    python3 tests/interop/check.py [--fixtures]

Needs torch, safetensors, onnx, onnxruntime and numpy. It runs the example `interop`, which writes
our models. PyTorch loads our safetensors files, strictly, and its outputs are compared with ours;
random weights that PyTorch saves for plain layers are read by us and compared the same way; ONNX
Runtime runs our ONNX files, which ONNX's own checker has seen. All differences have to be at most 1e-6 of the
largest output, or of 1 where that is less. With --fixtures the files of tests/data that a test compares with are written anew.
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


class Maxout(nn.Module):
    """The columns are piece after piece, each padded to `stride` of them."""

    def __init__(self, n_out, pieces):
        super().__init__()
        self.n_out, self.pieces, self.stride = n_out, pieces, padded(n_out)

    def forward(self, z):
        return z.unflatten(1, (self.pieces, self.stride)).amax(1)[:, : self.n_out]


class Affine(nn.Module):
    """A scale and a shift per column: a row of each in our bias, both padded."""

    def __init__(self, n):
        super().__init__()
        self.n, self.bias = n, nn.Parameter(torch.zeros(2 * padded(n)))

    def forward(self, x):
        gamma, beta = self.bias.view(2, padded(self.n))[:, : self.n]
        return gamma * x + beta


def padded(n):
    return (n + 15) // 16 * 16


class Net(nn.Module):
    """The network that the metadata describes, with our names of the parameters."""

    def __init__(self, architecture):
        super().__init__()
        width, *layers = architecture.split(", ")
        width, self.layers, self.activations = int(width.split(" ")[0]), nn.ModuleList(), []
        self.norms, self.residuals = [], []
        for layer in layers:
            if layer.startswith("affine"):
                layer = f"{width} {layer}"
            n_out, name, *words = layer.split(" ")
            n_out, (kind, _, parameter) = int(n_out), name.partition(":")
            if kind == "affine":
                self.layers.append(Affine(n_out))
                self.activations.append(nn.Identity())
            elif kind == "maxout":
                self.layers.append(nn.Linear(width, padded(n_out) * int(parameter)))
                self.activations.append(Maxout(n_out, int(parameter)))
            else:
                self.layers.append(nn.Linear(width, n_out))
                self.activations.append(activation(name))
            norm = {"batch-norm": nn.BatchNorm1d, "layer-norm": nn.LayerNorm}
            self.norms += [norm[w](n_out) for w in words if w in norm] or [None]
            self.residuals += [int(w[9:]) for w in words if w.startswith("residual:")] or [0]
            width = n_out
        self.is_plain = not any(self.norms) and not any(self.residuals)
        self.is_plain &= not any(isinstance(a, Maxout) for a in self.activations)
        self.is_plain &= not any(isinstance(layer, Affine) for layer in self.layers)
        self.eval()

    def load(self, tensors):
        """Takes the norms' parameters out of ours, and the rest strictly."""
        for i, norm in enumerate(self.norms):
            if norm is None:
                continue
            norm.eval()
            n = norm.weight.shape[0]
            bias = tensors.pop(f"layers.{i}.bias").view(3, padded(n))[:, :n]
            tensors[f"layers.{i}.bias"] = bias[0]
            state = {"weight": bias[1], "bias": bias[2]}
            if isinstance(norm, nn.BatchNorm1d):
                running = tensors.pop(f"layers.{i}.running").view(2, padded(n))[:, :n]
                state |= {"running_mean": running[0], "running_var": running[1]}
                state["num_batches_tracked"] = norm.num_batches_tracked
            norm.load_state_dict(state)
        self.load_state_dict(tensors)

    def forward(self, x):
        inputs = []
        for layer, norm, f, residual in zip(
            self.layers, self.norms, self.activations, self.residuals
        ):
            inputs.append(x)
            z = layer(x)
            x = f(z if norm is None else norm(z))
            if residual:
                x = x + inputs[-residual]
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
        net.load(load_file(path("safetensors")))
        with torch.no_grad():
            compare(f"{name}: ours in PyTorch", net(torch.tensor(x)).numpy(), y)
        onnx.checker.check_model(onnx.load(path("onnx")), full_check=True)
        session = onnxruntime.InferenceSession(path("onnx"), providers=["CPUExecutionProvider"])
        ort = session.run(None, {"input": x})[0]
        compare(f"{name}: ours in ONNX Runtime", ort, y)
        fixture = {
            "all": "all_activations",
            "layers": "all_layers",
            "affine": "affine_layers",
        }.get(name)
        if fixture and "--fixtures" in sys.argv:
            shutil.copy(path("onnx"), f"tests/data/{fixture}.onnx")
            np.savetxt(f"tests/data/{fixture}.txt", ort, fmt="%.9g")
        if not net.is_plain:
            continue
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
    for name in theirs:
        read = np.loadtxt(folder / f"{name}.read.txt", dtype=np.float32, ndmin=2)
        compare(f"{name}: PyTorch's in ours", read, theirs[name])
    shutil.rmtree(folder)
    print(f"{len(names)} networks, largest difference {worst:.1e}")


main()
