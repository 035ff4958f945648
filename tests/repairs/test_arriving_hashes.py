"""Hashes of files while they are written: in parts, under a late name, cut, and there already."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

from sage_doctor.repairs.arriving_hashes import hashes_while_arriving


def came(found: Mapping[str, str], name: str) -> bool:
    """Wait for a hash, twenty seconds at most."""
    until = time.monotonic() + 20
    while name not in found and time.monotonic() < until:
        time.sleep(0.01)
    return name in found


def test_each_new_file_is_hashed_as_it_grows_and_what_does_not_come_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "elsewhere").symlink_to("/etc/hostname")
    parts = [bytes([n]) * 100_000 for n in range(3)]
    sizes = {"new": 300_000, "below/empty": 0, "old": 3, "cut": 10, "never": 5, "elsewhere": 1, "link": 1}
    with hashes_while_arriving(tmp_path, sizes) as found:
        with open(tmp_path / "new", "wb", buffering=0) as file:
            file.writelines(parts)
        assert came(found, "new")
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "empty").touch()
        assert came(found, "below/empty")
        (tmp_path / "link").symlink_to("/etc/passwd")
        (tmp_path / "cut").write_bytes(b"123")
    assert found == {"new": hashlib.sha256(b"".join(parts)).hexdigest(), "below/empty": hashlib.sha256().hexdigest()}
