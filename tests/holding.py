"""Which tests hold a file: `python -m tests.holding checks/weights.py` prints them, for `make check FILE=…`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Of every check: it has a case that passes and one that fails, its codes are declared, and the page says them.
EVERY_CHECK = tuple(
    Path("tests") / name
    for name in (
        "checks/test_every_check.py",
        "findings/test_emitted.py",
        "findings/test_page.py",
        "test_architecture.py",
    )
)


def tests_of(file: Path) -> list[Path]:
    """Return the tests of a file of the project, relative to it: its mirror below `tests/`, else those around it."""
    if file.parts[0] == "tests":
        return [file] if file.name.startswith("test_") else _around(file.parent)
    below = Path(*file.parts[1:] if file.parts[0] == "sage_doctor" else file.parts)
    mirror = Path("tests") / below.with_name(f"test_{below.name}")
    further = sorted((ROOT / mirror.parent).glob(f"{mirror.stem}_*.py"))
    mirrored = [mirror, *(p.relative_to(ROOT) for p in further)] if (ROOT / mirror).is_file() else []
    if file.parts[0] == "checks":
        return [*mirrored, *EVERY_CHECK]
    return mirrored or _around(mirror.parent)


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
