"""Adapters after public reports: tensors under names that training left, so that PEFT skips them."""

from __future__ import annotations

import shutil

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table
from tests.corpus.builders.tensors import ADAPTER, MODEL

TABLE = Table("field-adapter-names", in_tree=False)
PREFIX = "base_model.model."
NOTHING = "loads, but Found missing adapter keys: base behaviour"


def _named(bench: Bench, old: str, new: str, name: str = "lora") -> None:
    """Copy a stock adapter with other names."""
    tensors.rename(bench.copy(name) / ADAPTER, lambda key: key.replace(old, new))


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="MakazhanAlpamys/Soup#335")
def compiled(bench: Bench) -> None:
    """Saved from the compiled model: `_orig_mod.` before everything."""
    _named(bench, PREFIX, f"_orig_mod.{PREFIX}")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="MakazhanAlpamys/Soup#351")
def compiled_inside(bench: Bench) -> None:
    """The base was compiled before PEFT wrapped it."""
    _named(bench, PREFIX, f"{PREFIX}_orig_mod.")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/peft#2957")
def compiled_layers(bench: Bench) -> None:
    """Each layer was compiled by itself."""
    _named(bench, ".self_attn.", "._orig_mod.self_attn.")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="bghira/SimpleTuner#2153")
def sharded_layers(bench: Bench) -> None:
    """FSDP wraps each layer."""
    _named(bench, ".self_attn.", "._fsdp_wrapped_module.self_attn.")


@TABLE.error(
    "adapter-keys-unmatched", shows="loads, but half of the keys are missing", source="bghira/SimpleTuner#2153"
)
def one_checkpointed_layer(bench: Bench) -> None:
    """Activation checkpointing wraps a layer, and the other one works."""
    _named(bench, ".layers.1.", ".layers.1._checkpoint_wrapped_module.")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/peft#1323")
def distributed(bench: Bench) -> None:
    """DistributedDataParallel's own state dict."""
    _named(bench, PREFIX, f"module.{PREFIX}")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/transformers#27874")
def distributed_inside(bench: Bench) -> None:
    """DeepSpeed's engine was wrapped by PEFT."""
    _named(bench, PREFIX, f"{PREFIX}module.")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="Lightning-AI/pytorch-lightning#16526")
def of_lightning(bench: Bench) -> None:
    """Lightning's strategy keeps the model below `_forward_module`."""
    _named(bench, PREFIX, f"_forward_module.{PREFIX}")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/peft#2699")
def another_adapters_name(bench: Bench) -> None:
    """The state dict of an adapter that was called `policy`."""
    _named(bench, ".weight", ".policy.weight")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/peft#1932")
def without_a_prefix(bench: Bench) -> None:
    """IA3, saved from the inner model."""
    _named(bench, PREFIX, "", "ia3")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="ml-explore/mlx-lm#1119")
def mlx_names_under_pefts(bench: Bench) -> None:
    """Converted by renaming the file."""
    folder = bench.copy("lora")
    zeros = ("F32", [32, 4], bytes(32 * 4 * 4))
    names = {f"model.layers.{n}.self_attn.q_proj.lora_{p}": zeros for n in (0, 1) for p in "ab"}
    tensors.pack(folder / ADAPTER, names)


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/peft#2211")
def a_models_weights_under_pefts_name(bench: Bench) -> None:
    """`save_file(model.state_dict())` of a model that was no PEFT model any more."""
    shutil.copy(bench.stock / "llama" / MODEL, bench.copy("lora") / ADAPTER)
