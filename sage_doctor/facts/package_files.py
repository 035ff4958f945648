"""Files of installed packages that are not as the installer wrote them: an upgrade that was cut off, a failing disk."""

from __future__ import annotations

import base64
import csv
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start

_MOST_RECORD = 20_000_000  # torch's is 2 MB
_MOST_SOURCE = 4_000_000
_MOST_NAMED = 20


@frozen
class AlteredPackage:
    """A package with files that are missing, or not as they were installed; the first few of them are named."""

    name: str
    version: str
    files: tuple[str, ...]


def altered_packages(site_packages: Sequence[Path], versions: Mapping[str, str | None]) -> list[AlteredPackage]:
    """Return which of these packages, by name and version, are not as `pip` recorded them.

    Sizes are compared, and of Python files the digests. A package without a record (a system's, conda's) is whole.
    """
    found = []
    for directory in site_packages:
        for name, version in versions.items():
            altered = _altered(directory, directory / f"{name}-{version}.dist-info")
            files = tuple(itertools.islice(altered, _MOST_NAMED))
            if files:
                found.append(AlteredPackage(name=name, version=str(version), files=files))
    return found


def _altered(directory: Path, info: Path) -> Iterator[str]:
    try:
        text = read_start(info / "RECORD", _MOST_RECORD).decode("utf-8", "replace")
    except UnreadableFile:
        return
    for row in csv.reader(text.splitlines()):
        if len(row) < 3 or not row[2].isdigit() or row[0].startswith(("..", "/")):
            continue
        path = directory / row[0]
        node = inspect_path(path)
        if node.kind != "file" or node.size != int(row[2]):
            yield row[0]
        elif path.suffix == ".py" and node.size <= _MOST_SOURCE and row[1].startswith("sha256="):
            try:
                digest = hashlib.sha256(read_start(path, _MOST_SOURCE)).digest()
            except UnreadableFile:
                continue
            if base64.urlsafe_b64encode(digest).rstrip(b"=") != row[1].removeprefix("sha256=").encode():
                yield row[0]
