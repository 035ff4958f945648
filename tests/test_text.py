"""Text from outside, made safe to show."""

import pytest

from sage_doctor.text import format_bytes, format_number, join_limited, printable, unbroken, wrap


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain", "plain"),
        ("größer 模型 ✔", "größer 模型 ✔"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bell\x07", "bell\\x07"),
        ("line\nfeed\ttab\r", "line\\nfeed\\ttab\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b2J", "\\x9b2J"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\ud800", "\\ud800"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ue000\ufffe\U000e0041", "\\ue000\\ufffe\\U000e0041"),
    ],
)
def test_unsafe_characters_become_visible(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode("utf-8")


def test_what_is_shown_is_limited_and_can_keep_newlines() -> None:
    assert printable("x" * 11, limit=10) == "x" * 10 + "…"
    assert printable("x" * 10, limit=10) == "x" * 10
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


def test_a_line_is_broken_at_spaces_but_never_in_a_command() -> None:
    text = "Examine it with `sage-doctor check '/zoo/a b'  -l  static` and look."
    assert wrap(text, 20, first="- ", after="  ") == [
        "- Examine it with",
        "  `sage-doctor check '/zoo/a b'  -l  static`",
        "  and look.",
    ]
    assert wrap("  two  spaces", 80) == ["  two  spaces"]
    assert wrap("x" * 30 + " y", 20, first="label ", after="      ") == ["label " + "x" * 30, "      y"]
    assert " ".join(unbroken(text)) == text


@pytest.mark.parametrize(
    "count, shown",
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (269_060_552, "269.1 MB"),
        (131_000_000_000, "131.0 GB"),
        (2.5e12, "2.5 TB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_bytes_in_decimal_units(count: float, shown: str) -> None:
    assert format_bytes(count) == shown


def test_lists_say_how_much_they_leave_out() -> None:
    assert join_limited([]) == ""
    assert join_limited(["a", "b"]) == "a, b"
    assert join_limited(["a\x07", "b", "c"], most=2) == "a\\x07, b and 1 more"


@pytest.mark.parametrize(
    "value, shown", [(0.4567, "0.457"), (12.34, "12.3"), (99.94, "99.9"), (2580.4, "2,580"), (-250, "-250"), (0, "0")]
)
def test_numbers_have_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert format_number(value) == shown
