"""The suite as a whole: what becomes of many checks on many models in one run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.report import Finding, Report
from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine
from tests.model_directories import (
    ADAPTER,
    MODEL,
    POINTER,
    write_adapter,
    write_full,
    write_json,
    write_sharded,
)

Examine = Callable[..., Report]


@pytest.fixture
def look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Examine targets, or the models of a manifest given as its text, below the test's own directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in list(os.environ):
        if name.startswith(("SAGE_", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")):
            monkeypatch.delenv(name)

    def run(*targets: str, manifest: str | None = None, jobs: int = 1, **request: Any) -> Report:
        if manifest is not None:
            (tmp_path / "sage-doctor.toml").write_text("schema = 1\n" + manifest, encoding="utf-8")
            request["manifest"] = "sage-doctor.toml"
        return examine(Request(targets=targets, cwd=str(tmp_path), **{"level": "static", **request}), jobs=jobs)

    return run


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


def found(report: Report, subject: str) -> list[str]:
    return [f.code for f in report.findings if f.subject == subject and f.severity != "info"]


def status(report: Report, check: str, subject: str) -> tuple[str, str | None]:
    (result,) = [c for c in report.checks if c.id == check and c.subject == subject]
    return result.status, result.reason


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


def test_what_is_blocked_blocks_in_turn_with_the_first_cause(look_at: Examine, tmp_path: Path) -> None:
    place = write_full(tmp_path / "m")
    (place / MODEL).unlink()
    report = look_at("m")
    # check_config_possible waits for check_config, which waits for the weights.
    assert status(report, "config.config", ".") == ("skip", "blocked by weights-missing")
    assert status(report, "config.config_possible", ".") == ("skip", "blocked by weights-missing")
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


# -- checks of one's own ----------------------------------------------------------------------------------------------

HEAD = "from sage_doctor.check import Fix, check, finding\nfrom sage_doctor.errors import NotApplicable\n"
CHECKED = '[checks]\npaths = ["own"]\n[models.m]\nkind = "full"\npath = "m"\n[models.a]\nkind = "adapter"\npath = "a"\n'


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The directory of a user's own checks, with two healthy models beside it."""
    write_adapter(tmp_path / "a", write_full(tmp_path / "m"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_own_checks_stand_beside_ours(look_at: Examine, own: Path) -> None:
    (own / "provenance.py").write_text(
        HEAD
        + '@check("static", after=["check_path"])\ndef check_licence(model, notes):\n    """A licence is there."""\n'
        '    notes.measure("names", len(model.tree.names), "files")\n'
        '    if not model.tree.has("LICENSE"):\n'
        '        yield finding("acme-no-licence", str(model.path), severity="warning", fix=Fix(summary="ask"))\n'
        '@check("static", kinds=["adapter"])\ndef check_rank(adapter):\n    """The rank is even."""\n'
        "    assert adapter.adapter_config.rank % 2 == 0\n"
        '@check("static", kinds=["adapter"])\ndef check_no_use(model):\n    """Never."""\n'
        '    raise NotApplicable("not today")\n'
        '@check("static")\ndef check_host(host, machine, session, models):\n    """The host has a name."""\n'
        "    assert host.machine is machine and session is host.session and len(models) == 2\n"
    )
    (own.parent / "a" / "LICENSE").touch()
    report = look_at(manifest=CHECKED)
    assert found(report, "m") == ["acme-no-licence"]
    assert found(report, "a") == []
    assert (report.verdict, report.exit_code) == ("degraded", 0)
    assert status(report, "provenance.licence", "m")[0] == "warn"
    assert status(report, "provenance.rank", "a") == ("pass", None)
    assert status(report, "provenance.no_use", "a") == ("skip", "not today")
    assert status(report, "provenance.host", "machine") == ("pass", None)
    assert {m.subject for m in report.measurements if m.name == "names"} == {"m", "a"}


def test_own_checks_block_and_are_blocked(look_at: Examine, own: Path) -> None:
    (own / "mine.py").write_text(
        HEAD + '@check("static")\ndef check_first(model):\n    """First."""\n'
        '    yield finding("acme-bad", "bad", severity="error", fix=Fix(summary="mend"))\n'
        '@check("static", after=["check_first"])\ndef check_second(model):\n    """Second."""\n    raise SystemExit\n'
    )
    report = look_at(manifest=CHECKED)
    assert found(report, "m") == ["acme-bad"]
    assert status(report, "mine.second", "m") == ("skip", "blocked by acme-bad")


@pytest.mark.parametrize(
    "body,reason",
    [
        ("    raise ZeroDivisionError('one / nothing')\n", "ZeroDivisionError: one / nothing"),
        ("    raise ValueError('\\x1b[31mred\\udcff')\n", "ValueError: "),
        ("    raise SystemExit(7)\n", "SystemExit"),
        ("    yield 7\n", "int, not a finding"),
        ("    notes.measure('x', float('nan'), 's')\n", "not a number"),
        ("    yield finding('acme-no-severity', 'x', fix=Fix(summary='y'))\n", "give its severity"),
        ("    import pytest; pytest.fail('no')\n", "no"),
        (
            "    yield finding('acme-e', 'x', severity='error', evidence={'p': model.path}, fix=Fix(summary='y'))\n",
            "JSON",
        ),
        ("    yield finding('acme-e', 'x', severity='fatal', fix=Fix(summary='y'))\n", "fatal"),
    ],
)
def test_a_check_that_fails_itself_is_unknown_and_not_healthy(
    look_at: Examine, own: Path, body: str, reason: str
) -> None:
    (own / "mine.py").write_text(f'{HEAD}@check("static")\ndef check_it(model, notes):\n    """It."""\n{body}')
    report = look_at(manifest=CHECKED)
    result = status(report, "mine.it", "m")
    assert result[0] == "error", result
    assert reason in (result[1] or ""), result
    assert (result[1] or "").isprintable()
    assert (report.verdict, report.exit_code) == ("unknown", 3)
    assert status(report, "weights.weights_whole", "m") == ("pass", None)


@pytest.mark.parametrize(
    "text",
    ["def broken(:\n", "raise OSError('when imported')\n", "import nothing_of_that_name\n", "raise SystemExit(0)\n"],
)
def test_a_file_of_checks_that_cannot_be_read_is_unknown(look_at: Examine, own: Path, text: str) -> None:
    (own / "mine.py").write_text(text)
    report = look_at(manifest=CHECKED, level="integrity")
    (result,) = [c for c in report.checks if c.status == "error"]
    assert (result.id, result.subject, result.level) == ("mine", "machine", "integrity")
    assert (report.verdict, report.exit_code) == ("unknown", 3)
    assert status(report, "weights.weights_whole", "m") == ("pass", None)


@pytest.mark.parametrize("argument", ["model", ""])
def test_a_function_that_is_not_declared_as_a_check_is_told(look_at: Examine, own: Path, argument: str) -> None:
    (own / "mine.py").write_text(f'{HEAD}def check_it({argument}):\n    """It."""\n')
    report = look_at(manifest=CHECKED)
    (told,) = (c.reason or "" for c in report.checks if c.status == "error")
    line = HEAD.count("\n") + 1
    assert told.endswith(f'mine.py:{line}: check_it is not declared as a check: write @check("static") above it')
    assert (report.verdict, report.exit_code) == ("unknown", 3)


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


@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_own_fixtures_that_cannot_be_read_are_unknown(look_at: Examine, own: Path, error: type[BaseException]) -> None:
    (own / "conftest.py").write_text(f"raise {error.__name__}('the fixtures are gone')\n")
    (own / "mine.py").write_text(f'{HEAD}@check("static")\ndef check_it(model):\n    """It."""\n')
    report = look_at(manifest=CHECKED)
    assert "the fixtures are gone" in " ".join(str(c.reason) for c in report.checks if c.status == "error")
    assert report.exit_code == 3


def test_a_fixture_that_is_not_there_is_unknown(look_at: Examine, own: Path) -> None:
    (own / "mine.py").write_text(f'{HEAD}@check("static")\ndef check_it(no_such_thing):\n    """It."""\n')
    report = look_at(manifest=CHECKED, level="integrity")
    assert status(report, "mine.it", "machine")[0] == "error"
    assert "no_such_thing" in str(status(report, "mine.it", "machine")[1])
    assert {c.level for c in report.checks if c.id == "mine.it"} == {"static"}
    assert report.exit_code == 3


def test_own_fixtures_and_a_neighbour_module(look_at: Examine, own: Path) -> None:
    (own / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef limit():\n    return 3\n")
    (own / "mine.py").write_text(
        f'{HEAD}@check("static")\ndef check_it(model, limit):\n    """It."""\n'
        '    yield finding("acme-limit", str(limit), severity="warning", fix=Fix(summary="y"))\n'
    )
    report = look_at(manifest=CHECKED)
    assert [f.message for f in report.findings if f.subject == "m"] == ["3"]
    assert report.exit_code == 0


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
    assert found(report, ".") == ["custom-code"]
    assert report.exit_code == 0
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option -k nothing"


def test_every_finding_says_what_to_do(look_at: Examine, tmp_path: Path) -> None:
    broken_tree(tmp_path / "tree")

    def quiet(finding: Finding) -> bool:
        return all(text.isprintable() for text in (finding.message, finding.fix.summary, *finding.fix.commands))

    report = look_at("tree")
    assert report.findings
    assert all(f.fix.summary and quiet(f) for f in report.findings)


@pytest.mark.parametrize("jobs", [0, 2])
@pytest.mark.parametrize("package", [False, True])
def test_nothing_above_a_users_own_checks_is_imported(look_at: Examine, own: Path, *, jobs: int, package: bool) -> None:
    for upper in (own.parent, own.parent.parent):
        for name in ("conftest.py", "__init__.py"):
            (upper / name).write_text(
                f"open({str(own / 'sprung')!r}, 'w').write(__file__)\nimport nothing_of_that_name\n"
            )
    (own / "deeper").mkdir()
    (own / "limits.py").write_text("LIMIT = 3\n")
    (own / "conftest.py").write_text(
        "import pytest\nfrom .limits import LIMIT\n@pytest.fixture\ndef limit():\n    return LIMIT\n"
    )
    (own / "deeper" / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef more(limit):\n    return limit + 1\n"
    )
    if package:
        (own / "__init__.py").write_text("HERE = 5\n")
    for path, asked in ((own / "mine.py", "limit"), (own / "deeper" / "ours.py", "more")):
        path.write_text(
            f'{HEAD}@check("static")\ndef check_it(model, {asked}):\n    """It."""\n'
            f'    yield finding("acme-{asked}", str({asked}), severity="warning", fix=Fix(summary="y"))\n'
        )
    try:
        report = look_at(manifest=CHECKED, jobs=jobs)
        assert not (own / "sprung").exists(), (own / "sprung").read_text()
    finally:
        (own.parent.parent / "conftest.py").unlink()
        (own.parent.parent / "__init__.py").unlink()
    said = {(f.code, f.message) for f in report.findings if f.subject == "m"}
    assert {("acme-limit", "3"), ("acme-more", "4")} <= said, report
    assert report.exit_code == 0


def test_one_file_of_own_checks_brings_the_fixtures_beside_it(look_at: Examine, own: Path) -> None:
    test_own_fixtures_and_a_neighbour_module(look_at, own)
    (own / "other.py").write_text("raise OSError('not asked for')\n")
    report = look_at(manifest=CHECKED.replace('"own"', '"own/mine.py"'))
    assert [f.message for f in report.findings if f.subject == "m"] == ["3"]
    assert report.exit_code == 0


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
