"""The host and the interpreter that sessions run in, as far as files and `/proc` tell without loading anything."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.findings.accelerator import accelerator_doubt, accelerator_problem
from sage_doctor.findings.environment import blocking_code, interpreter_problem, needed_packages, outdated_environment
from sage_doctor.findings.xids import xid_finding
from sage_doctor.readers.versions import read_requirement
from sage_doctor.subjects.device import devices_to_examine
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.service import why_not_loaded
from sage_doctor.suite.model_prober import ModelProber
from sage_doctor.text import printable, shell_quote

ORDER = 10  # of the check files: causes before consequences


@check("static")
def check_machine(host: Host) -> Iterator[Finding]:
    """The manifest knows this machine."""
    manifest = host.manifest
    if manifest is None or not manifest.machines:
        raise NotApplicable("no machines are declared")
    if manifest.machine is None:
        name = host.machine.hostname
        yield finding(
            "machine-unmatched",
            f"no [machines.X] of {printable(manifest.path.name)} matches this host ({printable(name)})",
            evidence={"hostname": name, "machines": sorted(manifest.machines)},
            fix=Fix(
                summary=f'Add match.hostname = "{printable(name)}" to the machine this is, or set SAGE_MACHINE '
                "to its name.",
                commands=tuple(f"SAGE_MACHINE={shell_quote(m)} sage-doctor" for m in sorted(manifest.machines)[:3]),
            ),
        )


@check("static")
def check_interpreter(host: Host) -> Iterator[Finding]:
    """The sessions' interpreter is there and answers."""
    problem = interpreter_problem(host)
    if problem is not None:
        yield problem


@check("load", after=["check_interpreter"])
def check_packages(host: Host, models: list[Model]) -> Iterator[Finding]:
    """The sessions' interpreter has the packages that loading these models takes."""
    loaded = [m for m in models if why_not_loaded(m) is None]
    if not loaded:
        raise NotApplicable("no model is loaded here" + (": services answer" if models else ""))
    if host.session.problem is not None:
        raise Blocked("interpreter-missing")
    if outdated_environment(host) is not None:
        raise Blocked("environment-outdated")
    required = host.manifest.requires if host.manifest is not None else ()
    named = {needed.name for text in required if (needed := read_requirement(text)) is not None}
    lacking = needed_packages(host, loaded)
    missing = [name for name in lacking if name not in named]
    if lacking and not missing:
        raise Blocked("package-missing")  # check_requirements has said so
    if missing:
        python = host.session.executable
        torch = "torch" in missing
        # peft would bring a torch of its own choice, which is the wrong one for many machines.
        wanted = [n for n in missing if n != "torch" and not (torch and n == "peft")]
        install = (
            (f"{shell_quote(python)} -m pip install {' '.join(shell_quote(n) for n in wanted)}",) if wanted else ()
        )
        advice = (
            "Install the missing packages into that interpreter's environment, or name another interpreter as python "
            "in the manifest."
        )
        if torch:
            advice += (
                " Start with torch, in the build for this machine's accelerator (on Jetson: NVIDIA's wheel). Install "
                "peft after it: pip would fetch any torch for peft."
            )
        yield finding(
            "package-missing",
            f"not installed in the sessions' interpreter {printable(python)}: {', '.join(missing)}",
            evidence={"python": python, "missing": missing},
            fix=Fix(summary=advice, commands=install),
        )


@check("static")
def check_accelerator(host: Host) -> Iterator[Finding]:
    """The accelerator that sessions must run on is there, and torch is built for it."""
    problem = accelerator_problem(host) or accelerator_doubt(host)
    if problem is not None:
        yield problem
    elif host.accelerator in (None, "cpu"):
        raise NotApplicable("no accelerator is declared")


@check("static")
def check_kernel_log(host: Host) -> Iterator[Finding]:
    """The GPU's driver has reported no error since this boot."""
    machine = host.machine
    if host.accelerator == "cpu" or (machine.nvidia_driver is None and "cuda" not in machine.accelerators):
        raise NotApplicable("no NVIDIA driver is in use here")
    log = host.kernel_log
    if log.problem:
        raise NotApplicable(
            f"the kernel's log cannot be read by this user ({log.problem}): a member of adm or systemd-journal can, "
            "and root"
        )
    found = xid_finding(host, log.xids)
    if found is not None:
        yield found


@check("load", after=["check_interpreter", "check_packages", "check_accelerator"])
def check_accelerator_works(host: Host, models: list[Model], probe: ModelProber) -> Iterator[Finding]:
    """The accelerator allocates, and computes what it should."""
    devices = devices_to_examine(host, models)
    if not devices:
        raise NotApplicable("nothing runs on an accelerator here")
    blocked = blocking_code(host, None)
    if blocked is not None:
        raise Blocked(blocked)
    for device in devices:
        found = probe.examined(host, device).finding
        if found is not None:
            yield found
