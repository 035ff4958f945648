"""What the gate is told: how old a result may be, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable

from sage_doctor.manifest.specs import GateSpec, Manifest

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]


def test_without_a_table_nothing_is_set(load: Load) -> None:
    manifest = load("roles.r = {}")
    assert manifest.gate == GateSpec(max_age_s=None, timeout_s=None)
    assert manifest.roles["r"].max_age_s is None


def test_lengths_of_time_are_seconds(load: Load) -> None:
    assert load('gate = { max_age = "1d 12h", timeout = 90 }').gate == GateSpec(max_age_s=129_600.0, timeout_s=90.0)


def test_a_role_that_says_nothing_takes_the_gates(load: Load) -> None:
    manifest = load('gate.max_age = "12h"\nroles.a = {}\nroles.b.max_age = "90s"')
    assert {name: role.max_age_s for name, role in manifest.roles.items()} == {"a": 43_200.0, "b": 90.0}


def test_mistakes_are_told_by_their_line(problems: Problems) -> None:
    text = """\
    [gate]
    max_age = "soon"
    timeout = -5
    timout = 5
    [roles.r]
    max_age = "9000w"
    [roles.q]
    max_age = 1e400
    """
    expected = 'a length of time such as "90s", "15m", "26h", "3d" or "1d 12h"'
    assert problems(text) == [
        f"3: gate.max_age must be {expected}, not the string 'soon'",
        f"4: gate.timeout must be {expected}, not the number -5",
        "5: unknown key 'timout' in [gate]; did you mean 'timeout'?",
        "7: [roles.r] max_age must be at most 100 years, not the string '9000w'",
        f"9: [roles.q] max_age must be {expected}, not the number inf",
    ]
