"""The undo of a plan, pasted into a shell after the repair: everything is as it was, and nothing else is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_directories import MODEL, write_adapter, write_cached, write_full
from tests.repairs.actions.fake_hub import COMMIT, Hub, serving
from tests.repairs.actions.test_copy_tokenizer import FAULTS, whole
from tests.repairs.actions.test_file_repairs import MENDED, Break
from tests.repairs.conftest import Fixer, contents

NAME = "$(touch owned)' \"\n;touch owned;#"


@pytest.fixture
def hostile(fixer: Fixer) -> Fixer:
    """The fixer, in a directory whose name is code to a shell that reads it unquoted."""
    fixer.root = fixer.root / NAME
    fixer.root.mkdir()
    return fixer


def undo(fixer: Fixer, tmp_path: Path) -> None:
    """Paste the undo lines, as they are shown, into a shell in an empty directory."""
    where = tmp_path / "empty"
    where.mkdir()
    for plan in reversed(fixer.plans):
        shown = plan.lines(40, str(fixer.root))
        for command in plan.undo_commands:
            assert any(line[13:] == command for line in shown), "whole, on one line"
        done = subprocess.run(["/bin/sh"], input="\n".join(plan.undo_commands), cwd=where, text=True, check=True)
        assert done.returncode == 0
    assert list(where.iterdir()) == [], "something was run"


def home() -> Path:
    return Path(os.environ["HOME"]) / ".cache"


@pytest.mark.parametrize("ill,repair", MENDED)
def test_a_repair_is_undone(hostile: Fixer, tmp_path: Path, ill: Break, repair: str) -> None:
    ill(hostile)
    before = contents(hostile.root), contents(home())
    assert hostile.statuses() == [(repair, "repaired")]
    undo(hostile, tmp_path)
    assert (contents(hostile.root), contents(home())) == before


@pytest.mark.parametrize("fault", FAULTS)
def test_copied_files_go_again(hostile: Fixer, tmp_path: Path, fault: Callable[[Path], None]) -> None:
    fault(whole(hostile))
    before = contents(hostile.root)
    assert hostile.statuses() == [("copy-tokenizer", "repaired")]
    undo(hostile, tmp_path)
    assert contents(hostile.root) == before


def test_an_adapters_configuration_comes_back(hostile: Fixer, tmp_path: Path) -> None:
    write_full(hostile.root / "trained" / "final_model")
    write_adapter(hostile.root / "stance", "/home/elsewhere/trained/final_model")
    before = contents(hostile.root)
    assert hostile.statuses(".", write_config=True) == [("set-base", "repaired")]
    undo(hostile, tmp_path)
    assert contents(hostile.root) == before


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixer: Fixer) -> Iterator[Hub]:
    """A hub that has `org/name`, and a manifest that asks for it."""
    fixer.manifest(f'schema = 1\npython = "{sys.executable}"\n[models.m]\nkind = "full"\npath = "hf:org/name"\n')
    with serving(Hub(repo="org/name", directory=write_full(tmp_path / "served"))) as it:
        monkeypatch.setenv("HF_ENDPOINT", it.url)
        yield it


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("there", ["nothing", "another repository", "a broken snapshot", "another commit"])
def test_of_a_download_goes_what_was_fetched_and_stays_what_was_there(fixer: Fixer, tmp_path: Path, there: str) -> None:
    cache = home() / "huggingface" / "hub"
    if there != "nothing":
        snapshot = write_cached(cache, "org/other" if there == "another repository" else "org/name")
        if there != "another repository":
            (snapshot / MODEL).resolve().unlink()
        if there == "a broken snapshot":
            (snapshot / MODEL).unlink()
            snapshot.rename(snapshot.with_name(COMMIT))
            (snapshot.parent.parent / "refs" / "main").write_text(COMMIT)
    before = contents(home().parent)
    assert fixer.statuses() == [("download", "repaired")]
    undo(fixer, tmp_path)
    kept = {k: v for k, v in contents(home().parent).items() if not k.startswith((".local", ".cache/sage-doctor"))}
    assert kept == {k: v for k, v in before.items() if not k.startswith((".local", ".cache/sage-doctor"))}
