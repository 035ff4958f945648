"""One answer to "is this model whole?", by its directory alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.facts.wholeness import Defect, directory_defects, summary
from sage_doctor.readers.tree import read_tree
from tests.model_directories import ADAPTER, INDEX, MODEL, edit_json, write_adapter, write_full, write_sharded

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d" * 32 + "\nsize 840\n"
SHARD = "model-00001-of-00002.safetensors"


def defects(place: Path) -> list[tuple[str, str]]:
    return [(d.kind, d.message) for d in directory_defects(read_tree(place))]


def test_whole_directories_have_no_defect(tmp_path: Path) -> None:
    assert defects(write_full(tmp_path / "one")) == []
    assert defects(write_sharded(tmp_path / "shards")) == []
    assert defects(write_adapter(tmp_path / "adapter", "org/base")) == []
    pickled = write_full(tmp_path / "pickled")
    (pickled / MODEL).unlink()
    (pickled / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + bytes(40))
    assert defects(pickled) == []


Harm = Callable[[Path], object]


@pytest.mark.parametrize(
    "harm, expected",
    [
        (lambda d: (d / MODEL).unlink(), ("no-weights", "the weights are missing")),
        (lambda d: (d / "config.json").unlink(), ("config", "config.json is missing")),
        (lambda d: (d / "config.json").write_text("["), ("config", "config.json cannot be used: ")),
        (lambda d: (d / MODEL).write_text(POINTER), ("file-broken", f"{MODEL} is broken: a Git LFS pointer")),
        (lambda d: (d / MODEL).write_bytes(b""), ("file-broken", f"{MODEL} is broken: empty")),
    ],
)
def test_a_full_model(tmp_path: Path, harm: Harm, expected: tuple[str, str]) -> None:
    place = write_full(tmp_path / "m")
    harm(place)
    ((kind, message),) = defects(place)
    assert kind == expected[0]
    assert message.startswith(expected[1])


@pytest.mark.parametrize(
    "harm, expected",
    [
        (lambda d: (d / SHARD).unlink(), ("file-missing", f"{SHARD} is missing")),
        (lambda d: (d / INDEX).write_text("{}"), ("index", f"{INDEX} cannot be used: it has no weight_map")),
        (
            lambda d: edit_json(d / INDEX, weight_map={"a": "../away.safetensors"}),
            ("index", f"{INDEX} cannot be used: it names files outside of the directory: ../away.safetensors"),
        ),
    ],
)
def test_shards(tmp_path: Path, harm: Harm, expected: tuple[str, str]) -> None:
    place = write_sharded(tmp_path / "m")
    harm(place)
    assert defects(place) == [expected]


def test_tensors_that_only_the_index_knows(tmp_path: Path) -> None:
    place = write_sharded(tmp_path / "m")
    index = json.loads((place / INDEX).read_text())
    edit_json(place / INDEX, weight_map={**index["weight_map"], "model.extra": SHARD})
    assert defects(place) == [("tensors-missing", f"{INDEX} names tensors that no file holds: model.extra")]


def test_a_link_to_nothing_says_where_it_leads(tmp_path: Path) -> None:
    place = write_sharded(tmp_path / "m")
    (place / SHARD).unlink()
    (place / SHARD).symlink_to("gone")
    assert defects(place) == [("file-missing", f"{SHARD} is missing: a link to gone, which is not there")]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin"])
def test_a_pointer_in_place_of_a_pickle_is_no_weights(tmp_path: Path, name: str) -> None:
    is_adapter = name.startswith("adapter")
    place = write_adapter(tmp_path / "m", "org/base") if is_adapter else write_full(tmp_path / "m")
    (place / (ADAPTER if is_adapter else MODEL)).unlink()
    (place / name).write_text(POINTER)
    assert [kind for kind, _ in defects(place)] == ["file-broken"]


def test_an_adapter(tmp_path: Path) -> None:
    place = write_adapter(tmp_path / "a", "org/base")
    (place / ADAPTER).unlink()
    assert defects(place) == [("no-weights", "the adapter's weights are missing")]
    (place / "adapter_model.bin").symlink_to("gone")
    assert [kind for kind, _ in defects(place)] == ["file-missing"]
    (place / "adapter_config.json").write_text("")
    assert [kind for kind, _ in defects(place)] == ["config", "file-missing"]


def test_a_summary_names_the_first_and_counts_the_others() -> None:
    first = Defect(kind="file-missing", message="a is missing")
    assert summary([]) == ""
    assert summary([first]) == "a is missing"
    assert summary([first, first, first]) == "a is missing (and 2 more)"
