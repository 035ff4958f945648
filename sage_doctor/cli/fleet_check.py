"""`sage-doctor fleet check`: run the installed doctor on every host of an Ansible inventory, side by side.

It needs `pip install 'sage-doctor[fleet]'` here, and sage-doctor on the hosts (`sage-doctor fleet install`). Exits with
1 if a host is unhealthy, else with 3 if one is unreachable, has no doctor or gave no answer, else with 0.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sage_doctor.cli.options import add_hosts, add_open, add_outputs, duration, number_to
from sage_doctor.cli.outputs import deliver, outputs_of, refuse_single
from sage_doctor.render import COMPARING
from sage_doctor.report import LEVELS, Report
from sage_doctor.system.ssh import FIND_DOCTOR
from sage_doctor.text import format_duration, printable

if TYPE_CHECKING:
    from sage_doctor.cli.fleet.answers import Answer

EXAMPLES = (
    ("fleet check -i hosts.ini", "what each machine's roles need, on every machine"),
    ("fleet check -i thor,sprout --role raising", "one role, on two machines, without an inventory"),
    ("fleet check -i hosts.ini -l static -f html > fleet.html", "files only, as a page"),
)
# Quiet hosts are not asked for ever: the doctor there has the deadline, `timeout` ends it there so much later, where
# there is one, and Ansible gives up here as much later again.
_GRACE_S = 15.0
_MOST_BYTES = 8 << 20  # of a report of a thousand models; Ansible takes minutes for ten times that
# The lines before the report and the errors are there for what ssh and a login shell print. The exit code takes the way
# round `head`.
_SCRIPT = (
    f'{FIND_DOCTOR}; command -v "$1" >/dev/null 2>&1 || '
    '{{ echo "no $1 found there" >&2; exit {absent}; }}; echo "{begin}"; echo "{begin}" >&2; '
    'command -v timeout >/dev/null 2>&1 && set -- timeout -k 5 {limit:.0f} "$@"; exec 4>&1; '
    'exit "$( {{ {{ "$@" 4>&-; echo $? >&3; }} | head -c {most} >&4; }} 3>&1 )"'
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_hosts(parser)
    parser.add_argument("--role", metavar="ROLE", help="a role to check (default: each machine's own)")
    parser.add_argument("-l", "--level", choices=LEVELS, default="generate", help="how deep to look")
    parser.add_argument("--timeout", type=duration, default=600.0, metavar="TIME",
                        help="deadline of each host (default: 10m)")  # fmt: skip
    parser.add_argument(
        "-j",
        "--jobs",
        type=number_to(200, "a number"),
        default=10,
        metavar="N",
        help="hosts asked at a time (default: 10)",
    )
    parser.add_argument("-f", "--format", choices=COMPARING, default="terminal", help="format on standard output")
    add_outputs(parser)
    add_open(parser)
    parser.add_argument("--fail-on", choices=("error", "warning", "never"), default="error",
                        help="what makes a host count as unhealthy")  # fmt: skip
    parser.add_argument("-v", "--verbose", action="store_true", help="show everything")


def run(options: argparse.Namespace) -> int:
    """Ask the hosts, show what they answered, and return the exit code. Raises `UsageError` and `DoctorError`."""
    outputs = outputs_of(options)
    refuse_single(options, outputs)
    from sage_doctor.cli.fleet.inventory import read_hosts, require_ansible  # noqa: PLC0415 - --help needs no Ansible

    require_ansible()
    hosts = read_hosts(options.inventory, options.limit)
    answers = _ask(options, hosts)
    from sage_doctor.cli.fleet.answers import exit_code_of  # noqa: PLC0415
    from sage_doctor.report.comparison import compare, worst  # noqa: PLC0415

    reports = [(host, answer) for host, answer in answers if isinstance(answer, Report)]
    silent = tuple(answer for _, answer in answers if not isinstance(answer, Report))
    shown = compare(reports, now=time.time(), max_age_s=86400.0, silent=silent, by_source=True)
    unwritten = deliver(shown, options, outputs)
    return worst(exit_code_of(a) for _, a in answers) or unwritten


def _ask(options: argparse.Namespace, hosts: list[str]) -> list[tuple[str, Answer]]:
    """Return the hosts' answers in the inventory's order, telling each on standard error as it comes."""
    from sage_doctor.cli.fleet.ansible import Play, run_play  # noqa: PLC0415
    from sage_doctor.cli.fleet.answers import read_answer, silent  # noqa: PLC0415

    answers: dict[str, Answer] = {}
    began = time.monotonic()

    def on_result(host: str, event: str, result: Mapping[str, Any]) -> None:
        answer = answers[host] = read_answer(host, event, result, options.timeout + _GRACE_S)
        _tell(host, answer, time.monotonic() - began, len(answers), len(hosts))

    play = Play(
        inventory=options.inventory,
        limit=options.limit,
        tasks=[
            {
                "name": "sage-doctor check",
                "ansible.builtin.raw": _command(options),
                "timeout": int(options.timeout + 2 * _GRACE_S),
                "changed_when": False,
                "check_mode": False,
            }
        ],
        forks=options.jobs,
    )
    run_play(play, on_result)
    return [(host, answers.get(host) or silent(host, "unknown", "Ansible told nothing of it")) for host in hosts]


def _command(options: argparse.Namespace) -> str:
    """Return what is run on each host, in any shell; a host's own variables may name the program and the manifest."""
    from sage_doctor.cli.fleet.answers import BEGIN, NOT_INSTALLED  # noqa: PLC0415
    from sage_doctor.cli.fleet.inventory import refuse_templates  # noqa: PLC0415

    words = ["check", *([options.role] if options.role else []), "-l", options.level, "-f", "json"]
    words += ["--fail-on", options.fail_on, "--timeout", f"{options.timeout:.0f}s"]
    refuse_templates(words)
    program = "{{ sage_doctor_command | default('sage-doctor') | quote }}"
    manifest = "{% if sage_doctor_manifest is defined %} -m {{ sage_doctor_manifest | quote }}{% endif %}"
    script = _SCRIPT.format(begin=BEGIN, absent=NOT_INSTALLED, limit=options.timeout + _GRACE_S, most=_MOST_BYTES)
    return f"sh -c {shlex.quote(script)} sh {program} {shlex.join(words)}{manifest}"


def _tell(host: str, answer: Answer, passed_s: float, done: int, all_: int) -> None:
    """Write one host's line on standard error: results come in the order in which hosts answer."""
    told = answer.verdict if isinstance(answer, Report) else f"{answer.state}: {answer.why}"
    line = f"[{done}/{all_}] {printable(host, limit=100)}: {told} · {format_duration(passed_s)}"
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
