"""Whose a script or unit is: some are made for one machine of the manifest, and say so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from sage_doctor.paths.find.path_map import ClassifiedPath
from sage_doctor.paths.find.reference import PathReference, Script

_UNITS = frozenset({"unit", "crontab", "plist"})
_USER = re.compile(r"^User=(\S+)\s*$", re.MULTILINE)
_CONDITION = re.compile(r"^ConditionHost=(!?)(\S+)\s*$", re.MULTILINE)
# A script that ends at once on every machine but one.
_ONLY_ON = re.compile(
    r"""(?:hostname|HOSTNAME|uname\s+-n|gethostname\(\)|node\(\)|SAGE_MACHINE)[^\n]{0,60}?
        (?:!=|-ne|\bnot\s+in\b)\s*[\["'({]*\s*(?P<name>[\w.-]+)[^\n]{0,60}?
        (?:then|:|&&|\]\])?[^\n]{0,40}\n?(?:[^\n]*(?:print|echo|log)[^\n]*\n){0,2}[^\n]{0,40}\b(?:exit|return|raise)\b""",
    re.VERBOSE,
)


def stated_machine(text: str, *, unit: bool) -> tuple[str, str]:
    """Return the hostname that a file is for, and the user that a unit runs as; empty texts if it does not say."""
    if unit:
        condition, user = _CONDITION.search(text), _USER.search(text)
        wanted = condition[2] if condition is not None and not condition[1] else ""
        return wanted, user[1] if user is not None else ""
    stated = _ONLY_ON.search(text)
    return (stated["name"] if stated is not None else "", "")


def owner_of(
    script: Script,
    subject: str,
    classified: Collection[tuple[PathReference, ClassifiedPath]],
    *,
    own: str,
    homes: Mapping[str, str | None],
    roots_of: Mapping[str, Collection[str]],
) -> str:
    """Return the other machine that a file is for, by its name or what it says; an empty text if it is for this one.

    `homes` and `roots_of` are those of all machines of the manifest, and `own` is this one's name. A unit is for the
    machine that its name names, a script too if all paths in it are below that machine's roots. Otherwise what names a
    path of this machine is for this one.
    """
    others = {name: home for name, home in homes.items() if name != own}
    roots = [c.root for r, c in classified if r.used and c.origin in ("mappable", "foreign")]
    named = _named(subject, homes)
    unit = script.language in _UNITS
    if own in named:
        return ""
    if unit and named:
        return min(named)
    rooted = [(r, c) for r, c in classified if r.used and r.form != "computed" and c.local_root is not None]
    written = [r.text for r, c in rooted] + [r.text for r, c in classified if r.used and c.origin == "foreign"]
    for name in sorted(named):
        if all(any(text == root or text.startswith(f"{root}/") for root in roots_of[name]) for text in written):
            return name
    if any(c.origin in ("here", "gone") for _, c in rooted):
        return ""
    if unit:
        return _of_unit(script, roots, homes.get(own), others)
    return _machine(script.hostname, others)


def _named(subject: str, homes: Iterable[str]) -> set[str]:
    """Return the machines whose names are words of a path."""
    words = set(re.split(r"[^a-z0-9]+", subject.lower()))
    return {name for name in homes if set(re.split(r"[^a-z0-9]+", name.lower())) <= words}


def _of_unit(script: Script, roots: list[str], own_home: str | None, others: Mapping[str, str | None]) -> str:
    stated = _machine(script.hostname, others)
    if stated:
        return stated
    users = {Path(str(home)).name: name for name, home in others.items() if home not in (None, own_home)}
    if script.user in users:
        return users[script.user]
    for name, home in others.items():
        if home is not None and any(root == home or root.startswith(home + "/") for root in roots):
            return name
    return ""


def _machine(hostname: str, others: Iterable[str]) -> str:
    return next((name for name in others if hostname.lower().partition(".")[0] == name.lower()), "")
