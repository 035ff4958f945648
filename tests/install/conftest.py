"""An order, and a stand-in for the doctor that writes down how it was called.

The stand-in is a script named `sage-doctor`, so that `own_program` takes it for the doctor; the real one can be put
in its place by giving `order` its words. Real programs that may be missing (crontab, systemd) have files of their own,
which are not collected without them; `.ci/run` says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.install.order import Order

SYSTEMD = next((p for p in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if os.access(p, os.X_OK)), "")
HAS_SYSTEMD = bool(SYSTEMD) and shutil.which("systemd-analyze") is not None
HAS_CRONTAB = shutil.which("crontab") is not None and os.getuid() == 0
collect_ignore = [
    *(() if HAS_SYSTEMD else ("test_units_in_systemd.py",)),
    *(() if HAS_CRONTAB else ("test_lines_in_crontab.py",)),
]

# Names of directories that paths go through, each with what some file's syntax gives a meaning to.
AWKWARD = (
    "plain",
    "two words",
    "it's",
    'say "so"',
    "100%",
    "%n %h %%",
    "$HOME",
    "${HOME} $$",
    "`id` $(id)",
    "ünïcode 模型 🧠",
    "a;b#c & <d> | e",
    "one\\two",
    "key=value",
    "[ab]*?~!",
    " edges ",
)

STAND_IN = """#!/bin/sh
[ "$1" = --version ] && echo "sage-doctor 0" && exit
printf '%s\\0' "$@" > "$0.args"
env -0 > "$0.env"
exit "$(cat "$0.code" 2>/dev/null || echo 0)"
"""


@dataclass(frozen=True)
class StandIn:
    """A script that writes down its arguments and environment."""

    path: Path

    @property
    def arguments(self) -> list[str]:
        return Path(f"{self.path}.args").read_text(encoding="utf-8").split("\0")[:-1]

    @property
    def environment(self) -> dict[str, str]:
        text = Path(f"{self.path}.env").read_text(encoding="utf-8")
        return dict(part.split("=", 1) for part in text.split("\0")[:-1])

    def forget(self) -> None:
        Path(f"{self.path}.args").unlink(missing_ok=True)


def write_stand_in(directory: Path) -> StandIn:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "sage-doctor"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return StandIn(path)


def make_order(root: Path, **changes: Any) -> Order:
    """An order whose paths all lie below `root`."""
    fields: dict[str, Any] = {
        "roles": ("raising",),
        "manifest": root / "sage-doctor.toml",
        "program": (str(root / "sage-doctor"),),
        "user": "root",
        "home": root,
        "state": root / "state",
        "mounts": {"raising": (root / "sage-doctor.toml", root / "model")},
    }
    return Order(**{**fields, **changes})


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    """Make an order in a directory of the test's own."""

    def make(**changes: Any) -> Order:
        return make_order(tmp_path, **changes)

    return make


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the front of PATH, for programs of the test's own."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory


def write_program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


# What crontab does, for those tests that must not touch a real one; test_lines_in_crontab.py uses the real one.
CRONTAB = """
tab="$(dirname "$0")/tab"
case "$1" in
    -l) [ -e "$tab" ] || { echo "no crontab for you" >&2; exit 1; }; cat "$tab" ;;
    -r) rm "$tab" ;;
    -) cat > "$tab.new"; [ -e "$tab.refuse" ] && { echo "bad minute" >&2; exit 1; }; mv "$tab.new" "$tab" ;;
    *) exit 2 ;;
esac
"""


@pytest.fixture
def crontab(programs: Path) -> Path:
    """A crontab program that keeps its table in a file, whose path is returned."""
    write_program(programs, "crontab", CRONTAB)
    return programs / "tab"
