"""What a script imports is looked up in the sessions' interpreter, and nothing of it is run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.paths.rewrite.session_imports import imports_of, lost_imports, unresolved_imports

PYTHON = Path(sys.executable)


def test_imports_are_those_that_must_be_there() -> None:
    raw = (
        b"import os.path, json\nfrom a.b import c\nfrom . import d\ntry:\n    import e\nexcept ImportError:\n    pass\n"
    )
    assert imports_of(raw) == ["os.path", "json", "a.b"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "lib/inner").mkdir(parents=True)
    (tmp_path / "lib/__init__.py").write_text("raise SystemExit(7)\n", encoding="utf-8")
    (tmp_path / "lib/inner/tool.py").write_text("raise SystemExit(8)\n", encoding="utf-8")
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/run.py"
    (tmp_path / "scripts/beside.py").touch()
    names = b"import json, beside, lib.inner.tool, lib.other, no_such_module, json.decoder\n"
    added = b"import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parents[1]))\n"
    found = unresolved_imports([(script, names), (script, added + names)], python=PYTHON, environ=os.environ)
    assert found == [["lib.inner.tool", "lib.other", "no_such_module"], ["lib.other", "no_such_module"]]


def test_only_what_was_there_before_can_be_lost(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    before, after = [(script, b"import no_such_module\n")], [(script, b"import no_such_module, nor_this_one\n")]
    assert lost_imports(before, before, python=PYTHON, environ=os.environ) == ""
    said = lost_imports(before, after, python=PYTHON, environ=os.environ)
    assert said == "run.py: nor_this_one is not found by the sessions' interpreter"


@pytest.mark.parametrize("program", ["/no/such/python", "/bin/true", "/bin/false"])
def test_an_interpreter_that_says_nothing_is_told(program: str, tmp_path: Path) -> None:
    with pytest.raises(DoctorError, match="does not say whether"):
        unresolved_imports([(tmp_path / "run.py", b"import os\n")], python=Path(program), environ=os.environ)
