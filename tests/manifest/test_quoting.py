"""TOML as it is written: whatever goes in, a TOML parser reads the same back."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_doctor.findings.candidates import table
from sage_doctor.manifest.quoting import header, key, string, strings, value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans()),
    lambda inner: st.one_of(st.lists(TEXTS), st.dictionaries(TEXTS, inner, min_size=1)),
    max_leaves=8,
)


@given(TEXTS)
def test_any_text_is_read_back_as_a_string_and_as_a_key(text: str) -> None:
    assert tomllib.loads(f"x = {string(text)}") == {"x": text}
    assert tomllib.loads(f"{key(text)} = {strings([text, 'b'])}") == {text: [text, "b"]}
    assert string(text).isprintable()


@given(VALUES)
def test_any_value_is_read_back(given_value: object) -> None:
    assert tomllib.loads(f"x = {value(given_value)}") == {"x": given_value}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_the_head_of_a_models_table_can_be_pasted(name: str) -> None:
    assert tomllib.loads(table(name)) == {"models": {name: {}}}


@given(st.text())
def test_the_head_of_a_table_is_toml_whatever_the_name_holds(name: str) -> None:
    assert list(tomllib.loads(header("models", name))) == ["models"]


def test_a_quote_in_a_name_is_escaped() -> None:
    assert table('a"b') == '[models."a\\"b"]'


def test_a_bare_key_stays_bare_and_a_dot_needs_quotes() -> None:
    assert key("introspective-qwen_2") == "introspective-qwen_2"
    assert key("qwen2.5-0.5b") == '"qwen2.5-0.5b"'


def test_bytes_that_are_not_utf8_have_no_form() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        string("\udcff")
