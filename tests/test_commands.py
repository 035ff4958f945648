"""Every command that is shown is made of quoted words: read from the source, so that none is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(p for top in ("sage_doctor", "checks") for p in (ROOT / top).rglob("*.py"))
KEYWORDS = {"commands", "undo_commands"}
QUOTERS = ("shell_quote(", "shell_operand(")
# A text up to a value: a program, its first words, and before it a backtick, a `$ `, a colon or nothing.
PROGRAMS = (
    r"sage-doctor (?:fix|check|merge|lock|paths|history|where|gate|init|install|explain)|git (?:-C|show|apply)"
    r"|mv|rm|rmdir|chmod|ls|namei|hf (?:download|cache)|ollama|curl|cp|rsync|scp|mkdir|systemctl|loginctl|sudo"
)
COMMAND = re.compile(rf"(?:^|`|: |; |\$ |\| |&& |run )\s*(?:{PROGRAMS})(?: [^`.,:(]*)? $")
# Values that are no foreign text. Each is here because somebody looked at it.
KNOWN = {
    ("checks/permissions.py", "mode"),  # of two constants
    ("sage_doctor/demo/walk.py", "ROLE"),  # a constant
    ("sage_doctor/findings/access.py", "deep"),  # of two constants
    ("sage_doctor/findings/access.py", "mode"),  # of two constants
    ("sage_doctor/findings/endings.py", "option"),  # of two constants
    ("sage_doctor/findings/endings.py", "option[1:]"),  # likewise
    ("sage_doctor/findings/failed_loads.py", "' '.join(again)"),  # each quoted above
    ("sage_doctor/findings/failed_loads.py", "known.code"),  # of a declaration
    ("sage_doctor/findings/nearby.py", "script"),  # of two constants
    ("sage_doctor/findings/volumes.py", "sudo()"),  # of two constants
    ("sage_doctor/findings/volumes.py", "match[0]"),  # /mnt/ and a letter
    ("sage_doctor/findings/volumes.py", "drive"),  # a letter
    ("sage_doctor/findings/service_fixes.py", "known.code"),  # of a declaration
    ("sage_doctor/findings/units.py", "commit"),  # hexadecimal
    ("sage_doctor/repairs/actions/fix_modes.py", "old"),  # an octal number
}


def values(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what the texts of a file put into commands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            yield from (v.value for v in ast.walk(node.value) if isinstance(v, ast.FormattedValue))
        if isinstance(node, ast.JoinedStr):
            before = ""
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and COMMAND.search(before):
                    yield part.value
                before += str(part.value) if isinstance(part, ast.Constant) else "…"


def quoted(value: ast.expr, function: ast.AST) -> bool:
    """Return whether a value comes from the quoter: itself, or as everything that its name is given in the function."""
    if ast.unparse(value).startswith(QUOTERS):
        return True
    if not isinstance(value, ast.Name):
        return False
    given = [
        n.value
        for n in ast.walk(function)
        if isinstance(n, ast.Assign) and any(isinstance(t, ast.Name) and t.id == value.id for t in n.targets)
    ]
    return bool(given) and all(
        ast.unparse(g).startswith((*QUOTERS, "' '.join(")) and any(q in ast.unparse(g) for q in QUOTERS) for g in given
    )


def unquoted(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    found: dict[str, None] = {}
    for value in values(tree):
        around = next((f for f in reversed(functions) if f.lineno <= value.lineno <= (f.end_lineno or 0)), tree)
        if not quoted(value, around) and (name, ast.unparse(value)) not in KNOWN:
            found[f"{name}:{value.lineno}: {ast.unparse(value)}"] = None
    return list(found)


def test_no_command_has_an_unquoted_word() -> None:
    assert [line for path in FILES for line in unquoted(path)] == []


@pytest.mark.parametrize(
    "source, found",
    [
        ("x = f'rm {path}'", ["path"]),
        ("x = f'mv -n {shell_quote(a)} {b}'", ["b"]),
        ("x = f'look; run `sage-doctor check {name}` then'", ["name"]),
        ("f(commands=(f'anything {x}',))", ["x"]),
        ("def f():\n    where = shell_quote(p)\n    return Fix(commands=(f'ls {where}',))", []),
        ("def f():\n    where = str(p)\n    return Fix(commands=(f'ls {where}',))", ["where"]),
        ("x = f'the file {path} is gone'", []),
    ],
)
def test_the_reader_of_the_source_finds_them(tmp_path: Path, source: str, found: list[str]) -> None:
    file = tmp_path / "file.py"
    file.write_text(source)
    assert [line.rpartition(": ")[2] for line in unquoted(file)] == found
