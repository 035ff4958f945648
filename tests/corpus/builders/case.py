"""What a case is: one directory, ill in one way or healthy, and what the doctor must say about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["healthy", "error", "warning", "info"]
TOOK_THE_BAIT = "executed-code-of-a-model"  # the file that code hidden in a model directory would leave behind


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a builder works. `here` is the directory to examine: it does not exist yet.

    `beside` is a directory outside every target, for what a case refers to (a base that is itself ill, a file that
    an index must not reach). `stock` holds the healthy models and adapters by name.
    """

    stock: Path
    here: Path
    beside: Path

    def copy(self, name: str = "llama", to: Path | None = None) -> Path:
        """Copy a stock directory to `to`, else to `here`, and return the copy."""
        folder = to or self.here
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.stock / name, folder)
        return folder

    @property
    def bait(self) -> Path:
        """The file that exists as soon as somebody ran code of this case's directory."""
        return self.beside / TOOK_THE_BAIT


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table.

    `codes`: what the first finding of the subject may be, the expected one first; where there are several, the
    contract leaves it open and each tells a user the truth. `also`: codes that may follow, or be there at all.
    `shows`: what transformers 5.23, peft 0.21 or safetensors 0.8 really do with the directory: `loads…`, or the
    class of the error and how its text goes on. `test_truth.py` tries it.
    `source` is the public report a field case is built after, and `shows_4` what transformers 4.57 does, where that
    differs.
    `target` is examined (relative to `here`), unless `manifest`: then `here` holds a `sage-doctor.toml`.
    `subject` is what the finding is about when the directory is examined alone. `in_tree`: it can be one of many
    below a single target; `among_many` is the outcome there, where it is another than that of a directory that is
    named.
    """

    name: str
    outcome: Outcome
    build: Callable[[Bench], None]
    codes: tuple[str, ...] = ()
    also: frozenset[str] = frozenset()
    subject: str = "."
    level: str = "static"
    shows: str = ""
    shows_4: str = ""
    source: str = ""
    target: str = "."
    manifest: bool = False
    in_tree: bool = True
    among_many: Outcome | None = None
    root_only: bool = False
    exits: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


class Table:
    """The cases of one noun, in the order they are written; each method decorates a builder."""

    def __init__(self, noun: str, **common: Any) -> None:
        self.noun = noun
        self.common = common
        self.cases: list[Case] = []

    def healthy(self, **rest: Any) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register a healthy directory: exit code 0, no error and no warning."""
        return self._add("healthy", (), {"exits": 0, **rest})

    def error(self, *codes: str, **rest: Any) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register a directory with exactly one error, which is one of `codes`: exit code 1."""
        return self._add("error", codes, {"exits": 1, **rest})

    def warning(self, *codes: str, **rest: Any) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register a directory that works but deserves a warning: exit code 0."""
        return self._add("warning", codes, {"exits": 0, **rest})

    def _add(
        self, outcome: Outcome, codes: tuple[str, ...], rest: dict[str, Any]
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        def mark(build: Callable[[Bench], None]) -> Callable[[Bench], None]:
            fields = {**self.common, **rest, "also": frozenset(rest.get("also", ()))}
            name = f"{self.noun}/{build.__name__.replace('_', '-')}"
            self.cases.append(Case(name=name, outcome=outcome, build=build, codes=codes, **fields))
            return build

        return mark


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON."""
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def edit_json(path: Path, drop: tuple[str, ...] = (), **changes: object) -> None:
    """Change and drop top-level keys of the JSON object in `path`."""
    value = {**read_json(path), **changes}
    write_json(path, {key: item for key, item in value.items() if key not in drop})


def write_manifest(folder: Path, **paths: str) -> None:
    """Write a manifest of full models into `folder`, given as name → path."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = [f'[models.{name}]\nkind = "full"\npath = {json.dumps(path)}\n' for name, path in paths.items()]
    (folder / "sage-doctor.toml").write_text("schema = 1\n\n" + "\n".join(tables), encoding="utf-8")
