"""Merging an adapter into its base: exact, streaming, unkillable.

`plan_merge` decides everything from headers and touches nothing; `apply` carries the plan out. What a merge cannot do
faithfully is refused with a `MergeRefused` before the first byte is written.

- `recipe`, `adapter`, `base`, `names`, `library_names`, `ties`: what is asked for, of what, under which names
- `assembly`, `edits`, `layout`, `companions`, `needs`, `plan`: what will be written, and what that takes
- `deltas`, `streams`, `target`, `verify`, `provenance`, `run`: doing it
"""

from __future__ import annotations

from sage_doctor.merge.base import BaseSearch
from sage_doctor.merge.plan import MergePlan, plan_merge
from sage_doctor.merge.refusal import MergeRefused
from sage_doctor.merge.run import MergeCancelled, MergeOutcome, Step, apply

__all__ = [
    "BaseSearch",
    "MergeCancelled",
    "MergeOutcome",
    "MergePlan",
    "MergeRefused",
    "Step",
    "apply",
    "plan_merge",
]
