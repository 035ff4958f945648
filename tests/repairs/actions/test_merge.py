"""A merged model without its weights, made again from base and adapter."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sage_doctor.repairs.repair import Plan
from tests.model_directories import ADAPTER, INDEX, LORA, MODEL, PROJECTION, write_adapter, write_full, write_sharded
from tests.repairs.conftest import Fixer, contents

from .fake_hub import Hub, serving

MANIFEST = """schema = 1
[roles.raising]
models = ["merged"]
[models.merged]
kind = "merged"
path = "zoo/merged"
merge = { base = "small", adapter = "stance" }
[models.stance]
kind = "adapter"
path = "stance"
[models.small]
kind = "full"
path = "base"
"""


def hollow(fixer: Fixer, *, base: str | None = None) -> Path:
    """Lay out the incident: a merged model with everything but weights, whose adapter names no base that is here."""
    write_full(fixer.root / "base")
    merged = write_full(fixer.root / "zoo" / "merged")
    (merged / MODEL).unlink()
    (merged / "notes.txt").write_text("mine\n")
    write_adapter(fixer.root / "stance", base or "./fine_tuned_model/final_model")
    fixer.manifest(MANIFEST)
    return merged


def test_the_base_is_named_and_the_model_merged(fixer: Fixer) -> None:
    merged = hollow(fixer)
    assert fixer.statuses() == [("set-base", "repaired"), ("merge", "repaired")]
    base = load_file(fixer.root / "base" / MODEL)
    adapter = load_file(fixer.root / "stance" / ADAPTER)
    made = load_file(merged / MODEL)
    a, b = (adapter[n] for n in LORA)
    name = f"{PROJECTION}.weight"
    assert np.allclose(made[name], base[name] + 2.0 * (b @ a))
    assert all(np.array_equal(made[n], base[n]) for n in base if n != name)
    assert (merged / "notes.txt").read_text() == "mine\n"
    assert sorted(p.name for p in merged.parent.iterdir()) == ["merged"]


def test_in_a_dry_run_both_are_planned(fixer: Fixer) -> None:
    merged = hollow(fixer)
    before = contents(fixer.root)
    assert fixer.statuses(dry_run=True) == [("set-base", "planned"), ("merge", "planned")]
    assert contents(fixer.root) == before
    assert not (merged / MODEL).exists()


def truncated(merged: Path) -> None:
    write_full(merged)
    (merged / MODEL).write_bytes((merged / MODEL).read_bytes()[:-4])


def shard_lost(merged: Path) -> None:
    for path in merged.iterdir():
        path.unlink()
    write_sharded(merged)
    (merged / "model-00002-of-00002.safetensors").unlink()


def index_and_shard_broken(merged: Path) -> None:
    shard_lost(merged)
    (merged / INDEX).write_text("{")


def pointer(merged: Path) -> None:
    (merged / MODEL).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d" * 32 + "\nsize 9\n")


def gone(merged: Path) -> None:
    for path in merged.iterdir():
        path.unlink()
    merged.rmdir()


@pytest.mark.parametrize("fault", [truncated, shard_lost, index_and_shard_broken, pointer, gone])
def test_every_way_of_lacking_weights_is_mended(fixer: Fixer, fault: Callable[[Path], None]) -> None:
    merged = hollow(fixer, base=str(fixer.root / "base"))
    fault(merged)
    done = fixer()
    assert [(a.repair, a.status, a.reason) for a in done.attempts] == [("merge", "repaired", "")]
    assert done.after.exit_code == 0
    assert (merged / MODEL).is_file()


@pytest.mark.parametrize("fault", [truncated, shard_lost, gone])
def test_the_old_directory_comes_back_where_the_checks_are_not_content(
    fixer: Fixer, fault: Callable[[Path], None], failing_verification: Sequence[str]
) -> None:
    merged = hollow(fixer, base=str(fixer.root / "base"))
    fault(merged)
    before = contents(fixer.root)
    assert fixer.statuses() == [("merge", "rolled-back")]
    assert failing_verification
    assert contents(fixer.root) == before


def test_a_merge_that_is_refused_says_why_and_changes_nothing(fixer: Fixer) -> None:
    merged = hollow(fixer, base=str(fixer.root / "base"))
    os.mkfifo(merged / "checkpoint-3")
    before = contents(fixer.root)
    done = fixer()
    assert [(a.status, "checkpoint-3 (a named pipe)" in a.reason) for a in done.attempts] == [("refused", True)]
    assert contents(fixer.root) == before
    assert done.after.exit_code == 1


def test_a_merge_that_fails_leaves_the_old_directory(fixer: Fixer) -> None:
    hollow(fixer, base=str(fixer.root / "base"))

    def break_adapter(_plan: Plan) -> None:
        (fixer.root / "stance" / ADAPTER).write_bytes(b"changed since the plan was made")

    before = contents(fixer.root / "zoo")
    done = fixer(before_consent=break_adapter)
    assert [a.status for a in done.attempts][:1] == ["failed"]
    assert contents(fixer.root / "zoo") == before
    assert [e["event"] for e in fixer.journal.entries()][:2] == ["begun", "failed"]


def test_a_model_without_a_recipe_is_not_merged(fixer: Fixer) -> None:
    merged = hollow(fixer)
    fixer.manifest('schema = 1\n[models.merged]\nkind = "merged"\npath = "zoo/merged"\n')
    done = fixer()
    assert not done.attempts
    assert done.after.exit_code == 1
    assert not (merged / MODEL).exists()


@pytest.mark.parametrize("base", ["small", "hf:org/name"])
def test_a_base_that_only_the_hub_has_is_downloaded_before_the_merge(
    base: str, fixer: Fixer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = hollow(fixer)
    shutil.move(fixer.root / "base", tmp_path / "served")
    text = MANIFEST.replace("schema = 1\n", f'schema = 1\npython = "{sys.executable}"\n')
    small, named = (
        '[models.small]\nkind = "full"\npath = "base"\n',
        '[models.small]\nkind = "full"\npath = "hf:org/name"\n',
    )
    fixer.manifest(text.replace(small, named if base == "small" else "").replace('"small"', f'"{base}"'))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with serving(Hub(repo="org/name", directory=tmp_path / "served")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        planned = fixer(dry_run=True).attempts
        assert [a.repair for a in planned] == (["download", "merge"] if base == "small" else ["merge"])
        assert all("download org/name" in str(a.plan) for a in planned)
        done = fixer()
    first = [("download", "repaired"), ("set-base", "repaired")] if base == "small" else []
    assert [(a.repair, a.status) for a in done.attempts] == [*first, ("merge", "repaired")]
    assert (merged / MODEL).exists()
    assert (merged / "notes.txt").read_text() == "mine\n"
