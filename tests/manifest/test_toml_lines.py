"""Where keys stand: checked against the standard parser's keys, and line by line on texts made to mislead."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sage_doctor.manifest.toml_lines import MOST_NESTED, MOST_PARTS, locate_keys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NASTY = r'''# [not.a.table] = 1
top = 1 # [neither] this
"quoted key" = """
[fake]
fake = 1
\""" still inside """""
'literal = "key"' = \'\'\'
fake = "2"
it''s\'\'\'\'\'
a.b . "c.d" = 'x # not a comment'

[ machines . thor ]   # spaces around
match.hostname = [
  "a]",   # ] comment
  'b}',
  { deep = [
      1, 2,
    3 ], other = "}" },
]
when = 1979-05-27 07:32:00
"\u00e9\"x" = -inf

[models."qwen2.5-0.5b"]
merge = { base = "x, y = 1", "adap.ter" = 'z', in.ner = {}, list = [] }
[[runs]]
n = 1
[[runs]]
n = 2
sub.x = 3
[[runs.items]]
k = 1
[runs.items.detail]
d = 1
[machines]
late = true
[machines.thor.vars]
zoo = "z"'''.replace("\\'", "'")

WHERE = [
    (("top",), 2),
    (("quoted key",), 3),
    (('literal = "key"',), 7),
    (("a",), 10),
    (("a", "b", "c.d"), 10),
    (("machines",), 34),  # its own header, not the table inside that came first
    (("machines", "thor"), 12),
    (("machines", "thor", "match", "hostname"), 13),
    (("machines", "thor", "match", "hostname", 1), 15),
    (("machines", "thor", "match", "hostname", 2), 16),
    (("machines", "thor", "match", "hostname", 2, "deep"), 16),
    (("machines", "thor", "match", "hostname", 2, "deep", 1), 17),
    (("machines", "thor", "match", "hostname", 2, "deep", 2), 18),
    (("machines", "thor", "match", "hostname", 2, "other"), 18),
    (("machines", "thor", "when"), 20),
    (("machines", "thor", 'é"x'), 21),
    (("models", "qwen2.5-0.5b"), 23),
    (("models", "qwen2.5-0.5b", "merge", "adap.ter"), 24),
    (("models", "qwen2.5-0.5b", "merge", "in", "ner"), 24),
    (("runs", 0, "n"), 26),
    (("runs", 1), 27),
    (("runs", 1, "sub", "x"), 29),
    (("runs", 1, "items", 0, "k"), 31),
    (("runs", 1, "items", 0, "detail", "d"), 33),
    (("machines", "late"), 35),
    (("machines", "thor", "vars", "zoo"), 37),
]


def every_key(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from every_key(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from every_key(inner, (*path, index))


def test_nasty_is_toml_and_no_key_is_missed_or_invented() -> None:
    located = {path for path in locate_keys(NASTY).lines if not isinstance(path[-1], int)}
    assert located == set(every_key(tomllib.loads(NASTY)))


@pytest.mark.parametrize("path, line", WHERE)
def test_keys_stand_where_they_are_written(path: tuple[str | int, ...], line: int) -> None:
    assert locate_keys(NASTY).of(path) == line


def test_windows_line_ends_count_once() -> None:
    lines = locate_keys(NASTY.replace("\n", "\r\n"))
    assert [lines.of(path) for path, _ in WHERE] == [line for _, line in WHERE]


def test_a_path_without_a_line_of_its_own_has_that_of_what_is_around_it() -> None:
    lines = locate_keys("\n[a]\nb = [1, 2]\n")
    assert lines.of(("a", "b", 1)) == 3
    assert lines.of(("a", "nothing", "here")) == 2
    assert lines.of(("elsewhere",)) == 1


def test_a_text_cut_after_any_line_keeps_the_keys_before() -> None:
    whole = locate_keys(NASTY).lines
    rows = NASTY.split("\n")
    for count in (2, 6, 9, 10, 13, 17, 19, 24, 29):
        part = locate_keys("\n".join(rows[:count])).lines
        wanted = {path for path, line in whole.items() if line <= count and path != ("machines",)}
        assert wanted <= set(part), count


@pytest.mark.parametrize(
    "text",
    ["=", "[", "[[", "a", "a =", "a = [", "a = {b", "a = [}", "a = {]", '"', 'a = """', "[a]]b=1", "\x00", "a=[,"],
)
def test_what_is_not_toml_is_left_to_the_parser(text: str) -> None:
    lines = locate_keys(f"ok = 1\n{text}")
    assert lines.of(("ok",)) == 1
    assert not lines.too_deep


def test_depth_is_refused_before_it_costs_anything() -> None:
    assert locate_keys("\n" + ".".join("a" * MOST_PARTS) + " = 1").too_deep == 0
    assert locate_keys("\n" + ".".join("a" * (MOST_PARTS + 1)) + " = 1").too_deep == 2
    assert locate_keys("[" + "a." * 300_000 + "a]").too_deep == 1
    assert locate_keys("a = " + "[" * MOST_NESTED + "]" * MOST_NESTED).too_deep == 0
    assert locate_keys("a = " + "[" * 300_000).too_deep == 1
    assert locate_keys("a = " + "{a = " * 300_000).too_deep == 1
