"""What ended a probe that is no fault of the model: a limit, a signal from outside, a library that is not found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.findings.system_texts import ENTRY_MISSING, LIBRARY_FAILED, LIBRARY_MISSING, ended
from sage_doctor.report import Finding, Fix
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe.outcome import ProbeOutcome
    from sage_doctor.subjects.host import Host

TITLE = "How a load was ended"
DECLARATIONS = declare(
    Declaration(
        code="load-killed",
        severity="error",
        title="Something outside ended the process that loads the model",
        cause="The process did not crash: a limit, a service manager, a memory daemon or a person ended it.",
        remediation="Find out what ended it, and raise its limit or let it alone. The model and the packages need no "
        "repair.",
        shows=(
            *(r"CPU time limit exceeded", r"CANCELLED AT \S{1,40} DUE TO TIME LIMIT"),
            *(r"start operation timed out\. Terminating", r"Watchdog timeout \(limit \S{1,20}\)!"),
            r"process was signaled to shutdown with signal (9|15)\b",
        ),
        may_show=(
            r"Main process exited, code=killed, status=(9/KILL|15/TERM)",
            *ended(signals=(SIGKILL, SIGTERM)),
        ),
    ),
    Declaration(
        code="library-unloadable",
        severity="error",
        title="A shared library is missing or does not fit",
        cause="The loader finds no library of this name, or one of another version: a package was built for another "
        "CUDA, driver or system, or only a login shell's LD_LIBRARY_PATH leads to it.",
        remediation="Install the build that fits this machine, or set LD_LIBRARY_PATH where sessions start (unit, "
        "crontab). `ldd FILE` lists what a library lacks.",
        shows=(
            *(r"…: cannot open shared object file", r"error while loading shared libraries: "),
            *(r"libcudart functions unavailable", r"…: undefined symbol: "),
            r"version `\w{1,20}_[\d.]{1,12}' not found \(required by",
            r"Could not load (this )?library:? \S{1,200}\.(so|dll)",
            *(r"Unable to load any of \{lib\w{1,40}\.so", r"Cannot load symbol cudnn\w{1,60}"),
            # macOS and Windows.
            r"dlopen\(.{1,400}?\): (Library not loaded|Symbol not found)",
            r"DLL load failed( while importing \S{1,80})?: ",
            *(r"\[WinError (126|127|182|193|1114)\]", r"LoadLibrary failed with error \d"),
            *(r"Failed to load shared library", r"Could not find module '.{1,400}?' \(or one of its dependencies\)"),
            r"CreateExecutionProviderInstance CUDA_PATH is set but CUDA wasn't able",
            *ended(statuses=(LIBRARY_MISSING, ENTRY_MISSING, LIBRARY_FAILED)),
            r"Library \S{1,100}\.(dll|so)\S{0,20} is not found or cannot be loaded",
            *(r"failed to load MLX dynamic library", r"Shared library with base name '\w{1,40}' not found"),
            r"CUDA SETUP: (Setup Failed|CUDA detection failed|Problem: The main issue|Something unexpected happened)",
            r"runtime libraries were not found in the LD_LIBRARY_PATH",
            *(r"SETUP ERROR: Missing dependency: \S{1,200}", r"CUDA Setup failed despite (CUDA|GPU) being available"),
            *(r"…: cannot allocate memory in static TLS block", r"…: invalid ELF header"),
            *(r"…: wrong ELF class: ", r"Could not load bitsandbytes native library: "),
            *(r"Could not find the bitsandbytes CUDA binary at", r"Configured CUDA binary not found at "),
            r"'NoneType' object has no attribute 'c\w{1,40}_(managed_ptr|fp16|fp32|bf16\w{0,10})'",
            *(r"Forgot to compile the bitsandbytes library\?", r"cuDNN version incompatibility: PyTorch was compiled"),
            *(r"ld: cannot find -l\w{1,40}", r"Failed to load CPU-only bitsandbytes library"),
            # It falls back on its library for the CPU where it has none for this CUDA, or torch sees no GPU.
            r"Method '\w{1,80}' not available in CPU-only version of bitsandbytes",
        ),
        # Warnings: what fails may be something else.
        may_show=(
            r"The installed version of bitsandbytes was compiled without GPU support",
            r"CUDA[ _]SETUP: WARNING! lib\w{1,20}\.so not found",
        ),
    ),
)

WAITING = "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /D/'"  # the processes that the kernel does not let go
_LIBRARY = re.compile(r"(?P<name>lib[\w.+-]+\.so(?:\.[\w.]+)?): cannot open shared object file")
# No fault of a program's own raises these: somebody sends them.
_SENT = frozenset({"SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGXFSZ"})
_CRASHES: Mapping[str, str] = {
    "SIGILL": "A package was built for another processor: install torch and its companions in the sessions' "
    "environment again, in the build for this one.",
    "SIGBUS": "A file that was mapped became shorter or could not be read while it was used: look for a disk that is "
    "full or failing, and for a program that rewrites the weights.",
    "SIGSYS": "A sandbox forbids a system call (seccomp; SystemCallFilter= of a unit): allow it, or start the session "
    "outside.",
}
_CRASH = (
    "Reinstall torch and its companions in the sessions' environment as the vendor says: mixed versions, or a package "
    "for another driver, crash like this."
)


def ended_from_outside(host: Host, outcome: ProbeOutcome, doing: str, evidence: Mapping[str, Any]) -> Finding | None:
    """Return the finding for a probe that a limit or a signal ended, or a library that is missing; else None."""
    stage = printable(outcome.stage or "start")
    if outcome.limit == "cpu-time":
        limit = f"{outcome.limits.cpu_s} s" if outcome.limits.cpu_s is not None else "the limit"
        return finding(
            "load-killed",
            f"it was ended while {doing}, in stage {stage}: its CPU time is limited to {limit} (ulimit -t)",
            evidence={**evidence, "limit": "RLIMIT_CPU", "limit_s": outcome.limits.cpu_s},
            fix=Fix(
                summary="Raise the limit where the session is started: `ulimit -t unlimited` in its shell, LimitCPU= "
                "of its unit, or `cpu` in /etc/security/limits.conf.",
                commands=("ulimit -t", "ulimit -Ht"),
            ),
        )
    if outcome.limit:
        return _refused_memory(outcome, doing, evidence)
    if outcome.ending == "signal" and outcome.signal in _SENT:
        return finding(
            "load-killed",
            f"it was ended from outside with {outcome.signal} while {doing}, in stage {stage}",
            evidence={**evidence, "signal": outcome.signal},
            fix=Fix(
                summary="See who ended it: a service manager or scheduler that stops the job, a daemon that frees "
                "memory (earlyoom, systemd-oomd), or a person. Then check again.",
                commands=("journalctl -b -n 200 --no-pager | grep -iE 'oom|kill|stopp'", "dmesg | tail -n 20"),
            ),
        )
    return _library(host, outcome, doing, evidence)


def hung(outcome: ProbeOutcome, what: str) -> str:
    """Return the sentence about a probe that was stopped at its deadline; `what` says what hung, and where."""
    seconds = outcome.stages[-1].seconds if outcome.stages else 0
    pid = outcome.abandoned_pid
    stuck = f" Process {pid} is stuck in the kernel and could not be killed." if pid else ""
    return f"{what} for {seconds:.0f} s and was stopped.{stuck}"


def crash_advice(outcome: ProbeOutcome) -> Fix:
    """Return what to do about a crash in native code, by its signal."""
    return Fix(summary=_CRASHES.get(outcome.signal, _CRASH))


def _refused_memory(outcome: ProbeOutcome, doing: str, evidence: Mapping[str, Any]) -> Finding:
    if outcome.limit == "data":
        limit, what, option, unit, kind = outcome.limits.data or 0, "memory", "-d", "DATA", "data"
    else:
        limit, what, option, unit, kind = outcome.limits.address_space or 0, "address space", "-v", "AS", "as"
    mapped = " Mapped weights and libraries count in full, whatever memory they take." if kind == "as" else ""
    return finding(
        "load-out-of-memory",
        f"memory was refused while {doing}: the {what} of a process is limited to {format_bytes(limit)} here "
        f"(ulimit {option} {limit // 1024}): {printable(outcome.message, limit=300)}",
        evidence={**evidence, "limit": f"RLIMIT_{unit}", "limit_bytes": limit},
        fix=Fix(
            summary=f"Raise the limit where the session is started: `ulimit {option} unlimited` in its shell, "
            f"Limit{unit}= of its unit, or `{kind}` in /etc/security/limits.conf.{mapped}",
            commands=(f"ulimit {option}", f"ulimit -H{option[1:]}"),
        ),
    )


def _library(host: Host, outcome: ProbeOutcome, doing: str, evidence: Mapping[str, Any]) -> Finding | None:
    said = outcome.message if outcome.failure is None else f"{outcome.message}\n{outcome.failure.message}"
    match = _LIBRARY.search(said)
    if match is None:
        return None
    from sage_doctor.facts.shared_libraries import find_library  # noqa: PLC0415 - only after a failure

    name = match["name"]
    places = find_library(name, home=host.home, near=host.session.site_packages)
    evidence = {**evidence, "library": name, "found": [str(p.directory) for p in places]}
    what = f"{printable(name, limit=100)} is not found while {doing}"
    if not places:
        return finding(
            "library-unloadable",
            f"{what}, and it is in none of the directories where such libraries are installed",
            evidence=evidence,
            fix=Fix(
                summary="Install what it belongs to, in the version that the number after .so names, or a build of the "
                "package that does not need it.",
                commands=(f"ldconfig -p | grep {shell_quote(name.partition('.so')[0])}",),
            ),
        )
    first = places[0]
    where = shell_quote(first.directory)
    who = (
        f"which only the login shell's LD_LIBRARY_PATH names ({printable(first.named_by)})"
        if first.named_by
        else "where the loader does not look"
    )
    more = f"; also in {join_limited([printable(str(p.directory)) for p in places[1:]])}" if places[1:] else ""
    return finding(
        "library-unloadable",
        f"{what}: it is in {printable(str(first.directory))}, {who}{more}",
        evidence={**evidence, "named_by": first.named_by},
        fix=Fix(
            summary="Name the directory to the loader for good, or set LD_LIBRARY_PATH where the session is started "
            "(Environment= of its unit, the crontab, the container).",
            commands=(
                f"echo {where} | sudo tee /etc/ld.so.conf.d/{shell_quote(first.directory.name + '-local.conf')}",
                "sudo ldconfig",
            ),
        ),
    )


def within_group(host: Host) -> str:
    """Return the words for the limit of the control group, empty where there is none."""
    limit = host.machine.memory.limit
    return f", within the {format_bytes(limit)} that its control group allows" if limit is not None else ""


def raise_group_limit(host: Host) -> str:
    """Return the sentence that says how such a limit is raised, empty where there is none."""
    if host.machine.memory.limit is None:
        return ""
    return "Raise the limit (MemoryMax= of the unit, --memory of the container) if the machine has more. Otherwise: "
