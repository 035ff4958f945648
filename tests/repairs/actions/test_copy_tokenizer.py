"""Tokenizer and configuration of a merged model, taken from what it was merged from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.model_directories import VOCABULARY, edit_json, write_adapter, write_full, write_tokenizer
from tests.repairs.conftest import Fixer, contents

from .test_merge import MANIFEST


def whole(fixer: Fixer) -> Path:
    write_full(fixer.root / "base")
    write_adapter(fixer.root / "stance", str(fixer.root / "base"))
    fixer.manifest(MANIFEST)
    return write_full(fixer.root / "zoo" / "merged")


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
def test_the_files_come_from_the_base(fixer: Fixer, fault: Callable[[Path], None]) -> None:
    merged = whole(fixer)
    fault(merged)
    done = fixer()
    assert [(a.repair, a.status, a.reason) for a in done.attempts] == [("copy-tokenizer", "repaired", "")]
    assert done.after.exit_code == 0
    for name in ("config.json", "tokenizer.json"):
        assert (merged / name).read_bytes() == (fixer.root / "base" / name).read_bytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_they_go_again_where_the_checks_are_not_content(
    fixer: Fixer, fault: Callable[[Path], None], failing_verification: Sequence[str]
) -> None:
    merged = whole(fixer)
    fault(merged)
    before = contents(merged)
    assert fixer.statuses() == [("copy-tokenizer", "rolled-back")]
    assert failing_verification
    assert contents(merged) == before


def test_the_adapters_own_tokenizer_comes_first(fixer: Fixer) -> None:
    merged = whole(fixer)
    write_tokenizer(fixer.root / "stance", tokens=VOCABULARY - 1)
    no_tokenizer(merged)
    assert fixer.statuses() == [("copy-tokenizer", "repaired")]
    assert (merged / "tokenizer.json").read_bytes() == (fixer.root / "stance" / "tokenizer.json").read_bytes()


def test_a_tokenizer_with_more_ids_than_rows_is_not_copied(fixer: Fixer) -> None:
    merged = whole(fixer)
    no_tokenizer(merged)
    write_tokenizer(fixer.root / "stance", tokens=VOCABULARY + 1)
    before = contents(merged)
    done = fixer("merged")
    mine = [a for a in done.attempts if a.finding.subject == "merged"]
    assert [(a.status, "16 rows" in a.reason) for a in mine] == [("refused", True)]
    assert contents(merged) == before


def test_a_configuration_that_does_not_describe_the_weights_is_not_copied(fixer: Fixer) -> None:
    merged = whole(fixer)
    write_full(merged, tensors={"model.embed_tokens.weight": (VOCABULARY + 1, 8)})
    no_config(merged)
    done = fixer("merged")
    assert [(a.status, "differ from the base's" in a.reason) for a in done.attempts] == [("refused", True)]
    assert not (merged / "config.json").exists()


def test_the_same_broken_files_are_not_copied_for_ever(fixer: Fixer) -> None:
    merged = whole(fixer)
    for place in (merged, fixer.root / "base"):
        large_tokenizer(place)
    before = contents(merged)
    done = fixer()
    assert not [a for a in done.attempts if a.status == "repaired"]
    assert contents(merged) == before
