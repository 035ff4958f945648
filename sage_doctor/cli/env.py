"""`sage-doctor env`: print what a bug report needs: versions, machine, the sessions' Python, and settings.

Secrets are left out as everywhere: nothing has to be removed by hand before it is pasted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys

from sage_doctor import __version__
from sage_doctor.cli.options import add_manifest
from sage_doctor.text import format_bytes, printable

# Of the environment, what changes how models are found and loaded. Values that name secrets are redacted on the screen.
_PREFIXES = ("HF_", "TRANSFORMERS_", "SAGE_", "CUDA_", "PYTORCH_", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")


EXAMPLES = (("env", "paste it into a bug report"),)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_manifest(parser)


def run(options: argparse.Namespace) -> int:
    """Print one fact a line."""
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415 - --help needs no manifest

    host = this_host(options.manifest)
    session, machine = host.session, host.machine
    facts = {
        "sage-doctor": __version__,
        "its Python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{machine.platform}, kernel {machine.kernel}, {machine.architecture}",
        "machine": host.name,
        "memory": format_bytes(machine.memory_total) if machine.memory_total else "unknown",
        "accelerators": ", ".join(sorted(machine.accelerators)) or "none",
        "NVIDIA driver": machine.nvidia_driver or "",
        "manifest": str(host.manifest.path) if host.manifest is not None else "none",
        "roles": ", ".join(host.manifest.needed_roles()) if host.manifest is not None else "",
        "sessions' Python": f"{session.version or session.problem or 'unknown'} ({session.executable})",
        **{name: version for name, version in session.packages.items() if version is not None},
        "hub cache": str(host.hub_cache_dir),
        **{n: v for n, v in sorted(host.environ.items()) if n.startswith(_PREFIXES)},
    }
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if value:
            sys.stdout.write(f"{printable(name, limit=80).ljust(width)}  {printable(value, limit=1000)}\n")
    return os.EX_OK
