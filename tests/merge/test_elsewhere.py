"""A plan carried out in another interpreter gives the bytes that one here gives, and its refusals."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.merge import MergeRefused, Step, plan_merge
from sage_doctor.merge.elsewhere import apply_with
from tests.model_directories import MODEL, write_adapter, write_full


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return write_adapter(tmp_path / "adapter", "x"), write_full(tmp_path / "base")


def test_the_merge_of_another_interpreter_is_that_of_this_one(pair: tuple[Path, Path], tmp_path: Path) -> None:
    adapter, base = pair
    steps: list[Step] = []
    python = Path(sys.executable)
    for name, where in (("here", None), ("there", python)):
        plan = plan_merge(adapter, tmp_path / name, base=base, python=where)
        done = apply_with(where, plan, progress=steps.append)
        assert (done.target, done.replaced, done.nbytes) == (tmp_path / name, False, plan.nbytes)
    assert (tmp_path / "here" / MODEL).read_bytes() == (tmp_path / "there" / MODEL).read_bytes()
    assert len(steps) > 2
    assert {p.name for p in tmp_path.iterdir()} == {"adapter", "base", "here", "there", "state"}
    again = plan_merge(adapter, tmp_path / "there", base=base, python=python)
    assert apply_with(python, again).replaced


def test_what_changed_since_the_plan_and_what_does_not_start_is_refused(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    adapter, base = pair
    python = Path(sys.executable)
    plan = plan_merge(adapter, tmp_path / "out", base=base, python=python)
    shifted = replace(plan, inputs={p: replace(i, size=i.size + 1) for p, i in plan.inputs.items()})
    with pytest.raises(MergeRefused, match="changed since the plan was made"):
        apply_with(python, shifted)
    with pytest.raises(Exception, match="does not start"):
        apply_with(tmp_path / "no-python", plan)
    assert not (tmp_path / "out").exists()
