"""Weight files: there, whole, and what they are said to be."""

import json
import struct
from pathlib import Path

import pytest

from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine
from tests.model_directories import (
    INDEX,
    MODEL,
    POINTER,
    WEIGHTS,
    edit_json,
    write_full,
    write_json,
    write_sharded,
    write_tensors,
)

from .cases import Bench, Case, Cases

CASES = Cases()
SECOND = "model-00002-of-00002.safetensors"


def header(raw: bytes) -> tuple[dict[str, object], bytes]:
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


@CASES.passes("check_weights_present")
@CASES.passes("check_weights_whole")
@CASES.passes("check_weights_unambiguous")
@CASES.passes("check_weights_not_pickled")
@CASES.skips("check_shard_index", "not sharded")
@CASES.skips("check_shards_present", "not sharded")
@CASES.skips("check_shard_index_matches", "not sharded")
def whole(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_weights_present")
@CASES.passes("check_weights_whole")
@CASES.passes("check_shard_index")
@CASES.passes("check_shards_present")
@CASES.passes("check_shard_index_matches")
def sharded(bench: Bench) -> None:
    write_sharded(bench.here)


@CASES.finds("check_weights_present", "weights-missing", "no weights: no model.safetensors")
def configuration_alone(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).unlink()


@CASES.finds("check_weights_present", "weights-missing", "a loader ignores model.fp16.safetensors")
def a_variant_alone(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).rename(place / "model.fp16.safetensors")


@CASES.finds("check_weights_present", "weights-missing", "but a model for OpenVINO: openvino_model.xml; nothing")
def for_another_program(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).unlink()
    (place / "openvino_model.xml").write_text("<net/>")


@CASES.finds("check_weights_present", "weights-missing", "a loader ignores weights for torch.distributed")
def of_a_training_run(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).unlink()
    (place / "pytorch_model_fsdp_0").mkdir()


@CASES.finds("check_weights_present", "weights-missing", "config.json names other.safetensors")
def named_by_the_config(bench: Bench) -> None:
    write_full(bench.here, transformers_weights="other.safetensors")


@CASES.finds("check_weights_present", "path-dangling-symlink", "a link to")
def a_link_to_nothing(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).unlink()
    (place / MODEL).symlink_to("gone")


@CASES.finds("check_weights_present", "weights-unreadable", "a directory")
def a_directory_of_that_name(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).unlink()
    (place / MODEL).mkdir()


@CASES.finds("check_weights_present", "shard-index-missing", "2 shard(s)")
def no_index(bench: Bench) -> None:
    (write_sharded(bench.here) / INDEX).unlink()


@CASES.finds("check_shard_index", "shard-path-escape", "../elsewhere")
def index_leads_out(bench: Bench) -> None:
    edit_json(write_sharded(bench.here) / INDEX, weight_map=dict.fromkeys(WEIGHTS, "../elsewhere.safetensors"))


@CASES.finds("check_shard_index", "shard-path-escape", "is outside")
def config_leads_out(bench: Bench) -> None:
    write_full(bench.here, transformers_weights="../model.safetensors")


@CASES.finds("check_shard_index", "shard-index-invalid", f"{INDEX}:1: not valid JSON")
def index_cut_off(bench: Bench) -> None:
    (write_sharded(bench.here) / INDEX).write_text('{"metadata":')


@CASES.finds("check_shard_index", "shard-index-invalid", "has no metadata object")
def index_without_metadata(bench: Bench) -> None:
    edit_json(write_sharded(bench.here) / INDEX, drop=("metadata",))


@CASES.finds("check_shards_present", "shard-missing", f"1 of 2 shards is missing: {SECOND}")
def one_shard_gone(bench: Bench) -> None:
    (write_sharded(bench.here) / SECOND).unlink()


def test_a_shard_under_a_browsers_name_is_renamed(tmp_path: Path) -> None:
    place = write_sharded(tmp_path / "model")
    (place / SECOND).rename(place / SECOND.replace(".safetensors", " (1).safetensors"))
    found = examine(Request(targets=(str(place),), level="static", cwd=str(tmp_path))).findings
    assert [f.code for f in found if f.severity == "error"] == ["shard-missing"]
    assert found[0].fix.commands == (f"mv -n '{place}/model-00002-of-00002 (1).safetensors' {place}/{SECOND}",)


@CASES.finds("check_weights_whole", "weights-lfs-pointer", MODEL)
def pointer(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).write_text(POINTER)


@CASES.finds("check_weights_whole", "weights-not-safetensors", "HTML")
def login_page(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).write_text("<!DOCTYPE html><html><title>Sign in</title></html>")


@CASES.finds("check_weights_whole", "weights-not-safetensors", "GGUF")
def gguf(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64))


@CASES.finds("check_weights_whole", "weights-empty", "empty")
def nothing_in_it(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).write_bytes(b"")


@CASES.finds("check_weights_whole", "weights-empty", "a whole safetensors file without any tensor")
def without_tensors(bench: Bench) -> None:
    write_tensors(write_full(bench.here) / MODEL, {})


@CASES.finds("check_weights_whole", "weights-truncated", "7 ")
def cut_off(bench: Bench) -> None:
    file = write_full(bench.here) / MODEL
    file.write_bytes(file.read_bytes()[:-7])


@CASES.finds("check_weights_whole", "weights-oversized", "3 bytes longer")
def too_long(bench: Bench) -> None:
    file = write_full(bench.here) / MODEL
    file.write_bytes(file.read_bytes() + b"abc")


@CASES.finds("check_weights_whole", "weights-header-invalid", "unknown dtype")
def unknown_dtype(bench: Bench) -> None:
    file = write_full(bench.here) / MODEL
    file.write_bytes(file.read_bytes().replace(b'"F32"', b'"X32"', 1))


@CASES.finds("check_weights_whole", "weights-truncated", "and 1 more file(s) are broken")
def two_shards_cut_off(bench: Bench) -> None:
    for file in write_sharded(bench.here).glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])


@CASES.passes("check_weights_whole")
@CASES.finds("check_weights_not_pickled", "weights-pickle-only", "pytorch_model.bin", severity="warning")
def pickle_alone(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).unlink()
    (place / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + bytes(40))


@CASES.finds("check_weights_whole", "weights-not-safetensors", "a safetensors file under the name of a pickle")
def safetensors_under_a_pickles_name(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).rename(place / "pytorch_model.bin")


@CASES.finds("check_weights_whole", "weights-lfs-pointer", "pytorch_model.bin")
def pointer_to_a_pickle(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).unlink()
    (place / "pytorch_model.bin").write_text(POINTER)


@CASES.finds("check_shard_index_matches", "shard-index-mismatch", "model.norm.weight")
def index_names_another_shard(bench: Bench) -> None:
    file = write_sharded(bench.here) / INDEX
    weight_map = json.loads(file.read_text())["weight_map"]
    edit_json(file, weight_map={**weight_map, "model.norm.weight": SECOND})


@CASES.finds("check_weights_unambiguous", "weights-ambiguous", "a loader takes model.safetensors", severity="warning")
def both_forms(bench: Bench) -> None:
    write_full(write_sharded(bench.here))


@CASES.passes("check_weights_unambiguous")
def an_index_of_the_one_file(bench: Bench) -> None:
    index = {"metadata": {}, "weight_map": dict.fromkeys(WEIGHTS, MODEL)}
    write_json(write_full(bench.here) / INDEX, index)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_merged_model_is_merged_again_by_its_recipe(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_full(tmp_path / "base")
    (tmp_path / "merged").mkdir()
    write_json(tmp_path / "merged" / "config.json", {"model_type": "llama"})
    write_full(tmp_path / "adapter")
    bench.manifest(
        '[models.m]\nkind = "merged"\npath = "merged"\nmerge = { base = "b", adapter = "a" }\n'
        '[models.b]\nkind = "full"\npath = "base"\n[models.a]\nkind = "adapter"\npath = "adapter"\nbase = "b"\n',
        "m",
    )
    (found,) = bench.run("check_weights_present").findings
    assert found.code == "weights-missing"
    assert "merge" in found.fix.summary.lower()
    assert all(str(tmp_path / n) in " ".join(found.fix.commands) for n in ("base", "adapter", "merged"))
