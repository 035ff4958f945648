"""The machine and the interpreter that sessions run in: found once, and blocking every load."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.facts.old_packages import OldPackages, old_packages, virtual_environment
from sage_doctor.findings.accelerator import accelerator_problem
from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host
    from sage_doctor.subjects.model import Model

TITLE = "Environment"
DECLARATIONS = declare(
    Declaration(
        code="machine-unmatched",
        severity="warning",
        title="No machine in the manifest matches this host",
        cause="Neither SAGE_MACHINE, the device-tree model nor the hostname matches a machine of the manifest. The "
        "models of every role are checked instead.",
        remediation="Add a `[machines.NAME]` table with `match.hostname` for this host, or set SAGE_MACHINE.",
    ),
    Declaration(
        code="interpreter-missing",
        severity="error",
        title="The sessions' Python interpreter does not start",
        cause="A virtual environment breaks like this when the Python it was made with is upgraded or removed.",
        remediation="Correct `python` in the manifest, or create the environment again.",
        shows=(
            r"(bad interpreter|No such file or directory).{0,200}?/bin/python[\d.]{0,8}\b",
            r"\w: (line \d{1,6}: |\d{1,6}: )?python[\d.]{0,8}: (command )?not found",
            r"env: .{0,3}python[\d.]{0,8}.{0,3}: No such file or directory",
            r"/bin/python[\d.]{0,8}: (bad interpreter|No such file or directory|not found|cannot execute)",
        ),
    ),
    Declaration(
        code="environment-outdated",
        severity="error",
        title="The packages were installed for another Python version",
        cause="Every minor version of Python (3.10, 3.12) looks for packages in a directory of its own. After an "
        "upgrade the new one starts and finds none of what was installed for the old one.",
        remediation="Create the environment again with the Python that is there now, and install the packages into it; "
        "or install the old Python beside the new one.",
    ),
    Declaration(
        code="package-unknown",
        severity="warning",
        title="The sessions' packages could not be listed",
        cause="The interpreter did not answer when asked for its packages, so packages could not be checked.",
        remediation="Run the interpreter by hand and look at its output.",
    ),
)


def interpreter_problem(host: Host) -> Finding | None:
    """Return what keeps the sessions' interpreter from running, or None."""
    session = host.session
    if session.problem is None:
        return outdated_environment(host)
    shown = printable(session.executable)
    if session.problem in ("missing", "not-executable", "not-python"):
        what = {
            "missing": "does not exist",
            "not-executable": "cannot be executed",
            "not-python": "is not a Python interpreter",
        }[session.problem]
        made = virtual_environment(session.executable)
        with_python = f"; the environment was made with Python {printable(made.made_with)}" if made else ""
        return finding(
            "interpreter-missing",
            f"the sessions' interpreter {shown} {what}"
            + (f": {printable(session.detail, limit=200)}" if session.detail else "")
            + with_python,
            evidence={"python": session.executable, "problem": session.problem},
            fix=_made_again(made.directory, _left(host))
            if made is not None
            else Fix(summary="Correct python = … of this machine in the manifest, or create that environment again."),
        )
    return finding(
        "package-unknown",
        f"the sessions' interpreter {shown} did not list its packages ({session.problem}): "
        f"{printable(session.detail, limit=200)}",
        evidence={"python": session.executable, "problem": session.problem},
        fix=Fix(summary="Run it by hand and look at its output.", commands=(f"{shell_quote(session.executable)} -V",)),
    )


def _left(host: Host) -> list[OldPackages]:
    session = host.session
    return old_packages(session.executable, version=session.version, prefix=session.prefix, home=host.home)


def outdated_environment(host: Host) -> Finding | None:
    """Return the finding for an interpreter whose packages are those of another Python: it finds none of them."""
    session = host.session
    lacking = {name for name in ("torch", "transformers", "peft") if session.packages.get(name) is None}
    if not lacking & {"torch", "transformers"}:
        return None
    old = next((o for o in _left(host) if lacking & {"torch", "transformers"} <= o.packages), None)
    if old is None:
        return None
    names = sorted(lacking & old.packages)
    return finding(
        "environment-outdated",
        f"the sessions' interpreter {printable(session.executable)} is Python {printable(session.version or '?')}, and "
        f"{join_limited(names)} {'is' if len(names) == 1 else 'are'} installed for Python {old.minor} "
        f"({printable(str(old.place))})",
        evidence={"python": session.executable, "version": session.version, "packages_for": old.minor},
        fix=_made_again(old.environment, [old])
        if old.environment is not None
        else Fix(
            summary=f"Install them for this Python, in the builds for this machine, or name a Python {old.minor} as "
            "python in the manifest.",
            commands=(f"{shell_quote(session.executable)} -m pip list --path {shell_quote(old.place)}",),
        ),
    )


def _made_again(environment: Path, left: list[OldPackages]) -> Fix:
    """Return the fix that makes a virtual environment anew, with the packages that the old one had."""
    aside = f"{environment}.old"
    commands = [f"mv {shell_quote(environment)} {shell_quote(aside)}", f"python3 -m venv {shell_quote(environment)}"]
    if left:
        python = shell_quote(environment / "bin/python")
        place = os.path.join(aside, os.path.relpath(left[0].place, environment))
        listed = shell_quote(os.path.join(aside, "packages.txt"))
        commands += [
            f"{python} -m pip list --path {shell_quote(place)} --format=freeze > {listed}",
            f"{python} -m pip install -r {listed}",
        ]
    return Fix(
        summary="Create the environment again with the Python that is there now. If torch is the vendor's build "
        "(Jetson, another index), install that first and take it out of the list.",
        commands=tuple(commands),
    )


def needed_packages(host: Host, models: Iterable[Model]) -> list[str]:
    """Return the packages that loading these models needs and that are missing in the sessions' interpreter."""
    wanted = dict.fromkeys(("torch", "transformers"))
    if any(m.kind == "adapter" for m in models):
        wanted["peft"] = None
    return [name for name in wanted if host.session.packages.get(name) is None]


def blocking_code(host: Host, model: Model | None) -> str | None:
    """Return the code of a machine's finding that makes loading this model pointless, or None.

    Without a model: that makes examining the accelerator pointless.
    """
    if host.session.problem in ("missing", "not-executable", "not-python"):
        return "interpreter-missing"
    if host.session.problem is None and outdated_environment(host) is not None:
        return "environment-outdated"
    if host.session.problem is None and needed_packages(host, [model] if model is not None else []):
        return "package-missing"
    own = model.spec.device if model is not None and model.spec is not None else None
    if own is not None and own.partition(":")[0] != host.accelerator:
        return None
    problem = accelerator_problem(host)
    return problem.code if problem is not None else None
