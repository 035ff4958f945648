"""The arithmetic of a merge, bit for bit as PEFT 0.21 does it, on blocks of rows.

torch's matrix product of a block of rows or columns has the same bits as that part of the whole product, with one
thread or two (`tests/merge/test_deltas.py` holds it to that), so that no tensor needs to be in memory as a whole.
PEFT keeps the adapter in float32, whatever it is stored in, and rounds

- a LoRA on a linear layer once: `(W + (B @ A) * s).to(dtype)`;
- a LoRA on an embedding, or on an expert of a fused block, twice: the delta by itself, then the sum;
- DoRA once: `(m / ‖W + d‖ * (W + d)).to(dtype)`, the norm taken over the inputs of each output.

Where another dtype is asked for, it is as though PEFT had loaded the base in the wider of both dtypes, and the
result had been converted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sage_doctor.merge.edits import FLOATS, LowRank, Piece, Place
from sage_doctor.merge.streams import Source, spans

BLOCK_ELEMENTS = 1 << 20
_SAMPLED_ROWS = 32


@dataclass(kw_only=True)
class Survival:
    """How much of the adapter's change survives rounding, along its own direction, measured on sampled rows."""

    kept: float = 0.0
    wanted: float = 0.0
    changed: int = 0
    elements: int = 0

    @property
    def share(self) -> float | None:
        """1 where rounding loses nothing on the whole, 0 where the base is returned; None without a delta."""
        return self.kept / self.wanted if self.wanted > 0 else None


@dataclass(frozen=True)
class Block:
    """Rows `start` to `end` of a tensor as they are written. `finite` is False where one of them is NaN or infinite."""

    start: int
    end: int
    data: Any
    finite: bool


class Arithmetic:
    """The sums of one merge. Imports torch; `threads` limits it."""

    def __init__(self, threads: int | None = None) -> None:
        import torch  # noqa: PLC0415 - a plan needs no torch

        self.torch = torch
        if threads is not None:
            torch.set_num_threads(threads)

    def dtype(self, stored: str) -> Any:
        """Return torch's dtype for one of safetensors."""
        return getattr(self.torch, FLOATS[stored])

    def load(self, source: Source, place: Place) -> Any:
        """Return an adapter's tensor in float32, in memory of torch's own."""
        raw = self.torch.frombuffer(source.read(place, 0, place.nbytes), dtype=self.dtype(place.tensor.dtype))
        return raw.reshape(place.shape).to(self.torch.float32, copy=True)

    def rows(self, source: Source, place: Place, start: int, end: int) -> Any:
        """Return rows `start` to `end` of a tensor, in its stored dtype."""
        width = place.nbytes // place.shape[0] if place.shape and place.shape[0] else 0
        data = source.read(place, start * width, (end - start) * width)
        return self.torch.frombuffer(data, dtype=self.dtype(place.tensor.dtype)).reshape(end - start, *place.shape[1:])

    def blocks(self, piece: Piece, source: Source, survival: Survival) -> Iterator[Block]:
        """Yield the tensor's rows as they are to be written, in order, in blocks of bounded size."""
        with self.torch.inference_mode():
            work = _Work(self, piece, source, survival)
            height, width = piece.shape[0], piece.source.tensor.elements // max(piece.shape[0], 1)
            for start, end in spans(height, max(1, BLOCK_ELEMENTS // max(width, 1))):
                yield work.block(start, end)

    def one_block(self, piece: Piece, source: Source, index: int) -> Block | None:
        """Return one of the blocks that `blocks` yields, computed by itself."""
        height, width = piece.shape[0], piece.source.tensor.elements // max(piece.shape[0], 1)
        found = spans(height, max(1, BLOCK_ELEMENTS // max(width, 1)))
        if not found:
            return None
        with self.torch.inference_mode():
            work = _Work(self, piece, source, Survival())
            return work.block(*found[min(index, len(found) - 1)])


class _Work:
    """One tensor's factors, loaded once."""

    def __init__(self, sums: Arithmetic, piece: Piece, source: Source, survival: Survival) -> None:
        self.sums, self.piece, self.source, self.survival = sums, piece, source, survival
        torch = sums.torch
        self.out = sums.dtype(piece.dtype)
        # The base as PEFT would hold it: in its stored dtype, or in the wider one that is asked for.
        self.held = torch.promote_types(sums.dtype(piece.stored), self.out)
        low_rank = piece.low_rank
        self.a = sums.load(source, low_rank.a) if low_rank else None
        self.b = sums.load(source, low_rank.b) if low_rank else None
        self.factor = self._dora_factor(low_rank) if low_rank and low_rank.magnitude else None
        self.bias = sums.load(source, piece.bias.b) * piece.bias.scaling if piece.bias else None
        self.values = sums.load(source, piece.rows.values) if piece.rows else None

    def block(self, start: int, end: int) -> Block:
        torch = self.sums.torch
        base = self._base(start, end)
        total = base
        if self.piece.low_rank is not None:
            delta = self._delta(self.piece.low_rank, start, end)
            total = self._sum(base, delta, self.piece.low_rank, start, end)
            result = total.to(self.held)
            if self.factor is None:
                self._measure(base, delta, result.to(self.out))
            total = result
        if self.bias is not None:
            total = (total + self.bias[start:end]).to(self.held)
        if self.piece.rows is not None:
            total = self._put_rows(total, start, end)
        result = total.to(self.out)
        least, most = torch.aminmax(result) if result.numel() else (result.new_zeros(()), result.new_zeros(()))
        finite = bool(torch.isfinite(least) and torch.isfinite(most))
        return Block(start, end, result.contiguous(), finite)

    def _base(self, start: int, end: int) -> Any:
        # A tensor of the adapter that takes the base's place is first rounded to what the base is held in.
        return self.sums.rows(self.source, self.piece.source, start, end).to(self.held)

    def _delta(self, low_rank: LowRank, start: int, end: int) -> Any:
        if low_rank.layout in ("linear", "expert"):
            return (self.b[start:end] @ self.a) * low_rank.scaling
        return (self.b @ self.a[:, start:end]).T * low_rank.scaling  # rows of the weight are columns of the product

    def _sum(self, base: Any, delta: Any, low_rank: LowRank, start: int, end: int) -> Any:
        if self.factor is not None:
            factor = self.factor[start:end].view(-1, 1) if low_rank.layout == "linear" else self.factor.view(1, -1)
            return factor * (base + delta)
        if low_rank.layout in ("embedding", "expert"):
            return base + delta.to(self.held)
        return base + delta

    def _dora_factor(self, low_rank: LowRank) -> Any:
        """Return magnitude / norm for each output. Outputs are rows of a linear weight, columns of the others."""
        torch = self.sums.torch
        assert low_rank.magnitude is not None
        magnitude = self.sums.load(self.source, low_rank.magnitude).reshape(-1)
        height, width = self.piece.shape
        norms = []
        if low_rank.layout in ("linear", "expert"):
            for start, end in spans(height, max(1, BLOCK_ELEMENTS // max(width, 1))):
                total = self._base(start, end) + self._delta(low_rank, start, end)
                norms.append(torch.linalg.norm(total, dim=1))
        else:
            for left, right in spans(width, max(16, BLOCK_ELEMENTS // max(height, 1))):
                columns = self._columns(left, right)
                delta = (self.b[left:right] @ self.a).T * low_rank.scaling
                norms.append(torch.linalg.norm((columns + delta).T, dim=1))
        return magnitude / torch.cat(norms)

    def _columns(self, left: int, right: int) -> Any:
        height, width = self.piece.shape
        found = self.sums.torch.empty((height, right - left), dtype=self.held)
        for start, end in spans(height, max(1, BLOCK_ELEMENTS // max(width, 1))):
            found[start:end] = self._base(start, end)[:, left:right]
        return found

    def _put_rows(self, total: Any, start: int, end: int) -> Any:
        assert self.piece.rows is not None
        assert self.values is not None
        here = [(row - start, i) for i, row in enumerate(self.piece.rows.indices) if start <= row < end]
        if not here:
            return total
        total = total.clone()
        total[[row for row, _ in here]] = self.values[[i for _, i in here]].to(total.dtype)
        return total

    def _measure(self, base: Any, delta: Any, result: Any) -> None:
        """Add a sample of rows to what is known of the delta's survival."""
        step = max(1, base.shape[0] // _SAMPLED_ROWS)
        base, delta, result = base[::step].double(), delta[::step].double(), result[::step].double()
        moved = result - base
        self.survival.kept += float((moved * delta).sum())
        self.survival.wanted += float((delta * delta).sum())
        self.survival.changed += int((moved != 0).sum())
        self.survival.elements += moved.numel()
