"""Every declared code is emitted somewhere, and every code that is emitted is declared: the source is read for it.

Except what only a log tells, which `explain` recognises by its messages.
"""

from __future__ import annotations

from pathlib import Path

from sage_doctor.findings import catalogue, logged
from sage_doctor.suite.suite_files import CHECKS

from .emitted import emitted_codes, made_codes

PACKAGE = Path(catalogue.__file__).parents[1]
SOURCES = sorted(
    [*CHECKS.glob("*.py"), *(p for part in ("findings", "merge", "readers") for p in (PACKAGE / part).rglob("*.py"))]
)
DECLARED = {d.code for d in catalogue.declarations()}


def test_every_declared_code_is_emitted() -> None:
    emitted = {code for path in SOURCES for code in emitted_codes(path)}
    only_logged = {d.code for d in logged.DECLARATIONS}
    assert DECLARED - emitted == only_logged
    assert all(d.messages for d in logged.DECLARATIONS)


def test_every_emitted_code_is_declared() -> None:
    made = {code for path in SOURCES for code in made_codes(path)}
    assert len(made) > 80
    assert made - DECLARED == set()


def test_a_code_that_is_only_declared_blocks_or_is_repaired_is_not_taken_for_emitted(tmp_path: Path) -> None:
    file = tmp_path / "source.py"
    file.write_text(
        "Declaration(code='path-missing')\nBlocked('config-missing')\n@repair(name='x', codes=['hub-ref-missing'])\n"
        "def check(): yield finding('weights-missing' if one else 'shard-missing', 'it is gone')\n"
    )
    assert emitted_codes(file) == {"weights-missing", "shard-missing"}
    assert made_codes(file) == {"weights-missing", "shard-missing"}
