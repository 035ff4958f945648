import json
import os
from pathlib import Path

import pytest

from sage_doctor.readers.tree import find_model_directories, is_model_directory, read_tree
from sage_doctor.system.walk import MOST_DEPTH


def make(directory: Path, **files: object) -> Path:
    """Make a directory whose files hold JSON, or the text given; `__` in a name stands for a dot."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / name.replace("__", ".")).write_text(text)
    return directory


def model(directory: Path) -> Path:
    return make(directory, config__json={"model_type": "llama"}, model__safetensors="")


def found(root: Path, **bounds: int) -> list[str]:
    return [os.path.relpath(p, root) for p in find_model_directories(root, **bounds)]


MODELS: dict[str, dict[str, object]] = {
    "complete": {"config__json": {"model_type": "llama"}, "model__safetensors": ""},
    "config only": {"config__json": {"architectures": ["LlamaForCausalLM"]}},
    "weights only": {"model__safetensors": ""},
    "shard only": {"model-00001-of-00002__safetensors": ""},
    "index only": {"model__safetensors__index__json": "{}"},
    "pickle only": {"pytorch_model__bin": ""},
    "tokenizer only": {"tokenizer__json": {}},
    "sentencepiece only": {"tokenizer__model": ""},
    "adapter": {"adapter_config__json": {}},
    "adapter weights": {"adapter_model__safetensors": ""},
    "odd config beside weights": {"config__json": {"port": 1}, "model__safetensors": ""},
    "cut off config": {"config__json": '{"architectures": ["Llama'},
    "UTF-16 config": {"config__json": '\0{\0"\0m\0o\0d\0e\0l\0_\0t\0y\0p\0e'},
    "empty config": {"config__json": ""},
    "zero-filled config": {"config__json": "\0" * 100},
    "pointer": {"config__json": "version https://git-lfs.github.com/spec/v1\n"},
}
OTHERS: dict[str, dict[str, object]] = {
    "node project": {"config__json": {"port": 80}, "package__json": {}},
    "config with comments": {"config__json": '// ports\n{"port": 80}'},
    "diffusers part": {"config__json": {"_class_name": "UNet"}, "model__safetensors": ""},
    "vocabulary of something": {"vocab__txt": "", "merges__txt": "", "vocab__json": "{}"},
    "optimizer state": {"optimizer__pt": "", "training_args__bin": "", "scheduler__pt": ""},
    "texts": {"README__md": "model_type"},
}


@pytest.mark.parametrize("what", MODELS)
def test_is_one(tmp_path: Path, what: str) -> None:
    assert is_model_directory(read_tree(make(tmp_path / "m", **MODELS[what])))


@pytest.mark.parametrize("what", OTHERS)
def test_is_none(tmp_path: Path, what: str) -> None:
    assert not is_model_directory(read_tree(make(tmp_path / "m", **OTHERS[what])))


def test_a_config_that_is_a_pipe_or_leads_nowhere(tmp_path: Path) -> None:
    os.mkfifo(make(tmp_path / "pipe") / "config.json")
    (make(tmp_path / "snapshot") / "config.json").symlink_to("../../blobs/0123")
    assert found(tmp_path) == ["snapshot"]


def test_parents_first_and_sorted(tmp_path: Path) -> None:
    for name in ("b", "a/checkpoint-10", "a", "a/checkpoint-9", "c/deep/er/model", "B"):
        model(tmp_path / name)
    expected = ["B", "a", "a/checkpoint-10", "a/checkpoint-9", "b", "c/deep/er/model"]
    assert found(tmp_path) == expected
    model(tmp_path)
    assert found(tmp_path) == [".", *expected]


def test_hub_cache(tmp_path: Path) -> None:
    repo = tmp_path / "hub/models--org--name"
    (make(repo / "blobs") / "0123").write_text(json.dumps({"model_type": "llama"}))
    model(repo / "blobs/never-looked-at")
    snapshot = make(repo / "snapshots/abc")
    (snapshot / "config.json").symlink_to("../../blobs/0123")
    make(repo / "refs", main="abc")
    assert found(tmp_path) == ["hub/models--org--name/snapshots/abc"]


def test_diffusers_pipeline_is_passed_over_with_its_parts(tmp_path: Path) -> None:
    make(tmp_path / "sd", model_index__json={})
    model(tmp_path / "sd/text_encoder")
    make(tmp_path / "sd/tokenizer", tokenizer__json={})
    assert found(tmp_path) == []


def test_parts_of_sentence_transformers_belong_to_their_model(tmp_path: Path) -> None:
    make(model(tmp_path / "minilm"), modules__json=[])
    make(tmp_path / "minilm/1_Pooling", config__json={"word_embedding_dimension": 384})
    make(tmp_path / "minilm/2_Dense", config__json={"in_features": 384}, model__safetensors="")
    make(tmp_path / "old", modules__json=[])
    model(tmp_path / "old/0_Transformer")
    assert found(tmp_path) == ["minilm", "old/0_Transformer"]


def test_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    model(outside / "model")
    model(outside / "group/inner")
    inside = tmp_path / "inside"
    model(inside / "real")
    links = {"again": "real", "linked": "../outside/model", "twin": "../outside/model", "group": "../outside/group",
             "up": "..", "self": "self", "here": ".", "dangling": "nowhere"}  # fmt: skip
    for name, target in links.items():
        (inside / name).symlink_to(target)
    # each once; what lies behind a link to a mere folder is somebody else's
    assert found(inside) == ["real", "linked"]


def test_passed_over(tmp_path: Path) -> None:
    hidden = (".git", ".cache", "._____temp", ".hf_metadata", ".ipynb_checkpoints")
    for name in (*hidden, "node_modules", "venv/lib/python3/site-packages", "__pycache__"):
        model(tmp_path / name / "model")
    assert found(tmp_path) == []
    assert found(tmp_path / ".cache") == ["model"]  # unless it is what was asked for


def test_names_that_are_not_utf_8_or_hold_newlines(tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9"), "line\nbreak", "esc\x1b[31m", "模型"]
    for name in names:
        model(tmp_path / name)
    assert sorted(found(tmp_path)) == sorted(names)
    assert found(tmp_path) == sorted(names)


def test_what_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert found(tmp_path / "absent") == []
    assert found(tmp_path / "file") == []
    assert read_tree(tmp_path / "absent").problem == "no such file or directory"
    assert read_tree(tmp_path / "file").problem == "not a directory"
    assert read_tree(Path("/proc/self/fdinfo")).problem == ""


def test_a_directory_without_rights_hides_nothing_else(tmp_path: Path) -> None:
    model(tmp_path / "open")
    model(tmp_path / "shut").chmod(0)
    held = [p for p in tmp_path.parents if p.name.startswith(("pytest-", "popen-"))]
    for p in (tmp_path, *held):
        p.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        seen = found(tmp_path)
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "shut").chmod(0o700)
    assert seen == ["open"]


def test_bounds(tmp_path: Path) -> None:
    for number in range(10):
        model(tmp_path / f"{number}")
    assert found(tmp_path, most_directories=4) == ["0", "1", "2"]  # the root is one of the four
    deepest = tmp_path.joinpath("deep", *["d"] * (MOST_DEPTH - 1))
    model(deepest)
    model(deepest / "too-deep")
    assert [p for p in found(tmp_path) if p.startswith("deep")] == [os.path.relpath(deepest, tmp_path)]


def test_thousands_of_files(tmp_path: Path) -> None:
    for folder in range(60):
        directory = make(tmp_path / f"{folder:02}")
        for number in range(100):
            (directory / f"{number}.txt").touch()
    model(tmp_path / "59/model")
    assert found(tmp_path) == ["59/model"]


def test_tree(tmp_path: Path) -> None:
    make(tmp_path, a__json="", b__json="")
    (tmp_path / "dangling.json").symlink_to("nowhere")
    tree = read_tree(tmp_path)
    assert tree.has("dangling.json")
    assert not tree.is_file("dangling.json")
    assert tree.is_file("a.json")
    assert not tree.is_file("c.json")
    assert tree.matching(r"[ab]\.json") == ["a.json", "b.json"]
    assert tree.matching("a") == []
    assert tree.info("dangling.json").kind == "dangling"


def test_parts_for_other_programs_belong_to_the_model_above(tmp_path: Path) -> None:
    model(tmp_path / "llama")
    make(tmp_path / "llama/original", params__json={}, tokenizer__model="")
    make(tmp_path / "llama/onnx", config__json={"model_type": "llama"}, tokenizer__json={})
    model(tmp_path / "llama/checkpoint-1")
    make(tmp_path / "pipeline/tokenizer", tokenizer__json={})
    make(tmp_path / "tokenizer-only", tokenizer__json={})
    assert found(tmp_path) == ["llama", "llama/checkpoint-1", "tokenizer-only"]


def test_what_the_cache_remembers_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path / "models--a--b/.no_exist/abc", adapter_config__json="", config__json="")
    make(tmp_path / "datasets--a--b/snapshots/abc", tokenizer__json={})
    model(tmp_path / "models--a--b/snapshots/abc")
    assert found(tmp_path) == ["models--a--b/snapshots/abc"]


def test_a_model_of_modules_alone(tmp_path: Path) -> None:
    make(tmp_path / "static", modules__json=[{"path": "0_StaticEmbedding"}])
    make(tmp_path / "static/0_StaticEmbedding", tokenizer__json={}, model__safetensors="")
    assert found(tmp_path) == ["static"]
