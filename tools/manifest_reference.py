"""The tables of keys in `docs/manifest.md`, made from the table of keys.

To write them anew: `python -m tools.manifest_reference docs/manifest.md`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.manifest import keys
from sage_doctor.manifest.key_table import Key, KeyTable, Type
from sage_doctor.manifest.model_keys import BUDGET
from sage_doctor.manifest.quoting import value

BEGIN: Final = "<!-- The tables from here are made from sage_doctor/manifest/keys.py: change them there. -->\n"
END: Final = "<!-- The tables end here. -->\n"
_WORDS: Final[Mapping[Type, str]] = {
    "version": "number",
    "text": "string",
    "remark": "string",
    "number": "number",
    "count": "whole number",
    "duration": "[duration](#durations)",
    "texts": "list of strings",
    "text or texts": "string or list of strings",
    "requires": "list of [requirements](#requirements)",
    "place": "string ᵛ",
    "places": "list of strings ᵛ",
    "place or places": "string or list of strings ᵛ",
    "name": "string",
    "name or names": "string or list of strings",
    "vars": "table of strings ᵛ",
    "tables": "tables by name",
}


def reference() -> str:
    """Return the tables as Markdown."""
    parts = []
    for table in (keys.TOP, *(key.table for key in keys.TOP.keys if key.type == "tables"), BUDGET):
        assert table is not None  # a key of type `tables` has one
        per_machine = any(key.per_machine for key in table.keys)
        head = ("key", "value", "default", *(("per machine",) if per_machine else ()), "meaning")
        rows = [head, ("---",) * len(head)]
        rows += [_row(name, key, per_machine=per_machine) for name, key in _flat(table)]
        parts.append(f"**{_title(table)}**\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows))
    return "\n".join(parts)


def _title(table: KeyTable) -> str:
    return "Top level" if table is keys.TOP else f"`{table.header}`"


def _flat(table: KeyTable, prefix: str = "") -> Iterator[tuple[str, Key]]:
    """Give the keys, those of small tables inside by their dotted names."""
    for key in table.keys:
        if key.type == "table" and key.table is not None and key.table is not BUDGET:
            yield from _flat(key.table, f"{prefix}{key.name}.")
        else:
            yield prefix + key.name, key


def _row(name: str, key: Key, *, per_machine: bool) -> tuple[str, ...]:
    inside = f" in `{name.rpartition('.')[0]}`" if "." in name else ""
    default = f"required{inside}" if key.required else f"`{value(key.default)}`" if key.default is not None else ""
    machine = ("yes" if key.per_machine else "",) if per_machine else ()
    whose = {"directory": " Not for services.", "service": " Only for services.", None: ""}[key.only]
    former = f" (Formerly `{key.old}`, which still works in this release.)" if key.old else ""
    return f"`{name}`", _value(key), default, *machine, f"{key.about}{whose}{former}"


def _value(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{value(choice)}`" for choice in key.choices)
    if key.type == "table":
        return "see [budgets](#budgets)"
    example = f", e.g. `{value(key.example)}`" if key.example is not None and key.type != "version" else ""
    return f"`{key.example}`" if key.type == "version" else _WORDS[key.type] + example


def with_tables(page: str) -> str:
    """Return the page with the tables between its two marks written anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{reference()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(with_tables(target.read_text("utf-8")), "utf-8")
