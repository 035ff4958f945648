"""The corpus against transformers and PEFT: what it calls healthy loads, and what it calls ill shows as it says."""

from __future__ import annotations

import pytest

from .builders.case import Case
from .builders.table import CASES
from .examination import Corpus

# The other families hold what must not be tried (a pipe blocks, a device has no end), or what needs more than a load.
TRIED = (
    "stock",
    "variants",
    "foreign",
    "configs",
    "weights",
    "shards",
    "pickles",
    "sizes",
    "tokenizers",
    "adapters",
    "bases",
)
MODELS = [
    case
    for case in CASES
    if (case.name.partition("/")[0] in TRIED or case.source) and not case.manifest and "no model" not in case.shows
]


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_truth(corpus: Corpus, truths: dict[str, str], case: Case) -> None:
    """A directory does what the table says it does."""
    happened = truths[case.name]
    assert not corpus.bench(case).bait.exists()
    if case.outcome == "healthy" and not case.shows.startswith("loads, but"):
        assert happened == "loads"
    elif case.shows.startswith("loads"):
        assert happened.startswith("loads")
    else:
        assert happened.partition(":")[0] == case.shows.partition(":")[0].partition(",")[0]
