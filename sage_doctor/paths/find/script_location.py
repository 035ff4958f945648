"""What a shell computes from a script's own place: `$(cd "$(dirname "$0")/.." && pwd)`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.paths.find.folding import DEEPEST

_SELF = re.compile(r"\$(?:0|\{0\}|BASH_SOURCE|\{BASH_SOURCE(?:\[0\])?(?::-\$(?:0|\{0\}))?\})")
_NAME = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_NOISE = re.compile(r"[\"']| --(?= )|CDPATH=(?= cd )|\s*&?[12]?>\s*/dev/null|\s*2>&1")


@dataclass(frozen=True)
class Located:
    """A path; `whole` says whether it is absolute, whatever the working directory."""

    path: str
    whole: bool


Lookup = Callable[[str], Located | None]


def located(value: str, script: Path, lookup: Lookup) -> Located | None:
    """Return the path that a shell's word evaluates to, None if it depends on anything but the script's place.

    `lookup` returns the value of a variable, and of other words such as `$(sage-doctor where M)`.
    """
    clean = re.sub(r"\$\(\s+", "$(", re.sub(r"\s+\)", ")", _NOISE.sub("", value).strip()))
    return _value(re.sub(r"\s+", " ", clean), script, lookup, 0)


def _value(text: str, script: Path, lookup: Lookup, depth: int) -> Located | None:
    if depth > DEEPEST:
        return None

    def inner(part: str) -> Located | None:
        return _value(part.strip(), script, lookup, depth + 1)

    if _SELF.fullmatch(text):
        return Located(str(script), whole=False)
    if (match := _NAME.fullmatch(text)) is not None:
        return lookup(match[1] or match[2])
    if (match := re.fullmatch(r"\$\(cd (.+?) && pwd(?: -P)?\)", text)) is not None:
        found = inner(match[1])
        return Located(os.path.normpath(found.path), whole=True) if found is not None else None
    if (match := re.fullmatch(r"\$\((?:readlink -[fe]|realpath) (.+)\)", text)) is not None:
        found = inner(match[1])
        return Located(os.path.realpath(found.path), whole=True) if found is not None else None
    if (match := re.fullmatch(r"\$\(dirname (.+)\)", text)) is not None and (found := inner(match[1])) is not None:
        return Located(os.path.dirname(found.path), whole=found.whole)
    if (match := re.fullmatch(r"(\$\(.*\)|\$\{?\w+\}?)/([\w./-]+)", text)) is not None:
        found = inner(match[1])
        return Located(os.path.join(found.path, match[2]), whole=found.whole) if found is not None else None
    return lookup(text)
