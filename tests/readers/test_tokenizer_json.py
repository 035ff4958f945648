import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from sage_doctor.readers.tokenizer_json import TokenizerJson, read_tokenizer_json


def write(path: Path, **model: object) -> Path:
    path.write_text(json.dumps({"model": model, "added_tokens": [{"id": 3, "content": "<end>"}]}), encoding="utf-8")
    return path


def test_the_highest_id_is_in_the_vocabulary_or_among_the_added_tokens(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", type="BPE", vocab={"x": 0, "xy": 1, "y": 9}, merges=["x y"])
    assert read_tokenizer_json(path) == TokenizerJson(highest_id=9, highest_token="y", highest_plain=9)
    path = write(tmp_path / "b.json", type="WordLevel", vocab={"x": 0})
    assert read_tokenizer_json(path) == TokenizerJson(highest_id=3, highest_token="<end>", highest_plain=3)
    path = write(tmp_path / "c.json", type="Unigram", vocab=[["x", 0.0], ["y", -1.0], ["z", 0], ["w", 0], ["v", 0]])
    assert read_tokenizer_json(path) == TokenizerJson(highest_id=4, highest_token="v", highest_plain=4)


def test_merges_as_pairs_are_told(tmp_path: Path) -> None:
    assert read_tokenizer_json(write(tmp_path / "a.json", vocab={"x": 0, "xx": 1}, merges=[["x", "x"]])).merges_as_pairs


@pytest.mark.parametrize(
    "merges",
    [
        [], ["a b"], ["#version: 0.2", "a b"], [["a", "b"]], ["a b b"], ["ab"], ["a  b"], [["a", "b", "c"]], [["ab"]],
        ["a b", ["a", "b"]], [["a", "b"], "a b"], ["a z"], ["b a"], [["b", "a"]], [1], [["a", " b"]], [["a", None]],
    ],
    ids=repr,
)  # fmt: skip
def test_merges_are_refused_where_the_library_refuses_them(tmp_path: Path, merges: list[Any]) -> None:
    vocab = {"a": 0, "b": 1, "ab": 2, " b": 3, "a b": 4}
    path = write(tmp_path / "a.json", type="BPE", vocab=vocab, merges=merges)
    value = json.loads(path.read_text())
    try:
        tokenizers.Tokenizer.from_str(json.dumps({"version": "1.0", **value, "added_tokens": []}))
        refused = False
    except Exception:  # noqa: BLE001 (the library raises nothing narrower)
        refused = True
    assert bool(read_tokenizer_json(path).problem) == refused


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    assert read_tokenizer_json(path).problem == "not there"
    path.write_text('{"model": {"type": "Magic", "vocab": {}}}', encoding="utf-8")
    assert "'Magic'" in read_tokenizer_json(path).problem
    path.write_text('{"model": \n{"type"', encoding="utf-8")
    broken = read_tokenizer_json(path)
    assert broken.line == 2
    assert "JSON" in broken.problem
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8")
    assert read_tokenizer_json(path).lfs_pointer


def test_large_contents_are_remembered_by_what_they_are(tmp_path: Path) -> None:
    cache = tmp_path / "cache/tokenizers.json"
    vocab = {f"token-{tmp_path.name}-{n}": n for n in range(20_000)}
    path = write(tmp_path / "tokenizer.json", type="BPE", vocab=vocab)
    assert read_tokenizer_json(path, cache=cache).highest_id == 19_999
    kept = json.loads(cache.read_text(encoding="utf-8"))
    assert [e["highest_id"] for e in kept["tokenizers"].values()] == [19_999]
    changed = write(path, type="BPE", vocab={**vocab, "one more": 20_000})
    assert read_tokenizer_json(changed, cache=cache).highest_id == 20_000
    assert len(json.loads(cache.read_text(encoding="utf-8"))["tokenizers"]) == 2


def test_a_memory_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    vocab = {f"other-{tmp_path.name}-{n}": n for n in range(20_000)}
    path = write(tmp_path / "tokenizer.json", type="BPE", vocab=vocab)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert read_tokenizer_json(path, cache=tmp_path / "file/below.json").highest_id == 19_999
    cache = tmp_path / "broken.json"
    cache.write_text('{"version": 1, "tokenizers": {"x": {"surprise": 1}}}', encoding="utf-8")
    path = write(tmp_path / "second.json", type="BPE", vocab={**vocab, "z": 30_000})
    assert read_tokenizer_json(path, cache=cache).highest_id == 30_000
