"""A run without the shell that installs it, as cron, systemd and launchd start it: how, and what it will lack.

It has a minimal PATH, another directory, and no variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.install.order import Order
from sage_doctor.manifest.specs import Manifest
from sage_doctor.system import child
from sage_doctor.text import join_limited, printable, shell_quote

BARE_PATH = "/usr/bin:/bin"
_NAME = "sage-doctor"

# They change what a session finds or loads. None is copied: only their owner knows whether sessions are to have them.
_CHANGE_SESSIONS: Final = (
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HIP_VISIBLE_DEVICES"),
    *("HSA_OVERRIDE_GFX_VERSION", "PYTORCH_CUDA_ALLOC_CONF", "TRANSFORMERS_CACHE", "SSL_CERT_FILE"),
)
_WHERE: Final = {
    "cron": "in a line NAME=value at the top of the crontab (crontab -e)",
    "systemd": "with Environment= or EnvironmentFile= in a drop-in (systemctl edit UNIT)",
    "launchd": "under EnvironmentVariables in the job's file",
}
_SECRETS: Final = {
    "cron": "in a line NAME=value at the top of the crontab, which only you and root can read",
    "systemd": "in a file of mode 600 that an EnvironmentFile= of a drop-in names (systemctl edit UNIT)",
    "launchd": "under EnvironmentVariables in the job's file, of mode 600",
}


def lacking(order: Order, manifest: Manifest, environ: Mapping[str, str], scheduler: str) -> Iterator[str]:
    """Yield a sentence for each thing that this shell has, a scheduled run will not, and a model may need."""
    keys = {
        spec.api_key_env: name
        for name, spec in manifest.services.items()
        if spec.api_key_env and spec.api_key_env not in order.environment
    }
    for variable, service in keys.items():
        yield (
            f"the key of {printable(service)} is in ${variable}, which a scheduled run does not have and which is "
            f"never copied: set it {_SECRETS[scheduler]}"
        )
    named = [name for name in _CHANGE_SESSIONS if environ.get(name) and name not in order.environment]
    if named:
        yield (
            f"this shell sets {join_limited(named, most=9)}, a scheduled run does not: if the sessions need it, set it "
            f"{_WHERE[scheduler]}"
        )
    conda = environ.get("CONDA_PREFIX") or environ.get("VIRTUAL_ENV") or ""
    python = manifest.python
    if conda and python is None and not _is_below(Path(order.program[0]), Path(conda)):
        told = shell_quote(os.path.join(conda, "bin", "python"))
        yield (
            f"the environment {printable(conda)} is active here and will not be: if sessions run in it, name its "
            f"interpreter in the manifest: python = {told}"
        )


def _is_below(path: Path, directory: Path) -> bool:
    return directory in path.parents or Path(os.path.realpath(directory)) in Path(os.path.realpath(path)).parents


def own_program(called_as: str) -> tuple[str, ...]:
    """Return the words that start this doctor: the script it was `called_as`, else its interpreter and module.

    Links are kept: Python finds a virtual environment by the location of its link.
    """
    script = os.path.abspath(called_as)
    if os.path.basename(script) == _NAME and os.path.isfile(script) and os.access(script, os.X_OK):
        return (script,)
    # -P: a directory sage_doctor in the home that cron starts in must not be taken for the package.
    safe = ("-P",) if sys.version_info >= (3, 11) else ()
    return (sys.executable, *safe, "-m", "sage_doctor")


def prove(program: tuple[str, ...], home: Path, environment: Mapping[str, str]) -> None:
    """Start the program as a scheduler would, in an empty environment. Raises `DoctorError` if it does not start."""
    env = {"HOME": str(home), "PATH": BARE_PATH, "SHELL": "/bin/sh", **environment}
    done = child.run([*program, "--version"], timeout_s=60, env=env, cwd=Path("/"))
    if done is not None and done.code == 0 and done.out.startswith(b"sage-doctor "):
        return
    said = (done.err or done.out).decode("utf-8", "replace").strip().rpartition("\n")[2] if done is not None else ""
    reason = f": {printable(said, limit=300)}" if said else ""
    words = " ".join(shell_quote(word) for word in program)
    raise DoctorError(
        f"`{words}` does not start in an empty environment, as a scheduler starts it{reason}; install sage-doctor into "
        "that interpreter (pip install sage-doctor) and run install from there. Nothing was changed"
    )
