"""Merging an adapter into its base."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

ENTRIES = (
    Entry(
        code="merge-unmatched-tensors",
        severity="error",
        title="Tensors of the adapter found no place in the base",
        cause="Each tensor of an adapter must change exactly one place in its base, and some did not. A merge that "
        "went on regardless would return the base, or a part of what was trained.",
        cure="Check that this is the base the adapter was trained on. Nothing was written.",
    ),
    Entry(
        code="merge-delta-vanishes",
        severity="warning",
        title="Most of the adapter's effect is lost to rounding",
        cause="The changes are so small that 16-bit numbers round them away: the merged model is nearly the base.",
        cure="Merge into float32, or run the adapter on its base without merging.",
    ),
    Entry(
        code="merge-refused",
        severity="error",
        title="This adapter cannot be merged faithfully",
        cause="The adapter or its base has a property for which no merge gives what the adapter does when it is run "
        "on its base. The finding names it.",
        cure="Run the adapter on its base without merging. Nothing was written.",
    ),
    Entry(
        code="merge-nonfinite",
        severity="error",
        title="The merge would produce NaN or infinite values",
        cause="The base or the adapter holds such values, or the sum does not fit the number format.",
        cure="Check both with `--level integrity`. If they are sound, merge into bfloat16 or float32.",
    ),
    Entry(
        code="merge-interrupted",
        severity="warning",
        title="An unfinished merge was left behind",
        cause="A merge was killed, and its temporary directory is still there. It is never used: the model's own "
        "directory is as it was before.",
        cure="Run the merge again, and delete the left-over directory if no merge is running.",
    ),
)
