"""Paths that a shell script computes from its own place, or takes from a default, and that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import read_program, read_script
from sage_doctor.paths.find.path_map import build_path_map

HERE = 'HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"\n'
ROOT = 'ROOT="$(cd -- "$(dirname -- "$0")/.." &>/dev/null && pwd)"\n'


@pytest.mark.parametrize(
    "text, needed",
    [
        (f'{HERE}source "$HERE/venv/bin/activate"', ["use scripts/venv/bin/activate"]),
        (f'{HERE}R="$(dirname "$HERE")"\npython "$R/gone.py"', ["use gone.py"]),
        (f'{ROOT}python3 "$ROOT"/scripts/gone.py', ["use scripts/gone.py"]),
        (f'{ROOT}python3 "$ROOT/there.py"', []),
        (f'{HERE}[ -f "$HERE/.env" ] && . "$HERE/.env"', []),
        (f'{HERE}mkdir -p "$HERE/logs"\ndate >> "$HERE/logs/a.log"', []),
        (f'{HERE}python3 -m venv "$HERE/venv"\nsource "$HERE/venv/bin/activate"', []),
        (f'{HERE}if [ ! -d "$HERE/venv" ]; then ./setup.sh; fi\nsource "$HERE/venv/bin/activate"', []),
        (f'{HERE}cmake -B "$HERE/build"\n"$HERE/build/bin/llama-server"', []),
        (f'{HERE}hf download X --local-dir "$HERE/m"\nvllm serve "$HERE/m"', []),
        ('D="${D:-$HOME/project}"\npython "$D/run.py"', ["fallback run.py"]),
        ('D="${D:-$HOME/project}"\nF="$D/a.json"\nif [ ! -f "$F" ]; then exit 1; fi', ["fallback a.json"]),
        ('M="${M:-$HOME/project/m}"\nif [ ! -d "$M" ]; then echo "no $M"; exit 1; fi', ["fallback m"]),
        ('cd "$(dirname "$0")"\nsource venv/bin/activate', []),
        (f'{HERE}HERE=/x\nsource "$HERE/venv/bin/activate"', []),
    ],
)
def test_missing_paths(text: str, needed: list[str], tmp_path: Path) -> None:
    home = tmp_path / "me"
    path = home / "project/scripts/run.sh"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    (home / "project/there.py").touch()
    known = build_path_map(home=home, own_roots=[home / "project"], other_roots=[])
    (script, *_), _ = read_program(path, known, directory=home / "project")
    found = [r for r in script.references if r.used and r.need == "needed" and known.classify(r.text).origin == "gone"]
    assert [f"{r.usage} {Path(r.text).relative_to(home / 'project')}" for r in found] == needed


def test_a_python_runner_that_names_no_home(tmp_path: Path) -> None:
    path = tmp_path / "hrm/scripts/run.py"
    path.parent.mkdir(parents=True)
    path.write_text("from pathlib import Path\nM = Path(__file__).resolve().parents[1] / 'zoo/m'\nload_model(M)\n")
    known = build_path_map(home=tmp_path / "me", own_roots=[tmp_path / "hrm"], other_roots=[])
    found = read_program(path, known, directory=tmp_path / "hrm")[0][0].references
    assert [(r.text, r.need, r.line) for r in found] == [(str(tmp_path / "hrm/zoo/m"), "needed", 2)]
    assert read_script(path, known, directory=tmp_path / "hrm").references == ()  # nothing would follow from it
