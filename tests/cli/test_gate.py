"""`sage-doctor gate`: when it opens, what it says, and what it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gate.stand_in import loads, write_interpreter, write_site
from tests.model_directories import MODEL, write_full

from .conftest import Doctor

Start = Callable[..., subprocess.Popen[bytes]]


# -- the decision -----------------------------------------------------------------------------------------------------


def test_a_healthy_role_is_open(doctor: Doctor, site: Path, python: Path) -> None:
    done = doctor("gate", "talk", cwd=site)
    assert (done.code, done.out) == (0, "open: talk: m0 is ready\n")
    assert loads(python) == 1


def test_a_gate_brings_no_rich(site: Path, environment: dict[str, str]) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "sage_doctor", "gate", "talk"]
    done = subprocess.run(words, cwd=site, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "sage_doctor.gate" in done.stderr
    assert "| rich" not in done.stderr.replace("  ", "")


def test_a_missing_file_keeps_sessions_out_and_says_what_to_do(doctor: Doctor, site: Path) -> None:
    doctor("gate", "talk", cwd=site)
    (site / "zoo" / "m0" / MODEL).unlink()
    done = doctor("gate", "talk", cwd=site)
    assert done.code == 1
    assert done.out.startswith("blocked: talk: m0: weights-missing: no weights")
    assert "re-checked" in done.err
    assert "zoo/m0" in done.err


def test_what_other_roles_need_does_not_matter(doctor: Doctor, tmp_path: Path, python: Path) -> None:
    more = '[roles.walk]\nmodels = ["lost"]\n[models.lost]\nkind = "full"\npath = "zoo/lost"\n'
    site = write_site(tmp_path / "site", python, more=more)
    assert doctor("gate", "talk", cwd=site).code == 0
    assert doctor("gate", "walk", cwd=site).code == 1


def test_warnings_keep_sessions_out_where_that_is_asked(doctor: Doctor, site: Path) -> None:
    (site / "zoo" / "m0" / "generation_config.json").write_text("{")  # a warning
    plain = doctor("gate", "talk", "--level", "static", cwd=site)
    assert (plain.code, "warning" in plain.out) == (0, True)
    strict = doctor("gate", "talk", "--level", "static", "--fail-on", "warning", cwd=site)
    assert strict.code == 1
    assert strict.out.startswith("blocked: talk: m0: ")


# -- what is said, and where ------------------------------------------------------------------------------------------


def test_the_report_goes_to_standard_output_where_it_is_asked_for(doctor: Doctor, site: Path, tmp_path: Path) -> None:
    for _ in ("found out", "taken from last time"):
        done = doctor("gate", "talk", "-f", "json", "-o", f"junit:{tmp_path}/junit.xml", cwd=site)
        assert done.report["verdict"] == "healthy"
        assert done.err.startswith("open: talk: m0 is ready")
        assert "<testsuite" in (tmp_path / "junit.xml").read_text()


def test_a_directory_for_reports_that_is_gone_keeps_no_session_out(doctor: Doctor, site: Path, tmp_path: Path) -> None:
    done = doctor("gate", "talk", "-o", f"prometheus:{tmp_path}/gone/sage.prom", "--", "echo", "started", cwd=site)
    assert (done.code, done.out) == (0, "started\n")
    assert f"the report cannot be written: {tmp_path}/gone/sage.prom could not be written: no such file" in done.err


def test_quiet_says_nothing_where_sessions_may_start(doctor: Doctor, site: Path) -> None:
    assert (doctor("gate", "talk", "-q", cwd=site).out, doctor("gate", "talk", "-q", cwd=site).err) == ("", "")
    (site / "zoo" / "m0" / MODEL).unlink()
    assert doctor("gate", "talk", "-q", cwd=site).out.startswith("blocked: talk")


def test_on_change_speaks_when_the_verdict_is_another(doctor: Doctor, site: Path) -> None:
    weights = site / "zoo" / "m0" / MODEL
    said = []
    for change in (None, None, weights.unlink, None, lambda: write_full(site / "zoo" / "m0"), None):
        if change is not None:
            change()
        done = doctor("gate", "talk", "--on-change", cwd=site)
        said.append((done.code, done.out.partition(":")[0], bool(done.err)))
    assert said == [
        (0, "open", False), (0, "", False), (1, "blocked", True), (1, "", False), (0, "open", True), (0, "", False)
    ]  # fmt: skip


def test_lines_carry_levels_in_a_journal(site: Path, environment: dict[str, str], tmp_path: Path) -> None:
    (site / "zoo" / "m0" / MODEL).unlink()
    with open(tmp_path / "journal", "wb") as journal:
        status = os.fstat(journal.fileno())
        subprocess.run(
            [sys.executable, "-m", "sage_doctor", "gate", "talk"],
            cwd=site, stdout=journal, stderr=journal, check=False,
            env={**environment, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        )  # fmt: skip
    lines = (tmp_path / "journal").read_text().splitlines()
    assert lines[0].startswith("<3>blocked: talk")
    assert all(line[:3] in ("<3>", "<4>", "<6>") for line in lines)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_runs_in_the_same_process_with_the_models_places(start: Start, site: Path) -> None:
    script = "import os; print(os.getpid(), os.environ['SAGE_DOCTOR_MODEL_M0']); raise SystemExit(42)"
    process = start("gate", "talk", "--", sys.executable, "-c", script, cwd=site)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 42
    assert out.decode() == f"{process.pid} {site}/zoo/m0\n"
    assert err.decode().startswith("open: talk")


def test_the_command_does_not_run_where_sessions_are_kept_out(doctor: Doctor, site: Path) -> None:
    (site / "zoo" / "m0" / MODEL).unlink()
    done = doctor("gate", "talk", "--", "touch", "started", cwd=site)
    assert done.code == 1
    assert not (site / "started").exists()


def test_the_command_keeps_its_own_options_and_separators(doctor: Doctor, site: Path) -> None:
    done = doctor("gate", "talk", "-q", "--", "echo", "--fresh", "-q", "--", "x", cwd=site)
    assert (done.code, done.out) == (0, "--fresh -q -- x\n")


def test_the_command_is_told_when_its_reader_is_gone(doctor: Doctor, site: Path) -> None:
    code = "import signal; print(signal.getsignal(signal.SIGPIPE) == signal.SIG_DFL)"
    shown = "grep SigIgn /proc/self/status"
    ignored = doctor("gate", "talk", "--", "sh", "-c", shown, cwd=site).out.split()[1]
    assert not int(ignored, 16) & (1 << (signal.SIGPIPE - 1)), code


@pytest.mark.parametrize(
    "command,words",
    [
        (["no-such-program"], "no program no-such-program on PATH"),
        (["./plain"], "not executable; chmod +x ./plain"),
        (["./zoo"], "is a directory"),
        (["./gone"], "no program ./gone"),
        ([], "the command after -- is missing"),
    ],
)
def test_a_command_that_cannot_run_is_said_before_anything_is_examined(
    doctor: Doctor, site: Path, python: Path, command: list[str], words: str
) -> None:
    (site / "plain").write_text("x")
    done = doctor("gate", "talk", "--", *command, cwd=site)
    assert (done.code, loads(python)) == (2, 0)
    assert words in done.err


def test_a_command_with_a_missing_interpreter_is_told(doctor: Doctor, site: Path) -> None:
    (site / "broken").write_text("#!/no/such/python\n")
    (site / "broken").chmod(0o755)
    done = doctor("gate", "talk", "--", "./broken", cwd=site)
    assert done.code == 3
    assert "could not be started: no such file or directory; does its first line name an interpreter" in done.err


def test_something_else_runs_where_sessions_are_kept_out_and_its_code_is_not_the_gates(
    doctor: Doctor, site: Path
) -> None:
    notify = "sh -c 'echo \"$SAGE_DOCTOR_VERDICT $SAGE_DOCTOR_REASON\" > told; exit 0'"
    assert doctor("gate", "talk", "--on-blocked", notify, cwd=site).code == 0
    assert not (site / "told").exists()
    (site / "zoo" / "m0" / MODEL).unlink()
    assert doctor("gate", "talk", "--on-blocked", notify, cwd=site).code == 1
    assert (site / "told").read_text().startswith("blocked m0: weights-missing")
    assert "ended with status 9" in doctor("gate", "talk", "--on-blocked", "sh -c 'exit 9'", cwd=site).err
    assert "could not be started" in doctor("gate", "talk", "--on-blocked", "/no/such", cwd=site).err


def test_a_gate_that_waited_holds_the_result_to_its_own_strictness(begin: Start, tmp_path: Path) -> None:
    python = write_interpreter(tmp_path / "env", pause="import time; time.sleep(3)")
    site = write_site(tmp_path / "site", python)
    (site / "zoo" / "m0" / "generation_config.json").write_text("{")  # a warning
    mild = begin("gate", "talk", cwd=site)
    while not loads(python):
        time.sleep(0.02)
    strict = begin("gate", "talk", "--fail-on", "warning", cwd=site)
    ended = [g.communicate(timeout=60) for g in (mild, strict)]
    assert (mild.returncode, strict.returncode) == (0, 1), ended


def test_a_change_beside_the_runners_keeps_nobody_out(begin: Start, tmp_path: Path) -> None:
    python = write_interpreter(tmp_path / "env", pause="import time; time.sleep(2)")
    site = write_site(tmp_path / "site", python)
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace('models = ["m0"]', 'models = ["m0"]\nrunners = ["run_*.py"]'))
    (site / "run_one.py").write_text("print(1)\n")
    gate = begin("gate", "talk", cwd=site)
    while not loads(python):
        time.sleep(0.02)
    (site / "session.log").write_text("another session goes on\n")
    said = gate.communicate(timeout=60)
    assert gate.returncode == 0, said


def test_waiting_ends_when_the_role_is_well_again(begin: Start, site: Path) -> None:
    weights = site / "zoo" / "m0" / MODEL
    kept = weights.read_bytes()
    weights.unlink()
    process = begin("gate", "talk", "--wait", "60s", cwd=site)
    assert process.stderr is not None
    first = process.stderr.readline()
    weights.write_bytes(kept)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith(b"open: talk")
    assert first.startswith(b"blocked: talk: m0: ")
    assert first.endswith(b"; trying again in 1.0 s\n")


def test_waiting_ends_when_its_time_is_over(doctor: Doctor, site: Path) -> None:
    (site / "zoo" / "m0" / MODEL).unlink()
    done = doctor("gate", "talk", "--wait", "3s", cwd=site)
    assert done.code == 1
    assert done.err.count("trying again") in (1, 2)


# -- questions that make no sense -------------------------------------------------------------------------------------


def test_an_unknown_role_is_wrong_usage(doctor: Doctor, site: Path) -> None:
    done = doctor("gate", "tolk", "--wait", "60s", cwd=site)
    assert done.code == 2
    assert done.out == ""  # nothing was examined: there is no verdict
    assert done.err == f"sage-doctor: no role 'tolk' in {site}/sage-doctor.toml; did you mean 'talk'?\n"


def test_a_role_of_another_machine_is_wrong_usage(doctor: Doctor, tmp_path: Path) -> None:
    more = '[machines.here]\nmatch.hostname = "*"\nroles = ["walk"]\n[roles.walk]\nmodels = ["m0"]\n'
    site = write_site(tmp_path / "site", None, more=more)
    done = doctor("gate", "talk", cwd=site)
    assert done.code == 2
    assert "machine here does not have the role 'talk' (its roles: walk)" in done.err


def test_an_empty_role_is_unknown(doctor: Doctor, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", None, more='[roles.idle]\ndescription = "nothing yet"\n')
    done = doctor("gate", "idle", cwd=site)
    assert done.code == 3
    assert done.out == (
        "unknown: idle: nothing to examine on this machine for idle: "
        "no model, runner, heartbeat, state or accelerator\n"
    )


def test_no_manifest_is_wrong_usage(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("gate", "talk", cwd=tmp_path)
    assert done.code == 2
    assert "no sage-doctor.toml in this directory or above" in done.err


def test_a_broken_manifest_is_wrong_usage_with_its_line(doctor: Doctor, site: Path) -> None:
    (site / "sage-doctor.toml").write_text("schema = 1\n[roles.talk]\nmodel = []\n")
    done = doctor("gate", "talk", cwd=site)
    assert done.code == 2
    assert "sage-doctor.toml:3: unknown key 'model'" in done.err


@pytest.mark.parametrize("words", [["--timeout", "soon"], ["--wait", "-1s"], ["--level", "deep"], ["-f", "xml"], []])
def test_wrong_words_are_wrong_usage(doctor: Doctor, site: Path, words: list[str]) -> None:
    done = doctor("gate", *(["talk", *words] if words else []), cwd=site)
    assert (done.code, done.out) == (2, "")
    assert "`sage-doctor gate --help` lists the options" in done.err


def test_the_report_of_a_gate_is_one_the_schema_allows(doctor: Doctor, site: Path) -> None:
    import jsonschema

    from .test_check import SCHEMA

    doctor("gate", "talk", cwd=site)
    jsonschema.validate(json.loads(doctor("gate", "talk", "-f", "json", cwd=site).out), SCHEMA)
    wrong = doctor("gate", "tolk", "-f", "json", cwd=site)
    jsonschema.validate(json.loads(wrong.out), SCHEMA)
    assert (wrong.code, wrong.report["exit_code"], wrong.report["verdict"]) == (2, 2, "unknown")
