"""What happens to one tensor on its way from the base to the merged model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sage_doctor.readers.safetensors_entries import BITS
from sage_doctor.readers.safetensors_header import Tensor

Layout = Literal["linear", "conv1d", "embedding", "expert"]
QuantizedFormat = Literal["bnb-4bit", "bnb-8bit", "fp8"]

FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
STORED = {name: stored for stored, name in FLOATS.items()}
# Architectures whose weights lie transposed, and the modules of which that holds. PEFT goes by the type of the module
# and overrides `fan_in_fan_out`, which old configurations state wrongly. A test reads these off the library's source.
CONV1D: Mapping[str, frozenset[str]] = {
    "gpt2": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
    "openai-gpt": frozenset({"c_attn", "c_proj", "c_fc"}),
    "imagegpt": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
    "decision_transformer": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
    "clvp": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
}


@dataclass(frozen=True, kw_only=True)
class QuantizedStorage:
    """How a quantised tensor is stored: the stored tensors that make it up, by part, and the numbers of its form."""

    form: QuantizedFormat
    parts: Mapping[str, TensorLocation]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class TensorLocation:
    """A tensor in a file on disk.

    Where `coded` is set, `tensor` says what it is once dequantised, and its bytes are those of the coded numbers.
    """

    path: Path
    tensor: Tensor
    coded: QuantizedStorage | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        """The tensor's size in bytes."""
        return self.tensor.end - self.tensor.start


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Which of a block's experts a LoRA's matrices are for, where they hold those of all.

    `expert` None: the tensor is the whole block, `turned` if each expert lies in × out. Else it holds `rows` outputs
    of that expert from `first` on; the matrix A is cut to it already.
    """

    experts: int
    expert: int | None
    first: int
    rows: int
    turned: bool


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """A LoRA pair for one weight. `magnitude` is set for DoRA, `stack` for a block of experts.

    `layout` says how the weight lies: `linear` out × in; `conv1d` in × out (GPT-2); `embedding` tokens × width;
    `expert` out × in, but part of a parameter that the library keeps as one block of all experts.
    """

    a: TensorLocation
    b: TensorLocation
    scaling: float
    layout: Layout
    magnitude: TensorLocation | None = None
    stack: Stack | None = None


@dataclass(frozen=True, kw_only=True)
class BiasDelta:
    """The bias of a LoRA's second matrix, added to the bias of the layer."""

    b: TensorLocation
    scaling: float


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of an embedding that were trained by themselves: they replace the base's."""

    values: TensorLocation
    indices: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TensorPlan:
    """One tensor of the merged model.

    `source` is where its value starts from: the base's tensor, or the adapter's where that replaces it. `stored`
    is the dtype the base keeps it in, `dtype` the one that is written; both as safetensors names them.
    """

    name: str
    source: TensorLocation
    stored: str
    dtype: str
    low_rank: LowRank | None = None
    bias: BiasDelta | None = None
    rows: Rows | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape written."""
        return self.source.tensor.shape

    @property
    def height(self) -> int:
        """The rows it is computed in: those of all its matrices, where it is a block of them."""
        return math.prod(self.shape[:-1]) if len(self.shape) > 1 else math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes written."""
        return self.source.tensor.elements * BITS[self.dtype] // 8

    @property
    def untouched(self) -> bool:
        """Whether the bytes are copied as they are."""
        return not self.computed and not self.source.coded and self.source.tensor.dtype == self.dtype == self.stored

    @property
    def computed(self) -> bool:
        """Whether something is added to it or put into it."""
        return self.low_rank is not None or self.bias is not None or self.rows is not None

    def inputs(self) -> list[TensorLocation]:
        """Return the adapter tensors that go into it, its source left out."""
        found = [self.low_rank.a, self.low_rank.b, self.low_rank.magnitude] if self.low_rank else []
        found += [self.bias.b if self.bias else None, self.rows.values if self.rows else None]
        return [p for p in found if p is not None]
