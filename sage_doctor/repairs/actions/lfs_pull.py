"""Fetches files that Git LFS has not fetched: a clone without git-lfs leaves small pointer files in their place.

This runs git in that repository. A repository's own configuration may name programs that git then runs: hooks and the
file system monitor are switched off, and the repair refuses if the configuration names any other program.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.repairs.repair import OnProgress, Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.model import Model
from sage_doctor.system.child import ChildResult
from sage_doctor.system.file_steps import Applied, write_file
from sage_doctor.system.git import DEADLINE_S, git
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import join_limited, printable, shell_quote

POINTER = b"version https://git-lfs.github.com/spec/"
MOST_POINTER = 1024
MOST_NAMES = 500
# git -c …: nothing that lies in the repository is run. The filter is git-lfs's own, which nobody need have installed
# in this repository: without it git-lfs fetches, and checks nothing out.
SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "protocol.ext.allow": "never",
    "credential.interactive": "false",
    "filter.lfs.required": "true",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
}
# A transfer that is slower than this on the whole hangs.
SLOWEST_BYTES_S = 50_000
LEAST_DEADLINE_S = 3600.0
_PROGRAMS = re.compile(
    r"(?i)^(?:core\.(?:sshcommand|gitproxy|askpass|editor|fsmonitor|hookspath|alternaterefscommand)|credential\..*helper"
    r"|credential\.helper|lfs\.(?:.*\.)?(?:customtransfer\..*|standalonetransferagent|extension\..*)"
    r"|filter\..*|diff\..*\.(?:command|textconv)|include\.path|includeif\..*|remote\..*\.(?:uploadpack|receivepack|vcs)"
    r"|url\.ext.*|protocol\.ext\..*)$"
)
_OWN_FILTER = re.compile(r"(?i)^filter\.lfs\.(?:clean|smudge|process|required)$")
_OWN_VALUE = re.compile(r"^(?:git-lfs (?:clean|smudge|filter-process)(?: --skip)?(?: -- %f| %f)?|true|false)$")
_PATTERN = re.compile(r"[\\,*?\[\]!#\n]")


@repair(
    name="lfs-pull",
    codes=["weights-lfs-pointer", "tokenizer-invalid", "config-invalid", "adapter-config-invalid"],
    after=["fix-modes"],
)
def plan_lfs_pull(context: RepairContext) -> Plan:
    """Fetches the files that are Git LFS pointers."""
    finding, model = context.finding, context.model
    sizes = pointers(model)
    if not sizes:
        raise RepairRefused("it has no Git LFS pointers any more. Run `sage-doctor check` again.")
    if shutil.which("git") is None or shutil.which("git-lfs") is None:
        raise RepairRefused(
            "git-lfs is not installed. Install it (`apt install git-lfs`, `brew install git-lfs`), then run this again."
        )
    top = Path(_git(model.path, "rev-parse", "--show-toplevel").strip())
    _refuse_programs(model.path)
    prefix = os.path.relpath(os.path.realpath(model.path), os.path.realpath(top))
    names = [os.path.normpath(os.path.join(prefix, n)) for n in sizes]
    odd = [n for n in names if _PATTERN.search(n)]
    if odd:
        raise RepairRefused(f"git-lfs would read {join_limited(odd)} as a pattern. Fetch it by hand: git lfs pull.")
    remote = _remote(model.path)
    words = ["lfs", "pull", f"--include={','.join(names)}", "--exclude="]
    total = sum(sizes.values())
    return Plan(
        repair="lfs-pull",
        subject=finding.subject,
        code=finding.code,
        action=f"fetch {len(sizes)} file{'' if len(sizes) == 1 else 's'} from {remote}, the clone's remote",
        reads=(),
        writes=(*(str(model.path / n) for n in list(sizes)[:10]), f"{top / '.git' / 'lfs'} (git's copy)"),
        write_bytes=2 * total,
        disk_bytes=2 * total,
        seconds=total / 10e6,
        network=not remote.startswith(("/", "file:")),
        runs=f"git {' '.join(shell_quote(w) for w in words)}, with the repository's hooks and programs disabled",
        unchanged="commits, branches, configuration and all other files",
        undo="not needed: the fetched files are those of the commit",
        apply=lambda on_progress: _apply(model, sizes, words, on_progress),
    )


def pointers(model: Model) -> dict[str, int]:
    """Return the pointer files of a model directory, with the sizes that they name in bytes."""
    found: dict[str, int] = {}
    for name in sorted(model.tree.names)[:MOST_NAMES]:
        node = inspect_path(model.path / name)
        if node.kind != "file" or node.is_link or node.size > MOST_POINTER:
            continue
        raw = _start(model.path / name)
        if raw.startswith(POINTER):
            size = re.search(rb"^size (\d{1,18})$", raw, re.MULTILINE)
            found[name] = int(size[1]) if size else 0
    return found


def _start(path: Path) -> bytes:
    try:
        return read_start(path, MOST_POINTER)
    except UnreadableFile:
        return b""


def _environment() -> dict[str, str]:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in ("GIT_SSL_CAINFO", "GIT_SSH_COMMAND")
    }
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}


def _run(path: Path, words: list[str], timeout_s: float = DEADLINE_S) -> ChildResult:
    done = git(words, path, settings=SAFE, env=_environment(), timeout_s=timeout_s, keep_end=True)
    if done is None:
        raise RepairRefused("git is not installed, or cannot be started.")
    return done


def _git(path: Path, *words: str) -> str:
    done = _run(path, list(words))
    if done.code != 0:
        said = "timed out" if done.timed_out else done.last_error or "no reason given"
        raise RepairRefused(f"git failed in {printable(str(path))}: {printable(said, limit=300)}")
    return done.text


def _refuse_programs(path: Path) -> None:
    """Raise `RepairRefused` if the repository's configuration names a program that git or git-lfs would run."""
    for entry in _git(path, "config", "--local", "--includes", "--list", "-z").split("\0"):
        key, _, value = entry.partition("\n")
        if _PROGRAMS.match(key) and not (_OWN_FILTER.match(key) and _OWN_VALUE.match(value)):
            raise RepairRefused(
                f"the repository's configuration sets {printable(key)}, which may make git run a program. Read "
                f"{printable(str(path))}'s .git/config; if you trust it, run: git lfs pull."
            )


def _remote(path: Path) -> str:
    done = _run(path, ["remote", "get-url", "origin"])
    url = done.text.strip()
    if done.code != 0 or not url:
        raise RepairRefused("the repository has no remote `origin`. Copy the files by hand.")
    return re.sub(r"//[^/@]*@", "//", printable(url, limit=300))


def _apply(model: Model, sizes: dict[str, int], words: list[str], on_progress: OnProgress) -> Applied:
    before = {name: _start(model.path / name) for name in sizes}

    def rollback() -> None:
        for name, raw in before.items():
            if _start(model.path / name) != raw:
                write_file(model.path / name, raw)

    on_progress(f"git lfs pull: {len(sizes)} file(s)")
    try:
        done = _run(model.path, words, max(LEAST_DEADLINE_S, sum(sizes.values()) / SLOWEST_BYTES_S))
    except BaseException:
        rollback()
        raise
    left = [n for n in sizes if _start(model.path / n).startswith(POINTER)]
    if done.code != 0 or left:
        rollback()
        said = done.last_error or f"{join_limited(left)} not fetched"
        ended = "timed out" if done.timed_out else f"failed (exit code {done.code})"
        raise DoctorError(f"git lfs pull {ended}: {printable(said, limit=300)}; nothing was changed")
    return Applied(rollback=rollback)
