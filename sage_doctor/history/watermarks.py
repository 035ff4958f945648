"""The highest value that each counter of a session's state has had: kept from run to run, and only ever raised.

They are in one file, `highest.json`, beside the journal. It is read without a lock, because it is replaced as a whole,
and written with one, because two runs may end at once.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Final, NamedTuple

from sage_doctor.errors import DoctorError
from sage_doctor.system.atomic_write import atomic_write
from sage_doctor.system.file_lock import file_lock
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.system.trust import why_untrusted
from sage_doctor.text import printable

FILE_NAME: Final = "highest.json"
VERSION: Final = 1
MOST_BYTES: Final = 4 << 20
_WAIT_S: Final = 5.0


class Counter(NamedTuple):
    """Which number is meant: the manifest's path, the state's name in it, and where the number stands."""

    manifest: str
    state: str
    counter: str


@frozen
class Mark:
    """The highest value of one counter, and when it was recorded (UTC, ISO 8601)."""

    value: int | float
    at: str


@frozen
class Marks:
    """What is on record. `damage` says why nothing is, where the file holds something else."""

    marks: Mapping[Counter, Mark] = field(default_factory=dict)
    damage: str = ""


@frozen
class Watermarks:
    """The record in a state directory."""

    directory: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / FILE_NAME

    def read(self) -> Marks:
        """Return what is on record.

        Raises `DoctorError` where that cannot be read, or another user could have written it, or a newer doctor has.
        """
        node = inspect_path(self.path)
        if node.kind == "missing":
            return Marks()
        self._require_trust()
        if node.kind == "file" and node.size > MOST_BYTES:
            return Marks(damage=f"{node.size:,} bytes")
        try:
            raw = read_start(self.path, MOST_BYTES)
        except UnreadableFile as error:
            raise DoctorError(f"{printable(str(self.path))} cannot be read: {error}") from error
        try:
            data = json.loads(raw)
            if isinstance(data, dict) and type(data.get("version")) is int and data["version"] > VERSION:
                raise DoctorError(f"{printable(str(self.path))} was written by a newer sage-doctor")
            return Marks(marks=_marks(data))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return Marks(damage=printable(f"{type(error).__name__}: {error}", limit=200))

    def raise_to(self, counter: Counter, value: float) -> str:
        """Record a value if it is the highest so far.

        Returns where a damaged record was put, empty where there was none. Raises `DoctorError` where nothing can be
        written.
        """
        return self._set(counter, value)

    def accept(self, counter: Counter, value: float, *, instead_of: Mark | None) -> str:
        """Record a value as the highest even if it is lower. Otherwise like `raise_to`.

        `instead_of` is what somebody was shown; where something else is on record meanwhile, that is a `DoctorError`.
        """
        return self._set(counter, value, agreed=(instead_of,))

    def _set(self, counter: Counter, value: float, agreed: tuple[Mark | None] | None = None) -> str:
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise DoctorError(f"{printable(str(self.directory))} cannot be made: {reason}") from error
        self._require_trust()
        with file_lock(self.path.with_suffix(".lock"), wait_s=_WAIT_S):
            found = self.read()  # once more: another run may have raised it meanwhile
            aside = self._set_aside() if found.damage else ""
            before = found.marks.get(counter)
            if agreed is not None and (before,) != agreed:
                raise DoctorError(f"{printable(str(self.path))} was changed meanwhile by another run; look again")
            if before is None or value > before.value or agreed is not None:
                now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
                atomic_write(self.path, _text({**found.marks, counter: Mark(value=value, at=now)}))
        return aside

    def _require_trust(self) -> None:
        reason = why_untrusted(self.path)
        if reason:
            raise DoctorError(f"{printable(str(self.path))} is neither read nor written: {reason}")

    def _set_aside(self) -> str:
        """Put a damaged record out of the way, beside any earlier ones."""
        number = 1
        while inspect_path(aside := self.path.with_name(f"{FILE_NAME}.damaged-{number}")).kind != "missing":
            number += 1
        try:
            os.rename(self.path, aside)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise DoctorError(f"{printable(str(self.path))} cannot be set aside: {reason}") from error
        return str(aside)


def _marks(data: Any) -> dict[Counter, Mark]:
    """Return the marks in parsed JSON. Raises `ValueError`, `TypeError` or `KeyError` for what is no record."""
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']!r}")
    found = {}
    for entry in data["highest"]:
        key = Counter(entry["manifest"], entry["state"], entry["counter"])
        value, at = entry["value"], entry["at"]
        texts = all(isinstance(text, str) for text in (*key, at))
        if not texts or type(value) not in (int, float) or not abs(value) < math.inf:
            raise ValueError("not an entry")
        found[key] = Mark(value=value, at=at)
    return found


def _text(marks: Mapping[Counter, Mark]) -> str:
    entries = [{**key._asdict(), "value": mark.value, "at": mark.at} for key, mark in sorted(marks.items())]
    return json.dumps({"version": VERSION, "highest": entries}, indent=2) + "\n"
