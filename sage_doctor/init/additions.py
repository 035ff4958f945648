"""New tables appended to a manifest: not a byte of the existing text changes, and the result is a valid manifest.

TOML tables may come in any order, so new ones go to the end. Comments, order and formatting stay as a person left them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError, ManifestError
from sage_doctor.init.draft import new_tables
from sage_doctor.init.inventory import Inventory
from sage_doctor.manifest.json_schema import schema_faults
from sage_doctor.manifest.keys import SCHEMA
from sage_doctor.manifest.load import parse_for_host
from sage_doctor.manifest.problems import shown_path
from sage_doctor.manifest.toml_lines import loads, locate_keys
from sage_doctor.system.atomic_write import atomic_write
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import printable

_FAMILIES = ("machines", "roles", "models")
_MOST_BYTES = 1 << 20
_HEADING = "# Found by `sage-doctor init`.\n"


@frozen
class Addition:
    """A manifest before and after. `old` is None where there was no file."""

    path: Path
    old: str | None
    new: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to add."""
        return self.new == (self.old or "")

    def diff(self) -> list[str]:
        """Return the change as the lines of a unified diff, safe to show."""
        name = self.path.name
        before = f"a/{name}" if self.old is not None else "/dev/null"
        lines = difflib.unified_diff(
            (self.old or "").splitlines(), self.new.splitlines(), before, f"b/{name}", lineterm="", n=3
        )
        return [printable(line, limit=1000) for line in lines]

    def write(self) -> None:
        """Write the new text in one step. Raises `DoctorError` where the file is not what it was."""
        if read_text(self.path) != self.old:
            raise DoctorError(f"{shown_path(self.path)} was changed in the meantime; nothing was written")
        atomic_write(self.path, self.new)


def read_text(path: Path) -> str | None:
    """Return the file's text as it is, byte-order mark included; None if there is no file. Raises `DoctorError`."""
    node = inspect_path(path)
    if node.kind == "missing":
        return None
    if node.kind != "file":
        what = printable(node.detail) or f"a {node.kind}"
        raise ManifestError([f"{shown_path(path)}: {what}, not a manifest file"])
    try:
        return read_start(path, _MOST_BYTES + 1).decode("utf-8", "surrogateescape")
    except UnreadableFile as error:
        raise DoctorError(f"{shown_path(path)} cannot be read: {error}") from error


def added(inventory: Inventory, path: Path, old: str | None) -> Addition:
    """Return the manifest with new tables for what was found. Raises `ManifestError` if nothing can be added."""
    return appended(path, old, new_tables(inventory))


def appended(path: Path, old: str | None, blocks: Sequence[str], heading: str = _HEADING) -> Addition:
    """Return the manifest with these tables at its end, below a comment that says who wrote them.

    Raises `ManifestError` if it would not be valid on this host.
    """
    if not blocks:
        return Addition(path=path, old=old, new=old or "")
    _hold_against_schema(blocks)
    new = _joined(old, blocks, heading)
    try:
        parse_for_host(new.removeprefix("\ufeff"), path)
    except ManifestError as error:
        raise _explained(old, path, error) from error
    return Addition(path=path, old=old, new=new)


def _hold_against_schema(blocks: Sequence[str]) -> None:
    """Raise `DoctorError` where editors would refuse the new tables, whatever the text before them holds."""
    text = "".join(blocks)
    faults = schema_faults({"schema": SCHEMA, **loads(text)})
    if faults:
        shown = printable("; ".join(faults), limit=500)
        raise DoctorError(f"nothing was written: the new tables do not fit the manifest's schema: {shown}")


def _joined(old: str | None, blocks: Sequence[str], heading: str) -> str:
    text = "\n".join(blocks)
    if old is None:
        return text
    end = "\r\n" if "\r\n" in old else "\n"
    gap = "" if not old or old.endswith("\n") else end
    return old + gap + (f"\n{heading}{text}" if old.strip() else text).replace("\n", end)


def _explained(old: str | None, path: Path, error: ManifestError) -> ManifestError:
    """Return why the tables cannot be added: most likely a family is written as one inline table."""
    lines = locate_keys(old or "")
    inline = []
    for family in _FAMILIES:
        at = lines.of((family,))
        text = ((old or "").splitlines() or [""])[at - 1]
        if (family,) in lines.lines and "{" in text and not text.lstrip().startswith("["):
            told = f"{family} is an inline table, which cannot be extended; write it as [{family}.NAME] tables"
            inline.append(f"{shown_path(path)}:{at}: {told}")
    if inline:
        return ManifestError([*inline, "nothing was written"])
    return ManifestError([*error.problems, "nothing was written: the result would not be a valid manifest"])


def target_of(named: str | None, nearest: Path | None, cwd: Path, default: str) -> Path:
    """Return the absolute path of the manifest to write: the one named, else the one in use, else a new one here."""
    if named is not None:
        return Path(os.path.normpath(cwd / named)) if ".." not in Path(named).parts else cwd / named
    return nearest if nearest is not None else cwd / default
