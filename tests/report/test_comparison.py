"""Several machines side by side: who can run what, what is another model under one name, and what to copy."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from pathlib import Path

import pytest

from sage_doctor.render import COMPARING, render
from sage_doctor.report import MachineInfo, ModelInfo, Report, RoleInfo
from sage_doctor.report.comparison import Comparison, Silence, compare
from tests.render import sample_reports as reports

from .test_readiness import failed

GOLDEN = Path(__file__).parent / "golden"
NOW = dt.datetime(2026, 1, 17, 21, 0, tzinfo=dt.timezone.utc).timestamp()
DAY = 86400.0


def model(name: str, **changes: object) -> ModelInfo:
    whole = ModelInfo(name=name, kind="full", path=f"/zoo/{name}", nbytes=100, weights="ab" * 32, shapes="cd" * 32)
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def machine(name: str, *models: ModelInfo, here: bool = True, errors: tuple[str, ...] = ()) -> Report:
    """A report of a machine with these models, which its role `raising` needs."""
    checks = [c for m in models if m.found for c in reports.well(m.name)]
    found = reports.report(checks, [failed(e) for e in errors])
    needed = tuple(m.name for m in models)
    return dataclasses.replace(
        found,
        machine=MachineInfo(name=name, hostname=f"{name}-host", roles=("raising",) if here else ()),
        models=models,
        roles=(RoleInfo(name="raising", here=here, models=needed),),
    )


def side_by_side(*given: Report, max_age_s: float = DAY) -> Comparison:
    return compare([(f"{r.machine.name}.json", r) for r in given], now=NOW, max_age_s=max_age_s)


def incident() -> Comparison:
    """Thor without its merged model, sprout with it, and an old report of a third machine."""
    thor = machine("thor", model("merged", nbytes=0, weights=None), model("base"), errors=("merged",))
    sprout = machine("sprout", model("merged"), model("base", weights="ef" * 32), model("spare it's"))
    legion = dataclasses.replace(machine("legion", model("merged"), model("base")), started_at="2026-01-02T00:00:00Z")
    return side_by_side(thor, sprout, legion)


@pytest.mark.parametrize("face", COMPARING)
def test_golden(face: str) -> None:
    text = render(incident(), face)
    if face == "html":
        text = text[text.index("<main") : text.index("</main>")] + "\n"  # style and script have no news
    path = GOLDEN / f"incident.{face}"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; look at it, then UPDATE_GOLDEN=1"


def test_the_incidents_question_is_answered() -> None:
    found = incident()
    assert [(r.role, r.sentence, r.exit_code) for r in found.roles] == [("raising", "runs on sprout", 0)]
    assert [m.label for m in found.machines if m.stale] == ["legion"]
    assert [(d.model, d.what) for d in found.differences] == [("base", "weights")]
    assert found.exit_code == 0


@pytest.mark.parametrize(
    "given, code, says",
    [
        ([machine("a", model("m"), errors=("m",)), machine("b", model("m"), errors=("m",))], 1, "on none of these"),
        ([machine("a", model("m"), errors=("m",)), machine("b", model("m"), here=False)], 3, "b: the models are"),
        ([machine("a", model("m"), errors=("m",)), machine("b", model("m", found=False))], 3, "not known on b"),
    ],
)
def test_the_exit_code_says_whether_each_role_runs_somewhere(given: list[Report], code: int, says: str) -> None:
    found = side_by_side(*given)
    assert found.exit_code == code
    assert says in found.roles[0].sentence


def test_an_old_report_does_not_prove_that_something_runs_now() -> None:
    for started in ("2026-01-10T00:00:00+00:00", "2027-01-01T00:00:00+00:00", "yesterday"):
        found = side_by_side(dataclasses.replace(machine("a", model("m")), started_at=started))
        assert (found.machines[0].stale, found.exit_code) == (True, 3)
    assert side_by_side(machine("a", model("m")), max_age_s=3600).exit_code == 3


def test_only_the_newest_report_of_a_machine_counts() -> None:
    new = machine("a", model("m"))
    old = dataclasses.replace(machine("a", model("m"), errors=("m",)), started_at="2026-01-17T01:00:00+00:00")
    for given in ([("new", new), ("old", old)], [("old", old), ("new", new)]):
        found = compare(given, now=NOW, max_age_s=DAY)
        assert ([m.source for m in found.machines], found.passed_over, found.exit_code) == (["new"], ("old",), 0)
    twin = dataclasses.replace(new, machine=dataclasses.replace(new.machine, hostname="other"))
    assert [m.label for m in side_by_side(new, twin).machines] == ["a (a-host)", "a (other)"]


@pytest.mark.parametrize(
    "here, there, what",
    [
        (model("m"), model("m"), None),
        (model("m", path="/elsewhere/m"), model("m"), None),
        (model("m", weights=None), model("m"), None),
        (model("m", weights=None, nbytes=101), model("m"), "size of the weights"),
        (model("m", weights=None, shapes="0"), model("m"), "tensors"),
        (model("m", kind="adapter", base="x"), model("m", kind="adapter", base="y"), "base"),
        (model("m", found=False, weights=None, nbytes=None), model("m"), None),
    ],
)
def test_what_makes_two_models_of_one_name_different(here: ModelInfo, there: ModelInfo, what: str | None) -> None:
    found = side_by_side(machine("a", here), machine("b", there))
    assert [d.what for d in found.differences] == ([what] if what else [])
    assert found.unsure == (("m",) if here.found and here.weights is None and what is None else ())


@pytest.mark.parametrize(
    "lacking, having, command",
    [
        (model("m", found=False), model("m"), "mkdir -p /zoo/m/ && rsync -a --partial b-host:/zoo/m/ /zoo/m/"),
        (
            model("m", found=False, path="/my zoo/m"),
            model("m", path="/it's/m"),
            "mkdir -p '/my zoo/m/' && rsync -a -s --partial 'b-host:/it'\"'\"'s/m/' '/my zoo/m/'",
        ),
        (
            model("m", found=False, path="/c/models--o--n"),
            model("m", path="/hub/models--o--n/snapshots/123"),
            "mkdir -p /c/models--o--n/ && rsync -a --partial b-host:/hub/models--o--n/ /c/models--o--n/",
        ),
        (model("m", found=False), model("m", path="/hub/models--o--n/snapshots/123"), None),
        (model("m", found=False), model("m", path="zoo/m"), None),
    ],
)
def test_what_to_copy(lacking: ModelInfo, having: ModelInfo, command: str | None) -> None:
    (copy,) = side_by_side(machine("a", lacking), machine("b", having)).copies
    assert (copy.source, copy.target, copy.command) == ("b", "a", command)
    assert bool(copy.note) == (command is None)


def test_a_host_that_would_be_an_option_is_in_no_command() -> None:
    having = machine("b", model("m"))
    having = dataclasses.replace(having, machine=dataclasses.replace(having.machine, hostname="-oProxyCommand=x"))
    (copy,) = side_by_side(machine("a", model("m", found=False)), having).copies
    assert copy.command is None


def test_which_of_two_different_copies_is_right_is_a_question() -> None:
    here, other = machine("b", model("m")), machine("c", model("m", weights="ef" * 32))
    (copy,) = side_by_side(machine("a", model("m", found=False)), here, other).copies
    assert copy.command is None
    assert "not the same" in copy.note


def test_two_machines_of_one_hostname_are_in_no_command() -> None:
    lacking = machine("a", model("m", found=False))
    lacking = dataclasses.replace(lacking, machine=dataclasses.replace(lacking.machine, hostname="b-host"))
    (copy,) = side_by_side(lacking, machine("b", model("m"))).copies
    assert (copy.command, copy.note) == (None, "both machines have the hostname b-host")


def test_what_a_copy_would_not_mend_is_not_copied() -> None:
    slow = machine("a", model("m"), errors=("m",))  # the same bytes: it is the machine
    assert side_by_side(slow, machine("b", model("m"))).copies == ()
    torn = machine("a", model("m", nbytes=50), errors=("m",))
    (copy,) = side_by_side(torn, machine("b", model("m"))).copies
    assert copy.command is not None
    assert "--backup --suffix=.replaced" in copy.command


def test_a_role_that_runs_nowhere_is_not_known_where_a_machine_gave_no_report() -> None:
    quiet = Silence(label="gone", state="unreachable", why="no route to host")
    thor = machine("thor", model("merged", nbytes=0, weights=None), errors=("merged",))
    (alone,) = side_by_side(thor).roles
    (both,) = compare([("thor.json", thor)], now=NOW, max_age_s=DAY, silent=(quiet,)).roles
    assert (alone.sentence, alone.exit_code) == ("runs on none of these machines", 1)
    assert (both.sentence, both.exit_code) == ("not known on gone", 3)
