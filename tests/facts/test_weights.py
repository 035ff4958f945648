import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.facts.weights import escapes, expected_shards, read_shard_index, read_weights
from sage_doctor.readers.tree import read_tree

EMPTY = (2).to_bytes(8, "little") + b"{}"
INDEX = json.dumps({"metadata": {}, "weight_map": {"w": "a-00001-of-00001.safetensors"}})
NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
EXPLICIT = (
    None, "other.safetensors", "absent.safetensors", "model.safetensors", "sub/x.safetensors",
    "other.safetensors.index.json", "absent.safetensors.index.json", "other.bin", "other.index.json",
    "adapter_model.bin", "", "../up.safetensors", "a/../../up.safetensors", "/etc/passwd.safetensors", "..",
)  # fmt: skip


def fill(directory: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(INDEX.encode() if name.endswith(".json") else EMPTY)


def loaders_choice(directory: Path, explicit: str | None) -> list[str] | None:
    """Return the files that from_pretrained would open, None where it refuses or opens what is not there."""
    from transformers.modeling_utils import _get_resolved_checkpoint_files

    try:
        files, _ = _get_resolved_checkpoint_files(
            str(directory),
            variant=None,
            gguf_file=None,
            use_safetensors=None,
            user_agent=None,
            is_remote_code=False,
            transformers_explicit_filename=explicit,
        )
    except (OSError, ValueError):
        return None
    assert files is not None
    names = [os.path.relpath(f, directory) for f in files]
    return names if explicit is None or names != [explicit] or (directory / explicit).is_file() else None


@pytest.mark.parametrize("explicit", EXPLICIT)
def test_every_combination_is_read_as_the_loader_reads_it(tmp_path: Path, explicit: str | None) -> None:
    for number, chosen in enumerate(itertools.product((False, True), repeat=len(NAMES))):
        directory = tmp_path / f"{number}/model"
        directory.mkdir(parents=True)
        fill(directory, tuple(itertools.compress(NAMES, chosen)))
        fill(directory, ("other.safetensors", "other.safetensors.index.json", "other.bin", "other.index.json"))
        fill(directory, ("../up.safetensors", "sub/x.safetensors", "adapter_model.bin", "model.fp16.safetensors"))
        weights = read_weights(read_tree(directory), {"transformers_weights": explicit})
        refused = weights.index is not None and (weights.index.problem or weights.index.escaping)
        ours = [f.name for f in weights.files] if weights.form != "none" and not refused else None
        assert ours == loaders_choice(directory, explicit), (explicit, chosen)


def test_names_that_are_no_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    (tmp_path / "model.safetensors.index.json").symlink_to("absent")
    fill(tmp_path, ("pytorch_model.bin",))
    weights = read_weights(read_tree(tmp_path))
    assert (weights.form, weights.entry) == ("pickle", "pytorch_model.bin")
    assert [(n, node.kind) for n, node in weights.blocked_names] == [
        ("model.safetensors", "directory"),
        ("model.safetensors.index.json", "dangling"),
    ]
    assert loaders_choice(tmp_path, None) == ["pytorch_model.bin"]


def shard(name: str, *shape: int) -> bytes:
    count = 1
    for n in shape:
        count *= n
    raw = json.dumps({name: {"dtype": "U8", "shape": shape, "data_offsets": [0, count]}}).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(count)


def test_tensors_of_all_shards(tmp_path: Path) -> None:
    names = ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"]
    (tmp_path / names[0]).write_bytes(shard("a", 2, 3))
    (tmp_path / names[1]).write_bytes(shard("b", 4))
    weight_map = {"a": names[0], "b": names[1], "c": names[2]}
    (tmp_path / NAMES[1]).write_text(json.dumps({"metadata": {"total_size": 10}, "weight_map": weight_map}))
    (tmp_path / "model.fp16.safetensors").touch()
    (tmp_path / "model.gguf").touch()
    weights = read_weights(read_tree(tmp_path))
    assert (weights.form, weights.entry, weights.present) == ("sharded", NAMES[1], (NAMES[1],))
    assert [(f.name, f.node.kind) for f in weights.files] == [
        (names[0], "file"),
        (names[1], "file"),
        (names[2], "missing"),
    ]
    assert {n: t.shape for n, t in weights.tensors().items()} == {"a": (2, 3), "b": (4,)}
    assert weights.nbytes == sum((tmp_path / n).stat().st_size for n in names[:2])
    assert weights.shards == tuple(names[:2])


def test_nothing_there(tmp_path: Path) -> None:
    weights = read_weights(read_tree(tmp_path))
    assert (weights.form, weights.entry, weights.files, weights.nbytes) == ("none", None, (), 0)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "..", "../x", "a/../../x", "a/b/../../../x", "a\\..\\..\\x", "C:\\x", "x\0.safetensors", "./../x"],
)
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    assert escapes(name)
    (tmp_path / "i.json").write_text(json.dumps({"metadata": {}, "weight_map": {"a": name, "b": "model.safetensors"}}))
    index = read_shard_index(tmp_path / "i.json")
    assert (index.escaping, index.files, index.problem) == ((name,), ["model.safetensors"], "")


@pytest.mark.parametrize("name", ["x", "a/x", "a/../x", "./x", "..x", "a..b/x", "...", "x "])
def test_names_that_stay(name: str) -> None:
    assert not escapes(name)


BAD: list[tuple[Any, str]] = [
    ({}, "it has no weight_map"),
    ({"weight_map": None}, "it has no weight_map"),
    ({"weight_map": []}, "it has a weight_map that is not an object"),
    ({"weight_map": {}}, "its weight_map is empty"),
    ({"weight_map": {"a": 1}}, "its weight_map names no file for the tensor 'a'"),
    ({"weight_map": {"a": ""}}, "its weight_map names no file for the tensor 'a'"),
    ({"weight_map": {"a": ["x"]}}, "its weight_map names no file for the tensor 'a'"),
    ([], "holds a JSON array where an object is expected"),
]


@pytest.mark.parametrize("content, problem", BAD)
def test_indexes_that_cannot_be_used(tmp_path: Path, content: Any, problem: str) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(content))
    index = read_shard_index(path)
    assert (index.problem, index.files) == (problem, [])
    assert read_weights(read_tree(tmp_path)).files == ()


def test_an_index_that_is_absent_cut_off_or_without_metadata(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    assert read_shard_index(path).problem == "missing"
    path.write_text('{\n"weight_map": {\n')
    assert (read_shard_index(path).line, read_shard_index(path).problem[:14]) == (3, "not valid JSON")
    path.write_text(json.dumps({"weight_map": {"a": "x"}, "metadata": None}))
    assert not read_shard_index(path).has_metadata
    with pytest.raises(TypeError):
        loaders_choice(tmp_path, None)


def test_shards_that_their_names_promise() -> None:
    have = (
        "model-00001-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "pytorch_model-00001-of-00001.safetensors",
    )
    assert expected_shards(have) == ["model-00002-of-00003.safetensors"]
    assert expected_shards(("model-00001-of-99999.safetensors",)) == []  # made up by an enemy: it must not cost memory
    assert expected_shards(("config.json",)) == []
