"""A whole model and an adapter in one directory."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model_directories import ADAPTER, write_adapter, write_full, write_json

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
CODE = "adapter-left-beside-weights"


def both(bench: Bench, base: Path | str) -> None:
    write_full(write_adapter(bench.here, base))


def with_transformers(bench: Bench, line: str) -> None:
    """Let the sessions' transformers hold this line where it decides which weights an adapter is put on."""
    source = bench.root / "site-packages" / "transformers" / "integrations" / "peft.py"
    source.parent.mkdir(parents=True)
    source.write_text(f"{line}\n")
    bench.session = replace(SESSION, site_packages=(bench.root / "site-packages",))


def on_a_merged_base(bench: Bench, digest: str = "") -> None:
    base = write_full(bench.root / "base")
    file = write_adapter(bench.here, base) / ADAPTER
    digest = digest or hashlib.sha256(file.read_bytes()).hexdigest()
    write_json(base / "sage-doctor-merge.json", {"merged_before": [{"path": "/far/away", "sha256": digest}]})


@CASES.finds("check_adapter_not_merged", "adapter-already-merged", "holds this adapter already", severity="warning")
def merged_before(bench: Bench) -> None:
    on_a_merged_base(bench)


@CASES.passes("check_adapter_not_merged")
def on_a_merge_of_another(bench: Bench) -> None:
    on_a_merged_base(bench, "0" * 64)


@CASES.skips("check_adapter_not_merged", "names an adapter")
def on_a_base_that_is_no_merge(bench: Bench) -> None:
    write_adapter(bench.here, write_full(bench.root / "base"))


@CASES.skips("check_adapter_beside_weights", "not a whole model and an adapter")
def a_model_alone(bench: Bench) -> None:
    write_full(bench.here)


@CASES.skips("check_adapter_beside_weights", "not a whole model and an adapter")
def an_adapter_beside_a_configuration(bench: Bench) -> None:
    both(bench, write_full(bench.root / "base"))
    (bench.here / "model.safetensors").unlink()


@CASES.passes("check_adapter_beside_weights")
def a_repository_with_its_own_adapter(bench: Bench) -> None:
    both(bench, "org/speech")


@CASES.passes("check_adapter_beside_weights")
def an_adapter_of_this_directory(bench: Bench) -> None:
    both(bench, bench.here)


@CASES.finds("check_adapter_beside_weights", CODE, "an adapter of /gone/base lies beside model.safetensors: from_pretr")
def merged_and_the_base_gone(bench: Bench) -> None:
    both(bench, "/gone/base")


@CASES.finds("check_adapter_beside_weights", CODE, "puts it on top of these weights", severity="warning")
def merged_and_the_base_here(bench: Bench) -> None:
    both(bench, write_full(bench.root / "base"))


@CASES.finds("check_adapter_beside_weights", CODE, "puts it on top of these weights")
def declared_as_merged(bench: Bench) -> None:
    both(bench, "org/speech")
    bench.manifest('[models.m]\nkind = "merged"\npath = "here"\n', "m")


@CASES.finds("check_adapter_beside_weights", CODE, "puts it on top of these weights")
def merged_by_record(bench: Bench) -> None:
    both(bench, "org/speech")
    (bench.here / "sage-doctor-merge.json").write_text("{}")


@CASES.finds("check_adapter_beside_weights", CODE, "puts it on top of these weights")
def with_a_transformers_that_takes_the_weights(bench: Bench) -> None:
    both(bench, "/gone/base")
    with_transformers(bench, "os.path.join(pretrained_model_name_or_path, CONFIG_NAME)")


@CASES.finds("check_adapter_beside_weights", CODE, "loads that base and the adapter instead", severity="warning")
def with_a_transformers_that_takes_the_named_base(bench: Bench) -> None:
    both(bench, write_full(bench.root / "base"))
    with_transformers(bench, "json.load(f)")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
