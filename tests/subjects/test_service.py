"""Services on their way through a run: selected, asked, reported, and never taken for a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import sage_doctor
from sage_doctor.errors import NothingSelected, UsageError
from sage_doctor.report import Level, Report
from sage_doctor.subjects.selection import Request, Selection, select
from sage_doctor.suite.examine import examine
from sage_doctor.system.memory import HostMemory
from tests.model_directories import write_full
from tests.services.behaving import WORDS
from tests.services.running import base, seen

SCHEMA = json.loads((Path(sage_doctor.__file__).parent / "schemas" / "report.schema.json").read_text("utf-8"))
Write = Callable[..., Request]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a manifest with these services, and return the request for it. Braces name the server."""

    def run(text: str, *targets: str, level: Level = "generate") -> Request:
        text = text.replace("BASE", base())
        (tmp_path / "sage-doctor.toml").write_text(f"schema = 1\n{text}", encoding="utf-8")
        return Request(targets=targets, level=level, cwd=str(tmp_path))

    return run


def daemon(name: str, how: str, more: str = "") -> str:
    return f'[models.{name}]\nkind = "service"\nurl = "BASE/{how}"\nmodel = "tiny"\n{more}'


def with_memory(request: Request, available: int) -> Report:
    """Examine on a machine that has this much memory free."""
    selection = select(request)
    machine = selection.host.machine
    memory = HostMemory(total=8_000_000_000, available=available, swap_total=0, swap_free=0)
    vars(selection.host)["machine"] = replace(machine, memory=memory)
    return examine(request, selection=selection)


def codes(report: Report) -> list[tuple[str, str, str]]:
    return [(f.subject, f.code, f.severity) for f in report.findings]


def checks_of(report: Report, subject: str) -> dict[str, str]:
    return {c.id: c.status for c in report.checks if c.subject == subject}


def chosen(request: Request) -> tuple[list[str], set[str]]:
    selection: Selection = select(request)
    return [s.name for s in selection.subjects], {s.name for s in selection.services if s.required}


TWO = daemon("a", "well") + daemon("b", "well")
ROLES = '[roles.talk]\nmodels = ["a"]\n[roles.rest]\n[machines.here]\nmatch.hostname = "*"\nroles = ["talk"]\n'


def test_a_run_of_services_alone(write: Write) -> None:
    report = examine(write(daemon("good", "well") + daemon("hung", "error-500")))
    jsonschema.validate(report.to_json(), SCHEMA)
    assert codes(report) == [("hung", "service-error", "error")]
    assert (report.verdict, report.exit_code) == ("unhealthy", 1)
    assert report.answers == {"good": "".join(WORDS)}
    families = {c.id.partition(".")[0] for c in report.checks if c.subject != "machine"}
    assert families == {"services"}
    assert {m.name for m in report.measurements} == {"load_s", "first_token_ms", "tokens_per_s"}


def test_workers_say_the_same(write: Write) -> None:
    request = write(daemon("good", "well") + daemon("hung", "error-500") + daemon("third", "other"))
    alone, spread = examine(request), examine(request, jobs=2)
    assert codes(alone) == codes(spread)
    assert [(c.id, c.subject, c.status) for c in alone.checks] == [(c.id, c.subject, c.status) for c in spread.checks]


def test_nothing_is_asked_before_level_load(write: Write) -> None:
    report = examine(write(daemon("quiet", "quiet-before-load"), level="integrity"))
    assert checks_of(report, "quiet") == {"services.service_key": "skip"}
    assert not [line for line in seen() if "quiet-before-load" in line]
    examine(write(daemon("quiet", "quiet-before-load"), level="load"))
    assert [line for line in seen() if "quiet-before-load" in line] == ["GET /quiet-before-load/v1/models"]


def test_each_service_is_asked_once(write: Write) -> None:
    examine(write(daemon("once", "asked-once")))
    requests = [line for line in seen() if "asked-once" in line]
    assert requests == ["GET /asked-once/v1/models", *["POST /asked-once/v1/chat/completions"] * 2]


def test_roles_and_targets_choose(write: Write) -> None:
    assert chosen(write(TWO)) == (["a", "b"], {"a", "b"})
    assert chosen(write(TWO + ROLES)) == (["a", "b"], {"a"})
    assert chosen(write(TWO + ROLES, "talk")) == (["a"], {"a"})
    assert chosen(write(TWO + ROLES, "b")) == (["b"], {"b"})
    with pytest.raises(NothingSelected, match="for rest: no model, runner"):
        select(write(TWO + ROLES, "rest"))
    with pytest.raises(UsageError, match=r"did you mean a\?|models: a, b"):
        select(write(TWO + ROLES, "aa"))


def test_a_service_that_no_role_names_is_not_asked(write: Write) -> None:
    report = examine(write(daemon("a", "well") + daemon("b", "unneeded") + ROLES))
    assert checks_of(report, "b") == {"services.service_key": "skip"}
    assert report.exit_code == 0


SERVED = '[models.m]\nkind = "full"\npath = "m"\nserved_by = "s"\n'
NEEDED = '[roles.talk]\nmodels = ["m"]\n[machines.here]\nmatch.hostname = "*"\n'
DEEP = ("load.loads", "load.keys", "load.placement", "generate.generates", "generate.speed")


def test_a_model_takes_its_service_along(write: Write, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    write_full(tmp_path / "other")
    other = '[models.other]\nkind = "full"\npath = "other"\n'
    request = write(SERVED + other + daemon("s", "well") + NEEDED, "m")
    selection = select(request)
    assert [s.name for s in selection.subjects] == ["s", "m"]
    assert selection.group_of(selection.services[0]) == selection.group_of(selection.models[0])
    assert not select(replace(request, targets=("other",))).services


def test_memory_is_short_and_the_service_answers(write: Write, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    report = with_memory(write(SERVED + daemon("s", "stands-in") + NEEDED), 400_000_000)
    jsonschema.validate(report.to_json(), SCHEMA)
    assert [f for f in codes(report) if f[2] != "info"] == []
    assert (report.verdict, report.exit_code) == ("healthy", 0)
    assert report.answers == {"s": "".join(WORDS)}
    reasons = {c.id: c.reason for c in report.checks if c.subject == "m"}
    for check in (*DEEP, "memory.memory_free"):
        assert reasons[check] == "memory is short (needs 700.0 MB, 400.0 MB free): asked s instead", check
    assert len([line for line in seen() if line.startswith("POST /stands-in/")]) == 2


def test_memory_is_short_and_the_service_is_down(write: Write, tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    report = with_memory(write(SERVED + daemon("s", "list-closed") + NEEDED), 400_000_000)
    found = [f for f in codes(report) if f[2] != "info"]
    assert found == [("s", "service-down", "error"), ("m", "memory-insufficient", "error")]
    statuses = checks_of(report, "m")
    assert {statuses[check] for check in DEEP} == {"skip"}
    assert report.exit_code == 1


def test_memory_is_short_and_the_model_is_broken(write: Write, tmp_path: Path) -> None:
    (write_full(tmp_path / "m") / "model.safetensors").unlink()
    report = with_memory(write(SERVED + daemon("s", "well") + NEEDED), 400_000_000)
    assert ("m", "weights-missing", "error") in codes(report)
    assert checks_of(report, "m")["memory.memory_free"] == "skip"


def test_a_check_of_ones_own(write: Write, tmp_path: Path) -> None:
    own = """
from sage_doctor.check import Fix, check, finding

@check("static")
def check_local(service):
    '''Services run on this machine.'''
    if "127.0.0.1" in service.spec.url:
        yield finding("acme-local", "it is local", severity="warning", fix=Fix(summary="Move it."))
"""
    (tmp_path / "own.py").write_text(own, encoding="utf-8")
    report = examine(write(daemon("s", "well") + '[checks]\npaths = ["own.py"]\n', level="static"))
    assert codes(report) == [("s", "acme-local", "warning")]


def test_the_core_stays_light(tmp_path: Path) -> None:
    import subprocess
    import sys

    write_full(tmp_path / "m")
    code = (
        "import sys\nfrom sage_doctor.subjects.selection import Request\n"
        "from sage_doctor.suite.examine import examine\n"
        f"examine(Request(targets=({str(tmp_path / 'm')!r},), cwd={str(tmp_path)!r}, level='static'))\n"
        "print(sorted({'http.client', 'ssl', 'sage_doctor.services'} & set(sys.modules)))"
    )
    environment: dict[str, Any] = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
