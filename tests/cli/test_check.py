"""`sage-doctor check`: what goes where, and with which exit code."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.model_directories import MODEL, write_adapter, write_full, write_sharded

from .conftest import ROOT, Doctor

SCHEMA = json.loads((ROOT / "sage_doctor" / "schemas" / "report.schema.json").read_text())
Start = Callable[..., subprocess.Popen[bytes]]


def ill(directory: Path) -> Path:
    (write_full(directory) / MODEL).unlink()
    return directory


def warned(directory: Path) -> Path:
    return write_full(write_sharded(directory))


# -- exit codes -------------------------------------------------------------------------------------------------------


def test_a_plugin_of_nagios_ends_with_a_plugins_code(doctor: Doctor, tmp_path: Path) -> None:
    warned(tmp_path / "model")
    done = doctor("check", "model", "-f", "nagios")
    assert (done.code, done.out[:14]) == (1, "SAGE WARNING -")
    (tmp_path / "sage-doctor.toml").write_text("schema = 1\nrolls = 1\n")
    done = doctor("check", "-f", "nagios")  # not 2, which would say that the models are broken
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("SAGE UNKNOWN - sage-doctor.toml:2: ")


@pytest.mark.parametrize(
    "build,words,expected",
    [
        (write_full, [], (0, "healthy")),
        (warned, [], (0, "degraded")),
        (warned, ["--fail-on", "warning"], (1, "degraded")),
        (ill, [], (1, "unhealthy")),
        (ill, ["--fail-on", "never"], (0, "unhealthy")),
    ],
)
def test_the_exit_code_is_the_reports(
    doctor: Doctor, tmp_path: Path, build: Callable[[Path], Path], words: list[str], expected: tuple[int, str]
) -> None:
    build(tmp_path / "model")
    done = doctor("check", "./model", "-f", "json", *words)
    assert (done.code, done.report["verdict"]) == expected
    assert done.report["exit_code"] == done.code
    jsonschema.validate(done.report, SCHEMA)


def test_without_a_command_and_without_a_target_the_working_directory_is_examined(
    doctor: Doctor, tmp_path: Path
) -> None:
    write_full(tmp_path / "model")
    done = doctor("-f", "json", cwd=tmp_path / "model")
    assert (done.code, done.report["level"]) == (0, "static")
    assert {c["subject"] for c in done.report["checks"]} == {".", "machine"}


def test_nothing_there_is_unknown_with_a_hint(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = doctor(cwd=tmp_path / "empty")
    assert (done.code, done.out) == (3, "")
    assert "sage-doctor.toml" in done.err
    assert doctor("check", "./empty").code == 3


@pytest.mark.parametrize(
    "words,says",
    [
        (["check", "no-such-model"], "no model, role or directory named no-such-model"),
        (["check", "--level", "deepest", "."], "deepest"),
        (["check", "--format", "pdf", "."], "pdf"),
        (["check", "--fail-on", "info", "."], "info"),
        (["check", "--no-such-option"], "--no-such-option"),
        (["check", "--timeout", "-3", "."], "-3"),
        (["check", "--timeout", "nan", "."], "nan"),
        (["check", "--timeout", "9000w", "."], "100 years"),
        (["check", "--jobs", "0", "."], "0"),
        (["check", "-o", "json", "."], "FORMAT:PATH"),
        (["check", "-o", "pdf:x", "."], "pdf"),
        (["check", "-o", "json:no/such/place/x", "."], "no/such/place"),
        (["check", "-m", "no-such.toml"], "no-such.toml"),
        (["explain", "no-such-code"], "no-such-code"),
        (["where"], "MODEL"),
        (["where", "a", "b"], "b"),
    ],
)
def test_wrong_words_exit_with_2_and_say_which(doctor: Doctor, words: list[str], says: str) -> None:
    done = doctor(*words)
    assert (done.code, done.out) == (2, ""), done
    assert says in done.err


def test_a_path_that_is_not_there_is_wrong_usage(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "models" / "real")
    done = doctor("check", "./models/rael", "-f", "json")
    assert (done.code, done.out) == (2, "")
    assert "there is nothing at ./models/rael" in done.err
    assert "models/real" in done.err


def test_a_file_as_target_is_a_finding(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "model")
    done = doctor("check", f"./model/{MODEL}", "-f", "json")
    assert (done.code, done.report["findings"][0]["code"]) == (1, "path-not-directory")


# -- the manifest -----------------------------------------------------------------------------------------------------


def test_a_broken_manifest_exits_with_2_and_names_file_and_line(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "sage-doctor.toml").write_text('schema = 1\n[models.m]\nkind = "ful"\npaht = "m"\n')
    done = doctor()
    assert (done.code, done.out) == (2, "")
    assert "sage-doctor.toml:3: " in done.err
    assert "sage-doctor.toml:4: " in done.err


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", b"schema = 1\n[models.m\n", b"", b"schema = 1\n" + b"# filler\n" * 1_200_000]
)
def test_a_manifest_of_any_content_ends_soon(doctor: Doctor, tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "sage-doctor.toml").write_bytes(raw)
    done = doctor()
    assert done.code in (2, 3)
    assert "sage-doctor.toml" in done.err


def test_an_interpreter_that_is_not_there(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\npython = "/no/such/python"\n[models.m]\nkind = "full"\npath = "m"\n'
    )
    done = doctor("-f", "json")  # at the deepest level: nothing is loaded, and the cause is told once
    assert done.code == 1
    assert [(f["code"], f["subject"]) for f in done.report["findings"] if f["severity"] == "error"] == [
        ("interpreter-missing", "machine")
    ]
    (load,) = [c for c in done.report["checks"] if c["id"] == "load.loads"]
    assert load["reason"] == "blocked by interpreter-missing"


# -- where the report goes --------------------------------------------------------------------------------------------


def test_several_outputs_hold_one_report(doctor: Doctor, tmp_path: Path) -> None:
    ill(tmp_path / "model")
    done = doctor(
        "check", "./model", "-o", "json:a.json", "-o", "junit:b.xml", "--output", "terminal:c.txt", "-f", "json"
    )
    assert done.code == 1
    assert json.loads((tmp_path / "a.json").read_text()) == done.report
    assert "weights-missing" in (tmp_path / "b.xml").read_text()
    assert "weights-missing" in (tmp_path / "c.txt").read_text()


def test_every_option_has_its_variable(doctor: Doctor, tmp_path: Path) -> None:
    warned(tmp_path / "model")
    done = doctor(
        *("check", "./model"),
        SAGE_DOCTOR_FORMAT="json",
        SAGE_DOCTOR_LEVEL="integrity",
        SAGE_DOCTOR_FAIL_ON="warning",
        SAGE_DOCTOR_OUTPUT="junit:b.xml",
        SAGE_DOCTOR_JOBS="1",
        SAGE_DOCTOR_TIMEOUT="50",
    )
    assert (done.code, done.report["level"]) == (1, "integrity")
    assert (tmp_path / "b.xml").exists()
    assert doctor("check", "./model", SAGE_DOCTOR_LEVEL="deepest").code == 2


def test_standard_output_is_the_report_whatever_a_check_prints(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.py").write_text(
        'import os\nfrom sage_doctor.check import check\nprint("at import")\n@check("static")\ndef check_it(model):\n'
        '    """It."""\n    print("in a check"); os.write(1, b"raw"); os.system("echo a child")\n'
    )
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[checks]\npaths = ["own"]\n[models.m]\nkind = "full"\npath = "m"\n'
    )
    done = doctor("-l", "static", "-f", "json")
    assert (done.code, done.err) == (0, "")
    assert done.report["verdict"] == "healthy"


def test_a_reader_that_goes_away_ends_it_quietly(start: Start, tmp_path: Path) -> None:
    for number in range(40):
        ill(tmp_path / "tree" / f"a-model-with-a-rather-long-name-{number}")
    process = start("check", "./tree", "-f", "json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"{\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) in (1, 3)


@pytest.mark.parametrize(
    "name", [b"new\nline", b"\x1b[31mred", b"[red]bold[/red]", b"caf\xe9", b"\xe2\x80\xae rtl", b"-f"]
)
def test_names_of_any_bytes_are_harmless_on_screen_and_whole_in_json(
    doctor: Doctor, tmp_path: Path, name: bytes
) -> None:
    ill(tmp_path / "tree" / os.fsdecode(name))
    shown = doctor("check", "./tree")
    assert shown.code == 1
    assert not {c for c in shown.out if not c.isprintable()} - {"\n"}
    if name.startswith(b"["):
        assert name.decode() in shown.out
    told = doctor("check", "./tree", "-f", "json")
    assert os.fsdecode(name) in {f["subject"] for f in told.report["findings"]}


# -- surroundings -----------------------------------------------------------------------------------------------------


def test_a_working_directory_that_may_not_be_written_to(doctor: Doctor, tmp_path: Path) -> None:
    place = write_full(tmp_path / "model")
    before = sorted(p.name for p in place.iterdir())
    place.chmod(0o555)
    try:
        assert doctor(cwd=place).code == 0
    finally:
        place.chmod(0o755)
    assert sorted(p.name for p in place.iterdir()) == before


def test_hostile_settings_in_the_working_directory(doctor: Doctor, tmp_path: Path) -> None:
    place = write_full(tmp_path / "model")
    (place / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (place / "conftest.py").write_text("raise SystemExit(77)\n")
    (place / "json.py").write_text("raise SystemExit(77)\n")
    done = doctor("-f", "json", cwd=place, PYTEST_ADDOPTS="--no-such", PYTEST_PLUGINS="none", PYTHONSAFEPATH="1")
    assert done.code == 0
    assert [f["code"] for f in done.report["findings"]] == ["custom-code"]


def test_in_parallel_from_the_command_line(doctor: Doctor, tmp_path: Path) -> None:
    write_adapter(tmp_path / "tree" / "a", ill(tmp_path / "tree" / "b"))
    done = doctor("check", "./tree", "-j", "2", "-f", "json")
    assert (done.code, done.err) == (1, "")
    assert [f["subject"] for f in done.report["findings"]] == ["b"]


@pytest.mark.parametrize("words", [("-j", "2"), ()])
def test_what_test_runs_of_the_user_left_is_not_touched(words: tuple[str, ...], doctor: Doctor, tmp_path: Path) -> None:
    """pytest deletes its older directories at the end of a run: a doctor that does so takes what it did not make."""
    write_full(tmp_path / "m")
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/own.py").write_text(
        "from sage_doctor.check import check\n@check('static')\ndef check_own(model, tmp_path):\n"
        "    '''Own.'''\n    (tmp_path / 'x').touch()\n    yield from ()\n"
    )
    text = 'schema = 1\n[checks]\npaths = ["checks"]\n[models.m]\nkind = "full"\npath = "m"\n'
    (tmp_path / "sage-doctor.toml").write_text(text)
    place = tmp_path / "tmp"
    for number in range(6):
        (place / f"pytest-of-{getpass.getuser()}/pytest-{number}").mkdir(parents=True)
    (place / f"pytest-of-{getpass.getuser()}").chmod(0o700)
    before = sorted(place.rglob("*"))
    done = doctor("check", "-l", "static", "-f", "json", *words, TMPDIR=str(place), PYTHONSAFEPATH="1")
    assert (done.code, done.err) == (0, "")
    assert "own.own" in [c["id"] for c in done.report["checks"] if c["status"] == "pass"]
    assert sorted(place.rglob("*")) == before


# -- being stopped ----------------------------------------------------------------------------------------------------


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    """A manifest whose sessions' interpreter tells its packages and then, as a probe, hangs; the mark it leaves."""
    write_full(tmp_path / "m")
    mark = tmp_path / "mark"
    python = tmp_path / "python"
    packages = dict.fromkeys(("torch", "transformers", "peft"), "1.0")
    answer = json.dumps({"version": "3.11.0", "prefix": "/", "executable": "x", "packages": packages, "places": []})
    python.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        "if '-c' in sys.argv:\n"
        f"    print(sys.argv[-1] + {answer!r})\n"
        "else:\n"
        f"    open({str(mark)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(300)\n"
    )
    python.chmod(0o755)
    (tmp_path / "sage-doctor.toml").write_text(
        f'schema = 1\npython = "{python}"\n[models.m]\nkind = "full"\npath = "m"\n'
    )
    return mark


def ended(pid: int) -> bool:
    """Return whether a process is gone, or a corpse that nobody has buried yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() == "" or state.startswith("Z")


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_takes_the_probe_with_it(start: Start, probed: Path, number: signal.Signals) -> None:
    process = start("-f", "json")
    wait_for(lambda: probed.exists() and probed.read_text() != "")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == b""
    assert err == b"interrupted\n"
    wait_for(lambda: ended(int(probed.read_text())))


def test_the_deadline_of_the_run_ends_a_probe_that_hangs(doctor: Doctor, probed: Path) -> None:
    done = doctor("-f", "json", "--timeout", "6")
    assert done.code in (1, 3)
    (load,) = [c for c in done.report["checks"] if c["id"] == "load.loads"]
    assert load["status"] in ("fail", "error")
    wait_for(lambda: ended(int(probed.read_text())))


# -- in time whatever happens -----------------------------------------------------------------------------------------


def test_a_check_that_hangs_in_the_kernel_ends_in_time_and_tells_what_it_found(start: Start, tmp_path: Path) -> None:
    """A stopped process stands for one that waits for a dead disk: neither answers an alarm."""
    (write_full(tmp_path / "zoo" / "cut") / MODEL).unlink()
    write_full(tmp_path / "zoo" / "other")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "hang.py").write_text(
        "import os, signal\nfrom sage_doctor.check import check\n\n"
        '@check("static")\ndef check_hang(model):\n    """It hangs."""\n'
        "    if model.name == 'other':\n        os.kill(os.getpid(), signal.SIGSTOP)\n    yield from ()\n"
    )
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[checks]\npaths = ["own"]\n'
        '[models.cut]\nkind = "full"\npath = "zoo/cut"\n[models.other]\nkind = "full"\npath = "zoo/other"\n'
    )
    began = time.monotonic()
    process = start("check", "-l", "static", "--timeout", "3s", "-f", "json")
    out, err = process.communicate(timeout=60)
    took = time.monotonic() - began
    report = json.loads(out)
    assert process.returncode == 1, err
    assert "weights-missing" in [f["code"] for f in report["findings"]]
    (late,) = [c for c in report["checks"] if c["id"] == "deadline"]
    assert "no answer within 3.0 s, in the stage 'other: " in late["reason"]
    assert "is stopped" in late["reason"]
    assert 3 <= took < 12


def test_an_interrupt_ends_a_check_that_hangs(start: Start, tmp_path: Path) -> None:
    write_full(tmp_path / "model")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "hang.py").write_text(
        "import os, pathlib, signal\nfrom sage_doctor.check import check\n\n"
        '@check("static")\ndef check_hang(model):\n    """It hangs."""\n'
        f"    pathlib.Path({str(tmp_path / 'hangs')!r}).touch()\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n    yield from ()\n"
    )
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[checks]\npaths = ["own"]\n[models.m]\nkind = "full"\npath = "model"\n'
    )
    process = start("check", "-l", "static")
    while not (tmp_path / "hangs").exists():
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, b"interrupted" in err) == (130, True)
