"""Names that models, roles, machines and variables may have, and the nearest known name to an unknown one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from sage_doctor.text import join_limited, printable

# Comparing texts is quadratic in their length and done for every candidate: a hostile manifest must not make a
# suggestion expensive.
_LONGEST = 80
MOST_CANDIDATES = 400
# The subject of findings about the host: `report.MACHINE`, not imported because finding a model must stay cheap.
_HOST = "machine"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
BUILT_IN: Final = ("home", "machine", "manifest_dir")  # variables that every manifest has
_PLACE_STARTS = (".", "~", "{", "hf:")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `word`, or None if there is none."""
    if not 0 < len(word) <= _LONGEST:
        return None
    import difflib  # noqa: PLC0415 - only a manifest with a mistake pays for it

    names = {name.lower(): name for name in islice(known, MOST_CANDIDATES) if len(name) <= _LONGEST}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return names[close[0]] if close else None


def not_a_machine(name: str, machines: Iterable[str]) -> str:
    """Return that no machine of the manifest has this name, with the nearest that there is."""
    known = list(machines)
    near = nearest(name, known)
    hint = f"did you mean {printable(near)}? " if near else ""
    return f"not a machine of the manifest ({hint}machines: {join_limited(known, most=12) or 'none'})"


def is_path_or_hub_ref(text: str) -> bool:
    """Return whether a base is a path or an `hf:` reference rather than the name of a manifest model."""
    return "/" in text or text.startswith(_PLACE_STARTS)


def name_fault(name: str, *, reserved: bool) -> str | None:
    """Return why `name` cannot be a name, or None if it can.

    `reserved` is for models and roles: they are given on the command line next to directories, and a model named
    `machine` could not be told from the host in a report.
    """
    if not name or name != name.strip():
        return "is empty" if not name.strip() else "starts or ends with a space"
    if printable(name, limit=len(name)) != name:
        return "contains a control or invisible character"
    if len(name) > 200:
        return "is longer than 200 characters"
    if not reserved:
        return None
    if name == _HOST:
        return "is the word reports use for the host itself"
    if is_path_or_hub_ref(name) or name.startswith("-"):
        return "would be read as a path or an option: it may not contain '/' or start with '.', '~', '{', '-' or 'hf:'"
    return None


def is_variable(name: str) -> bool:
    """Return whether `{name}` can be written: letters, digits, `_` and `-`, not starting with a digit."""
    return _VARIABLE.match(name) is not None
