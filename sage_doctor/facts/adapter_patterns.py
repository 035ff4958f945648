"""The patterns of `adapter_config.json`: what PEFT would match of them, found in bounded time.

PEFT 0.21 takes keys of `rank_pattern` and `alpha_pattern`, texts in `target_modules` and `exclude_modules`, and
`layers_pattern` for regular expressions (`peft.utils.other.get_pattern_key`,
`peft.tuners.tuners_utils.check_target_module_exists`). A few characters make one that never ends, so none is
compiled in this process: those of letters, digits and dots are looked up, all others go to one child with a deadline.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.errors import DoctorError
from sage_doctor.system.child import run
from sage_doctor.system.frozen import frozen
from sage_doctor.text import format_bytes, printable

CPU_S = 2  # of the child: other work on the machine does not shorten it
WALL_S = 120.0
MOST_MEMORY = 1_000_000_000
MOST_NAMES_CHARS = 32 << 20
MOST_LOOKUPS = 10_000_000
_MOST_DOTS = 40
_MOST_DIGITS = 18
_NAMED = ("target_modules", "exclude_modules", "target_parameters")
_PROGRAM = Path(__file__).with_name("pattern_child.py")
# How PEFT writes a pattern as an expression, and how it matches that.
_FIELDS: Mapping[str, tuple[str, str]] = {
    "rank_pattern": (r"(.*\.)?({})$", "match"),
    "alpha_pattern": (r"(.*\.)?({})$", "match"),
    "target_modules": ("{}", "fullmatch"),
    "exclude_modules": ("{}", "fullmatch"),
    "layers_pattern": (r"(?:^|.*?\.){}\.(?P<idx>\d+)\.", "match"),
}


class UnboundedPattern(DoctorError):
    """A pattern that cannot be matched in bounded time. PEFT matches the same ones, without a bound."""

    def __init__(self, field: str, pattern: str | None, why: str) -> None:
        self.field, self.pattern = field, pattern
        named = f"the pattern {printable(pattern, limit=120)!r}" if pattern is not None else "its patterns"
        super().__init__(f"adapter_config.json: {field}: matching {named} {why}")


@frozen
class _Match:
    """The first pattern of a field that matches a name, by its place among them, and the layer it found."""

    place: int
    layer: str | None = None


class AdapterPatterns:
    """What the patterns of one adapter match. Each name is asked once; `ask` asks about many names together."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._patterns = {f: _patterns_of(f, values.get(f)) for f in _FIELDS}
        self._found: dict[str, dict[str, _Match | None]] = {f: {} for f in _FIELDS}
        lists = {f: v for f in _NAMED if isinstance(v := values.get(f), list)}
        self._names = {f: frozenset(map(str, v)) for f, v in lists.items()}
        self._failed: UnboundedPattern | None = None
        # A field and a pattern of it that no expression is, where PEFT would come to it: it raises an error then.
        self.broken: tuple[str, str] | None = None

    def matches(self, field: str, name: str) -> bool:
        """Return whether a field's pattern matches a name or, where it is a list, whether the name is or ends in one.

        Raises `UnboundedPattern`.
        """
        if self._patterns.get(field):
            return self.first(field, name) is not None
        wanted = self._names.get(field, frozenset())
        parts = name.rsplit(".", _MOST_DOTS) if wanted else []
        return name in wanted or any(".".join(parts[n:]) in wanted for n in range(1, len(parts)))

    def first(self, field: str, name: str) -> str | None:
        """Return the first pattern of a field that matches a module's name. Raises `UnboundedPattern`."""
        found = self._match(field, name)
        return self._patterns[field][found.place] if found is not None else None

    def layer(self, name: str) -> int | None:
        """Return the number of the layer that a module lies in. Raises `UnboundedPattern`."""
        found = self._match("layers_pattern", name)
        digits = found.layer if found is not None else None
        return int(digits) if digits is not None and len(digits) <= _MOST_DIGITS else None

    def ask(self, names: Iterable[str]) -> None:
        """Match all patterns against these names. Raises `UnboundedPattern`, and `DoctorError` without a child."""
        if self._failed is not None:
            raise self._failed
        new = [n for n in dict.fromkeys(names) if n not in self._found["rank_pattern"]]
        try:
            for field, patterns in self._patterns.items():
                self._found[field] |= dict.fromkeys(new) | _looked_up(field, patterns, new)
            self._ask_child(new)
        except UnboundedPattern as error:
            self._failed = error
            raise

    def _match(self, field: str, name: str) -> _Match | None:
        if not self._patterns[field]:
            return None
        if name not in self._found[field] or self._failed is not None:
            self.ask([name])
        return self._found[field][name]

    def _ask_child(self, names: Sequence[str]) -> None:
        """Match what only a regular expression can tell: patterns with operators, and names with line breaks."""
        broken = any("\n" in n for n in names)
        asked = [
            (field, place)
            for field, patterns in self._patterns.items()
            for place, pattern in enumerate(patterns)
            if broken or not _is_plain(field, pattern)
        ]
        if not asked or not names:
            return
        field, place = asked[0]
        if sum(map(len, names)) > MOST_NAMES_CHARS:
            raise UnboundedPattern(field, None, f"against {len(names)} module names takes too long")
        questions = [
            (method, [form.replace("{}", self._patterns[field][p]) for f, p in asked if f == field])
            for field, (form, method) in _FIELDS.items()
        ]
        question = json.dumps([names, questions, [CPU_S, MOST_MEMORY]]).encode()
        done = run([sys.executable, "-I", "-S", "-W", "ignore", str(_PROGRAM)], timeout_s=WALL_S, ask=question)
        if done is None:
            raise DoctorError("no child process can be started to match the patterns of adapter_config.json")
        lines = done.out.split(b"\n")[:-1]
        if done.code != 0 or len(lines) != len(asked):
            if done.timed_out:
                raise DoctorError(f"the patterns of adapter_config.json were not matched within {WALL_S:.0f} s")
            field, place = asked[min(len(lines), len(asked) - 1)]
            limits = f"{CPU_S} s or {format_bytes(MOST_MEMORY)}"
            raise UnboundedPattern(
                field,
                self._patterns[field][place],
                f"against {len(names)} module names takes more than {limits}",
            )
        for (field, place), line in zip(asked, lines, strict=True):
            answer = json.loads(line)
            found = self._found[field]
            if answer is None and any(f is None or f.place > place for n in names for f in [found[n]]):
                self.broken = self.broken or (field, self._patterns[field][place])
            for number, layer in answer or ():
                old = self._found[field][names[number]]
                if old is None or place < old.place:
                    self._found[field][names[number]] = _Match(place=place, layer=layer)


def _patterns_of(field: str, value: object) -> tuple[str, ...]:
    """Return the patterns of a field, in PEFT's order. A list of modules is no pattern: names are compared."""
    if field in ("rank_pattern", "alpha_pattern"):
        return tuple(map(str, value)) if isinstance(value, dict) else ()
    if field == "layers_pattern":
        named = [value] if isinstance(value, str) and value else value if isinstance(value, list) else []
        return tuple(p for p in named if isinstance(p, str))
    return (value,) if isinstance(value, str) and value and value.lower() != "all-linear" else ()


def _is_plain(field: str, pattern: str) -> bool:
    """Whether a pattern matches only itself, dots aside: it can be looked up."""
    plain = pattern.replace(".", "").replace("_", "").replace("-", "")
    return field != "layers_pattern" and bool(pattern) and pattern.isascii() and (plain.isalnum() or not plain)


def _looked_up(field: str, patterns: Sequence[str], names: Sequence[str]) -> dict[str, _Match | None]:
    """Return the first plain pattern that each name, or its end behind a dot, matches: a dot matches any character.

    Patterns of one length with dots at the same places are looked up together. Raises `UnboundedPattern`.
    """
    whole = _FIELDS[field][1] == "fullmatch"
    shapes: dict[tuple[int, tuple[int, ...]], dict[str, int]] = {}
    for place, pattern in enumerate(patterns):
        if _is_plain(field, pattern):
            dots = tuple(i for i, c in enumerate(pattern) if c == ".") if "." in pattern else ()
            shapes.setdefault((len(pattern), dots), {}).setdefault(pattern, place)
    found: dict[str, _Match | None] = {}
    spent = 0
    for name in names if shapes else ():
        if "\n" in name:  # no dot of an expression matches it: the child is asked
            continue
        places = []
        for (length, dots), known in shapes.items():
            spent += 1
            end = _end(name, length, dots, whole=whole)
            spent += len(end)
            if end in known:
                places.append(known[end])
        if spent > MOST_LOOKUPS:
            raise UnboundedPattern(field, None, f"({len(patterns)}) against {len(names)} module names takes too long")
        if places:
            found[name] = _Match(place=min(places))
    return found


def _end(name: str, length: int, dots: Sequence[int], *, whole: bool) -> str:
    """Return a name's last characters with dots at these places; empty where a dot or nothing must precede them."""
    rest = len(name) - length
    if rest < 0 or (rest > 0 and (whole or name[rest - 1] != ".")):
        return ""
    end = name[rest:]
    if all(end[i] == "." for i in dots):
        return end
    characters = list(end)
    for i in dots:
        characters[i] = "."
    return "".join(characters)
