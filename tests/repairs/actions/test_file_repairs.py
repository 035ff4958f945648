"""The repairs of single files: what each mends, what it refuses, and that it can be taken back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.readers.safetensors_header import read_header
from sage_doctor.repairs import repair_session
from sage_doctor.report import Report
from sage_doctor.suite.examine import examine
from tests.model_directories import (
    INDEX,
    MODEL,
    POINTER,
    WEIGHTS,
    edit_json,
    write_cached,
    write_full,
    write_json,
    write_sharded,
    write_tensors,
)
from tests.repairs.conftest import Fixer, contents

SHARD = "model-00001-of-00002.safetensors"
Break = Callable[[Fixer], Path]


def no_index(fixer: Fixer) -> Path:
    model = write_sharded(fixer.root / "model")
    (model / INDEX).unlink()
    return model


def broken_index(fixer: Fixer) -> Path:
    model = write_sharded(fixer.root / "model")
    (model / INDEX).write_text('{"weight_map": ')
    return model


def wrong_index(fixer: Fixer) -> Path:
    model = write_sharded(fixer.root / "model")
    edit_json(model / INDEX, weight_map=dict.fromkeys(WEIGHTS, SHARD), metadata={"total_size": 1, "format": "pt"})
    return model


def stale_single(fixer: Fixer) -> Path:
    model = write_sharded(fixer.root / "model")
    write_tensors(model / MODEL, WEIGHTS, fill=0.25)
    os.utime(model / MODEL, (1_600_000_000, 1_600_000_000))
    return model


def closed_weights(fixer: Fixer) -> Path:
    model = write_full(fixer.root / "model")
    (model / MODEL).chmod(0o200)
    return model


def closed_directory(fixer: Fixer) -> Path:
    model = write_full(fixer.root / "model")
    model.chmod(0o200)
    return model


def foreign_weights(fixer: Fixer) -> Path:
    model = write_full(fixer.root / "model")
    (model / MODEL).chmod(0o600)
    os.chown(model / MODEL, 12345, 12345)
    return model


def texts_for_links(fixer: Fixer) -> Path:
    no_ref(fixer)
    snapshot = Path(os.environ["HOME"]) / ".cache/huggingface/hub/models--org--name/snapshots" / ("c" * 40)
    (snapshot.parents[1] / "refs").mkdir(exist_ok=True)
    (snapshot.parents[1] / "refs" / "main").write_text("c" * 40)
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir(exist_ok=True)
    for file in sorted(snapshot.iterdir()):
        raw = file.read_bytes()
        file.unlink()
        blob = hashlib.sha256(raw).hexdigest()
        (blobs / blob).write_bytes(raw)
        file.write_text(f"../../blobs/{blob}")
    return snapshot


def index_of_another_sharding(fixer: Fixer) -> Path:
    model = write_sharded(fixer.root / "model")
    index = json.loads((model / INDEX).read_text())
    index["weight_map"] = {k: v.replace("-of-00002", "-of-00007") for k, v in index["weight_map"].items()}
    (model / INDEX).write_text(json.dumps(index))
    return model


def no_ref(fixer: Fixer) -> Path:
    write_cached(Path(os.environ["HOME"]) / ".cache/huggingface/hub", "org/name")
    (Path(os.environ["HOME"]) / ".cache/huggingface/hub/models--org--name/refs/main").unlink()
    fixer.manifest('schema = 1\n[models.m]\nkind = "full"\npath = "hf:org/name"\n')
    return fixer.root


MENDED: list[tuple[Break, str]] = [
    (no_index, "rebuild-index"),
    (broken_index, "rebuild-index"),
    (wrong_index, "rebuild-index"),
    (stale_single, "quarantine-weights"),
    (closed_weights, "fix-modes"),
    (closed_directory, "fix-modes"),
    (no_ref, "write-ref"),
    (texts_for_links, "relink-cache"),
    (index_of_another_sharding, "rebuild-index"),
]


@pytest.mark.parametrize("ill,repair", MENDED)
def test_it_is_mended_and_healthy_afterwards(fixer: Fixer, ill: Break, repair: str) -> None:
    ill(fixer)
    done = fixer()
    assert [(a.repair, a.status, a.reason) for a in done.attempts] == [(repair, "repaired", "")]
    assert done.after.exit_code == 0
    assert not done.remaining
    assert [f.code for f in done.fixed] == [done.attempts[0].finding.code]
    assert not fixer().attempts, "once is enough"


@pytest.mark.parametrize("ill,repair", MENDED)
def test_planning_and_declining_touch_nothing(fixer: Fixer, ill: Break, repair: str) -> None:
    ill(fixer)
    before = contents(fixer.root.parent / "home"), contents(fixer.root)
    assert fixer.statuses(dry_run=True) == [(repair, "planned")]
    assert fixer.statuses(yes=False) == [(repair, "declined")]
    after = contents(fixer.root.parent / "home"), contents(fixer.root)
    for one, other in zip(before, after, strict=True):
        assert {k: v for k, v in one.items() if ".cache/sage-doctor" not in k} == {
            k: v for k, v in other.items() if ".cache/sage-doctor" not in k and k != ".cache"
        } | {k: v for k, v in one.items() if k == ".cache"}
    assert not fixer.journal.path.exists()


@pytest.mark.parametrize("ill,repair", MENDED)
def test_what_the_checks_are_not_content_with_is_taken_back(
    fixer: Fixer, ill: Break, repair: str, failing_verification: Sequence[str]
) -> None:
    model = ill(fixer)
    hub = Path(os.environ["HOME"]) / ".cache/huggingface"
    before = contents(model), contents(hub)
    done = fixer()
    assert [(a.repair, a.status) for a in done.attempts] == [(repair, "rolled-back")]
    assert failing_verification
    assert (contents(model), contents(hub)) == before
    assert done.after.exit_code == done.before.exit_code
    assert [e["event"] for e in fixer.journal.entries()] == ["begun", "rolled-back"]


# -- rebuild-index ----------------------------------------------------------------------------------------------------


def test_the_index_counts_every_byte_and_the_old_one_is_kept(fixer: Fixer) -> None:
    model = wrong_index(fixer)
    old = (model / INDEX).read_bytes()
    (model / f"{INDEX}.orig").write_text("an older one")
    fixer()
    index = json.loads((model / INDEX).read_text())
    headers = {p.name: read_header(p) for p in model.glob("model-*.safetensors")}
    assert index["weight_map"] == {t: name for name, h in headers.items() for t in h.tensors}
    data = sum(p.stat().st_size - 8 - struct.unpack("<Q", p.read_bytes()[:8])[0] for p in model.glob("model-*"))
    assert index["metadata"] == {"total_size": data, "format": "pt"}
    assert (model / f"{INDEX}.orig.1").read_bytes() == old
    assert (model / f"{INDEX}.orig").read_text() == "an older one"


def test_an_index_that_is_a_link_is_replaced_and_what_it_leads_to_is_not(fixer: Fixer, tmp_path: Path) -> None:
    model = no_index(fixer)
    theirs = tmp_path / "theirs.json"
    theirs.write_text("{}")
    (model / INDEX).symlink_to(theirs)
    assert fixer.statuses() == [("rebuild-index", "repaired")]
    assert theirs.read_text() == "{}"
    assert not (model / INDEX).is_symlink()


@pytest.mark.parametrize("fault", ["missing", "truncated", "twice", "two sets", "lost"])
def test_no_index_is_made_of_shards_that_are_not_whole(fixer: Fixer, fault: str) -> None:
    model = no_index(fixer)
    if fault == "missing":
        (model / SHARD).unlink()
    elif fault == "truncated":
        (model / SHARD).write_bytes((model / SHARD).read_bytes()[:-1])
    elif fault == "twice":
        (model / SHARD).write_bytes((model / SHARD.replace("00001-", "00002-")).read_bytes())
    elif fault == "two sets":
        write_tensors(model / "model-00001-of-00001.safetensors", WEIGHTS)  # as whole as the other
    else:
        held = read_header(model / SHARD).tensors
        everywhere = {**dict.fromkeys(WEIGHTS, SHARD.replace("00001-", "00002-")), **dict.fromkeys(held, SHARD)}
        write_json(model / INDEX, {"metadata": {}, "weight_map": {**everywhere, "lost.weight": SHARD}})
    before = contents(model)
    done = fixer()
    assert not [a for a in done.attempts if a.status == "repaired"]
    assert done.after.exit_code == 1
    assert contents(model) == before


# -- quarantine-weights -----------------------------------------------------------------------------------------------


def test_the_stale_set_is_kept_under_another_name(fixer: Fixer) -> None:
    model = stale_single(fixer)
    stale = (model / MODEL).read_bytes()
    fixer()
    assert (model / f"{MODEL}.aside").read_bytes() == stale
    assert not (model / MODEL).exists()


def test_a_check_may_still_name_the_repair_by_its_old_name(fixer: Fixer, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_before(*words: Any, **options: Any) -> Report:
        report = examine(*words, **options)
        findings = [dataclasses.replace(f, fix=dataclasses.replace(f.fix, repair="put-aside")) for f in report.findings]
        return dataclasses.replace(report, findings=tuple(findings))

    stale_single(fixer)
    monkeypatch.setattr(repair_session, "examine", as_before)
    assert fixer.statuses() == [("quarantine-weights", "repaired")]


@pytest.mark.parametrize("fault", ["newer", "shard missing", "shard broken", "name taken"])
def test_nothing_is_put_aside_that_may_be_the_right_set(fixer: Fixer, fault: str) -> None:
    model = stale_single(fixer)
    if fault == "newer":
        os.utime(model / MODEL)
    elif fault == "shard missing":
        (model / SHARD).unlink()
    elif fault == "shard broken":
        (model / SHARD).write_bytes(b"")
    else:
        (model / f"{MODEL}.aside").write_text("somebody's")
    before = contents(model)
    assert ("quarantine-weights", "repaired") not in fixer.statuses()
    assert contents(model) == before


# -- fix-modes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["link", "hard link"])
def test_the_mode_of_what_lies_elsewhere_is_never_changed(fixer: Fixer, tmp_path: Path, way: str) -> None:
    model = write_full(fixer.root / "model")
    secret = tmp_path / "secret"
    (model / MODEL).rename(secret)
    secret.chmod(0o200)
    if way == "link":
        (model / MODEL).symlink_to(secret)
    else:
        os.link(secret, model / MODEL)
    done = fixer()
    assert done.after.exit_code == 1
    assert not done.attempts
    assert secret.stat().st_mode & 0o777 == 0o200


@pytest.mark.parametrize("uid", [0])
def test_private_weights_of_another_user_are_opened_to_all(fixer: Fixer, uid: int) -> None:
    if os.getuid() != uid:
        assert not fixer.plans  # only root can give a file away
        return
    model = foreign_weights(fixer)
    done = fixer()
    assert [(a.repair, a.status) for a in done.attempts] == [("fix-modes", "repaired")]
    assert (model / MODEL).stat().st_mode & 0o777 == 0o644


# -- write-ref --------------------------------------------------------------------------------------------------------


def test_the_ref_holds_the_commit_and_nothing_else(fixer: Fixer) -> None:
    no_ref(fixer)
    fixer()
    ref = Path(os.environ["HOME"]) / ".cache/huggingface/hub/models--org--name/refs/main"
    assert ref.read_bytes() == b"c" * 40


@pytest.mark.parametrize("fault", ["two", "blob gone", "truncated", "another ref", "another revision"])
def test_no_ref_is_written_where_it_may_be_wrong(fixer: Fixer, fault: str) -> None:
    no_ref(fixer)
    folder = Path(os.environ["HOME"]) / ".cache/huggingface/hub/models--org--name"
    snapshot = folder / "snapshots" / ("c" * 40)
    if fault == "two":
        (folder / "snapshots" / ("d" * 40)).mkdir()
    elif fault == "blob gone":
        (snapshot / MODEL).resolve().unlink()
    elif fault == "truncated":
        (snapshot / MODEL).write_bytes((snapshot / MODEL).read_bytes()[:-1])
    elif fault == "another ref":
        (folder / "refs" / "v1").write_text("c" * 40)
    else:
        fixer.manifest('schema = 1\n[models.m]\nkind = "full"\npath = "hf:org/name@v2"\n')
    before = contents(folder)
    done = fixer()
    assert done.after.exit_code == 1
    assert "write-ref" not in [a.repair for a in done.attempts]
    assert contents(folder) == before


# -- relink-cache -----------------------------------------------------------------------------------------------------


def test_a_link_leads_to_the_blob_of_its_own_repository(fixer: Fixer) -> None:
    snapshot = texts_for_links(fixer)
    texts = {p.name: p.read_text() for p in snapshot.iterdir()}
    fixer()
    assert {p.name: str(p.readlink()) for p in snapshot.iterdir()} == texts


@pytest.mark.parametrize("fault", ["blob gone", "blob is a link", "snapshot is a link"])
def test_no_link_is_made_where_it_may_lead_elsewhere(fixer: Fixer, fault: str) -> None:
    snapshot = texts_for_links(fixer)
    blob = snapshot.parents[1] / "blobs" / (snapshot / MODEL).read_text().rpartition("/")[2]
    if fault == "blob gone":
        blob.unlink()
    elif fault == "blob is a link":
        blob.rename(fixer.root / "elsewhere")
        blob.symlink_to(fixer.root / "elsewhere")
    else:
        snapshot.rename(fixer.root / "elsewhere")
        snapshot.symlink_to(fixer.root / "elsewhere")
    before = contents(snapshot.parents[1])
    done = fixer(dry_run=True)
    assert "relink-cache" not in [a.repair for a in done.attempts if a.status != "refused"]
    assert contents(snapshot.parents[1]) == before


# -- lfs-pull, where it cannot be -------------------------------------------------------------------------------------


def test_without_git_lfs_it_says_what_to_install(fixer: Fixer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_full(fixer.root / "clone" / "model")
    (model / MODEL).write_text(POINTER)
    (fixer.root / "clone" / ".git").mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(programs))
    done = fixer()
    assert [(a.repair, a.status, "apt install git-lfs" in a.reason) for a in done.attempts] == [
        ("lfs-pull", "refused", True)
    ]
    assert (model / MODEL).read_text() == POINTER


def test_a_pointer_outside_of_any_repository_is_not_pulled(fixer: Fixer) -> None:
    model = write_full(fixer.root / "model")
    (model / MODEL).write_text(POINTER)
    assert not fixer().attempts
