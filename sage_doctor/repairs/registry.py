"""The repairs: one file each, found by their decorator. Dropping a file in adds one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from sage_doctor.repairs import actions
from sage_doctor.repairs.repair import Repair, repair_of

__all__ = ["all_repairs"]


def all_repairs() -> Mapping[str, Repair]:
    """Return every repair by name, each behind those it comes after.

    Raises `ValueError` where two have one name, where one comes after a repair that is not there, or where they come
    after each other.
    """
    found: dict[str, Repair] = {}
    for info in sorted(pkgutil.iter_modules(actions.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{actions.__name__}.{info.name}")
        for value in vars(module).values():
            made = repair_of(value)
            if made is None:
                continue
            if found.setdefault(made.name, made) is not made:
                raise ValueError(f"two repairs are called {made.name}")
    return in_order(found)


def in_order(found: Mapping[str, Repair]) -> Mapping[str, Repair]:
    """Return the repairs, each behind those it comes after, else by name. Raises `ValueError`."""
    ordered: dict[str, Repair] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"repairs that come after each other: {' -> '.join((*above, name))}")
        if name not in found:
            raise ValueError(f"{above[-1]} comes after a repair {name}, which is not there")
        for before in found[name].after:
            visit(before, (*above, name))
        ordered[name] = found[name]

    for name in sorted(found):
        if name not in ordered:
            visit(name, ())
    return ordered
