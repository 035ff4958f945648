"""Weight files as the safetensors library of the sessions' interpreter opens them.

In a child with a deadline: the version is the sessions', and a file that shrinks while the library has it mapped ends
the process that reads it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError
from sage_doctor.readers import safetensors_library
from sage_doctor.system.child import ChildResult, run
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

DEADLINE_S: Final = 120.0


@frozen
class LibraryVerdict:
    """What the library said of one file: why it refuses it, else the digest of its tensors' names."""

    refused: str = ""
    names: str = ""


@frozen
class LibraryReading:
    """The library that was asked, and its verdicts in the order of the files; after a crash there are no more."""

    python: str
    version: str
    verdicts: tuple[LibraryVerdict, ...] = ()


def read_with_library(paths: Sequence[Path], python: Path | None, environ: Mapping[str, str]) -> LibraryReading:
    """Return what the library says of these files.

    Asks the interpreter `python`; where that has no safetensors, the doctor's own. Raises `DoctorError` where neither
    answers in time.
    """
    own = Path(sys.executable)
    reasons = []
    for interpreter in dict.fromkeys((python or own, own)):
        question = json.dumps([os.path.abspath(p) for p in paths]).encode("ascii")
        command = [str(interpreter), safetensors_library.__file__]
        environment = {**environ, "PYTHONDONTWRITEBYTECODE": "1"}
        result = run(command, timeout_s=DEADLINE_S, env=environment, cwd=Path("/"), ask=question)
        lines = _lines(result)
        why = next((line["unavailable"] for line in lines if "unavailable" in line), "")
        if lines and not why:
            return _reading(str(interpreter), lines, len(paths), result)
        reasons.append(why or "no answer")
    raise DoctorError(f"the safetensors library cannot be asked: {printable('; '.join(reasons), limit=300)}")


def _lines(result: ChildResult | None) -> list[dict[str, Any]]:
    """Return the objects that a child printed, without what its start-up printed before (sitecustomize, a wrapper)."""
    found: list[dict[str, Any]] = []
    for line in result.out.splitlines() if result is not None else ():
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict):
            found.append(value)
        elif found:
            break
    return found


def _reading(python: str, lines: list[dict[str, Any]], count: int, result: ChildResult | None) -> LibraryReading:
    verdicts = [LibraryVerdict(refused=str(v.get("refused", "")), names=str(v.get("names", ""))) for v in lines[1:]]
    if len(verdicts) < count:
        if result is None or result.code is None:
            raise DoctorError(f"the safetensors library did not open all files within {DEADLINE_S:.0f} s")
        verdicts.append(LibraryVerdict(refused=f"the process that opened it ended with status {result.code}"))
    return LibraryReading(python=python, version=str(lines[0].get("version", "")), verdicts=tuple(verdicts[:count]))
