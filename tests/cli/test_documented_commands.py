"""Every command in the README and the pages is one that the command line, or the Makefile, understands."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.cli import app
from sage_doctor.errors import UsageError
from tests.model_directories import write_adapter

from .conftest import Doctor

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a page shows as one: a line of a block, or words between backticks.
LINE = re.compile(r"^(?:    |\$ |  \$ )?((?:sage-doctor|make)(?: .*)?)$")
INLINE = re.compile(r"`((?:sage-doctor|make) [^`]+)`")
# Words that stand for something else.
WORD_FOR = {"N": "1", "CMD": "check"}


def commands(page: Path) -> Iterator[str]:
    for line in page.read_text(encoding="utf-8").splitlines():
        match = LINE.match(line)
        found = [match[1]] if match is not None else INLINE.findall(line)
        for text in found:
            plain = re.split(r"\s{2,}|\s#\s| \| | && |; | > ", text)[0]  # without the remark, and where it is written
            yield re.sub(r"\[([^\]]*)\]|[()…<>]", r"\1", plain).strip()


COMMANDS = sorted({(text, page.name) for page in PAGES for text in commands(page)})


def test_every_command_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in app.COMMANDS:
        monkeypatch.setattr(app.command(name), "run", lambda _options: 0)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert len(COMMANDS) > 100
    wrong = []
    for text, page in COMMANDS:
        words = shlex.split(text, comments=True)
        if words[0] == "make":
            wrong += [f"{page}: {text}" for w in words[1:] if "=" not in w and w not in targets]
            continue
        try:
            app.run([WORD_FOR.get(w, w.partition("|")[0]) for w in words[1:]], {})
        except (UsageError, ValueError) as error:
            if " ".join(words[1:]) in app.COMMANDS and "are required" in str(error):
                continue  # the name of a command, not one that is typed
            wrong.append(f"{page}: {text}: {str(error).splitlines()[0]}")
    assert "\n".join(wrong) == ""


def test_the_screen_of_the_readme_is_what_the_command_prints(doctor: Doctor, tmp_path: Path) -> None:
    write_adapter(tmp_path / "introspective-v2.1", "./fine_tuned_model/final_model")
    done = doctor("check", "introspective-v2.1", cwd=tmp_path, COLUMNS="80")
    page = ROOT / "README.md"
    text = page.read_text(encoding="utf-8")
    start = text.index("$ sage-doctor check introspective-v2.1\n") + len("$ sage-doctor check introspective-v2.1\n")
    shown = text[start : text.index("```", start)]
    printed = done.out
    if os.environ.get("UPDATE_GOLDEN") == "1":
        page.write_text(text.replace(shown, _same_everywhere(printed)), encoding="utf-8")
    assert _same_everywhere(shown) == _same_everywhere(printed), "look at it, then UPDATE_GOLDEN=1"


def _same_everywhere(screen: str) -> str:
    """Return a screen with the machine and the seconds of the README."""
    head, _, rest = screen.partition("\n")
    version = head.partition(" · ")[0]
    return f"{version} · thor · cpu · 25.3 GB memory\n" + re.sub(r"[\d.]+ s\n", "0.9 s\n", rest)
