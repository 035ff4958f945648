"""The text and the tables of a TOML file, the manifest or the lock, or why it cannot be used, by its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.problems import Problems, shown_path
from sage_doctor.manifest.toml_lines import TOMLDecodeError, loads, locate_keys
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import printable


def read_toml_text(path: Path, what: str, most: int) -> str:
    """Return the text of a file without a byte-order mark. Raises `ManifestError` if it cannot be a `what`."""
    node = inspect_path(path)
    if node.kind != "file":
        _fail(path, f"{printable(node.detail) or f'a {node.kind}'}, not a {what} file")
    try:
        raw = read_start(path, most + 1)
    except UnreadableFile as error:
        _fail(path, f"cannot be read: {error}")
    if len(raw) > most:
        size = f"{max(node.size, len(raw)):,}"
        _fail(path, f"{size} bytes; a {what} has at most {most:,} bytes ({most >> 20} MiB)")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        _fail(path, "UTF-16 text; save it as UTF-8", 1)
    try:
        return raw.decode("utf-8-sig")  # editors on Windows begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        _fail(path, f"not UTF-8 text (byte {raw[error.start]:#04x}); save it as UTF-8", line)


def parse_toml(text: str, path: Path, what: str) -> tuple[dict[str, Any], Problems]:
    """Return the tables of a `what`, and what gathers problems with them by their lines. Raises `ManifestError`."""
    lines = locate_keys(text)
    problems = Problems(path, lines)
    if lines.too_deep:
        problems.add_at(lines.too_deep, f"nested too deeply for a {what}")
        problems.raise_if_any()
    try:
        return loads(text), problems
    except TOMLDecodeError as error:
        message, at, place = str(error).partition(" (at ")
        words = place.rstrip(")").replace(",", "").split()
        line = int(words[1]) if at and words[:1] == ["line"] else text.rstrip().count("\n") + 1
        column = f" (column {words[3]})" if len(words) == 4 else ""
        problems.add_at(line, f"not valid TOML: {printable(message)}{column}")
    except (ValueError, RecursionError, OverflowError) as error:
        problems.add((), f"not a {what}: {printable(str(error), limit=200)}")
    raise ManifestError(problems.messages())


def _fail(path: Path, message: str, line: int | None = None) -> NoReturn:
    where = shown_path(path)
    raise ManifestError([f"{where}:{line}: {message}" if line else f"{where}: {message}"])
