"""`sage-doctor fleet install`: install the doctor on every host of an Ansible inventory, in an environment of its own.

It touches no torch and writes no manifest. `--gate systemd` or `--gate cron` also schedules the gate of each host's
roles. A second run changes nothing. Exits with 0 if every host is as wanted, 3 if one is not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sage_doctor.cli.dialogue import say
from sage_doctor.cli.options import add_hosts
from sage_doctor.errors import UsageError
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNKNOWN
from sage_doctor.text import printable

EXAMPLES = (
    ("fleet install -i hosts.ini --check", "what would change, on every machine"),
    ("fleet install -i hosts.ini --source sage_doctor.whl", "from a wheel"),
    ("fleet install -i hosts.ini --gate systemd", "with the gate after a reboot"),
)

_MOST_SHOWN = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_hosts(parser)
    parser.add_argument("--source", default="sage-doctor", metavar="WHAT",
                        help="a wheel here, or what pip takes there (default: sage-doctor)")  # fmt: skip
    parser.add_argument("--home", metavar="DIR", help="the environment on each host (default: /opt/sage-doctor)")
    parser.add_argument("--gate", choices=("systemd", "cron", "launchd"), help="schedule the gate of each host's roles")
    parser.add_argument("--check", action="store_true", help="show the changes, change nothing")


@dataclass
class _Told:
    """What was heard of the hosts so far."""

    changed: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)

    def __call__(self, host: str, event: str, result: Mapping[str, Any]) -> None:
        """Take one task's result, and tell a person what it changed or why it failed."""
        self.heard.add(host)
        lines = []
        if event != "runner_on_ok":
            self.failed[host] = _reason(event, result)
            lines = [self.failed[host]]
        elif result.get("changed") is True:
            self.changed[host] += 1
            lines = _shown(result)
        for line in lines:
            sys.stderr.write(f"{printable(host, limit=100)}: {line}\n")

    def of(self, host: str, *, only_checked: bool) -> str:
        """Return the sentence about a host."""
        if host not in self.heard:
            return "Ansible told nothing of it"
        count = self.changed[host]
        done = f"{count} change{'s' * (count != 1)}{' to make' * only_checked}" if count else "nothing to do"
        return self.failed.get(host) or done


def run(options: argparse.Namespace) -> int:
    """Install, tell each host's changes as they come, and return the exit code. Raises `UsageError`."""
    variables = {"sage_doctor_source": _source(options.source)}
    variables |= {"sage_doctor_home": options.home} if options.home else {}
    variables |= {"sage_doctor_gate": options.gate} if options.gate else {}
    from sage_doctor.cli.fleet.ansible import Play, run_play  # noqa: PLC0415 - --help needs no Ansible
    from sage_doctor.cli.fleet.inventory import read_hosts, refuse_templates, require_ansible  # noqa: PLC0415

    require_ansible()
    refuse_templates(list(variables.values()))
    hosts = read_hosts(options.inventory, options.limit)
    play = Play(
        inventory=options.inventory,
        limit=options.limit,
        roles=[{"role": "sage_doctor.fleet.doctor"}],
        variables=variables,
        check=options.check,
    )
    told = _Told()
    run_play(play, told)
    for host in hosts:
        say(f"{printable(host, limit=100)}: {told.of(host, only_checked=options.check)}")
    return EXIT_UNKNOWN if told.failed or set(hosts) - told.heard else EXIT_HEALTHY


def _source(text: str) -> str:
    """Return what pip is to install: a wheel by its absolute path. Raises `UsageError` where that is not there."""
    source = os.path.abspath(text) if text.endswith(".whl") else text
    if source.endswith(".whl") and not os.path.isfile(source):
        raise UsageError(f"--source {printable(text)}: no such file")
    return source


def _reason(event: str, result: Mapping[str, Any]) -> str:
    from sage_doctor.cli.fleet.answers import NOISE  # noqa: PLC0415

    last = str(result.get("stderr") or result.get("module_stderr") or "").strip().splitlines()[-1:]
    # Debian's Python says on standard output, in many lines, that python3-venv is missing.
    text = " ".join(last) or str(result.get("stdout") or "")
    if not text.strip():  # where a program is not there at all, only the command tells which
        words = result.get("cmd") or ""
        text = f"{result.get('msg') or 'failed'} {words if isinstance(words, str) else shlex.join(map(str, words))}"
    said = printable(NOISE.sub("", " ".join(text.split())), limit=400)
    return f"unreachable: {said}" if event == "runner_on_unreachable" else said


def _shown(result: Mapping[str, Any]) -> list[str]:
    """Return what a change says of itself: a message, what the doctor's own `install` printed, or pip's last line."""
    lines = [line for line in str(result.get("stdout") or result.get("msg") or "").splitlines() if line.strip()]
    most = 1 if "pip" in (result.get("cmd") or ()) else _MOST_SHOWN
    return [printable(line, limit=120) for line in lines[-most:] if not line.startswith("Command would have run")]
