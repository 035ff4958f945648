"""Merging an adapter into its base: bit for bit as PEFT does it, one tensor at a time, safe to kill at any moment.

`plan_merge` decides everything from headers and changes nothing; `apply` carries the plan out. What cannot be merged
faithfully is refused with a `MergeRefused` before the first byte is written.

- `merge_rules`, `adapter`, `base`, `quantization`, `names`, `library_names`: the inputs
- `edits`, `assembly`, `ties`, `expert_blocks`, `build`, `layout`, `companions`, `needs`, `plan`: the plan
- `deltas`, `decoding`, `streams`, `output`, `writing`, `staging`, `verify`, `provenance`, `run`: carrying it out
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
