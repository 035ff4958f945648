"""Why a path cannot be read: a refusal, with the command that grants it to this user, or a file system that fails."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_doctor.findings.making import finding
from sage_doctor.findings.repairability import why_not_modes
from sage_doctor.findings.restore import with_repair
from sage_doctor.findings.volumes import failed
from sage_doctor.report import Finding, Fix
from sage_doctor.system.access import Obstacle, find_obstacle
from sage_doctor.system.mounts import is_below
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host
    from sage_doctor.subjects.model import Model


def unreadable(host: Host, path: Path, *, tree: Path | None = None) -> Finding | None:
    """Return what keeps this user from reading `path`, or None where it can be read or is not there.

    `tree` is the directory that has to be readable as a whole, such as the model's or its folder in the cache.
    """
    obstacle = find_obstacle(path)
    if obstacle is None:
        return None
    if not obstacle.is_refusal:
        return failed(host, path, obstacle)
    return refused(host, path, obstacle, tree=tree or path)


# What a load opens besides the weights.
_SMALL = re.compile(
    r"config\.json|generation_config\.json|adapter_config\.json|(?:preprocessor|processor)_config\.json"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt"
    r"|vocab\.txt|chat_template\.(?:jinja|json)|tekken\.json|tiktoken\.model|[\w.-]+\.model"
    r"|[\w.-]+\.(?:safetensors|bin)\.index\.json"
)


def unreadable_file(model: Model) -> Finding | None:
    """Return the finding for the small files of a model that a loader opens and this user cannot read, or None."""
    closed: list[tuple[str, Finding]] = []
    for name in model.tree.matching(_SMALL.pattern):
        path = model.path / name
        node = model.tree.info(name)
        if node.kind not in ("file", "unreadable"):
            continue
        found = unreadable(model.host, path, tree=_whole(model))
        if found is None and os.geteuid() == 0 and node.kind == "file" and not node.mode & 0o444:
            found = _nobody(path, node.mode, node.uid)
        if found is not None:
            closed.append((name, found))
    if not closed:
        return None
    first = closed[0][1]
    names = [name for name, _ in closed]
    more = f", and {len(closed) - 1} more of its files" if len(closed) > 1 else ""
    told = dataclasses.replace(first, message=first.message + more, evidence={**first.evidence, "files": names})
    return with_modes(told, model, names) if first.code == "path-unreadable" else told


def _whole(model: Model) -> Path:
    return model.hub.folder if model.hub is not None else model.path


def _nobody(path: Path, mode: int, uid: int) -> Finding:
    return finding(
        "path-unreadable",
        f"{printable(str(path))} has mode {mode:04o}: the user that runs sessions cannot read it",
        evidence={"path": str(path), "at": str(path), "mode": f"{mode:04o}", "owner": uid, "user": uid},
        fix=Fix(summary="Allow reading.", commands=(f"chmod u+r {shell_quote(path)}",)),
    )


def with_modes(found: Finding, model: Model, names: list[str]) -> Finding:
    """Return a finding of these files with the repair of modes, where that is all it takes."""
    ours = found.evidence.get("owner") is not None and found.evidence.get("owner") == found.evidence.get("user")
    inside = is_below(str(found.evidence.get("at", "")), os.path.realpath(model.path))
    if found.code != "path-unreadable" or not ours or not inside or why_not_modes(model, names):
        return found
    return dataclasses.replace(found, fix=with_repair(found.fix, model, "fix-modes"))


def refused(host: Host, path: Path, obstacle: Obstacle, *, tree: Path) -> Finding:
    """Return the finding for a path that the system refuses to this user."""
    uid, at = os.geteuid(), str(obstacle.path)
    me = f"{user_name(uid)} (user {uid})"
    evidence: dict[str, Any] = {"path": str(path), "at": at, "user": uid, "wanted": obstacle.wanted}
    what = {"read": "it", "search": "what is below it", "list": "it"}[obstacle.wanted]
    said = f"{printable(str(path))} cannot be read by {printable(me)}"
    if obstacle.mode is None or obstacle.uid is None:
        summary = "Look at the owners and modes of every directory on the way."
        return finding(
            "path-unreadable",
            f"{said}: {obstacle.says} at {printable(at)}",
            evidence=evidence,
            fix=Fix(summary=summary, commands=(f"namei -l {shell_quote(path)}",)),
        )
    evidence |= {"mode": f"{obstacle.mode:04o}", "owner": obstacle.uid, "group": obstacle.gid}
    owner = printable(f"{user_name(obstacle.uid)} (user {obstacle.uid})")
    place = "it " if at == str(path) else f"{printable(at)} "
    listed = " and an access list, as `getfacl` shows" if obstacle.has_list else ""
    gives = f"{place}belongs to {owner}, with mode {obstacle.mode:04o}{listed}"
    return finding("path-unreadable", f"{said}: {gives}", evidence=evidence, fix=_grant(host, obstacle, tree, what))


def _grant(host: Host, obstacle: Obstacle, tree: Path, what: str) -> Fix:
    uid, gids = os.geteuid(), frozenset({os.getegid(), *os.getgroups()})
    at, below = obstacle.path, Path(os.path.realpath(tree))
    by_list = obstacle.has_list and uid not in {obstacle.uid, 0}
    if (obstacle.bits_allow(uid, gids) and not by_list) or uid == 0:
        return _other_guard(host, at)
    whole = is_below(str(at), str(below))  # the obstacle is the tree's own, not a directory on the way to it
    deep, place = ("-R ", below) if whole and below.is_dir() else ("", at)
    if obstacle.uid == uid:
        mode = "u+rX" if whole else "u+rx"
        return Fix(
            summary=f"You own it: give yourself the right to read {what}.",
            commands=(f"chmod {deep}{mode} {shell_quote(place)}",),
        )
    own = _top_of_ours(host, at, below)
    if own is not None:
        return Fix(
            summary="It is among your own files, but belongs to somebody else (a run with sudo does that): make it "
            "yours.",
            commands=(f"sudo chown -R {shell_quote(user_name(uid))}: {shell_quote(own)}",),
        )
    on_the_way = [p for p in (*reversed(below.parents), below) if is_below(str(p), str(at))] if not whole else []
    group = _group_of_next_login(obstacle, uid, gids)
    if group:
        return Fix(
            summary=f"Its group {group} may read it, and you are a member of that since you logged in last: log in "
            "again, and start again what was running before (tmux, a user's services).",
            commands=("id", f"newgrp {shell_quote(group)}"),
        )
    if whole and obstacle.gid in gids and not by_list:
        return Fix(
            summary="You are in its group: let the group read it.",
            commands=(f"sudo chmod {deep}g+rX {shell_quote(place)}",),
        )
    if by_list or shutil.which("setfacl"):
        user = shell_quote(f"u:{user_name(uid)}:rX")
        enter = shell_quote(f"u:{user_name(uid)}:x")
        ways = tuple(f"sudo setfacl -m {enter} {shell_quote(p)}" for p in on_the_way[:-1])
        last = f"sudo setfacl -R -m {user} {shell_quote(below)}"
        why = "The access list keeps this user out: give it an entry that lets it read." if by_list else ""
        return Fix(summary=why or "Let this user, and no other one, read it.", commands=(*ways, last))
    ways = tuple(f"sudo chmod o+x {shell_quote(p)}" for p in on_the_way[:-1])
    last = f"sudo chmod -R o+rX {shell_quote(below)}"
    return Fix(
        summary="Ask its owner, or let every user of this machine read it (setfacl, of the package acl, could let in "
        "this user alone).",
        commands=(*ways, last),
    )


def _group_of_next_login(obstacle: Obstacle, uid: int, gids: frozenset[int]) -> str:
    """Return the name of the group that lets this user in once a session begins anew, empty where none does."""
    if obstacle.gid is None or obstacle.gid in gids or not obstacle.bits_allow(-1, frozenset({obstacle.gid})):
        return ""
    try:
        user = pwd.getpwuid(uid)
        members = os.getgrouplist(user.pw_name, user.pw_gid)
        return grp.getgrgid(obstacle.gid).gr_name if obstacle.gid in members else ""
    except (KeyError, OSError):
        return ""


def _other_guard(host: Host, at: Path) -> Fix:
    over = host.mounts.over(at)
    kind = over.kind if over is not None else ""
    if kind.startswith("fuse"):
        return Fix(
            summary="A mount of this kind shows its files only to the user who made it: check as that user, or mount "
            "it with allow_other (or allow_root).",
            commands=(f"findmnt {shell_quote(over.point if over is not None else at)}",),
        )
    server = "the file server maps root to nobody (root_squash), or " if kind.startswith("nfs") else ""
    return Fix(
        summary=f"Owner and mode would allow it, so something else refuses: {server}an access list, SELinux or "
        "AppArmor, or the sandbox of this service (ProtectHome=, InaccessiblePaths=).",
        commands=(f"namei -l {shell_quote(at)}", f"getfacl -p {shell_quote(at)}", f"ls -dZ {shell_quote(at)}"),
    )


def make_ours(host: Host, folder: Path) -> str:
    """Return the command that lets this user write at `folder`, where somebody else's directory in our home bars it."""
    there = folder
    while not there.is_dir() and there != there.parent:
        there = there.parent
    if os.access(there, os.W_OK | os.X_OK):
        return ""
    top = _top_of_ours(host, Path(os.path.realpath(there)), host.home)
    return f"sudo chown -R {shell_quote(user_name(os.geteuid()))}: {shell_quote(top)}" if top is not None else ""


def _top_of_ours(host: Host, at: Path, tree: Path) -> Path | None:
    """Return the topmost thing on the way to `at` that is in a directory of ours and belongs to somebody else.

    Our directories are the home, the cache and the model's own; they count only if they do belong to us.
    """
    uid = os.geteuid()
    for root in (host.home, host.hub_cache_dir, tree):
        real = Path(os.path.realpath(root))
        if not is_below(str(at), str(real)) or not _owned(real, uid):
            continue
        for part in (*reversed(at.parents), at):
            if is_below(str(part), str(real)) and not _owned(part, uid):
                return part
    return None


def _owned(path: Path, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return True


def user_name(uid: int) -> str:
    """Return a user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
