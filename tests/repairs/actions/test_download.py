"""Downloads from a hub that is a real server on this machine, by the real huggingface_hub in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.model_directories import MODEL, write_cached, write_full
from tests.repairs.conftest import Fixer, contents

from .fake_hub import COMMIT, Hub, serving


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixer: Fixer) -> Iterator[Hub]:
    """A hub that has `org/name`, and a manifest that asks for it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as in a session: the repair alone may use the network
    fixer.manifest(f'schema = 1\npython = "{sys.executable}"\n[models.m]\nkind = "full"\npath = "hf:org/name"\n')
    with serving(Hub(repo="org/name", directory=write_full(tmp_path / "served"))) as it:
        monkeypatch.setenv("HF_ENDPOINT", it.url)
        yield it


def cache() -> Path:
    return Path(os.environ["HOME"]) / ".cache" / "huggingface" / "hub"


def test_what_is_not_cached_is_downloaded(fixer: Fixer, hub: Hub) -> None:
    done = fixer()
    assert [(a.repair, a.status, a.reason) for a in done.attempts] == [("download", "repaired", "")]
    assert done.after.exit_code == 0
    folder = cache() / "models--org--name"
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert (folder / "snapshots" / COMMIT / MODEL).read_bytes() == (hub.directory / MODEL).read_bytes()
    assert fixer.plans[0].network


def test_a_broken_snapshot_is_completed_and_what_is_there_is_not_fetched_again(fixer: Fixer, hub: Hub) -> None:
    assert fixer.statuses() == [("download", "repaired")]
    snapshot = cache() / "models--org--name" / "snapshots" / COMMIT
    (snapshot / MODEL).resolve().unlink()
    hub.asked.clear()
    done = fixer()
    assert [(a.finding.code, a.status) for a in done.attempts] == [("hub-blob-missing", "repaired")]
    fetched = [line.rsplit("/", 1)[1] for line in hub.asked if line.startswith("GET /org/name/resolve/")]
    assert fetched == [MODEL]


def test_declining_and_planning_ask_the_hub_nothing(fixer: Fixer, hub: Hub) -> None:
    assert fixer.statuses(dry_run=True) == [("download", "planned")]
    assert fixer.statuses(yes=False) == [("download", "declined")]
    assert not hub.asked
    assert not cache().exists()


def test_what_the_checks_are_not_content_with_is_taken_away_again(
    fixer: Fixer, hub: Hub, failing_verification: Sequence[str]
) -> None:
    snapshot = write_cached(cache(), "org/name")
    (snapshot / MODEL).resolve().unlink()
    before = contents(cache())
    assert fixer.statuses() == [("download", "rolled-back")]
    assert failing_verification
    assert hub.asked
    left = {k: v for k, v in contents(cache()).items() if k.startswith("models--org--name/")}
    assert left == {k: v for k, v in before.items() if k.startswith("models--org--name/")}


def test_a_hub_that_does_not_have_it_fails_with_a_sentence(fixer: Fixer, hub: Hub) -> None:
    hub.repo = "org/another"
    done = fixer()
    (attempt,) = done.attempts
    assert attempt.status == "failed"
    assert "download failed" in attempt.reason
    assert "Traceback" not in attempt.reason
    assert done.after.exit_code == 1
