"""Programs and configuration within a shell script: `python3 - <<'PY'`, `cat > run.yaml <<EOF`, `python3 -c '…'`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from sage_doctor.paths.find.line_text import CONFIGURATION, compose_references, start_of, text_references
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.python_script import python_references
from sage_doctor.paths.find.reference import PathReference
from sage_doctor.paths.find.shell_elsewhere import ELSEWHERE
from sage_doctor.paths.find.shell_values import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*|\$\{?\w*PY\w*\}?", re.IGNORECASE)
_WITH_A_VALUE = re.compile(r"-[bBdEhiIOqsSuvVx]*[WX]")
_HOME = re.compile(r"\$HOME\b|\$\{HOME\}")
_TO_FILE = re.compile(r"(?<![\d&])>>?\s*[\"']?([^\s\"'<>|&;]+)")
_CONTAINERS = re.compile(r"^\s*(?:services|apiVersion|containers)\s*:", re.MULTILINE)  # compose, Kubernetes
_TEE = re.compile(r"\btee\s+(?:-a\s+)?[\"']?([^\s\"']+)")


def document_references(statement: Node, redirect: Node, body: Node, path_map: PathMap) -> list[PathReference] | None:
    """Return the references of a here-document, None if it is a text, or not a valid program.

    `redirect` is the node that begins with `<<`, in a `statement`. Needs are the program's own.
    """
    language = _language(statement)
    if not language:
        return None
    start = next(((c.text or b"") for c in redirect.children if c.type == "heredoc_start"), b"")
    expanded = not start.startswith((b"'", b'"', b"\\"))
    return _references(text_of(body), language, path_map, expanded=expanded, above=body.start_point[0])


def argument_references(command: Node, argument: Node, path_map: PathMap) -> list[PathReference] | None:
    """Return the references of `python3 -c '…'`, None where the argument, behind `-c`, is not a valid program."""
    words = (text_of(c).strip("\"'") for c in command.children if c.start_byte < argument.start_byte)
    if not any(_PYTHON.fullmatch(w.rpartition("/")[2]) for w in words):
        return None
    text, expanded = text_of(argument)[1:-1], argument.type == "string"
    text = re.sub(r"\\([\"$`\\])", r"\1", text) if expanded else text
    return _references(text, "python", path_map, expanded=expanded, above=argument.start_point[0])


def _references(
    text: str, language: str, path_map: PathMap, *, expanded: bool, above: int
) -> list[PathReference] | None:
    text = _HOME.sub(str(path_map.home), text) if expanded else text
    found: Iterator[PathReference]
    if language == "configuration":
        found = (
            compose_references(text, path_map) if _CONTAINERS.search(text) else text_references(text, path_map, "use")
        )
    else:
        try:
            found = iter(python_references(text.encode(), path_map))
        except (ValueError, RecursionError):
            return None
    return [
        dataclasses.replace(
            r, text=start_of(r.text) if expanded else r.text, line=r.line + above, end_line=r.end_line + above
        )
        for r in found
    ]


def _language(statement: Node) -> Literal["python", "configuration", ""]:
    command = statement.children[0]
    if command.type != "command":
        return ""
    words = [text_of(c).strip("\"'") for c in command.children]
    names = [w.rpartition("/")[2] for w in words]
    if any(n in ELSEWHERE for n in names):
        return ""
    if names[:1] == ["cat"] or "tee" in names:
        line = (statement.text or b"").split(b"\n", 1)[0].decode("utf-8", "replace")
        target = _TEE.search(line) or _TO_FILE.search(line)
        suffix = PurePosixPath(target[1]).suffix.lower() if target is not None else ""
        return "python" if suffix == ".py" else "configuration" if suffix in CONFIGURATION else ""
    program = next((i for i, n in enumerate(names) if _PYTHON.fullmatch(n)), None)
    if program is None:
        return ""
    rest = iter(words[program + 1 :])
    for word in rest:
        if word == "-":
            return "python"
        if not word.startswith("-"):
            return ""  # the here-document is that script's input
        if _WITH_A_VALUE.fullmatch(word):
            next(rest, None)
        elif word in ("-c", "-m"):
            return ""
    return "python"
