"""The Python modules that an `auto_map` names, and those that they import from beside them. None is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sage_doctor.readers.tree import Tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.small_text import read_text

_MODULE = re.compile(r"[A-Za-z_]\w{0,120}(?:\.[A-Za-z_]\w{0,120})*", re.ASCII)
# As transformers finds what else it has to copy (`dynamic_module_utils.get_relative_imports`).
_RELATIVE = re.compile(r"^\s*(?:from\s+\.(\w+)\s+import|import\s+\.(\w+)\s*$)", re.MULTILINE)
_MOST_BYTES = 2 << 20
_MOST_MODULES = 100


@frozen
class CodeReference:
    """A class that a configuration wants from a file: `repository` is set where that is another one on the hub."""

    auto: str
    file: str
    repository: str | None = None


def code_references(auto_map: Any) -> Iterator[CodeReference]:
    """Yield what an `auto_map` names; what is no reference is left to the loader."""
    for auto, value in auto_map.items() if isinstance(auto_map, Mapping) else ():
        for text in value if isinstance(value, list) else (value,):
            if not isinstance(text, str):
                continue
            repository, mark, rest = text.rpartition("--")
            module = rest.rpartition(".")[0]
            if _MODULE.fullmatch(module):
                file = module.replace(".", "/") + ".py"
                yield CodeReference(auto=str(auto), file=file, repository=repository if mark else None)


def missing_modules(tree: Tree, references: list[CodeReference]) -> list[str]:
    """Return the files that these references need from their own directory and that are not there."""
    wanted = [r.file for r in references if r.repository is None]
    seen: set[str] = set()
    missing = []
    while wanted and len(seen) < _MOST_MODULES:
        name = wanted.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if "/" in name:  # a module in a folder: seldom, and left to the loader
            continue
        if not tree.is_file(name):
            missing.append(name)
            continue
        found = _RELATIVE.findall(read_text(tree.path / name, most=_MOST_BYTES) or "")
        wanted += [f"{a or b}.py" for a, b in found]
    return missing
