"""The state file that one session leaves for the next, and the counter in it."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Final

from sage_doctor.readers.json_object import JsonFile, read_json_object
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

MOST_BYTES: Final = 64 << 20
_SETTLING_S: Final = 2.0  # what was written this recently may be in the midst of it
_PAUSE_S: Final = 0.5


@frozen
class SessionState:
    """A state file as read. `problem` says what is wrong with it, `counter` is the number asked for.

    `where` is its name, with the line where parsing stopped.
    """

    where: str
    counter: int | float | None = None
    problem: str = ""


def read_session_state(path: Path, counter: str | None) -> SessionState:
    """Return the facts of a state file. Never raises for what it holds.

    A file that is broken and was written just now is read a second time, half a second later: a session may have been
    writing it.
    """
    file = read_json_object(path, most=MOST_BYTES)
    if file.problem and abs(time.time() - inspect_path(path).mtime_ns / 1e9) < _SETTLING_S:
        time.sleep(_PAUSE_S)
        file = read_json_object(path, most=MOST_BYTES)
    if file.missing:
        return SessionState(where=file.where, problem="not there")
    if file.value is None:
        return SessionState(where=file.where, problem=file.problem)
    return _counted(file, counter) if counter is not None else SessionState(where=file.where)


def _counted(file: JsonFile, counter: str) -> SessionState:
    value: object = file.value
    parts = counter.split(".")
    for at, part in enumerate(parts):
        here = ".".join(parts[: at + 1])
        if isinstance(value, dict):
            if part not in value:
                there = ", ".join(printable(name, limit=40) for name in list(value)[:8]) or "nothing"
                return _without(file, f"no {here} in it; there is {there}")
            value = value[part]
        elif isinstance(value, list):
            if not part.isascii() or not part.isdecimal() or len(part) > 12 or int(part) >= len(value):
                return _without(file, f"no {here} in it; there is a list of {len(value)}")
            value = value[int(part)]
        else:
            return _without(file, f"no {here} in it; {'.'.join(parts[:at])} is {_shown(value)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
        return _without(file, f"{counter} is no number but {_shown(value)}")
    return SessionState(where=file.where, counter=value)


def _without(file: JsonFile, problem: str) -> SessionState:
    return SessionState(where=file.where, problem=printable(problem, limit=600))


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return printable(json.dumps(value), limit=40)
