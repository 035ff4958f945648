import json
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.facts.chat_template import ChatTemplate
from sage_doctor.facts.tokenizers import TokenizerFacts, read_tokenizer
from sage_doctor.readers.tree import read_tree

FAST: dict[str, Any] = {"model": {"type": "BPE", "vocab": {"a": 0, "ab": 1, "b": 7}, "merges": [["a", "b"]]}}


def read(directory: Path, **files: Any) -> TokenizerFacts:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / name.replace("__", ".")).write_text(text)
    return read_tokenizer(read_tree(directory))


def test_a_tokenizer_json(tmp_path: Path) -> None:
    facts = read(tmp_path, tokenizer__json=FAST, tokenizer_config__json={"chat_template": "{{ x }}"})
    assert (facts.source, facts.problems, facts.highest_id, facts.highest_token) == ("tokenizer.json", (), 7, "b")
    assert facts.merges_as_pairs
    assert facts.chat_template == ChatTemplate(file="tokenizer_config.json", text="{{ x }}")


def test_the_highest_id_may_be_an_added_one_or_a_place_in_a_list(tmp_path: Path) -> None:
    added = [{"id": 9, "content": "<end>"}, {"id": 8, "content": "<pad>"}]
    assert read(tmp_path, tokenizer__json=FAST | {"added_tokens": added}).highest_token == "<end>"
    unigram = {"model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["x", -1.5]]}}
    facts = read(tmp_path, tokenizer__json=unigram)
    assert (facts.highest_id, facts.highest_token, facts.merges_as_pairs) == (1, "x", False)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "empty"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
        ('{"model": {', "not valid JSON"),
        ({}, "it describes no tokenizer model"),
        ({"model": []}, "it describes no tokenizer model"),
        ({"model": {"type": "Word2Vec"}}, "its model is of the type 'Word2Vec'"),
    ],
)
def test_a_tokenizer_json_that_cannot_be_used(tmp_path: Path, content: Any, message: str) -> None:
    (problem,) = read(tmp_path, tokenizer__json=content).problems
    assert problem.file == "tokenizer.json"
    assert problem.message.startswith(message)


@pytest.mark.parametrize("odd", [None, 5, "text", [], {}, [[]], {"a": "b"}, {"a": None}])
def test_odd_contents_are_no_ids(tmp_path: Path, odd: Any) -> None:
    fast = {"model": {"type": "BPE", "vocab": odd, "merges": odd}, "added_tokens": odd}
    facts = read(tmp_path, tokenizer__json=fast, tokenizer_config__json={"tokenizer_class": odd})
    assert facts.highest_id in (None, 0)
    assert read(tmp_path, tokenizer__json={"model": odd}).highest_id is None


@pytest.mark.parametrize(
    "names, source",
    [
        (["tokenizer.json", "tokenizer.model"], "tokenizer.json"),
        (["tokenizer.model", "vocab.txt"], "tokenizer.model"),
        (["spiece.model"], "spiece.model"),
        (["vocab.json", "merges.txt"], "vocab.json"),
        (["vocab.txt"], "vocab.txt"),
        (["tekken.json"], "tekken.json"),
        (["merges.txt"], None),
        (["special_tokens_map.json"], None),
        ([], None),
    ],
)
def test_what_it_is_built_from(tmp_path: Path, names: list[str], source: str | None) -> None:
    for name in names:
        (tmp_path / name).write_text(json.dumps(FAST))
    assert read_tokenizer(read_tree(tmp_path)).source == source


def test_a_vocabulary_without_merges_may_be_half_a_tokenizer(tmp_path: Path) -> None:
    assert read(tmp_path, vocab__json={"a": 0}).vocabulary_alone
    named = read(tmp_path, tokenizer_config__json={"tokenizer_class": "Wav2Vec2CTCTokenizer"})
    assert (named.vocabulary_alone, named.tokenizer_class) == (True, "Wav2Vec2CTCTokenizer")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    assert not read(tmp_path).vocabulary_alone


def test_classes_without_files(tmp_path: Path) -> None:
    assert read(tmp_path, tokenizer_config__json={"tokenizer_class": "ByT5Tokenizer"}).source == "tokenizer_config.json"
    assert read(tmp_path, tokenizer_config__json={"tokenizer_class": ["ByT5Tokenizer"]}).source is None


@pytest.mark.parametrize(
    "content, message", [(b"", "empty"), (bytes(99), "a file of zero bytes"), (b"<!DOCTYPE html>", "an HTML page")]
)
def test_a_sentencepiece_file_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    (problem,) = read_tokenizer(read_tree(tmp_path)).problems
    assert (problem.file, problem.message) == ("tokenizer.model", message)


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).symlink_to("absent")
    assert {p.file for p in read_tokenizer(read_tree(tmp_path)).problems} == {"tokenizer.json", "tokenizer_config.json"}


def test_chat_templates(tmp_path: Path) -> None:
    assert not read(tmp_path, tokenizer_config__json={"chat_template": ""}).chat_template
    assert read(tmp_path, chat_template__jinja="{{ x }}").chat_template
