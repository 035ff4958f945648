import shutil
from pathlib import Path

import pytest

from sage_doctor.lock.entry import LockedModel, weights_digest
from sage_doctor.lock.record import record_models
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.subjects.completeness import why_not_whole
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model, ModelKind
from tests.model_directories import (
    MODEL,
    WEIGHTS,
    write_adapter,
    write_cached,
    write_full,
    write_json,
    write_sharded,
    write_tensors,
)


def at(place: Path, kind: ModelKind = "full", name: str = "m", others: dict[str, Model] | None = None) -> Model:
    host = Host(cwd=place.parent, home=place.parent, environ={"HF_HUB_CACHE": str(place.parent / "hub")})
    reference = ModelPath(text=str(place), path=place)
    return Model(name=name, kind=kind, host=host, reference=reference, siblings=others or {})


def recorded(model: Model) -> LockedModel:
    (entry,) = record_models([model], cache=None).values()
    assert isinstance(entry, LockedModel)
    return entry


def test_an_entry_is_the_same_wherever_the_model_lies(tmp_path: Path) -> None:
    here = write_full(tmp_path / "here")
    there = shutil.copytree(here, tmp_path / "elsewhere" / "there")
    assert recorded(at(here)) == recorded(at(there))


def test_only_what_decides_what_the_model_says_is_recorded(tmp_path: Path) -> None:
    place = write_full(tmp_path / "m")
    for name in ("README.md", "optimizer.pt", "trainer_state.json", RECORD, "training_args.bin"):
        (place / name).write_text("{}")
    (place / "modeling_x.py").write_text("")
    assert set(recorded(at(place)).files) == {
        *("config.json", MODEL, "modeling_x.py", "tokenizer.json", "tokenizer_config.json")
    }


def test_the_header_says_names_types_and_shapes_and_no_numbers(tmp_path: Path) -> None:
    place = write_full(tmp_path / "m")
    before = recorded(at(place))
    write_tensors(place / MODEL, dict(reversed(list(WEIGHTS.items()))), fill=0.25)
    after = recorded(at(place))
    assert before.tensors == after.tensors
    assert before.weights != after.weights
    write_tensors(place / MODEL, {**WEIGHTS, "more.weight": (2, 2)})
    more = recorded(at(place)).tensors
    assert before.tensors is not None
    assert more is not None
    assert (before.tensors.count, more.count) == (3, 4)
    assert before.tensors.shapes != more.shapes


def test_shards_hold_the_same_tensors(tmp_path: Path) -> None:
    one, two = recorded(at(write_full(tmp_path / "one"))), recorded(at(write_sharded(tmp_path / "two")))
    assert one.tensors == two.tensors
    assert len(two.weight_files) == 2
    assert "model.safetensors.index.json" in two.files


def test_an_adapter_carries_its_base(tmp_path: Path) -> None:
    base = write_full(tmp_path / "base")
    models: dict[str, Model] = {}
    models["b"] = at(base, name="b", others=models)
    adapter = at(write_adapter(tmp_path / "a", base), "adapter", "a", models)
    entry = recorded(adapter).base
    assert entry is not None
    assert (entry.declared, entry.model) == (str(base), "b")
    assert entry.weights == recorded(models["b"]).weights


def test_an_adapter_without_its_base_is_recorded_without_one(tmp_path: Path) -> None:
    adapter = at(write_adapter(tmp_path / "a", "./gone/x"), "adapter")
    assert not why_not_whole(adapter)
    entry = recorded(adapter).base
    assert entry is not None
    assert (entry.declared, entry.model, entry.weights) == ("./gone/x", None, None)


def test_a_merged_model_carries_what_it_was_made_from(tmp_path: Path) -> None:
    place = write_full(tmp_path / "m")
    sums = {
        "/z/b/model.safetensors": "1" * 64,
        "/z/b/config.json": "2" * 64,
        "/z/a/adapter_model.safetensors": "3" * 64,
    }
    inputs = [{"path": p, "bytes": 1, "sha256": s} for p, s in sums.items()]
    write_json(place / RECORD, {"base": {"path": "/z/b"}, "adapter": {"path": "/z/a"}, "inputs": inputs})
    entry = recorded(at(place, "merged")).merge
    assert entry is not None
    assert (entry.base_weights, entry.adapter_weights) == (weights_digest(["1" * 64]), weights_digest(["3" * 64]))


@pytest.mark.parametrize(
    "record", [{}, {"base": 3}, {"base": {"path": "/z"}, "inputs": {}}, {"inputs": [1, {"path": 3}]}]
)
def test_a_record_that_says_nothing_of_use_is_no_origin(tmp_path: Path, record: dict[str, object]) -> None:
    place = write_full(tmp_path / "m")
    write_json(place / RECORD, record)
    assert recorded(at(place, "merged")).merge is None


def test_a_cached_model_carries_its_commit(tmp_path: Path) -> None:
    write_cached(tmp_path / "hub", "org/name")
    model = at(tmp_path / "unused")
    model.reference = ModelPath(text="hf:org/name", hub="org/name")
    entry = recorded(model)
    assert (entry.repository, entry.commit) == ("org/name", "c" * 40)
