"""Merging an adapter into its base."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Merging"
DECLARATIONS = declare(
    Declaration(
        code="merge-unmatched-tensors",
        severity="error",
        title="Tensors of the adapter found no place in the base",
        cause="Each tensor of an adapter must change exactly one place in its base, and some did not. A merge that "
        "went on regardless would return the base, or a part of what was trained.",
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
        code="merge-refused",
        severity="error",
        title="This adapter cannot be merged faithfully",
        cause="The adapter or its base has a property for which no merge gives what the adapter does when it is run on "
        "its base. The finding names it.",
        remediation="Run the adapter on its base without merging. Nothing was written.",
    ),
    Declaration(
        code="merge-nonfinite",
        severity="error",
        title="The merge would produce NaN or infinite values",
        cause="The base or the adapter holds such values, or the sum does not fit the number format.",
        remediation="Check both with `--level integrity`. If they are sound, merge into bfloat16 or float32.",
    ),
)
