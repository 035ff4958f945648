"""Copying a model from another machine into its place: rsync over ssh, compared with hashes, exchanged in one step.

rsync writes into a directory beside the target, whose name holds the target's inode. Whatever ends the copy, the next
attempt finds that directory and rsync sends what is still missing. Nothing of it is seen by a session before every
file has the hash that it must have; then the two directories are exchanged, and that name holds the old model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.facts.hashing import hash_files
from sage_doctor.merge.deferred_signals import DeferredSignals
from sage_doctor.merge.staging import atomic_swap, locked
from sage_doctor.merge.target import Present, carry_over, read_present
from sage_doctor.repairs.arriving_hashes import hashes_while_arriving
from sage_doctor.repairs.backup import backup_path, drop, restore
from sage_doctor.repairs.remote_model import RemoteModel
from sage_doctor.system.activity import Meter, OnProgress
from sage_doctor.system.child import ChildResult, run
from sage_doctor.system.file_steps import Applied
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.ssh import SSH
from sage_doctor.system.walk import Walk
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote

SLOWEST_BYTES_S: Final = 50_000
_LEAST_S: Final = 900.0
_SILENT_S: Final = 300  # rsync gives up where nothing arrives for so long
# --inplace: what a kill leaves has the file's own name, and the next attempt compares it instead of sending it again.
# --copy-links: a file, whatever it is there. --protect-args: no shell over there reads a name. --info: it writes to us
# all the time, so that it ends as soon as nobody reads that any more.
RSYNC: Final = (
    *("rsync", "--times", "--copy-links", "--inplace", "--protect-args", f"--timeout={_SILENT_S}"),
    *("--info=progress2", "--outbuf=N"),
    *("--from0", "--files-from=-", f"--rsh={' '.join(SSH)}"),
)


@frozen
class Transfer:
    """What is copied. `hashes` has the sha256 of every file of the new directory, `here` those the old one has already.

    `present` is the old directory as the plan saw it, `cache` the file that remembers hashes.
    """

    source: RemoteModel
    target: Path
    hashes: Mapping[str, str]
    here: frozenset[str]
    present: Present
    cache: Path

    @property
    def staging(self) -> Path:
        """The directory that rsync writes to: always the same one for the same target."""
        return backup_path(self.target, process=0)

    @property
    def to_send(self) -> dict[str, int]:
        """The files to be sent, with their sizes in bytes."""
        return {n: self.source.sizes[n] for n in sorted(self.hashes) if n not in self.here}


def apply(transfer: Transfer, on_progress: OnProgress) -> Applied:
    """Copy, verify, and put in place. Raises `DoctorError`, with the target as it was."""
    target, staging = transfer.target, transfer.staging
    before = inspect_path(target).inode
    try:
        with DeferredSignals() as interrupts, locked(target, pause=interrupts.raise_pending):
            _open(transfer)
            with hashes_while_arriving(staging, transfer.to_send) as arrived:
                _receive(transfer, on_progress, interrupts.raise_pending)
            present = _unchanged(transfer)
            kept = (*present.kept, *sorted(transfer.here))
            carry_over(dataclasses.replace(present, kept=kept), staging, lambda *_: interrupts.raise_pending())
            _verify(transfer, arrived, on_progress, interrupts.raise_pending)
            os.chmod(staging, inspect_path(target).mode & 0o777 if present.exists else 0o755)
            interrupts.raise_pending()  # the last moment at which an interrupt undoes everything
            replaced = atomic_swap(staging, target)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise DoctorError(f"the copy to {printable(str(target))} failed: {reason}; nothing was changed") from error
    except BaseException:
        if before and inspect_path(staging).inode == before:  # replaced already, but not verified
            restore(staging, target)
        raise
    if not replaced:
        return Applied(rollback=lambda: shutil.rmtree(target))
    return Applied(rollback=lambda: restore(staging, target), commit=lambda: drop(staging))


def _unchanged(transfer: Transfer) -> Present:
    now = read_present(transfer.target, written=frozenset(transfer.hashes), tokenizer=True)
    if now.lost() != transfer.present.lost():
        raise DoctorError(f"{printable(str(transfer.target))} has changed since the plan was made. Run this again.")
    return now


def _open(transfer: Transfer) -> None:
    """Make the staging directory, or empty it of what does not belong there; partial files stay."""
    staging = transfer.staging
    node = inspect_path(staging)
    if node.kind == "missing":
        os.mkdir(staging, 0o700)
    elif node.kind != "directory" or node.is_link or node.uid != os.geteuid():
        raise DoctorError(f"{printable(str(staging))} is in the way. Look at what it is, and remove it.")
    for listing in Walk(roots=[staging]).listings():
        for entry in (*listing.files, *listing.below):
            name = os.path.relpath(entry.path, staging)
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                if not any(n.startswith(f"{name}/") for n in transfer.to_send):
                    listing.below.remove(entry)
                    shutil.rmtree(entry.path)
            elif name not in transfer.to_send or not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                os.unlink(entry.path)


def _received(transfer: Transfer) -> int:
    return sum(min(inspect_path(transfer.staging / n).size, size) for n, size in transfer.to_send.items())


def _receive(transfer: Transfer, on_progress: OnProgress, check: Callable[[], None]) -> None:
    """Run rsync until everything is there. Raises `DoctorError`; partial files stay, unless they filled the disk."""
    sizes = transfer.to_send
    if not sizes:
        return
    total = sum(sizes.values())
    missing, free = total - _received(transfer), shutil.disk_usage(transfer.staging).free
    if missing > free:
        raise DoctorError(
            f"{printable(str(transfer.target.parent))} has {format_bytes(free)} free; the copy needs "
            f"{format_bytes(missing)} more."
        )
    activity = f"copying from {transfer.source.machine}"

    def each_second() -> bool:
        check()
        on_progress(activity, _received(transfer), total)
        return False

    on_progress(activity, _received(transfer), total)
    done = run(
        [*RSYNC, "--", f"{transfer.source.host}:{transfer.source.path}/", f"{transfer.staging}/"],
        timeout_s=max(_LEAST_S, total / SLOWEST_BYTES_S),
        env={**{k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}, "LC_ALL": "C"},
        ask="".join(f"{n}\0" for n in sizes).encode("utf-8", "surrogateescape"),
        keep_end=True,
        stalled=each_second,
    )
    check()
    if done is None:
        raise DoctorError("rsync is not installed. Install it (`apt install rsync`), then try again.")
    if done.code != 0:
        raise _failed(transfer, done)


def _failed(transfer: Transfer, done: ChildResult) -> DoctorError:
    said = done.err.decode("utf-8", "replace")
    staging = transfer.staging
    where = printable(str(staging.parent))
    full = f"{where} was full" if "No space left on device" in said else ""
    full = f"the disk quota in {where} was used up" if "Disk quota exceeded" in said else full
    if full:
        drop(staging)
        return DoctorError(
            f"{full} before everything had arrived. The partial copy was deleted, and nothing was changed. "
            "Free disk space there, then run this again."
        )
    lines = [line for line in said.strip().splitlines() if line and not line.startswith("rsync error:")]
    why = "it took too long" if done.timed_out else (lines or said.strip().splitlines() or ["no reason given"])[-1]
    if "is your shell clean" in said:
        why = "the login shell there prints something (in its .bashrc, say), which rsync takes for an answer"
    with contextlib.suppress(OSError):
        os.rmdir(staging)  # nothing has arrived
    kept = ""
    if inspect_path(staging).kind == "directory":
        kept = f" What has arrived is kept in {shell_quote(staging)}; the next attempt goes on from there."
    return DoctorError(
        f"{transfer.source.shown} could not be copied: {printable(why, limit=300)}. Nothing was changed.{kept}"
    )


def _verify(transfer: Transfer, arrived: Mapping[str, str], on_progress: OnProgress, check: Callable[[], None]) -> None:
    """Flush the new files and compare each with its hash. Raises `DoctorError`; files that differ are deleted.

    `arrived` are hashes that were computed on arrival; one that is as expected is not computed again.
    """
    paths = {name: transfer.staging / name for name in transfer.hashes}
    for name in transfer.to_send:
        check()
        node = inspect_path(paths[name])
        if node.kind != "file" or os.path.realpath(paths[name]) != os.path.join(
            os.path.realpath(transfer.staging), os.path.normpath(name)
        ):
            raise DoctorError(f"{transfer.source.shown}/{printable(name)} did not arrive as a file.")
        os.chmod(paths[name], 0o644)
        handle = os.open(paths[name], os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    left = {n: p for n, p in paths.items() if arrived.get(n) != transfer.hashes[n]}
    meter = Meter(on_progress, "comparing hashes", sum(transfer.source.sizes[n] for n in left))
    found = hash_files([(p, "sha256") for p in left.values()], cache=transfer.cache, progress=meter)
    wrong = [n for n, p in left.items() if found[p, "sha256"] != transfer.hashes[n]]
    for name in wrong:
        paths[name].unlink(missing_ok=True)
    if wrong:
        raise DoctorError(
            f"{join_limited([printable(n) for n in wrong], most=5)} from {transfer.source.shown} "
            f"{'does' if len(wrong) == 1 else 'do'} not have the expected sha256: changed there, or cut on the way. "
            "Nothing was put in place. Check the model on that machine, then run this again."
        )
