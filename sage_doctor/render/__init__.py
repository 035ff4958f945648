"""A report as text, in one of several formats. One module per format: adding a file adds a format.

A format is a module (or package) here with `render(report: Report, screen: Screen) -> str`; its name is the module's,
without the ending `_format`. `compare(comparison, screen)` shows several reports side by side, in the formats that have
it. `prepare()` raises where a package that the format needs is not installed: before anything is examined. Modules are
imported only if their format is used, so that a gate that writes JSON imports no other format.
"""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TextIO, cast

from sage_doctor.errors import UsageError
from sage_doctor.report import Report

if TYPE_CHECKING:
    from sage_doctor.report.comparison import Comparison

__all__ = ["COMPARING", "FORMATS", "Detail", "Screen", "prepare", "render", "screen_of", "write"]

# Modules here that are not formats.
_OTHERS = {"progress", "table"}

_MODULES = {m.name.removesuffix("_format"): m.name for m in pkgutil.iter_modules(__path__) if m.name not in _OTHERS}
FORMATS: Final = tuple(sorted(_MODULES))
COMPARING: Final = ("html", "json", "markdown", "terminal")  # formats that can show several reports side by side

DEFAULT_WIDTH: Final = 80  # without a terminal: mails, journals, log files

Detail = Literal["quiet", "normal", "verbose"]


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What the reader's side can show: `width` in columns, colours, characters beyond ASCII; and how much is wanted."""

    width: int = DEFAULT_WIDTH
    color: bool = False
    unicode: bool = True
    detail: Detail = "normal"


def prepare(format: str) -> None:  # noqa: A002
    """Raise `UsageError` where the format needs a package that is not installed."""
    module = importlib.import_module(f"{__name__}.{_MODULES[format]}")
    if hasattr(module, "prepare"):
        module.prepare()


def render(
    report: Report | Comparison,
    format: str,  # noqa: A002
    *,
    width: int | None = None,
    color: bool = False,
    unicode: bool = True,
    detail: Detail = "normal",
) -> str:
    """Return the report in a format, ending with a newline. Raises `UsageError` for an unknown format.

    Several reports side by side are a `Comparison`, which the formats in `COMPARING` show.

    `width`, `color`, `unicode` and `detail` matter to formats for people only. Nothing is read from the environment.
    """
    name = _MODULES.get(format)
    if name is None:
        near = difflib.get_close_matches(format, FORMATS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f": choose one of {', '.join(FORMATS)}"
        raise UsageError(f"unknown format {format!r}{hint}")
    module = importlib.import_module(f"{__name__}.{name}")
    screen = Screen(width=width or DEFAULT_WIDTH, color=color, unicode=unicode, detail=detail)
    shown = module.render if isinstance(report, Report) else module.compare
    return cast("str", shown(report, screen))


def screen_of(stream: TextIO, environ: Mapping[str, str] | None = None) -> Screen:
    """Return what `stream` can show, honouring NO_COLOR, FORCE_COLOR, COLUMNS and TERM=dumb.

    Without a terminal it is 80 columns and no colour, so that a log file reads like a screen.
    """
    env = os.environ if environ is None else environ
    terminal = stream.isatty()
    color = terminal and env.get("TERM") != "dumb"
    if env.get("FORCE_COLOR"):
        color = env["FORCE_COLOR"] != "0"
    if env.get("NO_COLOR"):
        color = False
    width = DEFAULT_WIDTH
    columns = env.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        width = int(columns)
    elif terminal:
        width = _terminal_width(stream)
    return Screen(width=width, color=color, unicode=_shows("✔✘·…", stream.encoding))


def write(report: Report | Comparison, format: str, stream: TextIO, detail: Detail = "normal") -> None:  # noqa: A002
    """Render the report for `stream` and write it there."""
    screen = screen_of(stream)
    stream.write(render(report, format, width=screen.width, color=screen.color, unicode=screen.unicode, detail=detail))
    stream.flush()


def _terminal_width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except (OSError, ValueError):  # a terminal without a size, or a stream without a descriptor
        return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns


def _shows(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
