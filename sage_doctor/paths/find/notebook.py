"""The code cells of a notebook: their Python is read as one program, `!command` and `%%bash` as a shell script."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.python_script import parse, python_references
from sage_doctor.paths.find.reference import PathReference
from sage_doctor.paths.find.shell_script import shell_references

# What the kernel takes out before Python reads a line: commands, magics, and questions about objects.
_BEFORE = r"(?P<before>[ \t]*(?:\w[\w, ]*=[ \t]*)?)"
_COMMAND = re.compile(_BEFORE + r"(?:!!?|%?(?=cd\s))(?P<command>.*)")
_MAGIC = re.compile(_BEFORE + r"(?:%\w|\?{1,2}[\w.]+\s*$|[\w.]+\?{1,2}\s*$|(?:pip|conda|ls|cat|mkdir|rm|cp|mv)\s).*")
_MOST_MISSED = 20  # cells that are not found in the file's lines; each is looked for in all of them
_SHELL_CELLS = ("%%bash", "%%sh", "%%script")
_PYTHON_CELLS = ("%%time", "%%capture", "%%prun")


def notebook_references(raw: bytes, path_map: PathMap) -> tuple[list[PathReference], str]:
    """Return the references of a notebook's code, and why they are uncertain (empty if they are certain).

    Raises `ValueError` if it is no notebook of format 4, or not one of Python.
    """
    python, shell, lines, problem = [], [], [], ""
    for number, (source, where) in enumerate(_code_cells(raw), 1):
        code, commands = _split(source)
        if code is None:
            problem = problem or f"its code cell {number} is not the syntax of this Python"
        python += code or [""] * len(source)
        shell += commands
        lines += where
    found = python_references("\n".join(python).encode("utf-8", "replace"), path_map)
    if any(shell):
        more, uncertain = shell_references("\n".join(shell).encode("utf-8", "replace"), path_map)
        found, problem = [*found, *more], problem or uncertain
    placed = (dataclasses.replace(r, line=lines[r.line - 1], end_line=lines[r.line - 1], column=0) for r in found)
    return sorted(placed, key=lambda r: r.line), problem


def _code_cells(raw: bytes) -> Iterator[tuple[list[str], list[int]]]:
    """Yield the lines of each code cell, and where each is in the file."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not a notebook: it is not valid JSON") from error
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it is not a notebook of format 4")  # noqa: TRY004 - the file's content, not an argument
    if _language(data.get("metadata")) not in ("", "python"):
        raise ValueError("its cells are not in Python")
    text, at, missed = raw.decode("utf-8", "replace").split("\n"), 0, 0
    for cell in cells:
        source = cell.get("source") if isinstance(cell, dict) else None
        pieces: list[Any] = source if isinstance(source, list) else [source]
        if not all(isinstance(p, str) for p in pieces):
            continue
        found = next((i for i in range(at, len(text)) if _begins(text, i, pieces)), -1) if missed < _MOST_MISSED else -1
        missed += found < 0
        at = found if found >= 0 else at
        apart = text[at].rstrip().endswith("[")  # a line of the file for each line of the source
        code = "".join(pieces).split("\n")
        if cell.get("cell_type") == "code":
            yield code, [at + (2 + min(i, len(pieces) - 1) if apart else 1) for i in range(len(code))]
        at = min(at + (len(pieces) if apart else 1), len(text) - 1)


def _begins(text: Sequence[str], at: int, pieces: Sequence[str]) -> bool:
    """Whether a cell's source begins in a line of the file. An output may have a `source` as well."""
    key, mark, value = text[at].partition('"source":')
    if not mark or key.strip(" \t{,"):
        return False
    within = value.strip()
    if within != "[":  # an empty list, a list in one line, or a text
        return within.startswith("[") or _is_text(within, "".join(pieces))
    return at + 1 < len(text) and _is_text(text[at + 1], pieces[0] if pieces else "")


def _is_text(json_text: str, text: str) -> bool:
    try:
        return bool(json.loads(json_text.strip().rstrip(",")) == text)
    except ValueError:
        return False


def _language(metadata: Any) -> str:
    """Return the language that a notebook says its cells are in; empty if it does not say."""
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        part = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(part, dict) and isinstance(part.get(name), str):
            return str(part[name]).lower()
    return ""


def _split(lines: Sequence[str]) -> tuple[list[str] | None, list[str]]:
    """Return the Python and the shell of a cell: a line is in one of them, and empty in the other.

    None stands for Python that cannot be parsed.
    """
    nothing = [""] * len(lines)
    if lines[0].startswith("%%") and not lines[0].startswith(_PYTHON_CELLS):
        return nothing, ["", *lines[1:]] if lines[0].startswith(_SHELL_CELLS) else nothing
    lines = ["", *lines[1:]] if lines[0].startswith("%%") else lines
    if _is_python(lines):
        return list(lines), nothing
    python: list[str] = []
    shell: list[str] = []
    for line in lines:
        command = _COMMAND.fullmatch(line)
        magic = command or _MAGIC.fullmatch(line)
        if shell and shell[-1].endswith("\\"):
            code, words = "", line
        elif magic is not None:
            code = magic["before"] + ("None" if "=" in magic["before"] else "pass")
            words = command["command"] if command is not None else ""
        else:
            code, words = line, ""
        python.append(code)
        shell.append(words)
    return python if _is_python(python) else None, shell


def _is_python(lines: Sequence[str]) -> bool:
    try:
        parse("\n".join(lines).encode("utf-8", "replace"))
    except ValueError:
        return False
    return True
