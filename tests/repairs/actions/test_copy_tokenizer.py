"""Tokenizer and configuration of a merged model, taken from what it was merged from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.model_directories import VOCABULARY, edit_json, write_adapter, write_full, write_tokenizer
from tests.repairs.conftest import Surgery, contents

from .test_merge import MANIFEST


def whole(surgery: Surgery) -> Path:
    write_full(surgery.root / "base")
    write_adapter(surgery.root / "stance", str(surgery.root / "base"))
    surgery.manifest(MANIFEST)
    return write_full(surgery.root / "zoo" / "merged")


def no_tokenizer(merged: Path) -> None:
    (merged / "tokenizer.json").unlink()
    (merged / "tokenizer_config.json").unlink()


def broken_tokenizer(merged: Path) -> None:
    (merged / "tokenizer.json").write_text('{"model": ')


def large_tokenizer(merged: Path) -> None:
    write_tokenizer(merged, tokens=VOCABULARY + 1)


def no_config(merged: Path) -> None:
    (merged / "config.json").unlink()


def broken_config(merged: Path) -> None:
    (merged / "config.json").write_text("{")


def typeless_config(merged: Path) -> None:
    edit_json(merged / "config.json", drop=("model_type",))


FAULTS = [no_tokenizer, broken_tokenizer, large_tokenizer, no_config, broken_config, typeless_config]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_files_come_from_the_base(surgery: Surgery, fault: Callable[[Path], None]) -> None:
    merged = whole(surgery)
    fault(merged)
    done = surgery()
    assert [(a.repair, a.ending, a.reason) for a in done.attempts] == [("copy-companions", "repaired", "")]
    assert done.after.exit_code == 0
    for name in ("config.json", "tokenizer.json"):
        assert (merged / name).read_bytes() == (surgery.root / "base" / name).read_bytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_they_go_again_where_the_checks_are_not_content(
    surgery: Surgery, fault: Callable[[Path], None], discontented: Sequence[str]
) -> None:
    merged = whole(surgery)
    fault(merged)
    before = contents(merged)
    assert surgery.endings() == [("copy-companions", "undone")]
    assert discontented
    assert contents(merged) == before


def test_the_adapters_own_tokenizer_comes_first(surgery: Surgery) -> None:
    merged = whole(surgery)
    write_tokenizer(surgery.root / "stance", tokens=VOCABULARY - 1)
    no_tokenizer(merged)
    assert surgery.endings() == [("copy-companions", "repaired")]
    assert (merged / "tokenizer.json").read_bytes() == (surgery.root / "stance" / "tokenizer.json").read_bytes()


def test_a_tokenizer_with_more_ids_than_rows_is_not_copied(surgery: Surgery) -> None:
    merged = whole(surgery)
    no_tokenizer(merged)
    write_tokenizer(surgery.root / "stance", tokens=VOCABULARY + 1)
    before = contents(merged)
    done = surgery("merged")
    mine = [a for a in done.attempts if a.finding.subject == "merged"]
    assert [(a.ending, "16 rows" in a.reason) for a in mine] == [("refused", True)]
    assert contents(merged) == before


def test_a_configuration_that_does_not_describe_the_weights_is_not_copied(surgery: Surgery) -> None:
    merged = whole(surgery)
    write_full(merged, tensors={"model.embed_tokens.weight": (VOCABULARY + 1, 8)})
    no_config(merged)
    done = surgery("merged")
    assert [(a.ending, "differ from the base's" in a.reason) for a in done.attempts] == [("refused", True)]
    assert not (merged / "config.json").exists()


def test_the_same_broken_files_are_not_copied_for_ever(surgery: Surgery) -> None:
    merged = whole(surgery)
    for place in (merged, surgery.root / "base"):
        large_tokenizer(place)
    before = contents(merged)
    done = surgery()
    assert not [a for a in done.attempts if a.ending == "repaired"]
    assert contents(merged) == before
