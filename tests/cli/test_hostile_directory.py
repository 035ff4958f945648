"""Every command, started in a model directory that holds a file for every module name there is: none of them runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sage_doctor.cli.app import COMMANDS
from tests.model_directories import write_adapter, write_full

ROOT = Path(__file__).resolve().parents[2]
# What Python, pytest and packaging read by themselves where they find it.
SPECIAL = (
    "sitecustomize",
    "usercustomize",
    "conftest",
    "setup",
    "noxfile",
    "__main__",
    "__init__",
    "evil",
    "sage_doctor",
)
SETTINGS = {
    "pytest.ini": "[pytest]\naddopts = -p evil\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p evil'\n",
    "tox.ini": "[pytest]\naddopts = -p evil\n",
    "setup.cfg": "[tool:pytest]\naddopts = -p evil\n",
    "python._pth": "import evil\n",
    "pyvenv.cfg": "home = .\n",
    "ansible.cfg": "[defaults]\ncallback_plugins = .\nstdout_callback = evil\nstrategy_plugins = .\nstrategy = evil\n",
}
# Each command with what makes it do its work: {out} and {manifest} lie elsewhere, and are the user's own.
CALLS = {
    "check": [
        ["check", ".", "-l", "integrity"],
        ["check", ".", "ad", "--jobs", "2"],
        ["check", "m", "-m", "{manifest}", "-l", "integrity", "-j", "2"],
    ],
    "gate": [["gate", "r", "-m", "{manifest}", "-l", "static", "--", "true"]],
    "fix": [["fix", ".", "--dry-run"], ["fix", ".", "--yes"]],
    "init": [["init", "--dry-run", "."]],
    "lock": [["lock", "-m", "{manifest}"], ["lock", "-m", "{manifest}", "--check"]],
    "merge": [["merge", "ad", "--out", "{out}/merged", "--yes"]],
    "install": [["install", "cron", "--role", "r", "--dry-run"]],
    "paths": [["paths", "-m", "{manifest}"]],
    "explain": [["explain", "weights-missing"]],
    "where": [["where", "m", "-m", "{manifest}"]],
    "list": [["list", "."], ["list", "-m", "{manifest}"]],
    "env": [["env"], ["env", "-m", "{manifest}"]],
    "history": [["history", "-m", "{manifest}"]],
    "history accept": [["history", "accept", "s", "-m", "{manifest}", "--yes"]],
    "history calibrate": [["history", "calibrate", "-m", "{manifest}"]],
    "completion": [["completion", "bash"]],
    "report": [["report", "config.json"]],  # not one: it is read as a stranger's all the same
    "sync": [["sync", "r", "--from", "there", "-m", "{manifest}", "--dry-run"]],
    "fleet check": [["fleet", "check", "-i", "nobody.invalid,", "-l", "static"]],
    "fleet install": [["fleet", "install", "-i", "nobody.invalid,", "--check"]],
    "setup": [["setup", "-m", "{manifest}", "-l", "static", "--dry-run"]],
    "demo": [["demo", "--help"]],  # the whole takes long, and works in a directory of its own
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the hostile model `m`, and beside it what is the user's own."""
    top = tmp_path_factory.mktemp("hostile")
    write_adapter(top / "m" / "ad", write_full(top / "m"), tensors={})
    names = {*sys.stdlib_module_names, *packages_distributions(), *SPECIAL}
    trap = f"with open({str(top / 'sprung')!r}, 'a') as file:\n    file.write(__name__ + ' ')\n"
    for name in names:
        if name.isidentifier():
            (top / "m" / f"{name}.py").write_text(trap)
    (top / "m" / "evil.pth").write_text("import evil\n")
    for name, text in SETTINGS.items():
        (top / "m" / name).write_text(text)
    own = top / "own"
    (own / "home").mkdir(parents=True)
    (own / "sage-doctor.toml").write_text(
        f'schema = 1\npython = "{sys.executable}"\n[models.m]\nkind = "full"\npath = "../m"\n'
        '[roles.r]\nmodels = ["m"]\n[machines.here]\nmatch.hostname = "*"\nroles = ["r"]\n'
        '[state.s]\nfile = "s.json"\n'
    )
    (own / "sage-doctor").write_text("from sage_doctor.cli import main\nmain()\n")  # as pip writes it
    (own / "resolve").write_text(
        "from sage_doctor import resolve\ntry:\n    resolve('gone', manifest='{}')\nexcept Exception as error:\n"
        "    print(error)\n".replace("{}", str(own / "gone.toml"))
    )
    (own / "gone.toml").write_text('schema = 1\n[models.gone]\nkind = "full"\npath = "../gone"\n')
    return top


@pytest.fixture
def run(place: Path) -> Callable[..., str]:
    """Run a script of the user's in the hostile directory, and return what it printed."""

    def call(script: str, *words: str) -> str:
        kept = {n: os.environ[n] for n in ("PATH", "LANG", "LD_LIBRARY_PATH") if n in os.environ}
        done = subprocess.run(
            [sys.executable, str(place / "own" / script), *words],
            cwd=place / "m",
            env={**kept, "HOME": str(place / "own" / "home"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        assert not (place / "sprung").exists(), (place / "sprung").read_text()
        return done.stdout.decode() + done.stderr.decode()

    return call


def test_every_command_is_tried() -> None:
    assert set(CALLS) == set(COMMANDS)


@pytest.mark.parametrize("words", [pytest.param(w, id=" ".join(w)) for calls in CALLS.values() for w in calls])
def test_nothing_beside_a_model_is_run(place: Path, run: Callable[..., str], words: list[str]) -> None:
    said = run(
        "sage-doctor", *(w.format(manifest=place / "own" / "sage-doctor.toml", out=place / "own") for w in words)
    )
    assert said


def test_a_session_that_does_not_find_its_model_runs_nothing_either(run: Callable[..., str]) -> None:
    assert "gone: path-missing: " in run("resolve")
