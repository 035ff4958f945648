"""The snapshot of what a run examined, and what is said to differ between two."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.history.differences import changes_since
from sage_doctor.history.snapshot import ModelState, Snapshot, digest, take
from sage_doctor.report import Change
from sage_doctor.subjects.selection import Request, select
from sage_doctor.system.fingerprint import Fingerprint
from sage_doctor.system.mounts import DeclaredMount, Mount, MountTable
from tests.model_directories import MODEL, write_adapter, write_full

from .runs import SNAPSHOT


@pytest.fixture
def look(tmp_path: Path) -> object:
    base = write_full(tmp_path / "zoo/base")
    write_adapter(tmp_path / "zoo/adapter", base)
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[models.m]\nkind = "full"\npath = "zoo/base"\nbudget = { load_s = 30 }\n'
        '[models.a]\nkind = "adapter"\npath = "zoo/adapter"\n[models.gone]\nkind = "full"\npath = "zoo/gone"\n'
    )

    def taken(*targets: str, deadline: float | None = None) -> Snapshot | None:
        request = Request(targets=targets, cwd=str(tmp_path), level="static")
        return take(select(request, {"HOME": str(tmp_path)}), deadline=deadline)

    return taken


def taken(look: object, **rest: float) -> Snapshot:
    assert callable(look)
    found = look(**rest)
    assert isinstance(found, Snapshot)
    return found


def told(before: Snapshot, after: Snapshot, *unhealthy: str) -> list[tuple[str, str, str | None, str | None]]:
    return [(c.subject, c.what, c.before, c.after) for c in changes_since(before, after, unhealthy)]


def test_a_snapshot_is_complete_and_the_same_twice(look: object, tmp_path: Path) -> None:
    found = taken(look)
    assert found == replace(taken(look), disk_free=found.disk_free)  # others write to the disk meanwhile
    assert list(found.models) == ["m", "a", "gone"]
    assert set(found.models["m"].files) == set(os.listdir(tmp_path / "zoo/base"))
    assert found.models["m"].nbytes == sum(p.stat().st_size for p in (tmp_path / "zoo/base").iterdir())
    assert found.models["m"].budget == {"load_s": 30}
    assert not found.models["gone"].found
    assert found.packages is not None
    assert "pytest" not in found.packages  # only what sessions load models with
    assert found.system["kernel"] == os.uname().release
    assert found.disk_free is not None
    bodies = {digest(m.body()): m.body() for m in found.models.values()}
    assert Snapshot.from_body(found.body(), bodies, found.disk_free) == found


def test_directories_without_a_manifest_have_none(look: object, tmp_path: Path) -> None:
    assert callable(look)
    (tmp_path / "sage-doctor.toml").unlink()
    assert look("./zoo") is None


def test_a_base_without_a_name_of_its_own_belongs_to_the_snapshot(look: object, tmp_path: Path) -> None:
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[models.a]\nkind = "adapter"\npath = "zoo/adapter"\nbase = "./zoo/base"\n'
    )
    assert [m.path for m in taken(look).models.values()] == [str(tmp_path / "zoo/adapter"), str(tmp_path / "zoo/base")]


def test_after_the_deadline_an_interpreter_is_not_waited_for(look: object) -> None:
    late = taken(look, deadline=time.monotonic() - 1)
    assert (late.interpreter, late.packages) == (None, None)
    assert told(taken(look), late) == []  # what is not known is no difference


def test_files_that_went_came_and_changed_are_named(look: object, tmp_path: Path) -> None:
    before = taken(look)
    model = tmp_path / "zoo/base"
    (model / MODEL).unlink()
    (model / "extra.json").write_text("{}")
    (model / "sub/deeper").mkdir(parents=True)
    (model / "sub/in-it.json").write_text("{}")
    (model / "sub/deeper/too-deep.json").write_text("{}")
    (model / ".hidden").write_text("")
    (model / "nowhere").symlink_to("nothing")
    (model / "config.json").write_text("{}")
    os.utime(model / "config.json", (0, 0))
    shutil.copy2(model / "tokenizer.json", model / "copy")
    os.replace(model / "copy", model / "tokenizer.json")
    changes = {what: (was, now) for subject, what, was, now in told(before, taken(look)) if subject == "m"}
    assert next(iter(changes)) == f"file {MODEL}"
    assert set(changes) == {
        f"file {n}" for n in (MODEL, "extra.json", "sub/in-it.json", "config.json", "tokenizer.json")
    }
    assert changes[f"file {MODEL}"][1] is None
    assert changes["file extra.json"][0] is None
    assert changes["file config.json"][1] == "2 bytes of 1970-01-01 00:00:00 UTC"
    was, now = changes["file tokenizer.json"]
    assert now == f"{was}, replaced"


def test_a_file_rewritten_in_place_whose_date_was_set_back_is_named(look: object, tmp_path: Path) -> None:
    path = tmp_path / "zoo/base" / MODEL
    before, status = taken(look), path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    was, now = next((b, a) for _, what, b, a in told(before, taken(look)) if what == f"file {MODEL}")
    assert now == f"{was}, rewritten or renamed"


def test_a_file_of_another_mode_is_named(look: object, tmp_path: Path) -> None:
    path = tmp_path / "zoo/base" / MODEL
    path.chmod(0o644)
    before = taken(look)
    path.chmod(0o600)
    was, now = next((b, a) for _, what, b, a in told(before, taken(look)) if what == f"file {MODEL}")
    assert now == f"{was}, mode 644 → 600"


def test_what_an_older_version_did_not_write_down_is_no_difference() -> None:
    state = ModelState(path="/zoo/m", found=True, files={"f": Fingerprint(5, 10**18, 3, 7, 0o100644)})
    body = state.body().replace("[5,1000000000000000000,3,7,33188]", "[5,1000000000000000000,7]")
    old = ModelState.from_body(body)
    assert old != state
    before, after = (replace(SNAPSHOT, models={"m": s}) for s in (old, state))
    assert changes_since(before, after) == ()
    other = replace(state, files={"f": Fingerprint(5, 10**18, 3, 8, 0o100644)})
    assert [c.what for c in changes_since(before, replace(SNAPSHOT, models={"m": other}))] == ["file f"]


def test_a_directory_that_is_gone_is_one_change(look: object, tmp_path: Path) -> None:
    before = taken(look)
    shutil.rmtree(tmp_path / "zoo/base")
    changes = told(before, taken(look))
    assert ("m", "directory", str(tmp_path / "zoo/base"), None) in changes
    assert [c for c in changes if c[0] == "m" and c[1].startswith("file")] == []


def test_a_directory_on_a_disk_that_is_not_mounted_is_said_to_be_there(
    look: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = taken(look)
    shutil.rmtree(tmp_path / "zoo/base")
    disk = DeclaredMount(point=str(tmp_path / "zoo"), source="/dev/sdb1", told_by="/etc/fstab")
    table = MountTable(mounted=(Mount(point="/", kind="ext4", source="/dev/sda1"),), declared=(disk,))
    monkeypatch.setattr("sage_doctor.history.differences.read_mounts", lambda: table)
    changes = told(before, taken(look))
    assert ("m", "directory", str(tmp_path / "zoo/base"), "its disk is not mounted") in changes


def test_a_model_that_moved_is_not_told_file_by_file(look: object, tmp_path: Path) -> None:
    (tmp_path / "zoo/adapter/adapter_config.json").write_text("{}")  # it would go on asking for the old place
    before = taken(look)
    shutil.copytree(tmp_path / "zoo/base", tmp_path / "zoo/moved")
    text = (tmp_path / "sage-doctor.toml").read_text().replace('"zoo/base"', '"zoo/moved"').replace("30", "20")
    (tmp_path / "sage-doctor.toml").write_text(text)
    assert told(before, taken(look)) == [
        ("m", "path", str(tmp_path / "zoo/base"), str(tmp_path / "zoo/moved")),
        ("m", "budget load_s", "30", "20"),
        ("machine", "manifest changed", None, None),
    ]


def test_the_machine_and_its_packages() -> None:
    after = replace(
        SNAPSHOT,
        boot_id="second",
        system={"kernel": "6.8.13-tegra", "Jetson Linux": "36.4.3"},
        memory_bytes=64_000_000_000,
        python="3.12.1",
        packages={"transformers": "5.23.0", "torch": "2.13.0", "peft": "0.21.2"},
        manifest="b" * 64,
        doctor="9.9",
        disk_free=1_000_000_000,
    )
    assert told(SNAPSHOT, after) == [
        ("machine", "python", "3.11.0", "3.12.1"),
        ("machine", "transformers", "4.57.1", "5.23.0"),
        ("machine", "peft", None, "0.21.2"),
        ("machine", "rebooted", None, None),
        ("machine", "kernel", "6.8.12-tegra", "6.8.13-tegra"),
        ("machine", "driver", "580.00", None),
        ("machine", "Jetson Linux", None, "36.4.3"),
        ("machine", "memory", "131.0 GB", "64.0 GB"),
        ("machine", "free disk", "500.0 GB", "1.0 GB"),
        ("machine", "manifest changed", None, None),
        ("machine", "sage-doctor", SNAPSHOT.doctor, "9.9"),
    ]
    assert changes_since(SNAPSHOT, SNAPSHOT) == ()


def test_an_interpreter_that_no_longer_answers_is_one_change() -> None:
    after = replace(SNAPSHOT, interpreter_problem="missing", python=None, packages=None)
    assert told(SNAPSHOT, after) == [("machine", "interpreter", "answers", "missing")]


def test_small_drifts_are_no_change() -> None:
    after = replace(SNAPSHOT, memory_bytes=130_900_000_000, disk_free=240_000_000_000)
    assert told(SNAPSHOT, after) == []


def test_ill_models_come_first_and_many_files_are_counted() -> None:
    files = {f"f{n:03}": Fingerprint(n, n, n, n, n) for n in range(50)}
    state = ModelState(path="/zoo/z", found=True, files=files)
    before = replace(SNAPSHOT, models={"a": state, "z": state, "new": state})
    after = replace(SNAPSHOT, models={"a": replace(state, budget={"load_s": 3.0}), "z": replace(state, files={})})
    changes = changes_since(before, after, ["z"])
    assert changes[0] == Change(subject="z", what="file f000", before="0 bytes of 1970-01-01 00:00:00 UTC")
    assert changes[20] == Change(subject="z", what="30 more files changed")
    assert changes[21:] == (
        Change(subject="a", what="budget load_s", after="3"),
        Change(subject="new", what="model", before="/zoo/z"),
    )
