"""The outcome of a probe: frozen values, one class for each answer of the child."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from sage_doctor.probe.degeneration import Degeneration, find_degeneration
from sage_doctor.probe.limits import UNLIMITED, Limit, ProcessLimits
from sage_doctor.system.frozen import frozen

ProbeEnding = Literal[
    "completed",
    "failed",
    "import-error",
    "out-of-memory",
    "signal",
    "deadline",
    "spawn-failed",
    "protocol",
]

FailureKind = Literal["failed", "import-error", "out-of-memory"]


@frozen
class KeyList:
    """Names in order, at most 50 of them; `total` counts all."""

    names: tuple[str, ...] = ()
    total: int = 0


@frozen
class ShapeMismatch:
    """A tensor whose shape on disk is not the one the model was built with."""

    name: str
    on_disk: tuple[int, ...]
    in_model: tuple[int, ...]


@frozen
class Stage:
    """One stage the child announced.

    `started_s` counts from the start of the process; the last stage lasts until the process ended.
    """

    name: str
    started_s: float
    seconds: float


@frozen
class Tokens:
    """How many tokens there are so far, of `most`."""

    done: int
    most: int


@frozen
class Device:
    """What the model ran on.

    `problem` says why the device cannot be used: an allocation and a product on it were tried. `cuda_build` is the CUDA
    (or ROCm) version that torch was built for, empty for a CPU build. Memory is that of the device, in bytes, after the
    library took its share; 0 where it is not told or the host's own.
    """

    used: str
    name: str
    cuda_build: str
    problem: str
    seconds: float
    memory_total: int = 0
    memory_free: int = 0


@frozen
class Keys:
    """How the weights on disk fitted the model (an adapter's base, for an adapter). Tied weights are not missing.

    `spare` are tensors that another class of the same architecture uses: a head that this one does without. `idle` are
    parameters that were not found and that this class can be built without.
    """

    model_class: str
    missing: KeyList
    unexpected: KeyList
    spare: KeyList
    idle: KeyList
    mismatched: tuple[ShapeMismatch, ...]
    mismatched_total: int
    errors: KeyList


@frozen
class Adapter:
    """How an adapter's file fitted: parameters of the adapter not in the file, and keys of the file not used."""

    peft_type: str
    missing: KeyList
    unexpected: KeyList


@frozen
class Loaded:
    """The model in memory. `seconds`: `from_pretrained`, the adapter, and the move to the device; imports apart.

    `dtypes` counts parameters by type, `devices` parameter tensors by device.
    """

    seconds: float
    parameters: int
    dtypes: Mapping[str, int]
    on_meta: KeyList
    devices: Mapping[str, int]


@frozen
class ProbeMemory:
    """The most bytes held: resident, and on the accelerator (0 where there is none)."""

    peak_resident_bytes: int
    peak_device_bytes: int


@frozen
class Prompt:
    """The prompt as the tokenizer saw it."""

    tokens: int
    templated: bool


@frozen
class Forward:
    """Scores of the first new token: how many are NaN, how many infinite, of how many."""

    nan: int
    infinite: int
    total: int


@frozen
class Effect:
    """What the adapter does to those scores; None where it cannot be switched off, and `problem` says why."""

    changes_logits: bool | None
    max_abs_difference: float | None
    problem: str


@frozen
class Generation:
    """What was generated greedily, after a warm-up. `tokens_per_s` counts the tokens after the first."""

    token_ids: tuple[int, ...]
    text: str
    ended_by_eos: bool
    first_token_ms: float | None
    tokens_per_s: float | None
    seconds: float

    @property
    def degeneration(self) -> Degeneration | None:
        """How the text degenerated, or None."""
        return find_degeneration(self.token_ids, self.text, ended_by_eos=self.ended_by_eos)


@frozen
class Failure:
    """The exception that ended the child: its type, its text, and where it arose, innermost frame first."""

    kind: FailureKind
    type: str
    message: str
    module: str
    where: tuple[str, ...]


@frozen
class NotApplicable:
    """Why a model was not asked to generate."""

    reason: str


# The answers by the event that announces them: a field's annotation says how it is read (`protocol`).
ANSWERS: Final[Mapping[str, type]] = {
    "device": Device,
    "keys": Keys,
    "adapter": Adapter,
    "loaded": Loaded,
    "memory": ProbeMemory,
    "prompt": Prompt,
    "forward": Forward,
    "effect": Effect,
    "tokens": Tokens,
    "generation": Generation,
    "not-applicable": NotApplicable,
    "failed": Failure,
}


@frozen
class ProbeOutcome:
    """How a probe ended, and all of its answers.

    `message` is one sentence. `stage` is the last stage announced, empty where the script never began. `where` names
    the frames the process was in when it failed, crashed or was stopped, innermost first. `limit` is the one of its
    `limits` that ended it. All text comes from the
    child or its libraries: make it `printable` before showing it.
    """

    ending: ProbeEnding
    message: str
    duration_s: float
    stage: str = ""
    stages: tuple[Stage, ...] = ()
    device: Device | None = None
    keys: Keys | None = None
    adapter: Adapter | None = None
    loaded: Loaded | None = None
    memory: ProbeMemory | None = None
    prompt: Prompt | None = None
    tokens: Tokens | None = None
    forward: Forward | None = None
    effect: Effect | None = None
    generation: Generation | None = None
    not_applicable: NotApplicable | None = None
    failure: Failure | None = None
    where: tuple[str, ...] = ()
    signal: str = ""
    exit_code: int | None = None
    limit: Limit = ""
    limits: ProcessLimits = UNLIMITED
    abandoned_pid: int | None = None
    output_tail: str = ""

    @property
    def completed(self) -> bool:
        """Whether every stage was completed; says nothing about what was found in them."""
        return self.ending == "completed"

    @property
    def refused(self) -> bool:
        """Whether names and shapes did not fit, so that no weight was read: `keys` says which."""
        return self.failure is not None and self.failure.type == "KeysMismatch"

    @property
    def wrong_device_count(self) -> int:
        """How many parameter tensors are on another kind of device than the one used, including those on meta."""
        if self.loaded is None or self.device is None:
            return 0
        kind = self.device.used.partition(":")[0]
        return sum(count for name, count in self.loaded.devices.items() if name.partition(":")[0] != kind)
