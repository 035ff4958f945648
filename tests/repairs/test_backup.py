"""What a killed repair has kept: let go where the new state is proven, and only there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.readers.merge_record import RECORD
from sage_doctor.repairs.backup import Backup, backup_of
from sage_doctor.report import Finding, Fix

WEIGHTS = b"weights"


@pytest.fixture
def entry(tmp_path: Path) -> dict[str, Any]:
    """A journal's entry, what its repair has kept, and beside that a merged directory."""
    merged = tmp_path / "merged"
    merged.mkdir()
    (merged / "model.safetensors").write_bytes(WEIGHTS)
    record = {"outputs": [{"path": "model.safetensors", "sha256": hashlib.sha256(WEIGHTS).hexdigest()}]}
    (merged / RECORD).write_text(json.dumps(record))
    made = tmp_path / "old"
    made.mkdir()
    kept = made.rename(tmp_path / f".merged.sage-fix-123-{made.stat().st_ino:x}")
    (kept / "model.safetensors").write_bytes(b"old")
    return {"key": "k", "event": "begun", "subject": "merged", "kept": str(kept)}


def found(entry: dict[str, Any]) -> Backup:
    old = backup_of(entry)
    assert old is not None
    return old


def error(subject: str) -> Finding:
    return Finding(
        code="weights-truncated", severity="error", subject=subject, check="c", message="m", fix=Fix(summary="s")
    )


def test_it_goes_where_the_new_state_is_proven(entry: dict[str, Any], tmp_path: Path) -> None:
    old = found(entry)
    assert old.target == tmp_path / "merged"
    assert old.discard([error("another")], None) is None
    assert [p.name for p in tmp_path.iterdir()] == ["merged"]
    assert backup_of(entry) is None


def test_it_stays_where_a_check_finds_an_error(entry: dict[str, Any]) -> None:
    old = found(entry)
    why = old.discard([error("merged")], None)
    assert why is not None
    assert old.kept_message(why).endswith(f"rm -r {entry['kept']}")
    assert (old.path / "model.safetensors").read_bytes() == b"old"


@pytest.mark.parametrize("fault", ["no record", "other bytes", "gone"])
def test_it_stays_where_the_weights_are_not_those_of_the_record(entry: dict[str, Any], fault: str) -> None:
    old = found(entry)
    if fault == "no record":
        (old.target / RECORD).unlink()
    elif fault == "other bytes":
        (old.target / "model.safetensors").write_bytes(b"Weights")
    else:
        (old.target / "model.safetensors").unlink()
    assert "merge recorded" in (old.discard([], None) or "")
    assert old.path.is_dir()


@pytest.mark.parametrize("fault", ["another directory", "a link", "another name", "relative", "no text", "gone"])
def test_what_no_repair_has_kept_is_never_touched(entry: dict[str, Any], tmp_path: Path, fault: str) -> None:
    kept = Path(entry["kept"])
    if fault == "another directory":
        kept.rename(tmp_path / "aside")
        kept.mkdir()
    elif fault == "a link":
        kept.rename(tmp_path / "precious")
        kept.symlink_to(tmp_path / "precious")
    elif fault == "another name":
        entry["kept"] = str(kept.rename(tmp_path / "precious"))
    elif fault == "relative":
        entry["kept"] = kept.name
    elif fault == "no text":
        entry["kept"] = ["/"]
    else:
        entry["kept"] = str(tmp_path / ".merged.sage-fix-1-ff")
    assert backup_of(entry) is None
