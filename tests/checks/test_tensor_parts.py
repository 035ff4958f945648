"""Experts and heads that are not among the tensors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library_sources import write_library
from tests.model_directories import MODEL, WEIGHTS, write_full, write_tensors

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()


def mixture(bench: Bench, *numbers: int, **config: Any) -> None:
    experts = {f"model.layers.0.mlp.experts.{n}.up_proj.weight": (4, 4) for n in numbers}
    write_tensors(write_full(bench.here, **config) / MODEL, {**WEIGHTS, **experts})


@CASES.skips("check_experts", "no experts are stored one by one")
@CASES.skips("check_classifier_head", "it is no classifier")
def plain(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_experts")
def all_experts(bench: Bench) -> None:
    mixture(bench, 0, 1, 2, num_experts=3)


@CASES.passes("check_experts")
def two_counts(bench: Bench) -> None:
    mixture(bench, 0, 1, num_experts=2, n_routed_experts=4)


@CASES.finds("check_experts", "weights-keys-missing", "1 expert(s) are not in the weights, though others of their")
def one_between_others(bench: Bench) -> None:
    mixture(bench, 0, 2)


@CASES.finds("check_experts", "weights-keys-missing", "model.layers.0.mlp.experts.2")
def the_last(bench: Bench) -> None:
    mixture(bench, 0, 1, num_local_experts=3)


def classifier(bench: Bench, **tensors: tuple[int, ...]) -> None:
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))
    folder = write_full(bench.here, architectures=["LlamaForSequenceClassification"])
    write_tensors(folder / MODEL, {**WEIGHTS, **{k.replace("__", "."): v for k, v in tensors.items()}})


@CASES.passes("check_classifier_head")
def with_its_head(bench: Bench) -> None:
    classifier(bench, score__weight=(2, 8))


@CASES.finds(
    "check_classifier_head", "weights-keys-missing", "the weights have no score: LlamaForSequenceClassification"
)
def without_its_head(bench: Bench) -> None:
    classifier(bench)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
