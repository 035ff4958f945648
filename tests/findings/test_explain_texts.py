"""The texts of other programs, each from its source's own format string, are recognised first and rightly.

A line of `explain_texts/PROGRAM.txt` is `code | text`: `«…»` is what the program fills in, `\\n` a line break. The
heading above it says of which version and file it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.findings.recognition import search

TABLES = sorted((Path(__file__).parent / "explain_texts").glob("*.txt"))


def entries(table: Path) -> Iterator[tuple[str, str]]:
    for line in table.read_text(encoding="utf-8").splitlines():
        if not line.startswith("## "):
            code, text = line.split(" | ", 1)
            yield code, filled(text)


def filled(text: str) -> str:
    plain = text.replace("«", "").replace("»", "").replace("\\\\", "\0")
    return plain.replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")


# How a text is met: alone, in a traceback, behind the time and level of a log, of a container and of a journal.
SURROUNDINGS = {
    "alone": "{}\n",
    "traceback": 'Traceback (most recent call last):\n  File "/opt/run.py", line 3, in <module>\n    main()\n{}\n',
    "logging": "2026-11-27 03:39:28,123 - sage.session - ERROR - {}\n",
    "journal": "Nov 27 03:39:28 thor python3[1234]: {}\n",
    "compose": "vllm-1  | {}\n",
    "worker": "(EngineCore_DP0 pid=71) ERROR 11-27 03:39:28 [core.py:708] {}\n",
    "colours": "\x1b[31m{}\x1b[0m\n",
}
ALL = [(table.stem, code, text) for table in TABLES for code, text in entries(table)]


def test_there_are_many_texts_of_many_programs() -> None:
    assert len(ALL) >= 250
    assert len(TABLES) >= 10


@pytest.mark.parametrize("code, text", [e[1:] for e in ALL], ids=[f"{p}-{n}-{c}" for n, (p, c, _) in enumerate(ALL)])
def test_a_text_leads_to_its_cause(code: str, text: str) -> None:
    found = [e.code for e in search(text)]
    assert found[:1] == [code], text


@pytest.mark.parametrize("surrounding", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_it_does_so_in_any_log(surrounding: str) -> None:
    wrong = []
    for _, code, text in ALL:
        if "\n" not in text and not text.startswith(("Killed", "Loading model", "[")):
            found = [e.code for e in search(surrounding.format(text))]
            wrong += [] if found[:1] == [code] else [(text, code, found)]
    assert wrong == []
