"""How much of an adapter's change rounding keeps: the cosine between the change that is wanted and the one written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class DeltaRetention:
    """How much of the adapter's change the written numbers hold, measured in float64 on sampled rows.

    `kept` is what changed against the base as it is written in the same dtype, so that the base's own rounding counts
    neither as survival nor as loss. `overlap`, `kept` and `wanted` are inner products: of both, and each with itself.
    `idle` names the tensors whose change is zero.
    """

    overlap: float = 0.0
    kept: float = 0.0
    wanted: float = 0.0
    changed: int = 0
    elements: int = 0
    idle: list[str] = field(default_factory=list)

    @property
    def cosine(self) -> float | None:
        """The cosine between the wanted and the kept change: 1 if rounding loses nothing; None without a change.

        The share along the wanted direction would not do: rounding keeps a change far below its grain on average, as
        noise, and 1 % of the entries, each moved a hundred times too far, make a share of 100 %.
        """
        if self.wanted <= 0:
            return None
        return self.overlap / math.sqrt(self.wanted * self.kept) if self.kept > 0 else 0.0

    @property
    def relative_error(self) -> float | None:
        """The length of the difference between both changes, as a multiple of the wanted one's."""
        if self.wanted <= 0:
            return None
        return math.sqrt(max(0.0, self.kept - 2 * self.overlap + self.wanted) / self.wanted)

    @property
    def changed_share(self) -> float | None:
        """The share of the numbers that are not the base's."""
        return self.changed / self.elements if self.elements else None

    def add(self, kept: Any, wanted: Any) -> None:
        """Add a sample of both changes, tensors of one shape in float64."""
        self.overlap += float((kept * wanted).sum())
        self.kept += float((kept * kept).sum())
        self.wanted += float((wanted * wanted).sum())
        self.changed += int((kept != 0).sum())
        self.elements += kept.numel()
