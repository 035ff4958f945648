"""Merged models, and what their own record says is lost in them."""

from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import MODEL, write_full, write_json

from .cases import Bench, Case, Cases

CASES = Cases()
RECORD = "sage-doctor-merge.json"


def merged(bench: Bench, **values: Any) -> Path:
    place = write_full(bench.here)
    outputs = [{"path": MODEL, "sha256": "0" * 64}]
    write_json(place / RECORD, {"outputs": outputs, "dtype": "bfloat16", "delta": {"cosine": 0.98}, **values})
    return place


@CASES.passes("check_merge_losses")
def whole(bench: Bench) -> None:
    merged(bench)


@CASES.skips("check_merge_losses", "no sage-doctor-merge.json")
def never_merged(bench: Bench) -> None:
    write_full(bench.here)


@CASES.skips("check_merge_losses", "about other weights")
def record_of_other_weights(bench: Bench) -> None:
    merged(bench, outputs=[{"path": "model-00001-of-00002.safetensors", "sha256": "0" * 64}])


@CASES.finds("check_merge_losses", "merge-delta-vanishes", "a cosine of 0.06 with it", severity="warning")
def rounded_away(bench: Bench) -> None:
    merged(bench, delta={"cosine": 0.06})


@CASES.finds("check_merge_losses", "merge-partial", "no tensors for 2 modules that it targets", severity="warning")
def merged_in_part(bench: Bench) -> None:
    merged(bench, uncovered=["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"])


@CASES.finds("check_merge_losses", "merge-partial", "only zeros for 1 of the 4 merged tensors", severity="warning")
def merged_with_zeros(bench: Bench) -> None:
    merged(bench, unchanged=["model.layers.0.self_attn.q_proj.weight"], tensors={"changed": 4})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
