"""Reads requirements, and compares versions with them.

pip counts `2.5.0a0+872d972e41.nv24.08`, a vendor's build of 2.5, as older than 2.5, and would replace it. Here a
version also counts as the release that it is a build of.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from sage_doctor.system.frozen import frozen

_CLAUSE = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\d{1,18}(?:\.\d{1,18})*)\s*")
_RELEASE = re.compile(r"v?(\d{1,18}(?:\.\d{1,18})*)(.*)", re.DOTALL)
_REQUIREMENT = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;()@]*)\)?\s*(?:@[^;]*)?(?:;(.*))?\s*"
)
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip


@frozen
class Needed:
    """One requirement: a package's plain name, the versions it asks for, and the condition under which it counts."""

    name: str
    versions: str
    marker: str


def plain_name(name: str) -> str:
    """Return a package's name as indexes compare names: `huggingface_hub` is `huggingface-hub`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirement(text: str) -> Needed | None:
    """Return the parts of a requirement as pip takes them, None for what is none."""
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        return None
    return Needed(name=plain_name(match[1]), versions=match[2].strip(), marker=(match[3] or "").strip())


def satisfies(version: str, versions: str) -> bool | None:
    """Return whether a version satisfies `>=4.45,<6`; None where one of them cannot be understood.

    Pre-releases count, and so does the release that a pre-release or a vendor's build is of.
    """
    release = _RELEASE.fullmatch(version.strip())
    if release is None:
        return None
    if not versions.strip():
        return True
    clauses = [_CLAUSE.fullmatch(c) for c in versions.split(",") if c.strip()]
    if all(clauses):
        here = _numbers(release[1])
        if all(_COMPARE[c[1]](*_padded(here, _numbers(c[2]))) for c in clauses if c is not None):
            return True
        if not release[2] or release[2].startswith("+"):
            return False
    return _judged_by_packaging(version, release[1], versions)


def _judged_by_packaging(version: str, release: str, versions: str) -> bool | None:
    # Its import takes as long as many checks: nearly all requirements are answered without.
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415
    from packaging.version import Version  # noqa: PLC0415

    try:
        wanted = SpecifierSet(versions)
        return wanted.contains(Version(version), prereleases=True) or wanted.contains(Version(release))
    except ValueError:  # an invalid one, or a number longer than Python reads
        return None


def applies(marker: str, python: str | None) -> bool:
    """Return whether a requirement counts for the interpreter of that version. What cannot be told does not."""
    if not marker:
        return True
    if "extra" in marker:
        return False
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName  # noqa: PLC0415

    own = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])} if python else {}
    try:
        return Marker(marker).evaluate(own)
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return False


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(p) for p in text.split(".")[:8])


def _padded(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    length = max(len(one), len(other))
    return one + (0,) * (length - len(one)), other + (0,) * (length - len(other))
