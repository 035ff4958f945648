"""The other commands, and what all have in common."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor import __version__
from tests.model_directories import write_adapter, write_cached, write_full

from .conftest import ROOT, Doctor


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path) -> Path:
    write_full(tmp_path / "here")
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[models.m]\nkind = "full"\npath = "here"\n[models.gone]\nkind = "full"\npath = "gone"\n'
    )
    return tmp_path


def test_version_and_help(doctor: Doctor) -> None:
    assert doctor("--version").out == f"sage-doctor {__version__}\n"
    for words in (["--help"], ["-h"], ["check", "--help"], ["explain", "-h"], ["where", "-h"], ["demo", "-h"]):
        done = doctor(*words)
        assert (done.code, done.err) == (0, "")
        assert "sage-doctor" in done.out
    assert all(command in doctor("--help").out for command in ("check", "explain", "where", "demo"))


def test_where_prints_the_path_and_nothing_else(doctor: Doctor, manifest: Path) -> None:
    done = doctor("where", "m")
    assert (done.code, done.out, done.err) == (0, f"{manifest}/here\n", "")


def test_where_says_that_nothing_is_there(doctor: Doctor) -> None:
    done = doctor("where", "gone")
    assert (done.code, done.out) == (1, "")
    assert "nothing is at gone" in done.err


def test_where_does_not_name_a_model_that_is_not_all_there(doctor: Doctor, manifest: Path) -> None:
    (manifest / "here" / "model.safetensors").unlink()
    done = doctor("where", "m")
    assert (done.code, done.out) == (1, "")
    assert "sage-doctor check m" in done.err


def test_a_model_is_named_by_name_directory_or_repository(
    doctor: Doctor, manifest: Path, environment: dict[str, str]
) -> None:
    snapshot = write_cached(Path(environment["HOME"]) / ".cache/huggingface/hub", "org/name")
    for words, path in (("./here", manifest / "here"), ("hf:org/name", snapshot)):
        assert doctor("where", words).out == f"{path}\n"
    assert "✔ org/name@" in doctor("check", "hf:org/name", "-l", "static").out
    assert doctor("lock", "./here").out.startswith("new  m\n")
    for command in ("check", "where"):
        assert doctor(command, "hf:org/absent", *(["-l", "static"] if command == "check" else [])).code == 1
        assert "hf:org/name" in doctor(command, "org/name").err  # what was meant
        assert doctor(command, "hf:a/b/c").code == 2
    assert "`sage-doctor init DIR` adds it" in doctor("lock", "hf:org/absent").err


def test_a_merge_says_what_is_no_adapter(doctor: Doctor) -> None:
    for word in ("m", "./here"):
        done = doctor("merge", word, "--out", "out")
        assert done.code == 1
        assert "is a full model, not an adapter: there is nothing to merge" in done.err
    assert "did you mean" in doctor("merge", "gon", "--out", "out").err


def test_a_merge_says_what_a_directory_is_instead(doctor: Doctor, tmp_path: Path) -> None:
    """A training run names its last checkpoint, with a command that can be typed; an empty directory has none."""
    run, empty = tmp_path / "run", tmp_path / "empty"
    for step in (9, 10):
        write_adapter(run / f"checkpoint-{step}", "./base")
    empty.mkdir()
    done = doctor("merge", str(run), "--out", "out")
    assert done.code == 1
    assert "directory of a training run" in done.err
    assert f"sage-doctor merge {run}/checkpoint-10 --out {run}/checkpoint-10-merged" in done.err
    assert "holds no adapter" in doctor("merge", str(empty), "--out", "out").err


def test_list_tells_what_each_model_is_and_whether_it_is_whole(doctor: Doctor) -> None:
    rows = {row["name"]: row for row in json.loads(doctor("list", "-f", "json").out)["models"]}
    assert rows["m"]["kind"] == "full"
    assert rows["m"]["bytes"] > 0
    assert (rows["m"]["problem"], rows["gone"]["problem"]) == ("", "nothing is at gone")
    lines = doctor("list").out.splitlines()
    assert lines[0].split() == ["name", "kind", "size", "dtype", "needed", "by", "files"]
    assert [line.split()[0] for line in lines[1:]] == ["gone", "m"]


def test_list_tells_the_last_result_of_each_model(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "b")
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[models.gone]\nkind = "full"\npath = "gone"\n[models.b]\nkind = "full"\npath = "b"\n'
    )
    assert "last result" not in doctor("list", cwd=tmp_path).out
    doctor("check", "gone", "b", "-l", "static", cwd=tmp_path)
    rows = json.loads(doctor("list", "-f", "json", cwd=tmp_path).out)["models"]
    assert {row["name"]: row["last_result"]["code"] for row in rows} == {"gone": "path-missing", "b": None}
    assert "path-missing (static, " in doctor("list", cwd=tmp_path).out


def test_services_are_models_too(doctor: Doctor, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[machines.here]\nmatch.hostname = "*"\nroles = ["r"]\n[roles.r]\nmodels = ["voice"]\n'
        f'[models.voice]\nkind = "service"\nurl = "{url}"\n'
    )
    assert doctor("list", cwd=tmp_path).out.splitlines()[1].split() == ["voice", "service", "-", "-", "r", url]
    assert "voice  not examined at this level\n" in doctor("check", "voice", "-l", "static", cwd=tmp_path).out


def test_a_base_is_needed_by_the_roles_of_its_adapters(doctor: Doctor, tmp_path: Path) -> None:
    write_adapter(tmp_path / "a", write_full(tmp_path / "b"))
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[roles.talk]\nmodels = ["a"]\n[models.a]\nkind = "adapter"\npath = "a"\nbase = "b"\n'
        '[models.b]\nkind = "full"\npath = "b"\n'
    )
    rows = json.loads(doctor("list", "-f", "json", cwd=tmp_path).out)["models"]
    assert {row["name"]: row["needed_by"] for row in rows} == {"a": ["talk"], "b": ["talk"]}
    (row,) = json.loads(doctor("list", "b", "-f", "json", cwd=tmp_path).out)["models"]
    assert row["needed_by"] == ["talk"]


@pytest.mark.parametrize(
    "words", [("explain", "base-missing"), ("check", "--select", "base-missing"), ("check", "--ignore", "base-mising")]
)
def test_a_part_of_a_code_is_answered_with_the_code(doctor: Doctor, words: tuple[str, ...]) -> None:
    done = doctor(*words)
    assert done.code == 2
    assert "adapter-base-missing" in done.err


def test_list_takes_directories(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "zoo" / "one")
    assert "one" in doctor("list", "zoo").out
    assert doctor("list", "./nothing").code == 2


def test_env_tells_versions_and_hides_secrets(doctor: Doctor) -> None:
    done = doctor("env", HF_TOKEN="hf_abcdefghijklmnop", HF_HOME="/data/hf")
    assert done.code == 0
    assert __version__ in done.out
    assert "/data/hf/hub" in done.out
    assert "hf_abcdefghijklmnop" not in done.out


def test_help_of_a_command_as_people_type_it(doctor: Doctor) -> None:
    assert doctor("help", "gate").out == doctor("gate", "--help").out
    assert doctor("help").out == doctor("--help").out


@pytest.mark.parametrize("typed, meant", [("chek", "check"), ("gat", "gate"), ("histroy", "history")])
def test_a_misspelt_command_is_answered_with_the_nearest(doctor: Doctor, typed: str, meant: str) -> None:
    done = doctor(typed)
    assert done.code == 2
    assert f"did you mean the command `{meant}`?" in done.err


@pytest.mark.parametrize(
    "words, meant",
    [
        ("check --lvel static", "--level"), ("--levle=static", "--level"), ("gate --timout 3 talk", "--timeout"),
        ("check -l statik", "static"), ("check -f jsn", "json"), ("completion bach", "bash"), ("install crn", "cron"),
        ("check --fail-on eror", "error"),
    ],
)  # fmt: skip
def test_a_misspelt_option_or_value_is_answered_with_the_nearest(doctor: Doctor, words: str, meant: str) -> None:
    done = doctor(*words.split())
    assert (done.code, done.out) == (2, "")
    assert f"did you mean {meant}?" in done.err


def test_where_knows_no_such_model(doctor: Doctor, manifest: Path) -> None:
    done = doctor("where", "nothing-like-it", cwd=manifest)
    assert (done.code, done.out) == (2, "")
    assert "nothing-like-it" in done.err


def test_explain_a_code(doctor: Doctor) -> None:
    done = doctor("explain", "weights-lfs-pointer")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("weights-lfs-pointer (error): ")


def explain(text: bytes, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "sage_doctor", "explain", "-"],
        env=environment,
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_explain_an_error_text(environment: dict[str, str]) -> None:
    done = explain(
        b"OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /models/x.",
        environment,
    )
    assert done.returncode == 0
    assert b"weights-missing" in done.stdout


def test_explain_reads_a_log_of_any_length_to_its_end(environment: dict[str, str]) -> None:
    noise = b"2026-01-01 INFO step loss=0.1 ok\n" * 150_000
    done = explain(noise + b"safetensors_rust.SafetensorError: header too small\n", environment)
    assert done.stdout.startswith(b"weights-empty")


@pytest.mark.parametrize("text", [b"ImportError:" + b" " * 2_000_000 + b"x", b"peft/config.py " * 140_000])
def test_explain_takes_no_time_for_a_log_that_was_written_to_take_it(text: bytes, environment: dict[str, str]) -> None:
    assert explain(text, environment).returncode == 3


def test_explain_what_nobody_knows(environment: dict[str, str]) -> None:
    done = explain(b"\xff\x00 all is well \x1b[2J", environment)
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"no known error" in done.stderr
    assert b"sage-doctor check --format json" in done.stderr


def test_explain_reads_a_file_and_shows_the_line_it_went_by(doctor: Doctor, tmp_path: Path) -> None:
    log = tmp_path / "session.log"
    log.write_text(
        "started\n\nModuleNotFoundError: No module named 'peft'\nOSError: [Errno 28] No space left on device\n"
    )
    done = doctor("explain", str(log))
    assert done.code == 0
    first, *heads = [line for line in done.out.splitlines() if line and not line.startswith(" ")]
    assert first == "2 known errors, the newest first:"
    assert [h.split()[0] for h in heads] == ["disk-insufficient", "package-missing"]
    assert "line 3: ModuleNotFoundError: No module named 'peft'" in done.out
    assert doctor("explain", "session.log", cwd=tmp_path).out == done.out


def test_explain_takes_a_message_also_its_beginning(doctor: Doctor) -> None:
    assert doctor("explain", "ModuleNotFoundError: No module named 'peft'").out.startswith("package-missing")
    assert doctor("explain", "CUDA out of memory").out.startswith("load-out-of-memory")
    assert doctor("explain", "all is well").code == 3
    question = "<|im_start|>user\nRuntimeError: CUDA out of memory. Tried to allocate 2 GiB<|im_end|>"
    assert doctor("explain", question).code == 3


def test_an_exception_that_is_raised_again_under_another_class_is_told_once(tmp_path: Path, doctor: Doctor) -> None:
    # As transformers 5 writes it for an adapter whose base is a path that is not here.
    said = "Repo id must be in the form 'repo_name' or 'namespace/repo_name': './fine_tuned_model/final_model'."
    between = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    head = 'Traceback (most recent call last):\n  File "run.py", line 1, in <module>\n'
    text = f"{head}huggingface_hub.errors.HFValidationError: {said}{between}{head}OSError: {said}\n"
    (tmp_path / "log").write_text(text)
    out = doctor("explain", "./log", cwd=tmp_path).out
    assert out.startswith("adapter-base-missing")
    assert "exception-unknown" not in out


def test_explain_lists_the_codes_and_speaks_json(doctor: Doctor) -> None:
    listed = json.loads(doctor("explain", "--list", "-f", "json").out)["findings"]
    known = json.loads(doctor("explain", "weights-empty", "-f", "json").out)
    assert known in listed
    assert known.keys() == {"code", "severity", "title", "why", "fix"}
    assert all(f"  {one['code']} " in doctor("explain", "--list").out for one in listed[:3])
    (found,) = json.loads(doctor("explain", "SafetensorError: header too small", "-f", "json").out)["recognised"]
    assert (found["code"], found["line"], found["text"]) == ("weights-empty", 1, "SafetensorError: header too small")
    assert found["alternatives"] in ([], ["weights-header-invalid"])
    assert doctor("explain", "weights-empty", "--list").code == 2


def test_explain_reads_a_log_that_was_forwarded_and_not_a_reply(doctor: Doctor, tmp_path: Path) -> None:
    lines = ["Traceback (most recent call last):", '  File "run.py", line 3, in <module>', "EOFError: Ran out of input"]
    (tmp_path / "mail").write_text("".join(f"> {line}\n" for line in lines))
    assert doctor("explain", "mail").out.startswith("weights-empty (error): ")
    (tmp_path / "reply").write_text(f"> {lines[-1]}\nThis is what I saw.\n")
    assert doctor("explain", "reply").code == 3


def test_explain_reads_what_powershell_wrote(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ModuleNotFoundError: No module named 'peft'\n", encoding="utf-16")
    assert doctor("explain", "./log", cwd=tmp_path).out.startswith("package-missing")


@pytest.mark.parametrize(
    "written",
    [
        gzip.compress,
        lambda log: gzip.compress(b"started\n") + gzip.compress(log),
        lambda log: gzip.compress(log + b"and so on\n" * 100_000)[:-40],
        lambda log: log.decode().encode("utf-16-le"),
        lambda log: b">> " + log.replace(b"\n", b"\n>> "),
        lambda log: b"    import peft\n    ^^^^^^^^^^^\n" + log,
    ],
    ids=["gzip", "two parts", "cut off", "no mark", "a reply's reply", "the end of a traceback"],
)
def test_explain_reads_a_log_in_every_form(written: Callable[[bytes], bytes], doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(written(b"ModuleNotFoundError: No module named 'peft'\n"))
    assert doctor("explain", "./log", cwd=tmp_path).out.startswith("package-missing")


@pytest.mark.parametrize(
    "name, said", [("./gone.log", "no such file"), ("/", "is a directory"), ("weight-missing", "did you mean")]
)
def test_explain_says_why_it_cannot_read(doctor: Doctor, name: str, said: str) -> None:
    done = doctor("explain", name)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_explain_looks_at_the_path_that_an_error_names(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "zoo" / "talk")
    (tmp_path / "zoo" / "talk" / "model.safetensors").unlink()
    log = tmp_path / "session.log"
    log.write_text(f"OSError: Error no file named model.safetensors found in directory {tmp_path}/zoo/talk.\n")
    done = doctor("explain", str(log), COLUMNS="300")
    assert f"here: {tmp_path}/zoo/talk exists, with config.json" in " ".join(done.out.split())
    assert "its weights do not" in " ".join(done.out.split())
    assert f"sage-doctor check {tmp_path}/zoo/talk\n" in done.out
    log.write_text(
        f"HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{tmp_path}/zoo/tlk'\n"
    )
    assert f"{tmp_path}/zoo/tlk does not exist here" in " ".join(doctor("explain", str(log), COLUMNS="300").out.split())


def test_explain_knows_the_models_of_the_manifest(doctor: Doctor, tmp_path: Path) -> None:
    write_full(tmp_path / "zoo" / "talk")
    (tmp_path / "sage-doctor.toml").write_text('schema = 1\n[models.talk]\nkind = "full"\npath = "zoo/talk"\n')
    (tmp_path / "log").write_text("PermissionError: [Errno 13] Permission denied: '/home/dp/ai/zoo/talk'\n")
    said = " ".join(doctor("explain", "./log", cwd=tmp_path, COLUMNS="300").out.split())
    assert "/home/dp/ai/zoo/talk does not exist here" in said
    assert f"that is probably talk of the manifest: {tmp_path}/zoo/talk exists" in said
    (tmp_path / "log").write_text(
        "loading talk\nRuntimeError: probability tensor contains either `inf`, `nan` or element < 0\n"
    )
    said = " ".join(doctor("explain", "./log", cwd=tmp_path, COLUMNS="300").out.split())
    assert (
        f"{tmp_path}/zoo/talk exists, with config.json, tokenizer.json and weights" in said or "zoo/talk exists" in said
    )


def test_a_fault_of_the_doctor_itself_is_told_without_a_traceback(doctor: Doctor, tmp_path: Path) -> None:
    """A package that shadows the suite's own stands for any fault nobody thought of."""
    shadow = tmp_path / "shadow" / "pytest"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise RuntimeError('no pytest\\x1b[31m today')\n")
    write_full(tmp_path / "model")
    done = doctor("check", "./model", PYTHONPATH=f"{shadow.parent}:{ROOT}")
    assert (done.code, done.out) == (3, "")
    assert "internal error" in done.err
    assert "\x1b" not in done.err


def test_the_suite_under_pytest_itself(manifest: Path, environment: dict[str, str]) -> None:
    """`pytest checks/` in the checkout examines what `sage-doctor` would, and fails where something is found.

    The first run has all plugins that are installed here; importing those takes half of its time.
    """
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), str(ROOT / "checks"), *words],
            cwd=manifest,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    done = run()
    assert done.returncode == 1
    assert "path-missing" in done.stdout
    text = (manifest / "sage-doctor.toml").read_text().partition("[models.gone]")[0]
    (manifest / "sage-doctor.toml").write_text(text)
    done = run(SAGE_DOCTOR_LEVEL="integrity", **alone)
    assert done.returncode == 0, done.stdout
    assert " failed" not in done.stdout
    (manifest / "sage-doctor.toml").unlink()
    (manifest / "here").rename(manifest / ".git")
    done = run(**alone)
    assert done.returncode == 3
    assert "no model directory" in done.stdout + done.stderr
    assert run(SAGE_DOCTOR_LEVEL="deepest", **alone).returncode == 2
