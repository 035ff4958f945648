"""The repairs: one file each in `actions/`, found by their decorator. Adding a file adds a repair."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from sage_doctor.repairs import actions
from sage_doctor.repairs.repair import Repair

# Old name → new name. A check outside this repository may still name the old one; removed after 0.2.
RENAMED: Mapping[str, str] = {
    "name-base": "set-base",
    "put-aside": "quarantine-weights",
    "copy-companions": "copy-tokenizer",
}


def all_repairs() -> Mapping[str, Repair]:
    """Return every repair by name, each after those it depends on.

    Raises `ValueError` if two share a name, or if `after` names an unknown repair or makes a cycle.
    """
    found: dict[str, Repair] = {}
    for info in sorted(pkgutil.iter_modules(actions.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{actions.__name__}.{info.name}")
        for made in vars(module).values():
            if isinstance(made, Repair) and found.setdefault(made.name, made) is not made:
                raise ValueError(f"two repairs are named {made.name}")
    return in_order(found)


def in_order(found: Mapping[str, Repair]) -> Mapping[str, Repair]:
    """Return the repairs, each after those it depends on, else by name. Raises `ValueError`."""
    ordered: dict[str, Repair] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"repairs depend on each other: {' -> '.join((*above, name))}")
        if name not in found:
            raise ValueError(f"{above[-1]} comes after {name}, which does not exist")
        for before in found[name].after:
            visit(before, (*above, name))
        ordered[name] = found[name]

    for name in sorted(found):
        if name not in ordered:
            visit(name, ())
    return ordered
