"""Sessions' interpreters for gates: programs that start a real Python, and do as a test says where the probe begins.

What real libraries do with a real model is tested in tests/probe and shown by `make demo`; here it is the gate that is
under test, and a load has to take a tenth of a second, hang, or die.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.model_directories import write_full

# Speaks as the probe does of a model that loads and answers; counts its calls in a file beside it.
_WELL = r"""
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "loads"), "a") as calls:
    calls.write(f"{os.getpid()}\n")
ask, say = int(sys.argv[-2]), int(sys.argv[-1])
request = os.read(ask, 1 << 20)
def tell(event, **rest):
    os.write(say, json.dumps({"event": event, **rest}).encode() + b"\n")
none = {"names": [], "total": 0}
for stage in ("start", "import", "device"):
    tell("stage", name=stage)
tell("device", used="cpu", name="cpu", cuda_build="", problem="", seconds=0.01, memory_total=0, memory_free=0)
tell("stage", name="load")
PAUSE
tell("keys", model_class="LlamaForCausalLM", missing=none, unexpected=none, spare=none, idle=none, mismatched=[],
     mismatched_total=0, errors=none)
tell("loaded", seconds=0.5, parameters=1000, dtypes={"float32": 1000}, on_meta=none,
     devices={"cpu": 10})
tell("memory", peak_resident_bytes=10**8, peak_device_bytes=0)
for stage in ("tokenizer", "forward", "generate"):
    tell("stage", name=stage)
tell("prompt", tokens=4, templated=True)
tell("forward", nan=0, infinite=0, total=16)
tell("generation", token_ids=[1, 2, 3, 4], text="I am here.", ended_by_eos=True, first_token_ms=12.0,
     tokens_per_s=20.0, seconds=0.2)
tell("stage", name="done")
"""

# Says what the safetensors library says of files that it opens, without importing numpy.
_LIBRARY = r"""
import hashlib, json, struct, sys
print(json.dumps({"version": "0.6.2"}), flush=True)
for path in json.load(sys.stdin):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    names = sorted(set(header) - {"__metadata__"})
    print(json.dumps({"names": hashlib.sha256(json.dumps(names).encode("ascii")).hexdigest()}), flush=True)
"""


def write_interpreter(directory: Path, *, probe: str | None = None, pause: str = "") -> Path:
    """Return a new interpreter in `directory`.

    `probe` is shell code that runs in place of the probe's script; without it the probe goes well, after the Python
    code `pause` in the midst of the load.
    """
    directory.mkdir(parents=True)
    script = directory / "probe_stand_in.py"
    script.write_text(_WELL.replace("PAUSE", pause))
    library = directory / "library_stand_in.py"
    library.write_text(_LIBRARY)
    behaviour = probe if probe is not None else f'exec "{sys.executable}" -I -S "{script}" "$@"'
    python = directory / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in\n*probe/script.py*) {behaviour} ;;\n'
        f'*/safetensors_library.py) exec "{sys.executable}" -I -S "{library}" ;;\n'
        f'*) exec "{sys.executable}" "$@" ;;\nesac\n'
    )
    python.chmod(0o755)
    return python


def loads(python: Path) -> int:
    """Return how often a model was loaded with this interpreter."""
    calls = python.parent / "loads"
    return len(calls.read_text().splitlines()) if calls.exists() else 0


def write_site(directory: Path, python: Path | None, *, models: int = 1, more: str = "") -> Path:
    """Return the directory of a manifest with the role `talk`, whose models `m0`, `m1` … are all there."""
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"m{n}" for n in range(models)]
    for name in names:
        write_full(directory / "zoo" / name)
    tables = "".join(f'[models.{n}]\nkind = "full"\npath = "zoo/{n}"\n' for n in names)
    machine = f'python = "{python}"\n' if python is not None else ""
    (directory / "sage-doctor.toml").write_text(
        f"schema = 1\n{machine}[roles.talk]\nmodels = {names}\n{tables}{more}".replace("'", '"')
    )
    return directory


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def below(pid: int) -> list[int]:
    """Return the children of a process."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as status:
                    if int(status.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(name))
            except OSError:
                continue
    return found
