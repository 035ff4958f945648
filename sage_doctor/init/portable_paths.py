"""Paths as a manifest that is shared by several machines should write them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path

from sage_doctor.manifest.names import is_variable
from sage_doctor.system.frozen import frozen

_MARKS = ("hf:", "~")


@frozen
class Portable:
    """How paths are written: relative to the manifest if below it, else with a variable or `{home}`, else absolute.

    `variables` have values on this machine; the one with the longest value is taken.
    """

    directory: Path
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def text(self, path: Path) -> str:
        """Return the text that leads to `path` from the manifest."""
        inside = _below(path, self.directory)
        if inside is not None:
            return f"./{inside}" if inside.startswith(_MARKS) else inside
        held = [(v, n) for n, v in self.variables.items() if v.startswith("/") and _below(path, Path(v)) is not None]
        if held:
            value, name = max(held)
            return _joined(name, _below(path, Path(value)) or "")
        at_home = _below(path, self.home)
        if at_home is not None and self.home != Path("/"):
            return _joined("home", at_home)
        return escape_braces(str(path))


def _joined(variable: str, rest: str) -> str:
    return f"{{{variable}}}" if rest == "." else f"{{{variable}}}/{rest}"


def _below(path: Path, directory: Path) -> str | None:
    """Return `path` relative to a directory that contains it, braces doubled, else None."""
    if not path.is_relative_to(directory):
        return None
    return escape_braces(os.path.relpath(path, directory))


def escape_braces(text: str) -> str:
    """Return a text with its braces doubled, so that they do not start a variable."""
    return text.replace("{", "{{").replace("}", "}}")


def shared_root(paths: Iterable[Path], inside: Portable) -> tuple[str, Path] | None:
    """Return a name and value for a variable, if two or more paths share a directory and would be written absolute.

    The name is that of the directory, as in `{zoo}` for /data/zoo.
    """
    lone = [p for p in paths if inside.text(p).startswith("/")]
    if len(lone) < 2:
        return None
    root = Path(os.path.commonpath([p.parent for p in lone]))
    if len(root.parts) < 2:
        return None
    word = "".join(c if c.isalnum() and c.isascii() else "_" for c in root.name.lower()).strip("_")
    return (word if is_variable(word) and word not in ("home", "machine", "manifest_dir") else "zoo"), root
