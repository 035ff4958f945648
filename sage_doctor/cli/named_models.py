"""What an error in a log names, looked at where it is.

A log is foreign text: a path in it is only looked at, never opened or written, and no longer than a few seconds.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.readers.tree import WEIGHTS, Tree, is_model_directory, read_tree
from sage_doctor.system.location import locate
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import format_bytes, join_limited, printable, shell_operand, shell_quote

_MOST_NAMED = 3
_MOST_LOOKED_AT = 20
_PATIENCE_S = 3.0
_MOST_WEIGHTS = 200
# An absolute path, or one below a home: in quotes with blanks in it, else up to the first character that ends it.
_PATH = re.compile(r"(?<![\w:/.~-])(?:(?<=['\"`])(~?/[^'\"`\n]{2,400})(?=['\"`])|(~?/[^\s'\"`<>|:;,()\[\]{}]{2,400}))")
# Parts of the system, of an installation, of a network address: no model is there.
_NO_MODEL = re.compile(r"/(proc|sys|dev|usr|bin|lib\w*|etc|run|boot|sbin)/|.*/(site|dist)-packages/|//|/v1/|/api/")
_ENDS = (".safetensors", ".bin")
_MARKS = ("config.json", "adapter_config.json", "tokenizer.json")


def looked_up(line: str, around: str, models: Mapping[str, Path], *, home: Path) -> tuple[list[str], str | None]:
    """Return what can be said of the models and paths that a line names, or else the text around it.

    The second value is the command that examines them. `models` are those of the manifest.
    """
    said: list[str] = []
    commands: list[str] = []

    def look() -> None:
        said.extend(_said(line, around, models, home))
        commands.extend(_commands(line, models, home))

    # A path may lead to a file server that does not answer, and no call to the system can be told to stop waiting.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(_PATIENCE_S)
    if looking.is_alive():
        return [*said, "a path in this line does not answer: its disk or file server hangs"], None
    return said, next(iter(commands), None)


def _said(line: str, around: str, models: Mapping[str, Path], home: Path) -> Iterator[str]:
    paths = list(dict.fromkeys(_paths(line, home)))[:_MOST_NAMED]
    for path in paths or list(_near(around, models, home)):
        owner = _owner(path, models)
        yield _seen(path, home) + (f"; it is {printable(owner)} of the manifest" if owner else "")
        alike = [] if owner else [name for name, where in models.items() if where.parts[-2:] == path.parts[-2:]]
        for name in alike[:1]:
            yield f"on this machine that is probably {printable(name)} of the manifest: {_seen(models[name], home)}"


def _near(around: str, models: Mapping[str, Path], home: Path) -> Iterator[Path]:
    """Yield the model that was named last before an error which names none itself: by its path, or by the manifest."""
    for path in list(dict.fromkeys(reversed(list(_paths(around, home)))))[:_MOST_LOOKED_AT]:
        if _owner(path, models) or (inspect_path(path).kind == "directory" and is_model_directory(read_tree(path))):
            yield path
            return
    for name, where in models.items():
        if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", around):
            yield where
            return


def _owner(path: Path, models: Mapping[str, Path]) -> str | None:
    return next((name for name, where in models.items() if where in (path, *path.parents)), None)


def _paths(text: str, home: Path) -> Iterator[Path]:
    for quoted, bare in _PATH.findall(text):
        found = (quoted or bare).rstrip("./")
        if found and not _NO_MODEL.match(found):
            yield home / found[2:] if found.startswith("~/") else Path(os.path.normpath(found))


def _seen(path: Path, home: Path) -> str:
    shown, node = printable(str(path), limit=400), inspect_path(path)
    if node.kind == "missing":
        place = locate(path, home=home)
        near = f"; near it: {join_limited([str(p) for p in place.near], most=2)}" if place.near else ""
        return f"{shown} does not exist here ({printable(str(place.existing))} does){near}"
    if node.kind == "file":
        return f"{shown} exists ({format_bytes(node.size)})"
    if node.kind != "directory":
        return f"{shown} cannot be used: {printable(node.detail) or node.kind}"
    tree = read_tree(path)
    if tree.problem:
        return f"{shown} exists, but cannot be listed: {printable(tree.problem)}"
    return f"{shown} exists, {_content(tree)}"


def _content(tree: Tree) -> str:
    weights = sorted(n for n in tree.names if n.endswith(_ENDS) and WEIGHTS.match(n))[:_MOST_WEIGHTS]
    sizes = [tree.info(n).size for n in weights]
    marks = join_limited([m for m in _MARKS if tree.has(m)]) or "nothing that says what it is"
    if not weights:
        return f"with {marks}; its weights do not"
    empty = sum(not size for size in sizes)
    return f"with {marks} and weights ({len(weights)} file(s), {format_bytes(sum(sizes))}" + (
        f", {empty} of them empty or broken links)" if empty else ")"
    )


def models_of(cwd: Path, environ: Mapping[str, str]) -> dict[str, Path]:
    """Return the models of the manifest in use and where they are on this machine; empty if there is no manifest."""
    from sage_doctor.manifest.load import find_manifest  # noqa: PLC0415 - explaining a code needs no manifest
    from sage_doctor.subjects.selection import Request, select  # noqa: PLC0415

    if find_manifest(cwd, environ) is None:
        return {}
    try:
        chosen = select(Request(level="static", cwd=str(cwd), history=False), environ).models
    except DoctorError:
        return {}
    return {m.name: m.path for m in chosen if m.spec is not None}


def _commands(line: str, models: Mapping[str, Path], home: Path) -> Iterator[str]:
    for path in _paths(line, home):
        owner = _owner(path, models)
        if owner:
            yield f"sage-doctor check {shell_operand(owner)}"
        elif inspect_path(path).kind == "directory":
            yield f"sage-doctor check {shell_quote(path)}"
