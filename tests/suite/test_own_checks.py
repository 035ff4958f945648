"""A user's own checks: they stand beside ours, and whatever is wrong with them is told and is no finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import CHECKED, HEAD, Examine, found, status


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
