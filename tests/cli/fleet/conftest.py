"""One run of `fleet check` against a real sshd, for all tests here: Ansible takes a second to start."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.cli import app, fleet_check
from tests.model_directories import write_full
from tests.repairs import sshd

_ANSIBLE = importlib.util.find_spec("ansible_runner") is not None
collect_ignore = [*([] if sshd.CAN_RUN and _ANSIBLE else ["test_check.py"]), *([] if _ANSIBLE else ["test_install.py"])]

HOSTS = {
    "healthy": "ansible_host=sprout sage_doctor_command=doctor sage_doctor_manifest={root}/well.toml",
    "ill": "ansible_host=sprout sage_doctor_command=doctor sage_doctor_manifest={root}/ill.toml",
    "old": "ansible_host=sprout sage_doctor_command=old-doctor",
    "newer": "ansible_host=sprout sage_doctor_command=newer-doctor",
    "hung": "ansible_host=sprout sage_doctor_command=hung-doctor",
    "talks": "ansible_host=sprout sage_doctor_command=talking-doctor",
    "bare": "ansible_host=sprout sage_doctor_command=no-such-doctor",
    "dead": "ansible_host=mute",
    "refused": "ansible_host=stranger",
    "newcomer": "ansible_host=newcomer",
}
MANIFEST = 'schema = 1\n[roles.talk]\nmodels = ["m"]\n[models.m]\nkind = "full"\npath = "{path}"\n'
DOCTOR = f'cd / && PYTHONPATH={Path(__file__).parents[3]} exec {sys.executable} -m sage_doctor "$@"\n'
PROGRAMS = {
    "doctor": DOCTOR,
    "old-doctor": "printf 'sage-doctor: unrecognized arguments: --fail-on\\nsage-doctor: see --help\\n' >&2; exit 2\n",
    "newer-doctor": """echo '{"schema_version": 99}'\n""",
    "hung-doctor": "sleep 30\n",
    "talking-doctor": "echo Segmentation fault >&2; exit 139\n",
}


@dataclass(frozen=True)
class Fleet:
    """What one `fleet check` of all hosts printed; `answer` is its JSON. `environ` reaches the hosts again."""

    code: int
    answer: dict[str, Any]
    progress: str
    inventory: Path
    environ: Mapping[str, str]

    def silence(self, host: str) -> tuple[str, str]:
        """Return the state of a host without a report, and why."""
        (found,) = [s for s in self.answer["silent"] if s["label"] == host]
        return found["state"], found["why"]


def told(*words: str, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run the command line in this process with these variables, and return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        for name, value in (environ or {}).items():
            patch.setenv(name, value)
        patch.setattr(fleet_check, "_GRACE_S", 5.0)
        code = app.run(list(words), {})
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("fleet")
    write_full(root / "m")
    (root / "well.toml").write_text(MANIFEST.format(path="m"))
    (root / "ill.toml").write_text(MANIFEST.format(path="gone"))
    inventory = root / "hosts.ini"
    inventory.write_text("".join(f"{name} {words.format(root=root)}\n" for name, words in HOSTS.items()))
    with sshd.running(root / "sshd") as server:
        for name, text in PROGRAMS.items():
            sshd.remote_program(server, name, text)
        path = f"{server.clients}:{os.environ['PATH']}"
        environ = {"PATH": path, "HOME": str(root), "ANSIBLE_SSH_ARGS": "-o ControlMaster=no"}
        words = ("fleet check", "-i", str(inventory), "-l", "static", "-f", "json", "--timeout", "3s")
        code, out, err = told(*words, environ=environ)
        yield Fleet(code=code, answer=json.loads(out), progress=err, inventory=inventory, environ=environ)
