"""A package named torch that stands in for a build with CUDA or Metal, which no test machine has.

It computes for real what the probe asks of it (in plain Python), and at three points runs what a test gives: in the
first call (`init`), in an allocation (`allocate`), and in a computation (`compute`). The probe that imports it, the
process it runs in and the pipes between are the real ones.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

_TORCH = """
import os, signal, sys, time
import types
__version__ = {version!r}
version = types.SimpleNamespace(cuda={cuda!r}, hip={hip!r})
float32 = "float32"


class OutOfMemoryError(RuntimeError):
    pass


class Tensor:
    def __init__(self, rows, device):
        self.rows, self.device = rows, types.SimpleNamespace(type=str(device).partition(":")[0])

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Tensor([[sum(a * b for a, b in zip(r, c)) for c in columns] for r in self.rows], self.device.type)

    def mul(self, n):
        return Tensor([[v * n for v in r] for r in self.rows], self.device.type)

    def add(self, n):
        return Tensor([[v + n for v in r] for r in self.rows], self.device.type)

    def sum(self):
        wrong = 0.0
        {compute}
        return Tensor([[sum(map(sum, self.rows)) + wrong]], self.device.type)

    def item(self):
        return self.rows[0][0]


def ones(shape, device="cpu"):
    {allocate}
    return Tensor([[1.0] * shape[1] for _ in range(shape[0])], device)


def arange(n, device="cpu", dtype=None):
    return Tensor([[float(i) for i in range(n)]], device)


def init():
    {init}


cuda = types.SimpleNamespace(
    init=init,
    is_available=lambda: {available!r},
    get_device_name=lambda device: "Stand-In GPU",
    mem_get_info=lambda device: ({free!r}, {total!r}),
)
mps = types.SimpleNamespace(is_built=lambda: {built!r}, is_available=lambda: {available!r})
backends = types.SimpleNamespace(mps=mps)
"""
_VERSION = "__version__ = {version!r}\ncuda = {cuda!r}\nhip = {hip!r}\n"
_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n"


def write_torch(
    site: Path,
    *,
    version: str = "2.9.0+cu128",
    cuda: str | None = "12.8",
    hip: str | None = None,
    init: str = "pass",
    allocate: str = "pass",
    compute: str = "pass",
    available: bool = True,
    built: bool = True,
    memory: tuple[int, int] = (7_000_000_000, 8_000_000_000),
) -> Path:
    """Write the package, with the metadata pip would leave, and return the directory to put on the path.

    `memory` is what is free and what there is on the device, in bytes.
    """
    package = site / "torch"
    package.mkdir(parents=True)
    code = {"init": init, "allocate": allocate, "compute": compute}
    depth = {"init": 4, "allocate": 4, "compute": 8}
    filled = {k: textwrap.indent(textwrap.dedent(v), " " * depth[k]).strip() for k, v in code.items()}
    values = {"version": version, "cuda": cuda, "hip": hip, "available": available, "built": built}
    free, total = memory
    (package / "__init__.py").write_text(_TORCH.format(**values, **filled, free=free, total=total))
    (package / "version.py").write_text(_VERSION.format(**values))
    write_metadata(site, "torch", version)
    return site


def write_metadata(site: Path, name: str, version: str, *requires: str) -> None:
    """Write what pip leaves of an installed package, without the package."""
    place = site / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    head = _METADATA.format(name=name, version=version).rstrip("\n")
    (place / "METADATA").write_text("\n".join([head, *(f"Requires-Dist: {r}" for r in requires)]) + "\n\nA text.\n")
