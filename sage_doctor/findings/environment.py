"""The machine and the interpreter that sessions run in: found once, and blocking every load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sage_doctor.findings.accelerator import accelerator_problem
from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable, shell_quote

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
            r"/bin/python[\d.]{0,8}: (bad interpreter|No such file or directory|not found|cannot execute)",
        ),
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
        return None
    shown = printable(session.executable)
    if session.problem in ("missing", "not-executable", "not-python"):
        what = {
            "missing": "does not exist",
            "not-executable": "cannot be executed",
            "not-python": "is not a Python interpreter",
        }[session.problem]
        return finding(
            "interpreter-missing",
            f"the sessions' interpreter {shown} {what}"
            + (f": {printable(session.detail, limit=200)}" if session.detail else ""),
            evidence={"python": session.executable, "problem": session.problem},
            fix=Fix(
                summary="Correct python = … of this machine in the manifest, or create that environment again.",
                commands=(f"ls -l {shell_quote(session.executable)}",),
            ),
        )
    return finding(
        "package-unknown",
        f"the sessions' interpreter {shown} did not list its packages ({session.problem}): "
        f"{printable(session.detail, limit=200)}",
        evidence={"python": session.executable, "problem": session.problem},
        fix=Fix(summary="Run it by hand and look at its output.", commands=(f"{shell_quote(session.executable)} -V",)),
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
    if host.session.problem is None and needed_packages(host, [model] if model is not None else []):
        return "package-missing"
    own = model.spec.device if model is not None and model.spec is not None else None
    if own is not None and own.partition(":")[0] != host.accelerator:
        return None
    problem = accelerator_problem(host)
    return problem.code if problem is not None else None
