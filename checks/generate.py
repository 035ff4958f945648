"""A short generation: it works, it is an answer, and it fits the budget."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.findings.budgets import over
from sage_doctor.findings.failed_loads import ended_badly, in_generation, own_code_refused
from sage_doctor.report import NOTHING_TO_DO
from sage_doctor.subjects.model import Model
from sage_doctor.suite.model_prober import ModelProber
from sage_doctor.text import printable

ORDER = 170  # of the check files: causes before consequences


@check("generate", after=["*"])
def check_generates(model: Model, probe: ModelProber, notes: Notes) -> Iterator[Finding]:
    """The model answers, with finite numbers and more than one token over and over."""
    outcome = probe(model)
    if not outcome.completed and in_generation(outcome):
        yield own_code_refused(model, outcome) or ended_badly(model, outcome, "generate")
        return
    if outcome.not_applicable is not None:
        yield finding(
            "model-not-generative",
            f"it does not generate text: {printable(outcome.not_applicable.reason, limit=200)}",
            fix=Fix(summary=f"{NOTHING_TO_DO}: loading it was checked."),
        )
        return
    if outcome.generation is not None:
        notes.answer = outcome.generation.text
    forward = outcome.forward
    if forward is not None and forward.nan + forward.infinite:
        yield finding(
            "generate-nonfinite",
            f"of the {forward.total:,} logits of the next token, {forward.nan:,} are NaN and {forward.infinite:,} "
            "infinite",
            evidence={"nan": forward.nan, "infinite": forward.infinite, "total": forward.total},
            fix=Fix(
                summary="Look for NaN in the weights first. If there are none, the dtype is too small for this model: "
                "declare "
                'dtype = "bfloat16" or "float32".',
                commands=("sage-doctor check --level integrity",),
            ),
        )
        return
    if outcome.generation is None:
        raise NotApplicable("the probe generated nothing")
    degenerate = outcome.generation.degeneration
    if degenerate is not None:
        yield finding(
            "generate-degenerate",
            f"the model {printable(degenerate.description)}",
            evidence={"form": degenerate.kind, "answer": outcome.generation.text[:500]},
            fix=Fix(
                summary="Check that weights, tokenizer and chat template belong together, and compare with a machine "
                "where it answers. A base model without chat training may also loop on a chat prompt."
            ),
        )


@check("generate", after=["*"], kinds=["adapter"])
def check_adapter_effect(model: Model, probe: ModelProber) -> Iterator[Finding]:
    """The adapter changes what the base says."""
    effect = probe(model).effect
    if effect is None or effect.changes_logits is None:
        why = printable(effect.problem, limit=200) if effect is not None and effect.problem else ""
        raise NotApplicable(f"its effect cannot be measured{': ' if why else ''}{why}")
    if not effect.changes_logits:
        yield finding(
            "adapter-no-effect",
            "the logits are the same with and without the adapter: a session would talk to the base alone",
            evidence={"max_abs_difference": effect.max_abs_difference},
            fix=Fix(summary="Copy the trained adapter here, and check that its tensor names match the base."),
        )


@check("generate", after=["check_generates", "check_loads"])
def check_speed(model: Model, probe: ModelProber, notes: Notes) -> Iterator[Finding]:
    """The generation is as fast as its budget asks."""
    generation = probe(model).generation
    if generation is None:
        raise NotApplicable("nothing was generated")
    budget = model.spec.budget if model.spec is not None else None
    limit = budget.first_token_ms if budget else None
    if generation.first_token_ms is not None:
        notes.measure("first_token_ms", generation.first_token_ms, "ms", limit)
        if limit is not None and generation.first_token_ms > limit:
            yield over("latency-over-budget", "first_token_ms", generation.first_token_ms, limit, "ms")
    least = budget.tokens_per_s if budget else None
    if generation.tokens_per_s is not None:
        notes.measure("tokens_per_s", generation.tokens_per_s, "tokens/s", least)
        if least is not None and generation.tokens_per_s < least:
            yield over("throughput-under-budget", "tokens_per_s", generation.tokens_per_s, least, "tokens/s")
