"""What PEFT would match of an adapter's patterns, by its own lines, and that no pattern of a stranger holds us up."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import pytest

from sage_doctor.facts import adapter_patterns
from sage_doctor.facts.adapter_patterns import AdapterPatterns, UnboundedPattern

ENDLESS = "(([a-z0-9._])+)+!"
NAMES = [f"model.layers.{n}.self_attn.{leaf}_proj" for n in range(12) for leaf in "qkvo"]


def by_peft(keys: list[str], name: str) -> str | None:
    """Return the key that `peft.utils.other.get_pattern_key` finds."""
    for key in keys:
        try:
            if re.match(rf"(.*\.)?({key})$", name):
                return key
        except re.error:
            continue
    return None


def test_the_first_pattern_is_pefts() -> None:
    random_source = random.Random(3)
    parts = ["a", "ab", "b", "q_proj", "0", "10", ".", "..", "\n", "a.b", "-", "é"]
    odd = [".*", r"\d+", "(", "a|b", "[ab]", "^a", "a$", "(?i)Q_PROJ", "a\\.b", "", "{}", "{0}"]
    for trial in range(30):
        keys = list(
            dict.fromkeys("".join(random_source.choices(parts, k=random_source.randint(1, 3))) for _ in range(8))
        )
        keys += random_source.sample(odd, 3) if trial % 2 else []
        random_source.shuffle(keys)
        names = ["".join(random_source.choices(parts, k=random_source.randint(1, 6))) for _ in range(60)]
        patterns = AdapterPatterns({"rank_pattern": dict.fromkeys(keys, 4)})
        patterns.ask(names)
        assert {n: patterns.first("rank_pattern", n) for n in names} == {n: by_peft(keys, n) for n in names}, keys


@pytest.mark.parametrize(
    "wanted", [r".*\.(q|k)_proj", "q_proj", "model.layers.0.self_attn.q_proj", r"(?i).*Q_PROJ", "("]
)
def test_a_text_is_matched_whole(wanted: str) -> None:
    patterns = AdapterPatterns({"target_modules": wanted})
    patterns.ask(NAMES)
    expected = [wanted != "(" and re.fullmatch(wanted, n) is not None for n in NAMES]
    assert [patterns.matches("target_modules", n) for n in NAMES] == expected


def test_a_list_names_modules_by_their_ends() -> None:
    patterns = AdapterPatterns({"target_modules": ["q_proj", "layers.1.self_attn.k_proj", ".*"]})
    found = [n for n in (*NAMES, "xq_proj", "q_proj") if patterns.matches("target_modules", n)]
    assert found == [*(n for n in NAMES if n.endswith((".q_proj", "layers.1.self_attn.k_proj"))), "q_proj"]


@pytest.mark.parametrize(
    "pattern, layer", [("layers", 3), ("lay[a-z]*", 3), ("lay.*", 7), ("experts", 7), ("h", None), ("(?P<idx>.)", None)]
)
def test_the_layer_is_the_first_number_behind_the_pattern(pattern: str, layer: int | None) -> None:
    assert AdapterPatterns({"layers_pattern": pattern}).layer("model.layers.3.experts.7.w1") == layer


@pytest.mark.parametrize("field", ["rank_pattern", "alpha_pattern", "target_modules", "exclude_modules"])
def test_an_endless_pattern_is_named(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_patterns, "CPU_S", 1)
    value: Any = {"q_proj": 4, ENDLESS: 4, "k_proj": 4} if field.endswith("_pattern") else ENDLESS
    patterns = AdapterPatterns({field: value})
    with pytest.raises(UnboundedPattern) as caught:
        patterns.ask(NAMES)
    assert (caught.value.field, caught.value.pattern) == (field, ENDLESS)
    begun = time.monotonic()
    with pytest.raises(UnboundedPattern):  # it is not tried a second time
        patterns.first(field, "another.name")
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    "pattern", ["(" * 10_000, "(" * 10_000 + ")" * 10_000, "(?:a{1,60000}){1,60000}" * 40, "[" * 10_000]
)
def test_a_pattern_that_cannot_be_compiled_matches_nothing(pattern: str) -> None:
    patterns = AdapterPatterns({"rank_pattern": {pattern: 4, "q_proj": 8}})
    assert patterns.first("rank_pattern", NAMES[0]) == "q_proj"


def test_many_patterns_are_looked_up_at_once() -> None:
    keys = [f"model.layers.{n}.self_attn.q_proj" for n in range(20_000)]
    patterns = AdapterPatterns({"rank_pattern": dict.fromkeys(keys, 4), "target_modules": keys})
    patterns.ask(keys)
    assert all(patterns.first("rank_pattern", k) == k and patterns.matches("target_modules", k) for k in keys)


def test_too_many_kinds_of_patterns_are_said_to_be_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_patterns, "MOST_LOOKUPS", 1_000)
    with pytest.raises(UnboundedPattern, match=r"rank_pattern: matching its patterns \(100\) against 48 module names"):
        AdapterPatterns({"rank_pattern": {"a" * n: 4 for n in range(1, 101)}}).ask(NAMES)
