"""Packages whose files are not as they were installed, held to the records that pip really wrote here."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from sage_doctor.facts.package_files import AlteredPackage, altered_packages

FILES = {"tiny/__init__.py": b"x = 1\n", "tiny/core.so": b"\x7fELF" * 100, "tiny/core.py": b"y = 2\n"}


def install(site: Path) -> Path:
    """Write a package and its record as pip does."""
    rows = []
    for name, data in FILES.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}")
    info = site / "tiny-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("\n".join([*rows, "tiny/__pycache__/core.cpython-311.pyc,,", "../../bin/tiny,,9"]))
    return site


def test_what_pip_installed_here_is_whole() -> None:
    package = distribution("pytest")
    site = Path(str(package.locate_file("")))
    assert (site / f"pytest-{package.version}.dist-info/RECORD").is_file()
    assert altered_packages([site], {"pytest": package.version}) == []


@pytest.mark.parametrize(
    "name, data",
    [
        ("tiny/core.so", FILES["tiny/core.so"][:50]),  # cut off by a disk that was full
        ("tiny/core.py", bytes(6)),  # zeros after a crash: github.com/pypa/pip/issues/9504
        ("tiny/core.py", None),  # an upgrade that was interrupted
    ],
)
def test_what_is_missing_or_changed(name: str, data: bytes | None, tmp_path: Path) -> None:
    site = install(tmp_path)
    assert altered_packages([site], {"tiny": "1.0"}) == []
    if data is None:
        (site / name).unlink()
    else:
        (site / name).write_bytes(data)
    assert altered_packages([site], {"tiny": "1.0"}) == [AlteredPackage(name="tiny", version="1.0", files=(name,))]
    assert altered_packages([site], {"other": "1.0", "tiny": None}) == []


@pytest.mark.parametrize("record", [None, b"", b"\xff,\xff,x\n,,\n/etc/passwd,sha256=x,1\n../x,sha256=x,1"])
def test_a_package_without_a_record_is_whole(record: bytes | None, tmp_path: Path) -> None:
    path = install(tmp_path) / "tiny-1.0.dist-info/RECORD"
    path.unlink()
    if record is not None:
        path.write_bytes(record)
    assert altered_packages([tmp_path], {"tiny": "1.0"}) == []
