"""What imports what: the units of the project, their layers, and the circles. `make measure` prints it.

A unit is a module at the top of `sage_doctor/`, a package in it, `checks/` or `fixtures/`. Every import counts, also
one inside a function or for types only.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_UNITS, MOST_ARROWS, MOST_LAYERS = 32, 170, 12
# From the ground up: a unit imports from the lines above its own and from nothing else.
LAYERS = (
    {"errors", "text"},
    {"report", "system"},
    {"manifest", "readers", "probe", "demo"},
    {"facts", "services", "install", "launchers"},
    {"subjects", "merge"},
    {"paths", "lock", "history", "api"},
    {"findings"},
    {"check", "init", "render"},
    {"suite"},
    {"checks", "fixtures", "repairs", "gate"},
    {"cli"},
    {"__main__"},
)


@dataclass(frozen=True)
class Module:
    """One source file. `name` is its path in the repository, `dotted` the name it is imported by."""

    path: Path
    dotted: str

    @property
    def name(self) -> str:
        """The path in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def unit(self) -> str:
        """The unit it belongs to; the package's own `__init__` is `sage_doctor`."""
        top, _, rest = self.dotted.partition(".")
        return rest.partition(".")[0] if top == "sage_doctor" and rest else top

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def imports(self) -> frozenset[str]:
        """The full names of what is imported anywhere in it."""
        return frozenset(imported(self.tree))

    @cached_property
    def lines(self) -> int:
        """The number of lines."""
        return len(self.path.read_text(encoding="utf-8").splitlines())


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of what is imported anywhere in a tree; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@dataclass(frozen=True)
class Architecture:
    """All modules, and what they import of each other."""

    modules: tuple[Module, ...]

    @cached_property
    def files(self) -> Mapping[str, set[str]]:
        """Module → the modules it imports, by dotted name."""
        known = {m.dotted for m in self.modules}
        arrows: dict[str, set[str]] = {}
        for module in self.modules:
            found = set()
            for name in module.imports:
                while name and name not in known:
                    name = name.rpartition(".")[0]  # noqa: PLW2901 - `a.b.function` is imported from `a.b`
                found.add(name)
            # Importing a module of the package runs its `__init__`, which imports nothing; naming that is no arrow.
            arrows[module.dotted] = found - {"", "sage_doctor", module.dotted}
        return arrows

    @cached_property
    def units(self) -> Mapping[str, set[str]]:
        """Unit → the units it imports. `sage_doctor/__init__.py` fetches the public names by name and is none."""
        unit_of = {m.dotted: m.unit for m in self.modules}
        arrows: dict[str, set[str]] = {unit: set() for unit in unit_of.values()}
        for name, targets in self.files.items():
            arrows[unit_of[name]] |= {unit_of[t] for t in targets} - {unit_of[name]}
        del arrows["sage_doctor"]
        return arrows

    @property
    def arrows(self) -> int:
        """The number of pairs of units of which one imports the other."""
        return sum(map(len, self.units.values()))

    @property
    def upwards(self) -> list[str]:
        """The imports that do not point to a lower layer, file by file."""
        layer_of = {unit: number for number, units in enumerate(LAYERS) for unit in units}
        unit_of = {m.dotted: m.unit for m in self.modules}
        return [
            f"{name} imports {target}"
            for name, targets in self.files.items()
            for target in sorted(targets)
            if unit_of[name] not in {unit_of[target], "sage_doctor"}
            and layer_of.get(unit_of[target], -1) >= layer_of.get(unit_of[name], len(LAYERS))
        ]

    @property
    def layers(self) -> int:
        """The number of units in the longest chain of imports; what is in a circle counts once."""
        depths: dict[str, int] = {}

        def depth(unit: str, above: frozenset[str]) -> int:
            if unit not in depths:
                below = self.units[unit] - above
                depths[unit] = 1 + max((depth(u, above | {unit}) for u in below), default=0)
            return depths[unit]

        return max(depth(unit, frozenset()) for unit in self.units)

    def lines_by_unit(self) -> Mapping[str, int]:
        """Return the number of lines of every unit."""
        lines: Counter[str] = Counter()
        for module in self.modules:
            lines[module.unit] += module.lines
        return lines


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other, each sorted."""
    reached = {node: _reached(arrows, node) for node in arrows}
    groups = {frozenset(n for n in there if node in reached[n]) for node, there in reached.items() if node in there}
    return sorted(sorted(group) for group in groups)


def _reached(arrows: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = arrows[ahead.pop()] - found
        found |= new
        ahead.extend(new)
    return found


def read(root: Path = ROOT) -> Architecture:
    """Return the architecture of the sources below `root`."""
    modules = []
    for top in ("sage_doctor", "checks", "fixtures"):
        for path in sorted((root / top).rglob("*.py")):
            if "thor" not in path.parts:  # what the demo lays out is no part of the package
                dotted = ".".join(path.relative_to(root).with_suffix("").parts)
                modules.append(Module(path, dotted.removesuffix(".__init__")))
    return Architecture(tuple(modules))


def main() -> None:
    """Print the figures."""
    house = read()
    print(f"units    {len(house.units):5}   (at most {MOST_UNITS})")
    print(f"layers   {house.layers:5}   (at most {MOST_LAYERS})")
    print(f"arrows   {house.arrows:5}   (at most {MOST_ARROWS}), upwards: {len(house.upwards)}")
    print(f"circles  {len(circles(house.units)):5}   between units, {len(circles(house.files))} between files")
    lines = house.lines_by_unit()
    print(f"\nlines    {sum(lines.values()):5}")
    for unit, count in sorted(lines.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:14} {unit}")


if __name__ == "__main__":
    main()
