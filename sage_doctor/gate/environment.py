"""What a result depends on besides files: boot, kernel, driver, settings, interpreter and packages."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import sage_doctor
from sage_doctor.subjects.accelerator_state import accelerator_devices, count_gpu_errors
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
_METADATA: Final = ((".dist-info", "METADATA"), (".egg-info", "PKG-INFO"))
_MOST_PATH_FILES: Final = 100
_MOST_PACKAGES: Final = 2000
_CHANGES: Final = {
    "boot": "the machine was rebooted",
    "kernel": "another kernel is running",
    "driver": "the NVIDIA driver changed",
    "accelerators": "an accelerator's device came or went",
    "xids": "the NVIDIA driver reported an error",
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
    pulled = os.path.join(os.path.dirname(package), ".git", "logs", "HEAD")  # of a checkout
    driver = read_line(Path("/proc/driver/nvidia/version"))
    return {
        "boot": boot_id(),
        "kernel": f"{uname.sysname} {uname.release} {uname.version}",
        "driver": driver,
        "accelerators": accelerator_devices(),
        "xids": count_gpu_errors() if driver is not None else 0,
        "doctor": [sage_doctor.__version__, package, fingerprint(package), fingerprint(pulled)],
        "settings": {**settings(environ), **_rights()},
        "python": [executable, fingerprint(executable), fingerprint(os.path.join(home, "pyvenv.cfg"))],
    }


def _rights() -> dict[str, str]:
    """Return what the kernel allows this process and may not allow the next one, as cron starts it."""
    import resource  # noqa: PLC0415 - not on every system

    limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return {"user": f"{os.geteuid()} {sorted({os.getegid(), *os.getgroups()})}", "limits": f"{limits}"}


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return digests of the variables that decide what a session loads and runs on; secrets are left out.

    huggingface_hub expands variables in its own.
    """
    import hashlib  # noqa: PLC0415 - not needed for as long as nothing is recorded

    return {
        name: hashlib.sha256(os.fsencode(os.path.expandvars(value))).hexdigest()[:16]
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


def import_places(site_packages: Iterable[str], pythonpath: str, libraries: str = "") -> list[str]:
    """Return what else decides which package an import finds, all of it by name; much of it is never there.

    Files that the interpreter runs or reads as it starts, the metadata of packages, and the
    libraries' names in directories that PYTHONPATH and `.pth` files name. Such a directory is not watched itself:
    it may be where sessions write. `libraries` is LD_LIBRARY_PATH: its directories are watched.
    """
    found = [p for p in libraries.split(os.pathsep) if os.path.isabs(p)]
    more = [p for p in pythonpath.split(os.pathsep) if os.path.isabs(p)]
    for directory in site_packages:
        found += _metadata(directory)
        found += [os.path.join(directory, f"{name}.py") for name in _AT_START]
        for path in _path_files(directory):
            found.append(path)
            more += [os.path.join(directory, line) for line in _lines(path) if not line.startswith(("import", "#"))]
    for directory in dict.fromkeys(more):
        found += _metadata(directory)
        for name in (*_AT_START, *_LIBRARIES):
            place = os.path.join(directory, name)
            found += [place, f"{place}.py", os.path.join(place, "__init__.py")]
    return list(dict.fromkeys(found))


def _metadata(directory: str) -> list[str]:
    return [os.path.join(p, file) for suffix, file in _METADATA for p in _names(directory, suffix)[:_MOST_PACKAGES]]


def _path_files(directory: str) -> list[str]:
    return _names(directory, ".pth")[:_MOST_PATH_FILES]


def _names(directory: str, suffix: str) -> list[str]:
    try:
        return sorted(os.path.join(directory, n) for n in os.listdir(directory) if n.endswith(suffix))
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
