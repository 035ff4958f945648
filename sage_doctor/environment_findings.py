"""What is wrong with the sessions' interpreter: found once, reported on the machine, and blocking every load."""

from __future__ import annotations

from collections.abc import Iterable

from sage_doctor.check import finding
from sage_doctor.host import Host
from sage_doctor.model import Model
from sage_doctor.report import Finding, Fix
from sage_doctor.text import listed, printable, quoted


def interpreter_problem(host: Host) -> Finding | None:
    """Return what keeps the sessions' interpreter from running, or None."""
    session = host.session
    if session.problem is None:
        return None
    shown = printable(session.executable)
    if session.problem in ("missing", "not-executable", "not-python"):
        what = {
            "missing": "is not there",
            "not-executable": "cannot be executed",
            "not-python": "is not a Python interpreter",
        }[session.problem]
        return finding(
            "interpreter-missing",
            f"the sessions' interpreter {shown} {what}"
            + (f": {printable(session.detail, limit=200)}" if session.detail else ""),
            evidence={"python": session.executable, "problem": session.problem},
            fix=Fix(
                summary="Correct python = … of this machine in the manifest, or make that environment again.",
                commands=(f"ls -l {quoted(session.executable)}",),
            ),
        )
    return finding(
        "package-unknown",
        f"the sessions' interpreter {shown} did not list its packages ({session.problem}): "
        f"{printable(session.detail, limit=200)}",
        evidence={"python": session.executable, "problem": session.problem},
        fix=Fix(summary="Run it by hand and see what it says.", commands=(f"{quoted(session.executable)} -V",)),
    )


def needed_packages(host: Host, models: Iterable[Model]) -> list[str]:
    """Return the packages that loading these models takes and that the sessions' interpreter lacks."""
    wanted = dict.fromkeys(("torch", "transformers"))
    if any(m.kind == "adapter" for m in models):
        wanted["peft"] = None
    return [name for name in wanted if host.session.packages.get(name) is None]


def accelerator_problem(host: Host) -> Finding | None:
    """Return why sessions will not get the accelerator they must run on, as far as files tell, or None."""
    wanted, session = host.accelerator, host.session
    if wanted is None or wanted == "cpu":
        return None
    if wanted == "cuda" and session.problem is None and session.torch_accelerator == "cpu":
        return finding(
            "torch-cpu-build",
            f"sessions must run on cuda, and the sessions' torch {session.packages.get('torch')} is built for the "
            "CPU only",
            evidence={"torch": session.packages.get("torch"), "python": session.executable},
            fix=Fix(
                summary="Install the build of torch that this machine's vendor provides. A plain `pip install torch` "
                "is what usually replaced it."
            ),
        )
    if wanted in host.machine.accelerators:
        return None
    signs = [s.source for s in host.machine.accelerator_signs]
    return finding(
        "accelerator-missing",
        f"sessions must run on {wanted}, and this machine shows no such device (signs seen: {listed(signs) or 'none'})",
        evidence={"accelerator": wanted, "signs": signs, "driver": host.machine.nvidia_driver},
        fix=Fix(
            summary="Is the driver loaded, and are the device nodes passed into this container? "
            'If sessions may run on the CPU, declare accelerator = "cpu".',
            commands=("ls -l /dev/nvidia0 /dev/nvmap /proc/driver/nvidia/version",) if wanted == "cuda" else (),
        ),
    )


def blocking_code(host: Host, model: Model) -> str | None:
    """Return the code of a machine's finding that makes loading this model pointless, or None."""
    if host.session.problem in ("missing", "not-executable", "not-python"):
        return "interpreter-missing"
    if host.session.problem is None and needed_packages(host, [model]):
        return "package-missing"
    problem = accelerator_problem(host)
    own_device = model.spec.device if model.spec is not None else None
    return problem.code if problem is not None and own_device is None else None
