"""`sage-doctor fix`: who is asked, what is said, which exit code, and what a kill in its midst leaves."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import pytest

from tests.model_directories import INDEX, MODEL, write_adapter, write_full, write_sharded

from .conftest import ROOT, Doctor, Done, answered, warm_run

SCHEMA = json.loads((ROOT / "sage_doctor" / "schemas" / "report.schema.json").read_text())
Start = Callable[..., subprocess.Popen[bytes]]

MANIFEST = """schema = 1
[roles.raising]
models = ["merged"]
[models.merged]
kind = "merged"
path = "merged"
merge = { base = "small", adapter = "stance" }
[models.stance]
kind = "adapter"
path = "stance"
[models.small]
kind = "full"
path = "base"
"""
DROPPED = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: what lets root pass over mode bits


def contents(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(directory.iterdir()) if p.is_file()}


@pytest.fixture
def doctor(warm_merging_doctor: Path, tmp_path: Path, environment: dict[str, str]) -> Doctor:
    """Run `sage-doctor` with these words to its end, in a fork of a Python that has imported it, and torch."""

    def run(*words: str | bytes, cwd: Path = tmp_path, **changes: str) -> Done:
        return warm_run(warm_merging_doctor, *words, cwd=cwd, env={**environment, **changes})

    return run


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    model = write_sharded(tmp_path / "model")
    (model / INDEX).unlink()
    return model


@pytest.fixture
def incident(tmp_path: Path) -> Path:
    """A merged model without weights, whose adapter names no base that is here. Returns the manifest's directory."""
    world = tmp_path / "world"
    write_full(world / "base")
    (write_full(world / "merged") / MODEL).unlink()
    write_adapter(world / "stance", "./fine_tuned_model/final_model")
    (world / "sage-doctor.toml").write_text(MANIFEST)
    return world


def journal(tmp_path: Path) -> list[str]:
    path = tmp_path / "home" / ".local" / "state" / "sage-doctor" / "repairs.jsonl"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


# -- consent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said,code", [("1", 0), ("yes", 0), ("0", 1), ("false", 1), ("perhaps", 2)])
def test_a_variable_consents_only_where_it_says_yes(doctor: Doctor, sharded: Path, said: str, code: int) -> None:
    assert doctor("fix", "./model", SAGE_DOCTOR_YES=said).code == code
    assert (sharded / INDEX).exists() == (code == 0)


def test_without_a_terminal_and_without_yes_the_answer_is_no(doctor: Doctor, sharded: Path, tmp_path: Path) -> None:
    before = contents(sharded)
    done = doctor("fix", "./model")
    assert done.code == 1
    assert "--yes applies it" in done.out
    assert contents(sharded) == before
    assert journal(tmp_path) == []


def test_a_dry_run_shows_the_plan_and_changes_nothing(doctor: Doctor, sharded: Path, tmp_path: Path) -> None:
    before = contents(sharded)
    done = doctor("fix", "./model", "--dry-run")
    assert done.code == 1
    assert "rebuild-index" in done.out
    assert "Nothing was changed" in done.out
    assert contents(sharded) == before
    assert journal(tmp_path) == []


@pytest.mark.usefixtures("sharded")
def test_with_yes_it_is_done_and_the_report_after_decides(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("fix", "./model", "--yes", "-o", f"json:{tmp_path}/after.json")
    assert done.code == 0, done
    assert "fixed         shard-index-missing" in done.out
    report = json.loads((tmp_path / "after.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert (report["exit_code"], report["findings"]) == (0, [])
    assert journal(tmp_path) == ["begun", "repaired"]
    assert doctor("check", "./model").code == 0


@pytest.mark.parametrize("answer,code", [(b"y\n", 0), (b"yes\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 1)])
def test_a_person_at_a_terminal_is_asked(
    environment: Mapping[str, str], warm_doctor: Path, sharded: Path, tmp_path: Path, answer: bytes, code: int
) -> None:
    done = answered(answer, warm_doctor, "-m", "sage_doctor", "fix", "./model", cwd=tmp_path, env=environment)
    assert done.code == code, done
    assert "Apply rebuild-index? [y/N]" in done.err
    assert (sharded / INDEX).exists() == (code == 0)
    assert "rebuild-index" in done.out


@pytest.fixture
def disputed(incident: Path) -> Path:
    """The incident with a second recipe, which wants another base: nothing here tells which is right."""
    write_full(incident / "other")
    more = '[models.again]\nkind = "merged"\npath = "again"\nmerge = { base = "large", adapter = "stance" }\n'
    (incident / "sage-doctor.toml").write_text(MANIFEST + more + '[models.large]\nkind = "full"\npath = "other"\n')
    return incident


def test_two_bases_are_never_guessed(doctor: Doctor, disputed: Path) -> None:
    before = (disputed / "sage-doctor.toml").read_text()
    done = doctor("fix", "stance", "--yes", "-l", "static", cwd=disputed)
    assert done.code == 1, done
    assert "several models may be its base" in done.out
    assert (disputed / "sage-doctor.toml").read_text() == before
    for words in (["--base", "nobody=small"], ["--base", "stance="], ["--base", "small", "--base", "large"]):
        assert doctor("fix", "stance", "--yes", "-l", "static", *words, cwd=disputed).code == 2
    told = doctor("fix", "stance", "--yes", "-l", "static", "--base", "stance=small", cwd=disputed)
    assert told.code == 0, told
    assert (disputed / "sage-doctor.toml").read_text() == before.replace(
        'path = "stance"\n', 'path = "stance"\nbase = "small"\n'
    )
    again = doctor("fix", "stance", "-l", "static", "--base", "small", cwd=disputed)
    assert "small is its base in the manifest already" in again.out


@pytest.mark.parametrize("answer,code", [(b"2\ny\n", 0), (b"\n", 1), (b"3\n\n", 1), (b"2\nn\n", 1), (b"\x04", 1)])
def test_a_person_at_a_terminal_is_asked_which_base(
    environment: Mapping[str, str], warm_doctor: Path, disputed: Path, answer: bytes, code: int
) -> None:
    words = (warm_doctor, "-m", "sage_doctor", "fix", "stance", "-l", "static")
    done = answered(answer, *words, cwd=disputed, env=environment)
    assert done.code == code, done
    assert "Which base was stance trained on?" in done.err
    assert "Which one? [1-2" in done.err
    second = next(line for line in done.err.splitlines() if line.startswith("  2) "))
    named = "small" if second.endswith("/base") else "large"
    assert (f'base = "{named}"\n' in (disputed / "sage-doctor.toml").read_text()) == (code == 0)


def test_the_commands_that_check_shows_work(doctor: Doctor, incident: Path) -> None:
    found = doctor("check", "-l", "static", "-f", "json", cwd=incident).report["findings"]
    (weights,) = [f for f in found if f["code"] == "weights-missing"]
    assert weights["fix"]["repair"] == "merge"
    assert weights["fix"]["commands"][0] == "sage-doctor fix merged"
    assert weights["fix"]["commands"][1].startswith("sage-doctor merge ")
    assert doctor("fix", "merged", "-l", "static", "--yes", cwd=incident).code == 0


# -- what is said ------------------------------------------------------------------------------------------------------


def test_the_incident_is_mended_in_order_on_a_screen_of_80_columns(doctor: Doctor, incident: Path) -> None:
    done = doctor("fix", "--yes", "-l", "static", cwd=incident)
    assert done.code == 0, done
    order = [
        "set-base: stance",
        '+base = "small"',
        "fixed (verified)",
        "merge: merged",
        "fixed (verified)",
    ]
    place = 0
    for text in order:
        place = done.out.index(text, place) + len(text)
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    assert "after    healthy" in done.out
    assert doctor("fix", "--yes", "-l", "static", cwd=incident).out.startswith("Nothing to fix")


def test_a_directory_of_far_too_many_models_is_refused_at_once(doctor: Doctor, tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / f"m{number}").mkdir()
        (tmp_path / f"m{number}/config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    for words in (("fix",), ("fix", "--dry-run", str(tmp_path))):
        done = doctor(*words, cwd=tmp_path)
        assert (done.code, "more than 200 model directories" in done.err) == (2, True)
    assert doctor("fix", "--dry-run", "m7", cwd=tmp_path).code != 2


def test_what_no_repair_mends_is_said_to_remain(doctor: Doctor, tmp_path: Path) -> None:
    (write_full(tmp_path / "model") / MODEL).unlink()
    done = doctor("fix", "./model", "--yes")
    assert done.code == 1
    assert "0 of 1 can be fixed automatically. 1 by hand.\n  model: weights-missing. " in done.out  # and what hands do
    assert "still failing weights-missing" in done.out


def test_a_refusal_says_why(doctor: Doctor, incident: Path) -> None:
    os.mkfifo(incident / "merged" / "checkpoint-3")
    done = doctor("fix", "--yes", "-l", "static", cwd=incident)
    assert done.code == 1
    assert "not possible" in done.out
    assert "checkpoint-3" in done.out


def test_names_from_a_disk_cannot_move_the_cursor(doctor: Doctor, tmp_path: Path) -> None:
    model = write_sharded(tmp_path / "evil\x1b[2J\u202e")
    (model / INDEX).unlink()
    done = doctor("fix", f"./{model.name}", "--yes")
    assert done.code == 0, done
    assert "\x1b" not in done.out + done.err
    assert "\u202e" not in done.out + done.err


@pytest.mark.usefixtures("sharded")
@pytest.mark.parametrize("words", [["no-such-model"], ["--level", "deepest"], ["-o", "json"], ["--maybe"]])
def test_wrong_words_exit_with_2(doctor: Doctor, tmp_path: Path, words: list[str]) -> None:
    done = doctor("fix", *words)
    assert done.code == 2, done
    assert not (tmp_path / "model" / INDEX).exists()


# -- faults ------------------------------------------------------------------------------------------------------------


def as_anybody() -> None:
    """Take from root what lets it pass over mode bits, so that a closed directory is closed to it as well."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in DROPPED:
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: in force for what is executed next


def anybodys_fix(environment: Mapping[str, str], cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sage_doctor", "fix", *words],
        cwd=cwd,
        env={**environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=as_anybody,
        timeout=60,
        check=False,
    )


def test_a_directory_that_cannot_be_written_to_is_left_as_it_is(
    environment: Mapping[str, str], sharded: Path, tmp_path: Path
) -> None:
    before = contents(sharded)
    sharded.chmod(0o555)
    done = anybodys_fix(environment, tmp_path, "./model", "--yes")
    sharded.chmod(0o755)
    assert done.returncode == 1, done
    assert "permission denied" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert contents(sharded) == before
    assert journal(tmp_path) == ["begun", "failed"]


def test_a_home_that_cannot_be_written_to_means_no_journal_and_no_repair(
    environment: Mapping[str, str], sharded: Path, tmp_path: Path
) -> None:
    before = contents(sharded)
    (tmp_path / "home").chmod(0o555)
    done = anybodys_fix(environment, tmp_path, "./model", "--yes")
    (tmp_path / "home").chmod(0o755)
    assert done.returncode == 3, done
    assert "XDG_STATE_HOME" in done.stderr
    assert contents(sharded) == before


def whole(merged: Path) -> bool:
    return (merged / MODEL).is_file() and (merged / "sage-doctor-merge.json").is_file()


def seen(world: Path, tmp_path: Path, moment: str) -> bool:
    names = [p.name for p in world.iterdir()]
    if moment == "begun":
        return "begun" in journal(tmp_path)
    if moment == "staging":
        return any(".merged.sage-fix-" in n for n in names)
    if moment == "writing":
        return any((world / n / MODEL).exists() for n in names if n.startswith(".merged.sage-fix-"))
    return whole(world / "merged")


@pytest.mark.parametrize("moment", ["begun", "staging", "writing", "in place"])
def test_a_kill_leaves_the_old_or_the_new_and_the_next_fix_goes_on(
    doctor: Doctor, start: Start, incident: Path, tmp_path: Path, moment: str
) -> None:
    merged, manifest = incident / "merged", incident / "sage-doctor.toml"
    before = contents(merged)
    process = start("fix", "--yes", "-l", "static", cwd=incident)
    deadline = time.monotonic() + 60
    while not seen(incident, tmp_path, moment) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was too quick to be killed"
    assert manifest.read_text() in (
        MANIFEST,
        MANIFEST.replace('path = "stance"\n', 'path = "stance"\nbase = "small"\n'),
    )
    assert contents(merged) == before or whole(merged)
    done = doctor("fix", "--yes", "-l", "static", cwd=incident)
    assert done.code == 0, done
    assert "was killed during" in done.err
    assert whole(merged)
    assert not [p for p in incident.iterdir() if ".sage-fix-" in p.name], "half-written files and old states are gone"
    assert ("deleted" in done.err) == (" Backup: " in done.err)
    assert "was killed" not in doctor("fix", "--yes", "-l", "static", cwd=incident).err, "once is enough"


def test_an_interrupt_leaves_the_old_state_and_exits_with_130(start: Start, incident: Path, tmp_path: Path) -> None:
    before = contents(incident / "merged")
    process = start("fix", "--yes", "-l", "static", cwd=incident)
    deadline = time.monotonic() + 60
    while not seen(incident, tmp_path, "writing") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert contents(incident / "merged") == before
    assert [p.name for p in incident.iterdir() if p.name.startswith(".")] == []
    assert journal(tmp_path)[-1] == "interrupted"


def test_an_adapter_is_called_and_named_as_the_screen_has_it(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "zoo/base")
    write_adapter(tmp_path / "zoo/stance-v1/model", "./final_model")
    assert "✘ stance-v1/model" in doctor("check", "zoo/stance-v1").out
    hint = doctor("fix", "--dry-run", "zoo/stance-v1").out
    assert "1 with `--write-config --base BASE`" in hint
    for name in ("stance-v1/model", "model"):
        done = doctor("fix", "--dry-run", "--write-config", "zoo/stance-v1", "--base", f"{name}=zoo/base")
        assert done.out.startswith("set-base: stance-v1/model\n"), done.err
    alone = doctor("fix", "--dry-run", "--write-config", "zoo/stance-v1/model", "--base", "model=zoo/base")
    assert alone.out.startswith("set-base: model\n"), alone.err
    wrong = doctor("fix", "--dry-run", "zoo/stance-v1/model", "--base", "stnce=zoo/base")
    assert (wrong.code, "(adapters: model)" in wrong.err) == (2, True)
