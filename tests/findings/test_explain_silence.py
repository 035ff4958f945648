"""Ordinary lines of logs are no errors, and an error that is merely quoted has not happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.findings.recognition import recognise, search

HERE = Path(__file__).parent
ORDINARY = (HERE / "explain_silence" / "ordinary.txt").read_text(encoding="utf-8")
QUOTATIONS = (HERE / "explain_silence" / "quotations.txt").read_text(encoding="utf-8").split("\n%%\n")
ERROR = "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"


def test_ordinary_lines_are_not_recognised() -> None:
    lines = ORDINARY.splitlines()
    assert len(lines) >= 200
    assert [(line, [e.code for e in search(line)]) for line in lines if search(line)] == []
    assert search(ORDINARY) == ()


@pytest.mark.parametrize("text", QUOTATIONS, ids=range(len(QUOTATIONS)))
def test_a_quoted_error_is_not_recognised(text: str) -> None:
    assert [e.code for e in search(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        f"```\n{ERROR}\n```\n",
        f"E   {ERROR}\n",
        f"[rank0]: {ERROR}\n",
        f"ERROR:sage:{ERROR}\n",
        f'time=2026-01-02T10:00:00Z level=ERROR source=sched.go:456 msg="load" error="{ERROR}"\n',
        f'{{"level": "error", "message": "{ERROR}"}}\n',
        f'concurrent.futures.process._RemoteTraceback:\n"""\nTraceback (most recent call last):\n{ERROR}\n"""\n',
        f"import torch\ntorch.zeros(1)\nTraceback (most recent call last):\n{ERROR}\n",
        f"session.log:12:{ERROR}\n",
        "Caught OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')\n",
        f"Some output without an end {'.' * 300}\r{ERROR}\n",
    ],
)
def test_an_error_is_recognised_behind_whatever_programs_write(text: str) -> None:
    assert [e.code for e in search(text)][:1] == ["load-out-of-memory"]


def test_the_line_is_the_one_that_an_editor_shows() -> None:
    log = b"one\r\n\n  \x1b[31mtwo\x1b[0m \n\nthree\n  " + ERROR.encode() + b"\n"
    (found,) = recognise([log])
    assert (found.number, found.line, found.sure) == (6, ERROR, True)


def test_causes_come_in_order_of_the_text_and_what_only_follows_from_them_last() -> None:
    log = (
        "RuntimeError: Engine core initialization failed. See root cause above.\n"
        "OSError: [Errno 28] No space left on device\n" + "noise\n" * 20_000 + ERROR + "\n"
        "ModuleNotFoundError: No module named 'peft'\n"
    )
    codes = [e.code for e in search(log)]
    assert codes[:3] == ["disk-insufficient", "load-out-of-memory", "package-missing"]
    assert "service-error" in codes[3:]


def test_parts_of_any_size_make_no_difference() -> None:
    log = ("noise\n" * 3_000 + ERROR + "\n" + "noise\n" * 3_000).encode()
    whole = recognise([log])
    assert (whole[0].known.code, whole[0].number) == ("load-out-of-memory", 3_001)
    for size in (7, 4_096, 100_000):
        assert recognise(log[i : i + size] for i in range(0, len(log), size)) == whole
