"""Fetches files that Git LFS has not fetched: a clone without git-lfs leaves small pointer files in their place.

This runs git in that repository. A repository's own configuration may name programs that git then runs: hooks and the
file system monitor are switched off, and the repair refuses if the configuration names any other program. The user's
own configuration counts, because it knows how to log in; which programs it names, the plan says.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.paths.find.files import repository
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.model import Model
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.child import ChildResult
from sage_doctor.system.file_steps import Applied, write_file
from sage_doctor.system.git import DEADLINE_S, git
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.system.walk import Walk
from sage_doctor.text import format_duration, join_limited, printable, shell_quote

POINTER = b"version https://git-lfs.github.com/spec/"
MOST_POINTER = 1024
MOST_NAMES = 500
# git -c …: nothing that lies in the repository is run. The filter is git-lfs's own, which nobody need have installed
# in this repository: without it git-lfs fetches, and checks nothing out.
SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "credential.interactive": "false",
    "filter.lfs.required": "true",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
}
# A transfer that is slower than this on the whole hangs; so does one during which no file grows for a while.
SLOWEST_BYTES_S = 50_000
DEADLINES_S = (900.0, 24 * 3600.0)
STALLED_S = (60.0, 900.0)
_READS_BYTES_S = 100e6  # what is checked or copied grows only afterwards
# The last part of a key says that its value is a program, whatever section it is in; lfs.storage is where files go.
_PROGRAMS = re.compile(
    r"(?i)^(?:(?:alias|filter|include|includeif|lfs\.(?:.*\.)?(?:customtransfer|extension)|url\.ext.*|protocol)\..*"
    r"|.*\.(?:sshcommand|gitproxy|askpass|editor|pager|fsmonitor|hookspath|alternaterefscommand|helper|command|cmd|program"
    r"|textconv|external|driver|clean|smudge|process|uploadpack|receivepack|vcs|standalonetransferagent|storage))$"
)
_OWN_FILTER = re.compile(r"(?i)^filter\.lfs\.(?:clean|smudge|process|required)$")
_OWN_VALUE = re.compile(r"^(?:git-lfs (?:clean|smudge|filter-process)(?: --skip)?(?: -- %f| %f)?|true|false)$")
_USERS_VARIABLES = frozenset(
    {"GIT_SSL_CAINFO", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}
)
_LEAST_GROWTH = 4096  # bytes; a server that sends one byte a second sends nothing
_PATTERN = re.compile(r"[\\,*?\[\]!#\n]")


@repair(
    name="lfs-pull",
    codes=["weights-lfs-pointer", "tokenizer-invalid", "config-invalid", "adapter-config-invalid"],
    after=["fix-modes"],
)
def plan_lfs_pull(context: RepairContext) -> Plan:
    """Fetches the files that are Git LFS pointers."""
    model = context.model
    sizes = pointers(model)
    if not sizes:
        raise RepairRefused("it has no Git LFS pointers any more. Run `sage-doctor check` again.")
    if shutil.which("git") is None or shutil.which("git-lfs") is None:
        raise RepairRefused(
            "git-lfs is not installed. Install it (`apt install git-lfs`, `brew install git-lfs`), then run this again."
        )
    own = _refuse_programs(model.path)
    top = Path(_git(model.path, "rev-parse", "--show-toplevel").strip())
    if repository(model.path / "x") != top and os.path.realpath(top) != os.path.realpath(model.path):
        raise RepairRefused(f"its repository says that its files are in {printable(str(top))}. Fetch them by hand.")
    prefix = os.path.relpath(os.path.realpath(model.path), os.path.realpath(top))
    names = [os.path.normpath(os.path.join(prefix, n)) for n in sizes]
    odd = [n for n in names if _PATTERN.search(n)]
    if odd:
        raise RepairRefused(f"git-lfs would read {join_limited(odd)} as a pattern. Fetch it by hand.")
    server = _server(model.path)
    words = ["lfs", "pull", f"--include={','.join(names)}", "--exclude="]
    total = sum(sizes.values())
    return Plan(
        action=f"fetch {len(sizes)} file{'' if len(sizes) == 1 else 's'} from {server}",
        writes=(*(str(model.path / n) for n in list(sizes)[:10]), f"{top / '.git' / 'lfs'} (git's copy)"),
        write_bytes=2 * total,
        disk_bytes=2 * total,
        seconds=total / 10e6,
        network=not server.startswith("file:"),
        runs=f"git {' '.join(shell_quote(w) for w in words)}, with the repository's hooks and programs disabled{own}",
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
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _USERS_VARIABLES}
    return {
        **kept,
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_ASKPASS": "true",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _run(
    path: Path, words: list[str], timeout_s: float = DEADLINE_S, stalled: Callable[[], bool] | None = None
) -> ChildResult:
    done = git(words, path, settings=SAFE, env=_environment(), timeout_s=timeout_s, keep_end=True, stalled=stalled)
    if done is None:
        raise RepairRefused("git is not installed, or cannot be started.")
    return done


def _git(path: Path, *words: str) -> str:
    done = _run(path, list(words))
    if done.code != 0:
        said = "timed out" if done.timed_out else done.last_error or "no reason given"
        raise RepairRefused(f"git failed in {printable(str(path))}: {printable(said, limit=300)}")
    return done.text


def _refuse_programs(path: Path) -> str:
    """Return in words which programs the user's own configuration names, with its file.

    Raises `RepairRefused` if the repository's configuration, in whichever of its files, names one.
    """
    own = []
    listed = _git(path, "config", "--includes", "--list", "--show-scope", "--show-origin", "-z").split("\0")
    for scope, origin, entry in zip(listed[::3], listed[1::3], listed[2::3], strict=False):
        key, _, value = entry.partition("\n")
        if not (_PROGRAMS.match(key) or value.startswith("!")) or (_OWN_FILTER.match(key) and _OWN_VALUE.match(value)):
            continue
        if scope in ("system", "global"):
            own.append(f"{key} ({origin.removeprefix('file:')})")
        elif scope != "command":  # those are ours
            raise RepairRefused(
                f"the repository's configuration sets {printable(key)} ({printable(origin.removeprefix('file:'))}), "
                f"which may make git run a program. Read it; if you trust it, fetch the files by hand."
            )
    own += [name for name in ("GIT_SSH_COMMAND",) if name in os.environ]
    return f"; your own configuration names {join_limited(sorted(set(own)))}" if own else ""


def _server(path: Path) -> str:
    """Return the URL that git-lfs will ask, whichever of its settings names it."""
    said = _git(path, "lfs", "env")
    found = re.findall(r"(?m)^Endpoint(?: \([^)\n]*\))?=(.*?)(?: \(auth=\w*\))?$(?:\n  SSH=(.*)$)?", said)
    found = [(ssh or url) for url, ssh in found if url or ssh]
    default = re.search(r"(?m)^Endpoint=.", said)
    if not found or (len(found) > 1 and default is None):
        raise RepairRefused("git-lfs knows no remote to fetch from. Copy the files by hand.")
    return printable(found[0], limit=300)


def _growing(directories: Sequence[Path], files: Iterable[Path], patience_s: float) -> Callable[[], bool]:
    """Return a function that says whether for so long nothing there has changed its size."""
    since, last = time.monotonic(), 0

    def stalled() -> bool:
        nonlocal since, last
        below = (Path(e.path) for found in Walk(roots=directories).listings() for e in found.files)
        size = sum(inspect_path(p).size for p in (*below, *files))
        if abs(size - last) > _LEAST_GROWTH:
            since, last = time.monotonic(), size
        return time.monotonic() - since > patience_s

    return stalled


def _apply(model: Model, sizes: dict[str, int], words: list[str], on_progress: OnProgress) -> Applied:
    before = {name: _start(model.path / name) for name in sizes}

    def rollback() -> None:
        for name, raw in before.items():
            if _start(model.path / name) != raw:
                write_file(model.path / name, raw)

    _refuse_programs(model.path)  # once more: the question may have stood for long
    storage = model.path / _git(model.path, "rev-parse", "--git-path", "lfs").strip()
    index_lock = model.path / _git(model.path, "rev-parse", "--git-path", "index.lock").strip()
    locked = inspect_path(index_lock).kind != "missing"
    total = sum(sizes.values())
    patience_s = min(STALLED_S[0] + total / _READS_BYTES_S, STALLED_S[1])
    deadline_s = min(max(DEADLINES_S[0], total / SLOWEST_BYTES_S), DEADLINES_S[1])
    on_progress(f"git lfs pull: {len(sizes)} file(s)")
    try:
        stalled = _growing([storage / "incomplete", storage / "tmp"], [model.path / n for n in sizes], patience_s)
        done = _run(model.path, words, deadline_s, stalled)
    except BaseException:
        rollback()
        raise
    left = [n for n in sizes if _start(model.path / n).startswith(POINTER)]
    if done.code is None and not locked:
        index_lock.unlink(missing_ok=True)  # of the git that was ended
    if done.code != 0 or left:
        rollback()
        said = done.last_error or f"{join_limited(left)} not fetched"
        ended = f"failed (exit code {done.code})"
        if done.stalled:
            ended = f"received nothing for {format_duration(patience_s)} and was ended"
        elif done.timed_out:
            ended = f"took longer than {format_duration(deadline_s)} and was ended"
        raise DoctorError(f"git lfs pull {ended}: {printable(said, limit=300)}; nothing was changed")
    return Applied(rollback=rollback)
