import sys

import pytest

from sage_doctor.manifest.quoting import key, string, strings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXTS = [
    "",
    "plain",
    'a "quoted" \\ one',
    "tab\tnewline\nreturn\r",
    "\x00\x1b[31m\x7f",
    "ünï",
    "\u202eright",
    "\U0001f600",
    "\ue000",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_read_back(text: str) -> None:
    assert tomllib.loads(f"x = {string(text)}") == {"x": text}
    assert tomllib.loads(f"{key(text)} = {strings([text, 'b'])}") == {text: [text, "b"]}
    assert string(text).isprintable()


def test_a_bare_key_stays_bare_and_a_dot_needs_quotes() -> None:
    assert key("introspective-qwen_2") == "introspective-qwen_2"
    assert key("qwen2.5-0.5b") == '"qwen2.5-0.5b"'


def test_bytes_that_are_not_utf8_have_no_form() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        string("\udcff")
