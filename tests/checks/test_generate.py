"""A short generation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.probe.outcome import Effect, Forward, NotApplicable
from tests.model_directories import write_adapter, write_full

from .cases import Bench, Case, Cases
from .probe_outcomes import COMPLETED, SPOKEN

CASES = Cases()


def probed(bench: Bench, **changes: Any) -> None:
    write_full(bench.here)
    bench.outcome = replace(COMPLETED, **changes)


def broke(bench: Bench, ending: str) -> None:
    probed(bench, ending=ending, message="what the library said", stage="generate", forward=None, generation=None)


def budgeted(bench: Bench, budget: str) -> None:
    probed(bench)
    bench.manifest(f'[models.m]\nkind = "full"\npath = "here"\nbudget = {{ {budget} }}\n', "m")


@CASES.passes("check_generates")
@CASES.passes("check_speed", measures=("first_token_ms", "tokens_per_s"))
def answers(bench: Bench) -> None:
    probed(bench)


@CASES.finds("check_generates", "generate-failed", "failed in stage generate: what the library said")
def failed(bench: Bench) -> None:
    broke(bench, "failed")


@CASES.finds("check_generates", "generate-failed", "crashed while generating")
def crashed(bench: Bench) -> None:
    broke(bench, "signal")


@CASES.finds("check_generates", "generate-timeout", "generating hung in stage generate")
@CASES.skips("check_speed", "nothing was generated")
def hung(bench: Bench) -> None:
    broke(bench, "deadline")


@CASES.finds("check_generates", "load-out-of-memory", "memory ran out while generating")
def out_of_memory(bench: Bench) -> None:
    broke(bench, "out-of-memory")


@CASES.finds("check_generates", "model-not-generative", "an encoder", severity="info")
def encoder(bench: Bench) -> None:
    probed(bench, not_applicable=NotApplicable(reason="an encoder has no language head"), generation=None)


@CASES.finds("check_generates", "generate-nonfinite", "of the 100 logits of the next token, 64 are NaN and 1 infinite")
def not_finite(bench: Bench) -> None:
    probed(bench, forward=Forward(nan=64, infinite=1, total=100))


@CASES.finds("check_generates", "generate-degenerate", "repeated one token")
def one_token(bench: Bench) -> None:
    probed(bench, generation=replace(SPOKEN, token_ids=(7,) * 32, text="the" * 32))


@CASES.finds("check_generates", "generate-degenerate", "no text")
def empty(bench: Bench) -> None:
    probed(bench, generation=replace(SPOKEN, token_ids=(2,), text=" ", ended_by_eos=True))


@CASES.skips("check_generates", "generated nothing")
def nothing_known(bench: Bench) -> None:
    probed(bench, generation=None)


def effect(bench: Bench, **changes: Any) -> None:
    write_adapter(bench.here, write_full(bench.root / "base"))
    known = Effect(changes_logits=True, max_abs_difference=1.5, problem="")
    bench.outcome = replace(COMPLETED, effect=replace(known, **changes))


@CASES.passes("check_adapter_effect")
def trained(bench: Bench) -> None:
    effect(bench)


@CASES.finds("check_adapter_effect", "adapter-no-effect", "the base alone")
def never_trained(bench: Bench) -> None:
    effect(bench, changes_logits=False, max_abs_difference=0.0)


@CASES.skips("check_adapter_effect", "cannot be measured: no such switch")
def prompt_tuning(bench: Bench) -> None:
    effect(bench, changes_logits=None, max_abs_difference=None, problem="no such switch")


@CASES.finds("check_speed", "latency-over-budget", "100 ms, over the budget of 50 ms")
def slow_to_begin(bench: Bench) -> None:
    budgeted(bench, "first_token_ms = 50")


@CASES.finds("check_speed", "throughput-under-budget", "10 tokens/s, under the budget of 20")
def slow_to_go_on(bench: Bench) -> None:
    budgeted(bench, "tokens_per_s = 20")


@CASES.passes("check_speed")
def fast_enough(bench: Bench) -> None:
    budgeted(bench, "first_token_ms = 150, tokens_per_s = 5")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_the_answer_is_kept_for_the_report(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    answers(bench)
    assert bench.run("check_generates").answer == SPOKEN.text
