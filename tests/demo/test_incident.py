import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.demo import incident
from sage_doctor.errors import UsageError
from sage_doctor.manifest.specs import Manifest


def test_merged_model_has_everything_but_its_weights(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.write_incident(tmp_path, hollow_model)
    there = {f.name for f in it.merged.iterdir()}
    assert {f.name for f in hollow_model.iterdir()} - there == {"model.safetensors"}


def test_adapter_names_a_base_that_exists_nowhere(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.write_incident(tmp_path, hollow_model)
    named = json.loads((it.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == "./fine_tuned_model/final_model"
    assert not [d for d in (it.root, it.adapter, Path.cwd()) if (d / named).exists()]
    assert (it.adapter / "tokenizer.json").is_file()


def test_base_is_a_copy_that_may_be_broken_without_harm(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.write_incident(tmp_path, hollow_model)
    (it.base / "model.safetensors").write_text("broken")
    assert (hollow_model / "model.safetensors").read_text() == "model.safetensors of the base\n"
    assert not [f for f in it.root.rglob("*") if f.is_symlink()]


def test_runners_carry_the_paths_they_failed_with(tmp_path: Path, hollow_model: Path) -> None:
    primary, anchored = incident.write_incident(tmp_path, hollow_model).runners
    assert '"/home/sprout/' in primary.read_text()
    assert "/home/sprout/" not in anchored.read_text()


def test_manifest_is_one_the_doctor_reads_and_says_where_everything_lies(
    tmp_path: Path, hollow_model: Path, as_thor: Callable[[Path], Manifest]
) -> None:
    it = incident.write_incident(tmp_path, hollow_model)
    manifest = as_thor(it.manifest)
    assert {name: model.path.path for name, model in manifest.models.items()} == {
        incident.MERGED: it.merged,
        incident.ADAPTER: it.adapter,
        "smollm2": it.base,
    }
    assert manifest.models[incident.ADAPTER].base is None
    assert manifest.roles["raising"].models == (incident.MERGED,)
    assert manifest.machine is not None
    assert manifest.machine.name == "thor"
    assert manifest.machines["sprout"].home == "/home/sprout"


def test_what_lies_there_already_is_left_alone(tmp_path: Path, hollow_model: Path) -> None:
    theirs = tmp_path / "thor" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    with pytest.raises(UsageError, match="exists already\n  next: "):
        incident.write_incident(tmp_path, hollow_model)
    assert [f.name for f in theirs.parent.iterdir()] == ["notes.txt"]
