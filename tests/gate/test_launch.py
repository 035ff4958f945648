"""The variables a command gets, and the program it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.gate.decision import Decision, ModelLocation
from sage_doctor.gate.launch import find_command, model_variables


def decision(**models: ModelLocation) -> Decision:
    return Decision(state="open", role="r", reason="x", models=models)


def test_places_are_named_in_capitals() -> None:
    given = Decision(state="open", role="r", reason="x", models={"qwen2.5-0.5b": ModelLocation(path="/a", base="/b")})
    assert model_variables(given) == {
        "SAGE_DOCTOR_MODEL_QWEN2_5_0_5B": "/a",
        "SAGE_DOCTOR_MODEL_QWEN2_5_0_5B_BASE": "/b",
    }


def test_two_models_of_one_variable_get_none() -> None:
    given = Decision(
        state="open",
        role="r",
        reason="x",
        models={"a-b": ModelLocation(path="/1"), "a.b": ModelLocation(path="/2"), "c": ModelLocation(path="/3")},
    )
    assert model_variables(given) == {"SAGE_DOCTOR_MODEL_C": "/3"}


def test_a_program_is_found_on_path_or_by_its_path(tmp_path: Path) -> None:
    program = tmp_path / "run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_command(["run", "x"], {"PATH": str(tmp_path)}) == str(program)
    assert find_command([str(program)], {}) == str(program)
    with pytest.raises(UsageError, match="under cron write its whole path"):
        find_command(["run"], {"PATH": "/nowhere"})
