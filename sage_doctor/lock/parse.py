"""A lock file → entries. It may be truncated, badly merged, edited by hand, or not a lock at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar

from sage_doctor.errors import ManifestError, UsageError
from sage_doctor.lock.entry import SCHEMA, LockedBase, LockedFile, LockedMerge, LockedModel, LockedTensors
from sage_doctor.manifest.problems import Problems, shown, shown_path
from sage_doctor.manifest.toml_lines import KeyPath
from sage_doctor.manifest.toml_text import parse_toml, read_toml_text
from sage_doctor.readers.known_hash import is_inside
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

MOST_BYTES: Final = 16 * 1024 * 1024  # ten thousand files have a tenth of it
_MOST_TOLD: Final = 20
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})", re.MULTILINE)
_KINDS = ("full", "merged", "adapter")
_HASHES = frozenset({"sha256", "header", "shapes", "weights", "base_weights", "adapter_weights"})
_NUMBERS = frozenset({"size", "count"})
_PARTS: Final[Mapping[str, type[Any]]] = {"tensors": LockedTensors, "base": LockedBase, "merge": LockedMerge}
Part = TypeVar("Part")


class LockError(UsageError):
    """The lock cannot be used. `problems` holds one `file:line: message` line for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        more = [f"… and {len(problems) - _MOST_TOLD} more"] if len(problems) > _MOST_TOLD else []
        super().__init__("\n".join([*problems[:_MOST_TOLD], *more]))


def read_lock(path: Path) -> dict[str, LockedModel] | None:
    """Return the entries of the lock at `path` by model, None where there is no file. Raises `LockError`."""
    if inspect_path(path).kind == "missing":
        return None
    try:
        text = read_toml_text(path, "lock", MOST_BYTES)
    except ManifestError as error:
        raise LockError(error.problems) from error
    return parse_lock(text, path)


def parse_lock(text: str, path: Path) -> dict[str, LockedModel]:
    """Return the entries in a lock's text. Raises `LockError`."""
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        told = "unresolved merge conflict; keep either side and run `sage-doctor lock`"
        raise LockError([f"{shown_path(path)}:{line}: {told}"])
    try:
        data, problems = parse_toml(text, path, "lock")
        entries = _LockParser(data, problems).entries()
        problems.raise_if_any()
    except ManifestError as error:
        raise LockError(error.problems) from error
    return entries


class _LockParser:
    def __init__(self, data: dict[str, Any], problems: Problems) -> None:
        self.data = data
        self.problems = problems

    def entries(self) -> dict[str, LockedModel]:
        schema = self.data.get("schema")
        if schema is None:
            self.problems.add((), "schema is missing: not a lock of sage-doctor")
            return {}
        if type(schema) is not int or schema != SCHEMA:
            newer = "; a newer sage-doctor may read it" if type(schema) is int and schema > SCHEMA else ""
            self.problems.add(("schema",), f"schema must be {SCHEMA}, not {shown(schema)}{newer}")
            return {}
        self._only(self.data, (), ("schema", "models"))
        models = self._table(self.data.get("models", {}), ("models",))
        return {name: self._model(self._table(value, ("models", name)), name) for name, value in models.items()}

    def _model(self, table: Mapping[str, Any], name: str) -> LockedModel:
        path: KeyPath = ("models", name)
        self._only(table, path, ("kind", "repository", "commit", "files", *_PARTS))
        kind = table.get("kind")
        if kind not in _KINDS:
            self.problems.add((*path, "kind"), f"kind must be one of {', '.join(_KINDS)}, not {shown(kind)}")
        files = {}
        for file, value in self._table(table.get("files", {}), (*path, "files")).items():
            if not is_inside(file):
                told = f"the file name {printable(file, limit=120)} leads out of the model's directory"
                self.problems.add((*path, "files", file), told)
            read = self._inline_table(LockedFile, value, (*path, "files", file), needed=("size", "sha256"))
            if read is not None:
                files[file] = read
        held: dict[str, Any] = {"kind": str(kind), "files": files}
        for part, part_type in _PARTS.items():
            if part in table:
                needed = ("count", "dtypes", "header", "shapes") if part == "tensors" else ()
                held[part] = self._inline_table(part_type, table[part], (*path, part), needed=needed)
        held.update({w: self._text(table[w], (*path, w)) for w in ("repository", "commit") if w in table})
        return LockedModel(**held)

    def _inline_table(
        self, part_type: type[Part], value: object, path: KeyPath, *, needed: tuple[str, ...]
    ) -> Part | None:
        """Return an inline table as a value of that type, None where something in it is wrong, which is noted."""
        table = self._table(value, path)
        known = [f.name for f in fields(part_type)]  # type: ignore[arg-type]
        self._only(table, path, known)
        for lacking in (k for k in needed if k not in table):
            self.problems.add(path, f"{lacking} is missing")
        held: dict[str, Any] = {}
        for what in (k for k in known if k in table):
            read = self._count if what in _NUMBERS else self._text
            held[what] = read(table[what], (*path, what))
        if not all(k in held for k in needed):
            return None
        return part_type(**held)

    def _only(self, table: Mapping[str, Any], path: KeyPath, known: Any) -> None:
        for word in table:
            if word not in known:
                self.problems.unknown((*path, word), f"unknown key '{printable(word, limit=80)}'", known)

    def _table(self, value: object, path: KeyPath) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.problems.add(path, f"{printable(str(path[-1]), limit=80)} must be a table, not {shown(value)}")
        return {}

    def _text(self, value: object, path: KeyPath) -> str:
        what = str(path[-1])
        if not isinstance(value, str):
            self.problems.add(path, f"{what} must be a string, not {shown(value)}")
            return ""
        if what in _HASHES and re.fullmatch(r"[0-9a-f]{64}", value) is None:
            self.problems.add(path, f"{what} must be 64 hexadecimal digits, not {shown(value)}")
        return value

    def _count(self, value: object, path: KeyPath) -> int:
        if type(value) is int and 0 <= value < 1 << 63:
            return value
        self.problems.add(path, f"{path[-1]} must be a whole number, not {shown(value)}")
        return 0
