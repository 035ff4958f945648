"""The models against the lock."""

from pathlib import Path

import pytest

from sage_doctor.lock import LOCK_NAME
from sage_doctor.lock.comparison import compare
from sage_doctor.lock.entry import LockedModel, lock_text
from sage_doctor.subjects.declared import models_of
from tests.model_directories import MODEL, WEIGHTS, edit_json, write_adapter, write_full, write_tensors
from tests.other_hosts import load_manifest

from .cases import Bench, Case, Cases

CASES = Cases()


def locked(bench: Bench, *names: str) -> None:
    """Write the lock of these models as they are now."""
    manifest = load_manifest(
        bench.root / "sage-doctor.toml", environ={}, hostname="x", device_tree=None, home=bench.root / "home"
    )
    models = models_of(manifest)
    found = compare([models[n] for n in names or models], {}, cache=None)
    entries: dict[str, LockedModel] = {f.name: f.now for f in found if f.now is not None}
    (bench.root / LOCK_NAME).write_text(lock_text(entries), encoding="utf-8")


def one_model(bench: Bench) -> Path:
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")
    return write_full(bench.here)


def adapter_on_a_base(bench: Bench) -> Path:
    base = write_full(bench.root / "base")
    write_adapter(bench.here, base)
    bench.manifest('[models.a]\nkind = "adapter"\npath = "here"\n', "a")
    return base


@CASES.passes("check_lock")
def as_locked(bench: Bench) -> None:
    one_model(bench)
    locked(bench)


@CASES.skips("check_lock", "no sage-doctor.lock beside")
def without_a_lock(bench: Bench) -> None:
    one_model(bench)


@CASES.skips("check_lock", "does not have it")
def not_in_the_lock(bench: Bench) -> None:
    one_model(bench)
    (bench.root / LOCK_NAME).write_text("schema = 1\n")


@CASES.skips("check_lock", "not a model of a manifest")
def a_directory_alone(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_lock", "weights-drift", "with other numbers")
def other_numbers(bench: Bench) -> None:
    place = one_model(bench)
    locked(bench)
    write_tensors(place / MODEL, WEIGHTS, fill=0.25)


@CASES.finds("check_lock", "config-drift", "config.json differs", severity="warning")
def another_configuration(bench: Bench) -> None:
    place = one_model(bench)
    locked(bench)
    edit_json(place / "config.json", rope_theta=5.0)


@CASES.finds("check_lock", "base-drift", "the base it is loaded onto has other weights")
def another_base_behind_the_same_name(bench: Bench) -> None:
    base = adapter_on_a_base(bench)
    locked(bench)
    write_tensors(base / MODEL, WEIGHTS, fill=0.25)


@CASES.passes("check_lock")
def a_base_with_an_entry_of_its_own_tells_for_itself(bench: Bench) -> None:
    base = adapter_on_a_base(bench)
    bench.manifest('[models.a]\nkind="adapter"\npath="here"\nbase="b"\n[models.b]\nkind="full"\npath="base"\n', "a")
    locked(bench)
    write_tensors(base / MODEL, WEIGHTS, fill=0.25)


@CASES.passes("check_hashes")
def the_lock_is_a_record_too(bench: Bench) -> None:
    one_model(bench)
    locked(bench)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_broken_lock_is_unknown_and_never_healthy(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    one_model(bench)
    (tmp_path / LOCK_NAME).write_text("schema = 1\n[models.m\n")
    result = bench.run("check_lock").result
    assert result.status == "error"
    assert f"{LOCK_NAME}:2: " in (result.reason or "")
