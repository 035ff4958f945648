"""Fills a template: every value printable and escaped, style and script allowed by their hashes."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sage_doctor.errors import UsageError
from sage_doctor.text import MOST_COMMAND, printable, shell_quote

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE: Final = Path(__file__).parent
_MOST_CHARS: Final = 4_000  # of one text


def require_jinja() -> None:
    """Raise `UsageError` with the command that installs Jinja2, where it is not there."""
    if find_spec("jinja2") is None:
        python = shell_quote(sys.executable)
        raise UsageError(
            f"the format html needs Jinja2, which is not installed\n  next: {python} -m pip install jinja2"
        )


def fill(name: str, values: Mapping[str, Any]) -> str:
    """Return a template with its values. Raises `UsageError` where Jinja2 is not installed."""
    require_jinja()
    style, script = _own("style.css"), _own("page.js")
    policy = (
        f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    from markupsafe import Markup  # noqa: PLC0415 - comes with Jinja2

    ours = {"policy": policy, "style": Markup(style), "script": Markup(script)}  # noqa: S704 - our own files
    return _environment().get_template(name).render({**values, **ours}) + "\n"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only where a page is written
    from markupsafe import Markup  # noqa: PLC0415

    def shown(value: object) -> object:
        return value if isinstance(value, Markup) else printable(str(value), limit=_MOST_CHARS, keep="\n")

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(whole=_whole, prose=_prose)
    return environment


def _prose(text: str) -> object:
    """Return a sentence, escaped, with what is in backticks set as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415

    parts = printable(text, limit=_MOST_CHARS, keep="\n").split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def _whole(text: str) -> object:
    """Return a command, escaped and never cut."""
    from markupsafe import escape  # noqa: PLC0415

    return escape(printable(text, limit=MOST_COMMAND))


@cache
def _own(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
