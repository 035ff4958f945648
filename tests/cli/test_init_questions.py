"""`sage-doctor init` at a terminal, where it asks what it cannot know."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.model_directories import write_adapter, write_full

from .test_init import loaded


def at_terminal(place: Path, environment: dict[str, str], said: bytes, *words: str) -> tuple[int, str]:
    """Run `sage-doctor` at a terminal where these lines are typed."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "sage_doctor", *words],
        cwd=place,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, said)
    out = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end was unreadable
            break
        if not part:
            break
        out += part
    os.close(ours)
    return done.wait(timeout=60), out.decode()


def test_at_a_terminal_it_asks_what_it_cannot_know(place: Path, environment: dict[str, str]) -> None:
    """The answers make a recipe that counts; a guess would have stood in a comment."""
    write_full(place / "qwen-0.5b")
    write_full(place / "llama-1b")
    write_adapter(place / "zoo" / "qwen-0.5b" / "intro-v2", "./gone/final")
    write_full(place / "zoo" / "qwen-0.5b" / "intro-merged")
    code, out = at_terminal(place, environment, b"2\n2\ny\n", "init")
    assert code == 0, out
    assert "trained on?" in out
    manifest = loaded(place)
    assert manifest.models["intro-v2"].base == "qwen-0.5b"
    recipe = manifest.models["intro-merged"].merge
    assert recipe is not None
    assert (recipe.base, recipe.adapter) == ("qwen-0.5b", "intro-v2")


def test_none_of_them_is_an_answer_and_no_writes_nothing(place: Path, environment: dict[str, str]) -> None:
    write_full(place / "qwen-0.5b")
    write_adapter(place / "zoo" / "qwen-0.5b" / "intro-v2", "./gone/final")
    code, out = at_terminal(place, environment, b"7\nnone of them\nn\n", "init")
    assert code == 0, out
    assert "nothing was written" in out
    assert "the model it was trained on: not found here" in out
    assert not (place / "sage-doctor.toml").exists()


def test_a_file_that_changes_meanwhile_is_not_overwritten(place: Path, environment: dict[str, str]) -> None:
    """Somebody saves the manifest while the question stands."""
    write_full(place / "b")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "sage_doctor", "init"]
    process = subprocess.Popen(words, cwd=place, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    out = b""
    while b"[y/N]" not in out:
        out += os.read(ours, 4096)
    (place / "sage-doctor.toml").write_text("schema = 1\n# saved\n")
    os.write(ours, b"y\n")
    assert process.wait(timeout=60) == 3
    os.close(ours)
    assert (place / "sage-doctor.toml").read_text() == "schema = 1\n# saved\n"
