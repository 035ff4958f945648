"""What a result depends on besides files: boot, kernel, driver, settings, interpreter and packages."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import sage_doctor
from sage_doctor.system.boot import boot_id
from sage_doctor.system.fingerprint import fingerprint
from sage_doctor.system.small_text import read_line, read_text
from sage_doctor.text import is_secret_name

# Settings that decide which files a session loads, and what runs them.
_PREFIXES: Final = ("HF_", "TRANSFORMERS_", "HUGGINGFACE_", "PYTORCH_", "TORCH_", "CUDA_", "NVIDIA_VISIBLE")
_NAMES: Final = (
    *("HOME", "SAGE_MACHINE", "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME"),
    *("PYTHONNOUSERSITE", "OMP_NUM_THREADS", "VIRTUAL_ENV"),
)
# What an interpreter imports by itself, and the libraries that a load imports.
_AT_START: Final = ("sitecustomize", "usercustomize")
_LIBRARIES: Final = (
    *("torch", "transformers", "peft", "tokenizers", "safetensors", "accelerate", "huggingface_hub", "numpy"),
    *("sentencepiece", "tiktoken", "jinja2", "bitsandbytes"),
)
_MOST_PATH_FILES: Final = 100
_CHANGES: Final = {
    "boot": "the machine was rebooted",
    "kernel": "another kernel is running",
    "driver": "the NVIDIA driver changed",
    "doctor": "sage-doctor itself changed",
    "settings": "environment variables changed",
    "python": "the sessions' interpreter changed",
    "packages": "the sessions' packages changed",
}

EnvironmentFingerprint = dict[str, Any]


def read_environment(python: Path | None, environ: Mapping[str, str]) -> EnvironmentFingerprint:
    """Return the fingerprint of now, without the packages' directories.

    `python` is the sessions' interpreter, None for the one that runs this.
    """
    uname = os.uname()
    executable = os.fspath(python) if python is not None else sys.executable
    home = os.path.dirname(os.path.dirname(executable))
    package = os.path.dirname(sage_doctor.__file__)
    return {
        "boot": boot_id(),
        "kernel": f"{uname.sysname} {uname.release} {uname.version}",
        "driver": read_line(Path("/proc/driver/nvidia/version")),
        "doctor": [sage_doctor.__version__, package, fingerprint(package)],
        "settings": settings(environ),
        "python": [executable, fingerprint(executable), fingerprint(os.path.join(home, "pyvenv.cfg"))],
    }


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return digests of the variables that decide what a session loads and runs on; secrets are left out."""
    import hashlib  # noqa: PLC0415 - not needed for as long as nothing is recorded

    return {
        name: hashlib.sha256(os.fsencode(value)).hexdigest()[:16]
        for name, value in sorted(environ.items())
        if (name in _NAMES or name.startswith(_PREFIXES)) and not is_secret_name(name)
    }


def package_places(site_packages: tuple[Path, ...], version: str | None, home: Path) -> list[str]:
    """Return the directories in which an installation or an upgrade leaves its mark.

    One that does not exist yet is among them: the user's own would come before the others.
    """
    short = ".".join((version or "").split(".")[:2])
    own = home / ".local" / "lib" / f"python{short}" / "site-packages"
    return list(dict.fromkeys([*(os.fspath(p) for p in site_packages), os.fspath(own)]))


def import_places(site_packages: Iterable[str], pythonpath: str) -> list[str]:
    """Return what else decides which package an import finds, all of it by name; much of it is never there.

    Files that the interpreter runs or reads as it starts, and the libraries' names in directories that PYTHONPATH and
    `.pth` files name. Such a directory is not watched itself: it may be where sessions write.
    """
    found, more = [], [p for p in pythonpath.split(os.pathsep) if os.path.isabs(p)]
    for directory in site_packages:
        found += [os.path.join(directory, f"{name}.py") for name in _AT_START]
        for path in _path_files(directory):
            found.append(path)
            more += [os.path.join(directory, line) for line in _lines(path) if not line.startswith(("import", "#"))]
    for directory in dict.fromkeys(more):
        for name in (*_AT_START, *_LIBRARIES):
            place = os.path.join(directory, name)
            found += [place, f"{place}.py", os.path.join(place, "__init__.py")]
    return list(dict.fromkeys(found))


def _path_files(directory: str) -> list[str]:
    try:
        return sorted(os.path.join(directory, n) for n in os.listdir(directory) if n.endswith(".pth"))[
            :_MOST_PATH_FILES
        ]
    except OSError:
        return []


def _lines(path: str) -> list[str]:
    text = read_text(Path(path)) or ""
    return [line.strip() for line in text.splitlines()[:_MOST_PATH_FILES] if line.strip()]


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return in words what of the environment changed, None if nothing did."""
    for name, words in _CHANGES.items():
        if name in now and before.get(name) != now[name]:
            return words
    return None


def since_boot_s() -> float:
    """Return the seconds since boot, sleep included: nobody can set this clock back."""
    clock = getattr(time, "CLOCK_BOOTTIME", None) or time.CLOCK_MONOTONIC
    return time.clock_gettime(clock)
