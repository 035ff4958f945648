"""The arithmetic of a merge, bit for bit as PEFT 0.21 does it, on blocks of rows.

torch's matrix product of a block of rows or columns has the same bits as that part of the whole product, with one
thread or two (`tests/merge/test_deltas.py` holds it to that), so that no tensor needs to be in memory as a whole.
PEFT keeps the adapter in float32, or in float64 where the base is, whatever it is stored in, and rounds

- a LoRA on a linear layer once: `(W + (B @ A) * s).to(dtype)`;
- a LoRA on an embedding, on an expert of a fused block, or of MiCA, twice: the delta by itself, then the sum;
- DoRA once: `(m / ‖W + d‖ * (W + d)).to(dtype)`, the norm taken over the inputs of each output.

Where another dtype is asked for, it is as though PEFT had loaded the base in the wider of both dtypes, and the
result had been converted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sage_doctor.errors import DoctorError
from sage_doctor.merge.decoding import Decoder
from sage_doctor.merge.edits import FLOATS, ExpertStack, LowRank, TensorLocation, TensorPlan
from sage_doctor.merge.retention import DeltaRetention
from sage_doctor.merge.streams import Source, spans
from sage_doctor.text import printable

BLOCK_ELEMENTS = 1 << 18  # a megabyte of float32: with the block's bytes, what a core's cache holds
_TILE_ELEMENTS = 1 << 16  # what stays in it from one operation to the next; no bit depends on it
_SAMPLED_ELEMENTS = 1 << 13
_MEASURED_BLOCKS = 8
_TWICE = ("embedding", "expert")


@dataclass(frozen=True)
class RowBlock:
    """Rows `start` to `end` of a tensor as they are written: the first `nbytes` of `memory`.

    `finite` is False where one of them is NaN or infinite.
    """

    start: int
    end: int
    memory: bytearray
    nbytes: int
    finite: bool


def load_torch() -> None:
    """Import torch, which takes a second or two. Raises `DoctorError` where it is installed and cannot be imported."""
    try:
        import torch  # noqa: F401
    except Exception as error:
        what = printable(f"{type(error).__name__}: {error}", limit=300)
        raise DoctorError(
            f"torch is installed but cannot be imported ({what}); nothing was changed. "
            "Reinstall it, or merge with an interpreter in which it works."
        ) from error


class Arithmetic:
    """The arithmetic of one merge. Imports torch, which uses one thread unless `threads` says otherwise.

    Several threads wait for each other after every small operation; if other processes use the cores as well, waiting
    takes twenty times as long as the work.
    """

    def __init__(self, threads: int | None = None) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads or 1)
        self._shared: dict[tuple[TensorLocation, Any], Any] = {}

    def dtype(self, stored: str) -> Any:
        """Return torch's dtype for one of safetensors."""
        return getattr(self.torch, FLOATS[stored])

    def load(self, source: Source, location: TensorLocation, dtype: Any) -> Any:
        """Return an adapter's tensor in a dtype of torch, in memory of torch's own."""
        raw = self.torch.frombuffer(source.read(location, 0, location.nbytes), dtype=self.dtype(location.tensor.dtype))
        return raw.reshape(location.shape).to(dtype, copy=True)

    def load_shared(self, source: Source, location: TensorLocation, dtype: Any) -> Any:
        """Return an adapter's tensor that several of the following tensors need. The last two are kept."""
        key = location, dtype
        if key not in self._shared:
            while len(self._shared) > 1:
                del self._shared[next(iter(self._shared))]
            self._shared[key] = self.load(source, location, dtype)
        return self._shared[key]

    def blocks(
        self, plan: TensorPlan, source: Source, retention: DeltaRetention, acquire_buffer: Callable[[int], bytearray]
    ) -> Iterator[RowBlock]:
        """Yield the tensor's rows as they are to be written, in order, in blocks of bounded size.

        `acquire_buffer` gives memory of at least so many bytes for one block, which is not touched again.
        """
        with self.torch.inference_mode():
            work = _TensorComputation(self, plan, source, retention)
            for start, end in work.spans:
                yield work.block(start, end, acquire_buffer(work.nbytes(start, end)))

    def one_block(self, plan: TensorPlan, source: Source, index: int) -> RowBlock | None:
        """Return one of the blocks that `blocks` yields, computed by itself."""
        with self.torch.inference_mode():
            work = _TensorComputation(self, plan, source, DeltaRetention())
            if not work.spans:
                return None
            start, end = work.spans[min(index, len(work.spans) - 1)]
            return work.block(start, end, bytearray(work.nbytes(start, end)))


class _TensorComputation:
    """One tensor's factors and the memory its blocks are computed in, each set up once."""

    def __init__(self, arithmetic: Arithmetic, plan: TensorPlan, source: Source, retention: DeltaRetention) -> None:
        self.arithmetic, self.plan, self.source, self.retention = arithmetic, plan, source, retention
        torch = arithmetic.torch
        self.height = plan.height
        self.width = plan.source.tensor.elements // max(self.height, 1)
        matrices = plan.shape[0] if len(plan.shape) > 2 else 1  # no block of rows crosses from one into the next
        rows = self.height // max(matrices, 1)
        within = spans(rows, max(1, BLOCK_ELEMENTS // max(self.width, 1)))
        self.spans = [(n * rows + s, n * rows + e) for n in range(matrices) for s, e in within]
        self.out_dtype = arithmetic.dtype(plan.dtype)
        self.stored_dtype = arithmetic.dtype(plan.source.tensor.dtype)
        # The base as PEFT would hold it: in its stored dtype, or in the wider one that is asked for.
        self.base_dtype = torch.promote_types(arithmetic.dtype(plan.stored), self.out_dtype)
        self.wide_dtype = torch.promote_types(self.base_dtype, torch.float32)
        rows = max((end - start for start, end in self.spans), default=0)
        quantized = plan.source.quantized
        self.decoder = Decoder(torch, quantized, self.width, source) if quantized is not None else None
        self._raw_buffer = bytearray(rows * self.width * self.stored_dtype.itemsize if quantized is None else 0)
        self._wide_buffer = torch.empty((rows, self.width), dtype=self.wide_dtype)
        self._base_buffer = torch.empty(
            (rows if self.base_dtype != self.out_dtype else 0, self.width), dtype=self.base_dtype
        )
        self._product_buffer = torch.empty(rows * self.width if plan.low_rank else 0, dtype=self.wide_dtype)
        low_rank = plan.low_rank
        self.a: Any = self._load(low_rank.a) if low_rank else None
        if low_rank and low_rank.stack:
            shared = arithmetic.load_shared(source, low_rank.b, self.wide_dtype)
            self.a, self.b = _expert_matrices(low_rank.stack, self.a, shared)
        else:
            self.b = self._load(low_rank.b) if low_rank else None
        self.factor = self._dora_factor(low_rank) if low_rank and low_rank.magnitude else None
        if low_rank and self.factor is None and not (bool(self.a.any()) and bool(self.b.any())):
            retention.idle.append(plan.name)
        self.bias = self._load(plan.bias.b).reshape(-1, 1) * plan.bias.scaling if plan.bias else None
        self.values = self._load(plan.rows.values) if plan.rows else None

    def _load(self, location: TensorLocation) -> Any:
        return self.arithmetic.load(self.source, location, self.wide_dtype)

    def nbytes(self, start: int, end: int) -> int:
        """Return how many bytes some rows of the result take."""
        return int((end - start) * self.width * self.out_dtype.itemsize)

    def block(self, start: int, end: int, memory: bytearray) -> RowBlock:
        """Return some rows of the result, in `memory`."""
        count = end - start
        nbytes = self.nbytes(start, end)
        result = self._tensor(memory, self.out_dtype, count)
        base = self._held_base(start, end, result, memory)
        if self.plan.low_rank is not None:
            delta = self._delta(self.plan.low_rank, start, end)
            measured = (start // max(count, 1)) % _MEASURED_BLOCKS == 0
            sample = self._sample(base, delta, start, end) if measured else None
            self._add(self.plan.low_rank, base, delta, start)
            if sample is not None:
                self._measure(base, *sample)
        if self.bias is not None:
            total = self._wide_buffer[:count].copy_(base)
            base.copy_(total.add_(self.bias[start:end]))
        if self.plan.rows is not None:
            self._put_rows(base, start, end)
        if self.base_dtype != self.out_dtype:
            result.copy_(base)
        finite = True
        if result.numel():
            finite = all(math.isfinite(float(n)) for n in self.arithmetic.torch.aminmax(result))
        return RowBlock(start, end, memory, nbytes, finite)

    def _add(self, low_rank: LowRank, base: Any, delta: Any, start: int) -> None:
        """Add a delta to a block of the base, number by number: in tiles, which takes two thirds of the time."""
        twice = (low_rank.twice or low_rank.layout in _TWICE) and self.factor is None
        for first, last in spans(len(base), max(1, _TILE_ELEMENTS // max(self.width, 1))):
            part = delta[first:last]
            total = self._wide_buffer[: last - first].copy_(base[first:last])
            total.add_(part.to(self.base_dtype).to(self.wide_dtype) if twice else part)
            if self.factor is not None:
                total.mul_(self._factor_of(start + first, start + last, low_rank))
            base[first:last].copy_(total)

    def _held_base(self, start: int, end: int, result: Any, memory: bytearray) -> Any:
        """Return rows as PEFT would hold them: in the result's own place where the dtype is the same."""
        if self.base_dtype != self.out_dtype:
            return self._base_buffer[: end - start].copy_(self._base(start, end, self._raw_buffer))
        if self.decoder is None and self.stored_dtype == self.base_dtype:
            return self._base(start, end, memory)
        return result.copy_(self._base(start, end, self._raw_buffer))

    def _base(self, start: int, end: int, memory: bytearray) -> Any:
        """Return rows as they are read, in `memory` or, decoded, in other memory.

        What of the adapter takes the base's place is rounded as the base is held.
        """
        if self.decoder is not None:
            return self.decoder.rows(start, end)
        row = self.width * self.stored_dtype.itemsize
        self.source.read_into(self.plan.source, start * row, memoryview(memory)[: (end - start) * row])
        return self._tensor(memory, self.stored_dtype, end - start)

    def _tensor(self, memory: bytearray, dtype: Any, rows: int) -> Any:
        torch, count = self.arithmetic.torch, rows * self.width
        found = torch.frombuffer(memory, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
        return found.reshape(rows, self.width)

    def _delta(self, low_rank: LowRank, start: int, end: int) -> Any:
        torch = self.arithmetic.torch
        out = self._product_buffer[: (end - start) * self.width]
        if low_rank.stack is not None:
            number, first = divmod(start, self.height // self.a.shape[0])
            rows = slice(first, first + end - start)
            if not low_rank.stack.transposed:
                a, b = self.a[number], self.b[number, rows]
                return _scaled(torch.mm(b, a, out=out.view(end - start, self.width)), low_rank)
            product = torch.mm(self.b[number], self.a[number, :, rows], out=out.view(self.width, end - start))
            return _scaled(product, low_rank).T
        if low_rank.layout in ("linear", "expert"):
            return _scaled(torch.mm(self.b[start:end], self.a, out=out.view(end - start, self.width)), low_rank)
        # Rows of the weight are columns of the product.
        product = torch.mm(self.b, self.a[:, start:end], out=out.view(self.width, end - start))
        return _scaled(product, low_rank).T

    def _factor_of(self, start: int, end: int, low_rank: LowRank) -> Any:
        assert self.factor is not None
        return self.factor[start:end].view(-1, 1) if low_rank.layout == "linear" else self.factor.view(1, -1)

    def _dora_factor(self, low_rank: LowRank) -> Any:
        """Return magnitude / norm for each output. Outputs are rows of a linear weight, columns of the others."""
        torch = self.arithmetic.torch
        assert low_rank.magnitude is not None
        magnitude = self._load(low_rank.magnitude).reshape(-1)
        norms = []
        if low_rank.layout == "linear":
            for start, end in self.spans:
                total = self._base(start, end, self._raw_buffer).to(self.base_dtype) + self._delta(low_rank, start, end)
                norms.append(torch.linalg.norm(total, dim=1))
        else:
            for left, right in spans(self.width, max(16, BLOCK_ELEMENTS // max(self.height, 1))):
                columns = self._columns(left, right)
                delta = (self.b[left:right] @ self.a).T * low_rank.scaling
                norms.append(torch.linalg.norm((columns + delta).T, dim=1))
        return magnitude / torch.cat(norms)

    def _columns(self, left: int, right: int) -> Any:
        found = self.arithmetic.torch.empty((self.height, right - left), dtype=self.base_dtype)
        for start, end in self.spans:
            found[start:end] = self._base(start, end, self._raw_buffer)[:, left:right]
        return found

    def _put_rows(self, base: Any, start: int, end: int) -> None:
        assert self.plan.rows is not None
        assert self.values is not None
        here = [(row - start, i) for i, row in enumerate(self.plan.rows.indices) if start <= row < end]
        if here:
            base[[row for row, _ in here]] = self.values[[i for _, i in here]].to(base.dtype)

    def _sample(self, base: Any, delta: Any, start: int, end: int) -> tuple[int, Any, Any]:
        """Return every n-th row of a block, n first: the base's numbers, and how the adapter means to change them."""
        step = max(1, base.numel() // _SAMPLED_ELEMENTS)
        double = self.arithmetic.torch.float64
        old, wanted = base[::step].to(double, copy=True), delta[::step].to(double)
        if self.factor is not None and self.plan.low_rank is not None:
            factor = self._factor_of(start, end, self.plan.low_rank)
            wanted = (old + wanted) * (factor[::step] if len(factor) > 1 else factor).double() - old
        return step, old, wanted

    def _measure(self, base: Any, step: int, old: Any, wanted: Any) -> None:
        """Add what became of sampled rows to the measured retention."""
        before = old.to(self.base_dtype).to(self.out_dtype).double()
        self.retention.add(base[::step].to(self.out_dtype).double() - before, wanted)


def _scaled(product: Any, low_rank: LowRank) -> Any:
    """Return a product times the scaling, in its place; often that is one."""
    return product if low_rank.scaling == 1.0 else product.mul_(low_rank.scaling)


def _expert_matrices(stack: ExpertStack, a: Any, b: Any) -> tuple[Any, Any]:
    """Return the matrices of each expert that a tensor holds: experts × rank × in, and experts × out × rank."""
    b = b.reshape(b.shape[0], -1, stack.experts)
    if stack.expert is None:
        return a.reshape(stack.experts, -1, a.shape[-1]), b.permute(2, 0, 1)
    return a[None], b[None, stack.first : stack.first + stack.rows, :, stack.expert]
