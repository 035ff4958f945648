"""Merging an adapter into its base."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Merging"
DECLARATIONS = declare(
    Declaration(
        code="merge-unmatched-tensors",
        severity="error",
        title="Tensors of the adapter match nothing in the base",
        cause="Each tensor of an adapter must change exactly one tensor of its base, and some did not. Merging the "
        "rest would return the base, or only a part of what was trained.",
        remediation="Check that this is the base the adapter was trained on. Nothing was written.",
    ),
    Declaration(
        code="merge-delta-vanishes",
        severity="warning",
        title="Most of the adapter's effect is lost to rounding",
        cause="The changes are so small that 16-bit numbers round them away: the merged model is nearly the base.",
        remediation="Merge into float32, or run the adapter on its base without merging.",
    ),
    Declaration(
        code="merge-partial",
        severity="warning",
        title="The merged adapter was not complete",
        cause="A part of what the adapter's configuration names has no tensors, or only zeros: there the merged model "
        "is its base.",
        remediation="Copy the complete adapter from its training run, and merge again.",
    ),
    Declaration(
        code="merge-refused",
        severity="error",
        title="This adapter cannot be merged faithfully",
        cause="A merge would not give the same model as the adapter on its base; the finding says why.",
        remediation="Run the adapter on its base without merging. Nothing was written.",
    ),
    Declaration(
        code="merge-nonfinite",
        severity="error",
        title="The merge would produce NaN or infinite values",
        cause="The base or the adapter contains such values, or the sum overflows the dtype.",
        remediation="Check both with `--level integrity`. If they are fine, merge into bfloat16 or float32.",
    ),
)
