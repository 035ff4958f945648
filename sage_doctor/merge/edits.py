"""The plan of one tensor: its source, and the edits that the adapter makes to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sage_doctor.readers.safetensors_entries import BITS
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.system.frozen import frozen

Layout = Literal["linear", "conv1d", "embedding", "expert"]
QuantizedFormat = Literal["bnb-4bit", "bnb-8bit", "fp8"]

FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
STORED = {name: stored for stored, name in FLOATS.items()}
# Architectures with transposed weights, and the modules that have them. PEFT looks at the module's type and overrides
# `fan_in_fan_out`, which old configurations state wrongly. A test reads this table off the library's source.
CONV1D: Mapping[str, frozenset[str]] = {
    "gpt2": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
    "openai-gpt": frozenset({"c_attn", "c_proj", "c_fc"}),
    "imagegpt": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
    "decision_transformer": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
    "clvp": frozenset({"c_attn", "q_attn", "c_proj", "c_fc"}),
}


@frozen
class QuantizedStorage:
    """How a quantised tensor is stored: the stored tensors it consists of, by part, and the numbers of its format."""

    form: QuantizedFormat
    parts: Mapping[str, TensorLocation]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class TensorLocation:
    """A tensor in a file on disk.

    If `quantized` is set, `tensor` describes it dequantised, and its bytes are those of the quantised numbers.
    """

    path: Path
    tensor: Tensor
    quantized: QuantizedStorage | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        """The tensor's size in bytes."""
        return self.tensor.end - self.tensor.start


@frozen
class ExpertStack:
    """Which experts of a block a tensor holds, where a LoRA's matrices are those of all experts.

    `expert` None: the tensor is the whole block, `transposed` if each expert is stored in × out. Otherwise it holds
    `rows` outputs of that expert from `first` on; the matrix A is cut to it already.
    """

    experts: int
    expert: int | None
    first: int
    rows: int
    transposed: bool


@frozen
class LowRank:
    """A LoRA pair for one weight. `magnitude` is set for DoRA, `stack` for a block of experts.

    `twice` says that PEFT rounds the product by itself before it is added.
    `layout` says how the weight is stored: `linear` out × in; `conv1d` in × out (GPT-2); `embedding` tokens × width;
    `expert` out × in, but part of a parameter that the library keeps as one block of all experts.
    """

    a: TensorLocation
    b: TensorLocation
    scaling: float
    layout: Layout
    magnitude: TensorLocation | None = None
    stack: ExpertStack | None = None
    twice: bool = False


@frozen
class BiasDelta:
    """The bias of a LoRA's second matrix, added to the bias of the layer."""

    b: TensorLocation
    scaling: float


@frozen
class Rows:
    """Rows of an embedding that were trained on their own: they replace the base's."""

    values: TensorLocation
    indices: tuple[int, ...]


@frozen
class TensorPlan:
    """One tensor of the merged model.

    `source` is the base's tensor, or the adapter's if that replaces it. `stored` is the dtype in the base, `dtype` the
    one that is written; both as safetensors names them.
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
        """The number of rows: those of all its matrices if it is a block."""
        return math.prod(self.shape[:-1]) if len(self.shape) > 1 else math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes written."""
        return self.source.tensor.elements * BITS[self.dtype] // 8

    @property
    def untouched(self) -> bool:
        """Whether the bytes are copied as they are."""
        return not self.computed and not self.source.quantized and self.source.tensor.dtype == self.dtype == self.stored

    @property
    def computed(self) -> bool:
        """Whether the adapter changes some of its numbers."""
        return self.low_rank is not None or self.bias is not None or self.rows is not None

    def inputs(self) -> list[TensorLocation]:
        """Return the adapter tensors that go into it, its source left out."""
        found = [self.low_rank.a, self.low_rank.b, self.low_rank.magnitude] if self.low_rank else []
        found += [self.bias.b if self.bias else None, self.rows.values if self.rows else None]
        return [p for p in found if p is not None]
