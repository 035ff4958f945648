"""Which tests hold a file: `python -m tests.holding checks/weights.py` prints them, for `make check FILE=…`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Says that a check has a directory it passes and one it fails, and that each of its findings is shown.
EVERY_CHECK = Path("tests/checks/test_every_check.py")


def tests_of(file: Path) -> list[Path]:
    """Return the tests of a file of the project, relative to it: its mirror below `tests/`, else those around it."""
    if file.parts[0] == "tests":
        return [file] if file.name.startswith("test_") else _around(file.parent)
    below = Path(*file.parts[1:] if file.parts[0] == "sage_doctor" else file.parts)
    mirror = Path("tests") / below.with_name(f"test_{below.name}")
    found = [mirror] if (ROOT / mirror).is_file() else _around(mirror.parent)
    return [*found, EVERY_CHECK] if file.parts[0] == "checks" and (ROOT / EVERY_CHECK).is_file() else found


def _around(folder: Path) -> list[Path]:
    """Return the nearest directory of tests from `folder` upwards; of `tests/` itself, only the files in it."""
    while not any((ROOT / folder).glob("test_*.py")):
        folder = folder.parent
    return [folder] if folder.name != "tests" else sorted(p.relative_to(ROOT) for p in (ROOT / folder).glob("test_*"))


if __name__ == "__main__":
    asked = Path(sys.argv[1]).resolve()
    if not asked.is_file() or ROOT not in asked.parents:
        sys.exit(f"{sys.argv[1]}: not a file of this project")
    print(*tests_of(asked.relative_to(ROOT)))
