"""Finding and reading the manifest's file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.machines import HostIdentity
from sage_doctor.manifest.parse import parse_manifest
from sage_doctor.manifest.problems import shown_path
from sage_doctor.manifest.specs import Manifest
from sage_doctor.manifest.toml_text import read_toml_text
from sage_doctor.manifest.trust import why_not_trusted
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import printable

FILE_NAME: Final = "sage-doctor.toml"
MOST_BYTES: Final = 1024 * 1024  # a manifest of a thousand models has a fifth of it
_DEVICE_TREE = "/proc/device-tree/model"
_reported: set[str] = set()


def find_manifest(start: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the manifest in use for a session started in the directory `start`, or None if there is none.

    That is the nearest `sage-doctor.toml` from `start` upwards; else `$SAGE_DOCTOR_MANIFEST`, whether or not it
    exists; else the one of the user (`$XDG_CONFIG_HOME`, by default `~/.config`); else the one in `/etc`.
    """
    nearest = nearest_manifest(start)
    if nearest is not None:
        return nearest
    named = environ.get("SAGE_DOCTOR_MANIFEST")
    if named:
        return _absolute(Path(named))
    config = environ.get("XDG_CONFIG_HOME", "")
    if not config.startswith("/"):  # the XDG specification has relative ones ignored
        config = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    for candidate in (Path(config, "sage-doctor", FILE_NAME), Path("/etc/sage-doctor", FILE_NAME)):
        if inspect_path(candidate).kind != "missing":
            return candidate
    return None


def nearest_manifest(start: Path) -> Path | None:
    """Return the nearest `sage-doctor.toml` from the directory `start` upwards, or None if there is none.

    One that somebody else may have written is passed over, which standard error says.
    """
    start = _absolute(start)
    for directory in (start, *start.parents):
        candidate = directory / FILE_NAME
        if inspect_path(candidate).kind == "missing":
            continue
        reason = why_not_trusted(candidate)
        if not reason:
            return candidate
        _say(
            f"sage-doctor: {shown_path(candidate)} is passed over: {printable(reason)}; "
            "if you trust it, name it with --manifest"
        )
    return None


def _say(*lines: str) -> None:
    """Write lines to standard error, each once in this process."""
    new = [line for line in lines if line not in _reported]
    _reported.update(new)
    sys.stderr.write("".join(f"{line}\n" for line in new))


def load_for_host(path: Path) -> Manifest:
    """Return the manifest at `path` as it applies to this host. Raises `ManifestError`.

    Former names of keys are reported on standard error, once in this process.
    """
    manifest = parse_for_host(read_manifest_text(path), path)
    _say(*manifest.renamed)
    return manifest


def parse_for_host(text: str, path: Path) -> Manifest:
    """Return the manifest with this text as if it were the file `path` on this host. Raises `ManifestError`."""
    home = Path(os.path.expanduser("~"))
    host = HostIdentity(environ=os.environ, hostname=os.uname().nodename, device_tree=_device_tree(), home=home)
    return parse_manifest(text, path=_absolute(path), shown_as=path, host=host)


def read_manifest_text(path: Path) -> str:
    """Return the text of a manifest without a byte-order mark. Raises `ManifestError` if it cannot be one."""
    if inspect_path(path).kind == "missing":
        raise ManifestError([f"{shown_path(path)}: no such file; `sage-doctor init` writes one"])
    return read_toml_text(path, "manifest", MOST_BYTES)


def _device_tree() -> str | None:
    try:
        raw = read_start(_DEVICE_TREE, 4096)
    except UnreadableFile:  # not a board with a device tree
        return None
    return raw.decode("utf-8", "replace").strip("\0 \n") or None


def _absolute(path: Path) -> Path:
    try:
        return Path.cwd() / path
    except OSError:  # the working directory was deleted
        return path
