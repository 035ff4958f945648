"""A quoted word, pasted into every shell that is here: the name as it was, byte for byte, and nothing is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_doctor.text import MOST_COMMAND, printable, shell_operand, shell_quote

KNOWN = (("dash",), ("bash", "--norc"), ("zsh", "-f"), ("busybox", "sh"), ("ksh",), ("mksh",), ("yash",))
SHELLS = [[found, *words] for name, *words in KNOWN if (found := shutil.which(name))]
PRINTF = shutil.which("printf") or "/usr/bin/printf"

NAMES = [
    "",
    "plain",
    "with  two spaces ",
    "it's",
    'say "hi"',
    "$(touch owned)",
    "`touch owned`",
    "a;touch owned;#",
    "a|touch owned&&touch owned>owned",
    "back\\slash\\",
    "-rf",
    "--help",
    "-e",
    "*",
    "[ab]",
    "?",
    "{a,b}",
    "~",
    "~root",
    "=ls",
    "a=b",
    "!history",
    "!!",
    "a'!!'",
    "#x",
    "%n%s{0}",
    "\\n\\012",
    "größe 模型",
    "no-break\u00a0space",
    "\u202egnp;touch owned",
    "\ufffd",
    "\U000e0041",
    "new\nline",
    "a\r\nb",
    "tab\tand\x1b[31mescape\x7f",
    "\x16\x03\x04",
    "a\n' ; touch owned ; #",
    "a\n' ; touch owned ; \"",
    "x\t'$(touch owned)'",
    "x\x1b'`touch owned`'#",
    "\x1b'&touch owned&#",
    "a'\n;touch owned\n#",
    'a\n!!"$(touch owned)"\\',
    "-\n%s",
    "bytes\udcff\udc80",
    "both'\n\udcfe\\",
    "a\udcff' ; touch owned ; #",
    "ends\n",
    "ends twice\n\n",
    "\n",
    "]^-\\'$(touch owned)\n",
    "-\udcff\n",
    "ends.\n.",
]


def run(shell: list[str], names: list[str], *, pasted: bool) -> list[bytes]:
    """Return the words that a program gets from a shell, in an empty directory that must stay empty."""
    words = [f"{PRINTF} '%s\\0' -{shell_quote(name)}" for name in ["begin", *names]]
    lines = "".join(f"{word}\n" for word in words)
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [*shell, "-i"] if pasted else [*shell, "-c", lines],
            input=lines.encode() if pasted else b"",
            cwd=directory,
            env={"HOME": directory, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PS1": "", "HISTFILE": ""},
            capture_output=True,
            check=False,
            start_new_session=True,
        )
        assert os.listdir(directory) == [], "something was run"
    assert pasted or done.stderr == b""
    return [word.removeprefix(b"-") for word in done.stdout.split(b"\0")[1:-1]]  # the first may be behind a greeting


@pytest.mark.parametrize("pasted", [False, True], ids=["-c", "-i"])
@pytest.mark.parametrize("shell", SHELLS, ids=lambda s: Path(s[0]).name)
def test_a_shell_reads_back_exactly_the_names_and_runs_nothing(shell: list[str], pasted: bool) -> None:
    assert run(shell, NAMES, pasted=pasted) == [os.fsencode(name) for name in NAMES]
    assert run(shell, [f"/zoo/{name}" for name in NAMES], pasted=pasted) == [os.fsencode(f"/zoo/{n}") for n in NAMES]


WORDS = st.one_of(
    st.binary(max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"\0", b""))),
    st.text(st.sampled_from("\n'\"\\$`!%-;&#()[]*?~= \x1b\udcffaö."), max_size=12),
)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda s: Path(s[0]).name)
@settings(max_examples=8, deadline=None)
@given(names=st.lists(WORDS, min_size=20, max_size=60))
def test_so_it_does_with_any_name(shell: list[str], names: list[str]) -> None:
    assert run(shell, names, pasted=False) == [os.fsencode(name) for name in names]


@given(st.one_of(WORDS, st.text()))
def test_a_quoted_word_is_shown_as_it_is(name: str) -> None:
    word = shell_quote(name)
    assert printable(word, limit=MOST_COMMAND) == word
    assert word.isprintable()
    assert "`" not in word


def test_a_path_is_quoted_as_text_and_is_no_option() -> None:
    assert shell_quote(Path("/zoo/a b")) == "'/zoo/a b'"
    assert shell_quote(Path("-rf")) == "./-rf"
    assert shell_quote("-rf") == "-rf"
    assert shell_operand("-rf") == "-- -rf"
    assert shell_operand("a b") == "'a b'"
    assert shell_operand(Path("-rf")) == "./-rf"
    assert shell_operand("-r\nf") == "-- \"$(printf '\\055r\\012f')\""
