"""Disks and file servers: not mounted, or mounted and failing. Then nothing else that is found below is true."""

from __future__ import annotations

import errno
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.findings.system_texts import refused
from sage_doctor.report import Finding, Fix
from sage_doctor.system.access import REFUSED, Obstacle
from sage_doctor.system.mounts import FSTAB, DeclaredMount, Mount, is_below
from sage_doctor.system.path_info import inspect_path, real_path
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host

TITLE = "Disks and mounts"
DECLARATIONS = declare(
    Declaration(
        code="volume-not-mounted",
        severity="error",
        title="The disk or file system under the path is not mounted",
        cause="What was on it is not gone: its mount point is empty until it is mounted. Whatever is written there "
        "now goes to the disk below, and is hidden once the right one is mounted.",
        remediation="Mount it, then check again. Download, copy and merge nothing into the empty mount point.",
        shows=(
            *(r"mount: /\S{1,200}: can't find \w{2,9}=", r"Dependency failed for /\S"),
            r"\.mount: Mount process exited, code=exited, status=32",
        ),
        may_show=(r"mount: .{1,200}?: (special device .{1,200}? does not exist|can't find in /etc/fstab)",),
    ),
    Declaration(
        code="filesystem-failed",
        severity="error",
        title="The file system fails",
        cause="This is no matter of permissions or of a wrong path: the file server is gone, the program behind the "
        "mount ended, the disk has errors, or the kernel made it read-only after one.",
        remediation="Look at `dmesg` and `findmnt`, then mount it again. After errors of the disk itself, back up "
        "first.",
        shows=(
            *refused("Input/output error", "Read-only file system", "Structure needs cleaning", "Remote I/O error"),
            *refused("Host is down", "No such device"),
            *(r"Stale (NFS )?file handle", r"Transport endpoint is not connected", r"Remounting filesystem read-only"),
            *(r"I/O error, dev \w{1,40}, sector \d{1,20}", r"EXT4-fs error \(device \S{1,60}\)"),
            *(r"nfs: server \S{1,200} not responding", r"nvme nvme\d{1,3}: I/O .{0,60}? timeout, (aborting|reset)"),
        ),
    ),
)

# Where desktops and people mount disks that no table names: at most one or two directories below these.
_EXTERNAL = ("/run/media", "/media", "/mnt", "/Volumes")
_DRIVE = re.compile(r"/mnt/(?P<letter>[a-z])(?=/|$)")
# The server, or the way to it; the rest is the disk's own.
_UNREACHABLE = frozenset(
    {
        *(errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOLINK, errno.EREMOTEIO),
    }
)
_DAMAGED = frozenset({errno.EUCLEAN, errno.EBADMSG})


def sudo() -> str:
    """Return what stands in front of a command that only root may run."""
    return "" if os.geteuid() == 0 else "sudo "


def not_mounted(host: Host, path: Path) -> Finding | None:
    """Return the finding for a path on a volume that is not mounted, or None where all that is known is mounted.

    Ask it only where nothing is at the path, or an empty directory: what is there needs no volume.
    """
    plain = os.path.abspath(path)
    for place in dict.fromkeys((plain, real_path(path))):
        found = lacking_volume(host, place) or _drive(host, place) or _hidden(host, place)
        if found is not None:
            return found
    # Of a link to such a place the link itself is told, with where it leads.
    return _external(host, plain)


def lacking_volume(host: Host, path: str) -> Finding | None:
    """Return the finding for a path on a volume that a table or unit names and that is not mounted, or None."""
    table = host.mounts
    lacking = table.lacking(path)
    if not lacking:
        over = table.over(path)
        if over is not None and over.kind == "autofs" and over.point != path:
            fix = Fix(
                summary="Ask the automounter why: the server may be down, or its map does not name this directory.",
                commands=(f"ls {shell_quote(path)}", f"{sudo()}journalctl -b -u autofs -n 20"),
            )
            why = f"the automounter of {printable(over.point)} did not mount it"
            return _not_mounted(path, over.point, why, fix)
        return None
    inner = lacking[-1]
    told = FSTAB if inner.told_by == FSTAB else inner.unit or inner.told_by
    why = f"{printable(told)} names it ({printable(inner.source, limit=120)}), and nothing is mounted there"
    commands: list[str] = []
    for one in lacking:
        if inspect_path(one.point).kind == "missing" and not one.unit:
            commands.append(f"{sudo()}mkdir -p {shell_quote(one.point)}")
        commands.append(_command(one))
    gone = [one for one in lacking if table.device_missing(one)]
    summary = "Mount it, then check again."
    if gone:
        why += f"; its device is not connected ({printable(gone[0].source, limit=120)})"
        summary = "Connect the disk (an encrypted one has to be unlocked as well), then mount it and check again."
    return _not_mounted(path, inner.point, why, Fix(summary=summary, commands=tuple(commands)))


def _drive(host: Host, path: str) -> Finding | None:
    match = _DRIVE.match(path)
    over = host.mounts.over(path)
    if match is None or not host.machine.is_wsl or over is None or is_below(over.point, match[0]):
        return None
    drive = match["letter"].upper()
    return _not_mounted(
        path,
        match[0],
        f"drive {drive}: of Windows is not mounted in WSL",
        Fix(
            summary="Mount the drive. WSL mounts only drives that were there when it started, and none where "
            "/etc/wsl.conf says automount enabled=false.",
            commands=(f"{sudo()}mkdir -p {match[0]}", f"{sudo()}mount -t drvfs {drive}: {match[0]}"),
        ),
    )


def _external(host: Host, path: str) -> Finding | None:
    """Return the finding for a place that only removable disks have; nothing is known of which disk it was."""
    base = next((b for b in _EXTERNAL if is_below(path, b) and path != b), None)
    over = host.mounts.over(path)
    if base is None or over is None or len(over.point) >= len(base):
        return None
    parts = path[len(base) + 1 :].split("/")
    of_user = base == "/run/media" or (base == "/media" and _is_user(host, parts[0]))
    parts = parts[: 2 if of_user else 1]
    if (of_user and len(parts) < 2) or (base == "/mnt" and len(parts[0]) == 1):  # /mnt/c: a drive, of another machine
        return None
    point = "/".join((base, *parts))
    if inspect_path(point).kind != "missing" and not is_empty(point):
        return None
    return _not_mounted(
        path,
        point,
        f"nothing is mounted there, and {FSTAB} does not name it",
        Fix(
            summary="If it is on a removable or network disk, connect that and mount it there, then check again; "
            "otherwise correct the path.",
            commands=("lsblk -o NAME,LABEL,UUID,FSTYPE,SIZE,MOUNTPOINTS",),
        ),
    )


def _is_user(host: Host, name: str) -> bool:
    try:
        return name == host.home.name or bool(pwd.getpwnam(name))
    except KeyError:
        return False


def is_empty(path: str | os.PathLike[str]) -> bool:
    """Return whether a directory holds nothing; `lost+found` belongs to a file system, so that is something."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _hidden(host: Host, path: str) -> Finding | None:
    """Return the finding for a path below an empty tmpfs: a sandbox hides the disk with one, a restart empties it."""
    over = host.mounts.over(path)
    if over is None or over.kind != "tmpfs" or over.point == "/" or not is_empty(Path(over.point)):
        return None
    return finding(
        "volume-not-mounted",
        f"{printable(path)} is not there: an empty tmpfs is mounted at {printable(over.point)}, which hides what the "
        "disk has there",
        evidence={"path": path, "mount_point": over.point},
        fix=Fix(
            summary="Take that mount away where sessions start: ProtectHome=tmpfs, PrivateTmp= or TemporaryFileSystem= "
            "of their unit, --tmpfs of a container. What was in a tmpfs is gone with a restart: keep models on a disk.",
            commands=(f"findmnt {shell_quote(over.point)}",),
        ),
    )


def _not_mounted(path: str, point: str, why: str, fix: Fix) -> Finding:
    return finding(
        "volume-not-mounted",
        f"{printable(point)} is not mounted: {why}"
        if path == point
        else f"{printable(path)} is on {printable(point)}, which is not mounted: {why}",
        evidence={"path": path, "mount_point": point},
        fix=fix,
    )


def failed(host: Host, path: Path, obstacle: Obstacle) -> Finding:
    """Return the finding for a file system that answers with an error which is no refusal."""
    over = host.mounts.over(real_path(path))
    evidence: dict[str, Any] = {"path": str(path), "at": str(obstacle.path), "errno": obstacle.number}
    on = ""
    if over is not None:
        evidence |= {"mount_point": over.point, "file_system": over.kind, "source": over.source}
        on = f" ({over.kind}, {printable(over.source, limit=120)}, mounted at {printable(over.point)})"
    at = "" if obstacle.path == path else f" at {printable(str(obstacle.path))}"
    return finding(
        "filesystem-failed",
        f"{printable(str(path))} cannot be read: {obstacle.says}{at}{on}",
        evidence=evidence,
        fix=_failed_fix(host, obstacle.number, over),
    )


def read_failed(host: Host, path: Path, error: OSError) -> Finding | None:
    """Return the finding for a file that opens and then cannot be read: the file system failed, not the file.

    None for an error that says nothing of the file system, such as a refusal.
    """
    number = error.errno or getattr(error.__cause__, "errno", None)
    if number is None or number in REFUSED or number in (errno.ENOENT, errno.ENOTDIR):
        return None
    return failed(host, path, Obstacle(path=path, number=number, wanted="read"))


def _failed_fix(host: Host, number: int, over: Mount | None) -> Fix:
    point = over.point if over is not None else None
    log = f"{sudo()}dmesg | tail -n 20"
    if number == getattr(errno, "ENOKEY", -1):
        return Fix(summary="The directory is encrypted and locked: log in as its owner, or unlock it (fscrypt unlock).")
    if over is None or point in (None, "/"):
        return Fix(summary="Look in the kernel's log for what failed, and check the disk.", commands=(log,))
    again = _again(host, over)
    apart = (f"{sudo()}umount -l {shell_quote(point)}", *again)
    by_hand = "" if again else f" Then mount {printable(over.source, limit=120)} there again, as it was."
    if over.kind.startswith("fuse") and over.kind != "fuseblk":
        return Fix(
            summary="The program behind this mount has ended or does not answer: take the mount away and start the "
            f"program again.{by_hand}",
            commands=apart,
        )
    if number == errno.ESTALE:
        return Fix(
            summary="The server has given up the directory that is mounted here: take the mount away and mount it "
            f"again.{by_hand}",
            commands=apart,
        )
    if number in _UNREACHABLE or not over.source.startswith("/dev/"):
        host_name = re.match(r"(?://|\\\\)?([^:/\\]+)", over.source)
        ping = (f"ping -c 1 {shell_quote(host_name[1])}",) if host_name and not over.source.startswith("/") else ()
        return Fix(
            summary="The server does not answer: see that it runs and can be reached; if that does not help, take the "
            f"mount away and mount it again.{by_hand}",
            commands=(*ping, *apart),
        )
    device = shell_quote(over.source)
    if number in _DAMAGED:
        return Fix(
            summary="The file system is damaged: unmount it, have it checked, and mount it again.",
            commands=(f"{sudo()}umount {shell_quote(point)}", f"{sudo()}fsck {device}", *again),
        )
    return Fix(
        summary="The disk fails, or is no longer connected. Look at the kernel's log and the disk's own, copy what can "
        "still be read, and replace it.",
        commands=(log, f"{sudo()}smartctl -a {device}"),
    )


def _again(host: Host, over: Mount) -> tuple[str, ...]:
    """Return the command that mounts it again, where a table or unit says how."""
    points = (over.point, real_path(over.point))
    return tuple(_command(one) for one in host.mounts.declared if one.point in points)[:1]


def _command(one: DeclaredMount) -> str:
    return f"{sudo()}systemctl start {shell_quote(one.unit)}" if one.unit else f"{sudo()}mount {shell_quote(one.point)}"
