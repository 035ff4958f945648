"""How a probe may end, as the values it hands over: one that went through every stage, and changes to it."""

from __future__ import annotations

from sage_doctor.probe.outcome import (
    Device,
    Forward,
    Generation,
    KeyList,
    Keys,
    Loaded,
    ProbeMemory,
    ProbeOutcome,
    Stage,
)

NOTHING = KeyList()
ONE = KeyList(names=("model.layers.0.mlp.up_proj.weight",), total=1)
KEYS = Keys(
    model_class="LlamaForCausalLM",
    missing=NOTHING,
    unexpected=NOTHING,
    spare=NOTHING,
    idle=NOTHING,
    mismatched=(),
    mismatched_total=0,
    errors=NOTHING,
)
LOADED = Loaded(
    seconds=2.0,
    parameters=200,
    dtypes={"torch.float32": 200},
    on_meta=NOTHING,
    devices={"cpu": 3},
)
CPU = Device(used="cpu", name="", cuda_build="", problem="", seconds=0.1)
SPOKEN = Generation(
    token_ids=tuple(range(32)),
    text="I am a small model.",
    ended_by_eos=False,
    first_token_ms=100.0,
    tokens_per_s=10.0,
    seconds=3.2,
)
COMPLETED = ProbeOutcome(
    ending="completed",
    message="the probe went through every stage",
    duration_s=6.0,
    stage="done",
    stages=(Stage(name="load", started_s=1.0, seconds=2.0),),
    device=CPU,
    keys=KEYS,
    loaded=LOADED,
    memory=ProbeMemory(peak_resident_bytes=2_000_000_000, peak_device_bytes=0),
    forward=Forward(nan=0, infinite=0, total=100),
    generation=SPOKEN,
)
