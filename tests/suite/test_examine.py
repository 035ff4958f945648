"""The suite as a whole: what becomes of many checks on many models in one run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.report import Finding, Report
from tests.model_directories import (
    ADAPTER,
    MODEL,
    POINTER,
    write_adapter,
    write_full,
    write_json,
    write_sharded,
)

from .conftest import CHECKED, HEAD, Examine, found, status


def test_a_directory_of_far_too_many_models_is_examined_in_part(
    look_at: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_doctor.subjects.directories.MOST_TO_EXAMINE", 2)
    for name in "abc":
        write_full(tmp_path / "zoo" / name)
    report = look_at("zoo")
    assert {c.subject for c in report.checks} - {"machine"} == {"a", "b"}
    assert (report.verdict, report.exit_code) == ("unknown", 3)
    assert "more than 2 model directories at and below zoo" in str(status(report, "scan", "machine"))


def timeless(report: Report) -> Mapping[str, Any]:
    """Return the report without what no two runs have in common."""
    value: dict[str, Any] = json.loads(json.dumps(report.to_json()))
    for key in ("started_at", "duration_s"):
        del value[key]
    for check in value["checks"]:
        del check["duration_s"]
    return value


def test_a_healthy_tree(look_at: Examine, tmp_path: Path) -> None:
    write_adapter(tmp_path / "tree" / "adapter", write_full(tmp_path / "tree" / "base"))
    report = look_at("tree")
    assert (report.verdict, report.exit_code, report.findings) == ("healthy", 0, ())
    assert {c.subject for c in report.checks} == {"machine", "adapter", "base"}
    assert {c.level for c in report.checks} == {"static"}


def test_one_cause_one_finding_and_the_rest_is_blocked_by_it(look_at: Examine) -> None:
    report = look_at(manifest='[models.m]\nkind = "full"\npath = "gone"\n')
    assert found(report, "m") == ["path-missing"]
    others = [c for c in report.checks if c.subject == "m" and c.id != "paths.path"]
    assert len(others) > 10
    assert {(c.status, c.reason) for c in others if "Hugging" not in str(c.reason)} == {
        ("skip", "blocked by path-missing")
    }
    assert report.exit_code == 1


@pytest.mark.parametrize(
    "lost, broken, codes",
    [
        ((MODEL, "tokenizer.json"), {}, ["weights-missing", "tokenizer-missing"]),
        ((MODEL,), {"tokenizer.json": '{"a":'}, ["weights-missing", "tokenizer-invalid"]),
        ((MODEL,), {"config.json": "<!DOCTYPE html>"}, ["weights-missing", "config-invalid"]),
        ((MODEL, "tokenizer.json", "config.json"), {}, ["weights-missing"]),  # nothing of a model is there
    ],
)
def test_two_causes_are_two_findings_in_one_run(
    look_at: Examine, tmp_path: Path, lost: tuple[str, ...], broken: dict[str, str], codes: list[str]
) -> None:
    model = write_full(tmp_path / "m")
    for name in lost:
        (model / name).unlink()
    for name, text in broken.items():
        (model / name).write_text(text, encoding="utf-8")
    assert [f.code for f in look_at("m").findings] == codes


def test_what_is_blocked_blocks_in_turn_with_the_first_cause(look_at: Examine, tmp_path: Path) -> None:
    place = write_full(tmp_path / "m")
    (place / MODEL).unlink()
    report = look_at("m")
    # check_shards_present waits for check_shard_index, which waits for the weights.
    assert status(report, "weights.shard_index", ".") == ("skip", "blocked by weights-missing")
    assert status(report, "weights.shards_present", ".") == ("skip", "blocked by weights-missing")
    assert status(report, "memory.memory", ".") == ("skip", "blocked by weights-missing")
    assert found(report, ".") == ["weights-missing"]


def test_an_ill_base_blocks_what_the_adapter_needs_of_it(look_at: Examine, tmp_path: Path) -> None:
    base = write_full(tmp_path / "tree" / "base")
    write_adapter(tmp_path / "tree" / "adapter", base, r=4)
    (base / MODEL).write_text(POINTER)
    report = look_at("tree")
    assert found(report, "base") == ["weights-lfs-pointer"]
    assert found(report, "adapter") == ["adapter-rank-mismatch"]  # its own fault is still told
    fits = status(report, "adapter_base.adapter_fits_base", "adapter")
    assert fits == ("skip", "blocked by adapter-rank-mismatch")
    assert status(report, "adapter_embeddings.adapter_embeddings", "adapter") == (
        "skip",
        "blocked by weights-lfs-pointer",
    )


def test_a_base_outside_the_run_is_not_the_model_whose_name_it_bears(look_at: Examine, tmp_path: Path) -> None:
    write_full(tmp_path / "base")
    (write_full(tmp_path / "tree" / "base") / MODEL).unlink()
    write_adapter(tmp_path / "tree" / "adapter", "base", r=4)
    report = look_at("tree")
    assert found(report, "base") == ["weights-missing"]
    assert status(report, "adapters.adapter_base", "adapter")[0] == "pass"
    assert status(report, "adapter_embeddings.adapter_embeddings", "adapter")[0] == "pass"


ROLES = """
[machines.here]
match.hostname = "*"
roles = ["r"]
[roles.r]
models = ["a"]
[roles.other]
models = ["broken"]
[models.a]
kind = "adapter"
path = "a"
base = "b"
[models.b]
kind = "full"
path = "b"
[models.broken]
kind = "full"
path = "gone"
"""


def test_what_no_role_needs_is_told_as_information(look_at: Examine, tmp_path: Path) -> None:
    write_adapter(tmp_path / "a", write_full(tmp_path / "b"))
    report = look_at(manifest=ROLES, level="integrity")
    (told,) = [f for f in report.findings if f.subject == "broken"]
    assert (told.code, told.severity) == ("path-missing", "info")
    assert told.evidence["severity_where_needed"] == "error"
    assert (report.verdict, report.exit_code) == ("healthy", 0)
    # It is looked at, and neither hashed nor loaded; the base that the adapter needs is.
    levels = {name: {c.level for c in report.checks if c.subject == name} for name in ("a", "b", "broken")}
    assert levels == {"a": {"static", "integrity"}, "b": {"static", "integrity"}, "broken": {"static"}}


def test_asked_for_by_name_it_counts(look_at: Examine, tmp_path: Path) -> None:
    write_adapter(tmp_path / "a", write_full(tmp_path / "b"))
    (tmp_path / "sage-doctor.toml").write_text("schema = 1\n" + ROLES)
    report = look_at("broken", manifest=ROLES)
    assert found(report, "broken") == ["path-missing"]
    assert report.exit_code == 1


def test_findings_are_ordered_by_severity_then_cause(look_at: Examine, tmp_path: Path) -> None:
    place = write_sharded(tmp_path / "tree" / "a")
    write_full(place)  # ambiguous: a warning
    (write_full(tmp_path / "tree" / "b") / MODEL).unlink()
    report = look_at("tree")
    assert [(f.severity, f.subject) for f in report.findings] == [("error", "b"), ("warning", "a")]


def test_of_our_own_files_pytest_sees_what_concerns_something_and_what_is_not_declared(
    look_at: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = tmp_path / "checks"
    checks.mkdir()
    sound = '@check("static")\ndef check_sound(model):\n    """It."""\n'
    adapters = '@check("static", kinds=["adapter"])\ndef check_adapters(adapter):\n    """It."""\n'
    deep = '@check("load")\ndef check_deep(machine):\n    """It."""\n'
    (checks / "ours.py").write_text(f"{HEAD}ORDER = 1\n{sound}{adapters}{deep}def check_it(): ...\n")
    for module in ("plugin", "examine"):
        monkeypatch.setattr(f"sage_doctor.suite.{module}.CHECKS", checks)
    seen: list[str] = []
    monkeypatch.setattr(
        "sage_doctor.suite.examine.Collector.pytest_runtest_logstart", lambda _self, nodeid: seen.append(nodeid)
    )
    write_full(tmp_path / "m")
    report = look_at("m")
    assert [name.rpartition("::")[2] for name in seen] == ["check_sound[0]", "check_it"]
    assert [(c.id, c.status) for c in report.checks if c.status == "error"] == [("ours.it", "error")]


# -- the deadline -----------------------------------------------------------------------------------------------------


def test_the_deadline_ends_a_check_that_hangs_and_names_it(look_at: Examine, own: Path) -> None:
    (own / "mine.py").write_text(
        f'{HEAD}import time\n@check("static")\ndef check_it(model):\n    """It."""\n    time.sleep(60)\n'
        '@check("static", after=["check_it"])\ndef check_that(model):\n    """That."""\n'
    )
    begun = time.monotonic()
    report = look_at(manifest=CHECKED, deadline=time.monotonic() + 1.5)
    assert time.monotonic() - begun < 30
    slept = [c for c in report.checks if c.id == "mine.it"]
    assert [c.status for c in slept] == ["error", "error"]
    assert "deadline passed during this check" in str(slept[0].reason)
    assert report.exit_code == 3


def test_a_run_without_a_deadline_of_its_own_has_one(
    look_at: Examine, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "mine.py").write_text(
        f'{HEAD}import time\n@check("static")\ndef check_it(model):\n    """It."""\n    time.sleep(60)\n'
    )
    monkeypatch.setattr("sage_doctor.suite.run.default_deadline_s", {"static": 1.5}.__getitem__)
    report = look_at(manifest=CHECKED)
    assert report.exit_code == 3
    assert "deadline passed" in str(next(c.reason for c in report.checks if c.id == "mine.it"))


def test_a_check_that_swallows_everything_does_not_swallow_the_deadline(look_at: Examine, own: Path) -> None:
    (own / "mine.py").write_text(
        f'{HEAD}import time\n@check("static")\ndef check_it(model):\n    """It."""\n    try:\n        time.sleep(60)\n'
        "    except Exception:\n        pass\n"
    )
    report = look_at(manifest=CHECKED, deadline=time.monotonic() + 1.5)
    assert "deadline" in str(status(report, "mine.it", "m")[1])


def test_a_deadline_that_has_passed_leaves_everything_unknown(look_at: Examine, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    report = look_at("m", deadline=time.monotonic() - 1)
    assert {c.status for c in report.checks} <= {"error", "skip"}
    assert (report.verdict, report.exit_code) == ("unknown", 3)


# -- workers ----------------------------------------------------------------------------------------------------------


def broken_tree(root: Path) -> None:
    """Lay out twelve models and more: healthy ones, each kind of fault, and adapters with bases in the tree."""
    for number in range(4):
        base = write_full(root / f"base-{number}")
        write_adapter(root / f"adapter-{number}", base)
    (root / "base-1" / MODEL).write_text(POINTER)
    (root / "base-2" / "config.json").unlink()
    (root / "adapter-3" / ADAPTER).unlink()
    write_sharded(root / "sharded")
    write_full(write_sharded(root / "ambiguous"))
    write_full(root / "overflow", vocab_size=7)
    write_adapter(root / "lost", "./nowhere/at/all")
    write_adapter(root / "nested" / "deeper", root / "base-0", r=16)
    write_json(write_full(root / "odd\n\x1b[31m\udcff") / "config.json", [])


def test_two_workers_report_what_one_does(look_at: Examine, tmp_path: Path) -> None:
    broken_tree(tmp_path / "tree")
    serial, parallel = look_at("tree"), look_at("tree", jobs=2)
    assert len({c.subject for c in serial.checks}) >= 14
    assert {f.code for f in serial.findings} >= {"weights-lfs-pointer", "adapter-base-missing", "config-missing"}
    assert timeless(parallel) == timeless(serial)
    assert serial.exit_code == 1


def test_a_worker_that_dies_leaves_its_models_unknown(look_at: Examine, own: Path) -> None:
    (own / "mine.py").write_text(
        f'{HEAD}import os\n@check("integrity")\ndef check_it(model):\n    """It."""\n'
        '    if model.name == "m":\n        os._exit(3)\n'
    )
    report = look_at(manifest=CHECKED, jobs=2, level="integrity")
    assert report.exit_code == 3
    assert report.verdict == "unknown"
    assert status(report, "mine.it", "m")[0] == "error"
    assert {c.level for c in report.checks if c.id == "mine.it"} == {"integrity"}


# -- what must not reach in -------------------------------------------------------------------------------------------


def test_the_users_own_pytest_settings_stay_outside(
    look_at: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_full(tmp_path / "m")
    (tmp_path / "conftest.py").write_text("raise SystemExit('this conftest ran')\n")
    (tmp_path / "m" / "conftest.py").write_text("raise SystemExit('this conftest ran')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option -k nothing")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    with contextlib.chdir(tmp_path) if hasattr(contextlib, "chdir") else monkeypatch.context() as context:
        if context is not None:
            context.chdir(tmp_path)
        report = look_at("m")
    assert found(report, ".") == []  # what no file names is information
    assert [f.code for f in report.findings if f.subject == "."] == ["custom-code"]
    assert report.exit_code == 0
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option -k nothing"


def test_every_finding_says_what_to_do(look_at: Examine, tmp_path: Path) -> None:
    broken_tree(tmp_path / "tree")

    def quiet(finding: Finding) -> bool:
        return all(text.isprintable() for text in (finding.message, finding.fix.summary, *finding.fix.commands))

    report = look_at("tree")
    assert report.findings
    assert all(f.fix.summary and quiet(f) for f in report.findings)


TWO_ROLES = """
[roles.talk]
models = ["m"]
runners = ["talk.py"]
[roles.write]
models = ["broken"]
runners = ["write.py", "gone.py"]
[heartbeats.lines]
path = "lines/*"
max_age = "1h"
[models.m]
kind = "full"
path = "m"
[models.broken]
kind = "full"
path = "broken"
[lint]
paths = ["*.py"]
"""


def test_what_is_asked_for_is_judged_alone(look_at: Examine, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    (tmp_path / "talk.py").write_text("print()\n")
    (tmp_path / "write.py").write_text("open('/home/somebody/weights')\n")
    rest = {"write.py", "gone.py", "broken", "heartbeat:lines"}
    assert {f.subject for f in look_at(manifest=TWO_ROLES).findings} == rest
    model, role = look_at("m", manifest=TWO_ROLES, level="integrity"), look_at("write", manifest=TWO_ROLES)
    assert [f.code for f in model.findings] == ["weights-unverified"]  # information
    assert (model.exit_code, model.machine.roles) == (0, ("talk", "write"))
    assert {f.subject for f in role.findings} == rest
    assert {f.subject for f in look_at("talk", manifest=TWO_ROLES).findings} == {"heartbeat:lines"}


IGNORING = """
[checks]
ignore = ["tokenizer-missing"]
[models.m]
kind = "full"
path = "m"
ignore = ["weights-missing"]
[models.other]
kind = "full"
path = "other"
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_ignored_counts_for_nothing_and_blocks_nothing(look_at: Examine, tmp_path: Path, jobs: int) -> None:
    (write_full(tmp_path / "m") / MODEL).unlink()
    (write_full(tmp_path / "other") / "tokenizer.json").unlink()
    report = look_at(manifest=IGNORING, jobs=jobs)
    assert (report.verdict, report.exit_code, report.findings) == ("healthy", 0, ())
    assert [(f.subject, f.code) for f in report.suppressed] == [
        ("m", "weights-missing"),
        ("other", "tokenizer-missing"),
    ]
    assert status(report, "weights.weights_present", "m") == ("pass", None)
    assert not [c for c in report.checks if c.reason in ("blocked by weights-missing", "blocked by tokenizer-missing")]
    assert Report.from_json(report.to_json()).suppressed == report.suppressed
    if jobs == 1:
        selected = look_at(manifest=IGNORING, select_codes=("weights", "path"), ignore_codes=("path-missing",))
        assert [f.code for f in selected.findings] == ["weights-missing"]
        assert [f.code for f in selected.suppressed] == ["tokenizer-missing"]
