"""Adapters: their configuration and weights, before any base is asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import tensors
from .case import Bench, Table, edit_json, write_json
from .pickles import baited
from .tensors import ADAPTER, PAGE, POINTER

TABLE = Table("adapters")


def _adapter(bench: Bench, name: str = "lora") -> Path:
    return bench.copy(name)


def _config(bench: Bench, name: str = "lora") -> Path:
    return bench.copy(name) / "adapter_config.json"


@TABLE.error(
    "adapter-config-missing", shows="ValueError: Unrecognized model in …; from PEFT: Can't find 'adapter_config.json'"
)
def config_missing(bench: Bench) -> None:
    """Weights of an adapter, and nothing that says of which kind."""
    _config(bench).unlink()


@TABLE.error("adapter-config-invalid", shows="JSONDecodeError")
def config_cut(bench: Bench) -> None:
    """Half of it."""
    config = _config(bench)
    os.truncate(config, config.stat().st_size // 2)


@TABLE.error("adapter-config-invalid", shows="JSONDecodeError")
def config_pointer(bench: Bench) -> None:
    """In Git LFS and not pulled."""
    _config(bench).write_text(POINTER, encoding="utf-8")


@TABLE.error("adapter-config-invalid", shows="TypeError: 'list' object is not a mapping")
def config_is_an_array(bench: Bench) -> None:
    """JSON, but no object."""
    write_json(_config(bench), [1, 2])


@TABLE.error("adapter-config-invalid", shows="KeyError: 'SUPERLORA'")
def kind_unknown(bench: Bench) -> None:
    """A `peft_type` that PEFT does not have."""
    edit_json(_config(bench), peft_type="SUPERLORA")


@TABLE.error("adapter-config-invalid", shows="TypeError: … missing required keys: {'peft_type'}")
def kind_missing(bench: Bench) -> None:
    """No `peft_type`."""
    edit_json(_config(bench), drop=("peft_type",))


@TABLE.error("adapter-config-invalid", shows="ValueError: `r` should be a positive integer value")
def rank_of_zero(bench: Bench) -> None:
    """A rank that no adapter can have."""
    edit_json(_config(bench), r=0)


@TABLE.error("adapter-weights-missing", shows="HFValidationError: Repo id must be in the form 'repo_name'")
def weights_missing(bench: Bench) -> None:
    """Only the configuration was committed."""
    (_adapter(bench) / ADAPTER).unlink()


@TABLE.error("adapter-weights-empty", shows="RuntimeError: size mismatch: copying a param with shape torch.Size([0])")
def saved_under_zero3(bench: Bench) -> None:
    """Saved from one rank of a ZeRO-3 run: every tensor has the shape [0]."""
    path = _adapter(bench) / ADAPTER
    tensors.pack(path, {name: ("F32", [0], b"") for name in tensors.unpack(path)})


@TABLE.error("adapter-weights-empty", shows="loads, but Found missing adapter keys: base behaviour")
def forty_bytes(bench: Bench) -> None:
    """A header with nothing but `__metadata__`: the file that an empty state dict leaves."""
    tensors.write(_adapter(bench) / ADAPTER, '{"__metadata__":{"format":"pt"}}', b"")


@TABLE.error("adapter-weights-empty", "weights-empty", shows="SafetensorError: header too small")
def weights_of_no_bytes(bench: Bench) -> None:
    """The disk was full."""
    (_adapter(bench) / ADAPTER).write_bytes(b"")


@TABLE.error("weights-lfs-pointer", shows="SafetensorError: header too large")
def weights_pointer(bench: Bench) -> None:
    """Cloned without `git lfs pull`."""
    (_adapter(bench) / ADAPTER).write_text(POINTER, encoding="utf-8")


@TABLE.error("weights-not-safetensors", shows="SafetensorError: header too large")
def weights_login_page(bench: Bench) -> None:
    """A captive portal."""
    (_adapter(bench) / ADAPTER).write_text(PAGE, encoding="utf-8")


@TABLE.error("weights-truncated", shows="SafetensorError: incomplete metadata, file not fully covered")
def weights_cut(bench: Bench) -> None:
    """Cut in the middle."""
    path = _adapter(bench) / ADAPTER
    os.truncate(path, path.stat().st_size // 2)


@TABLE.warning("adapter-weights-pickle", "weights-pickle-only", shows="UnpicklingError: Weights only load failed")
def only_bin(bench: Bench) -> None:
    """`adapter_model.bin`, which would leave a file behind if it were unpickled in full."""
    folder = _adapter(bench)
    (folder / ADAPTER).unlink()
    (folder / "adapter_model.bin").write_bytes(baited(bench.bait))


@TABLE.error("adapter-rank-mismatch", shows="RuntimeError: size mismatch for …lora_A.default.weight")
def rank_differs(bench: Bench) -> None:
    """The configuration says 16 where 4 was trained."""
    edit_json(_config(bench), r=16)


@TABLE.error("adapter-rank-mismatch", shows="RuntimeError: size mismatch for …lora_A.default.weight")
def rank_pattern_lost(bench: Bench) -> None:
    """The configuration was written by hand and forgets that two modules have a rank of their own."""
    edit_json(_config(bench, "lora-rank-pattern"), rank_pattern={}, alpha_pattern={})


@TABLE.error("adapter-keys-unmatched", shows="loads, but Found missing adapter keys: base behaviour")
def prefix_missing(bench: Bench) -> None:
    """Saved from the inner model: no key begins with `base_model.model.`."""
    tensors.rename(_adapter(bench) / ADAPTER, lambda name: name.removeprefix("base_model.model."))


# PEFT 0.21 with transformers 5 happens to strip the name where the adapter is loaded under that same name; with any
# other name, and with every PEFT before, the adapter does nothing at all.
@TABLE.error(
    "adapter-keys-unmatched", shows="loads as `default` in PEFT 0.21; by any other name, and before: base behaviour"
)
def adapter_name_in_keys(bench: Bench) -> None:
    """Saved from `model.state_dict()`: every key carries the adapter's name."""
    tensors.rename(_adapter(bench) / ADAPTER, lambda name: name.replace(".weight", ".default.weight"))


@TABLE.error(
    "adapter-keys-unmatched", "adapter-targets-missing", shows="loads, but Found missing adapter keys: base behaviour"
)
def prefix_doubled(bench: Bench) -> None:
    """Wrapped twice before saving."""
    tensors.rename(_adapter(bench) / ADAPTER, lambda name: "base_model.model." + name)


@TABLE.error(
    "adapter-targets-missing", shows="NoMatchingPeftModuleError: Target modules {'c_attn'} not found in the base model"
)
def targets_of_another_model(bench: Bench) -> None:
    """Trained on GPT-2, and `base_model_name_or_path` edited to a Llama."""
    config = _config(bench, "lora-conv1d")
    edit_json(config, base_model_name_or_path=str(bench.stock / "llama"))


@TABLE.error("adapter-shape-mismatch", shows="RuntimeError: size mismatch for …lora_A.default.weight")
def shapes_of_another_model(bench: Bench) -> None:
    """Trained on the 32 wide model, named on one of 40: the modules have the same names."""
    edit_json(_config(bench), base_model_name_or_path=str(bench.stock / "qwen3"))


@TABLE.warning("adapter-init-mutates-base", shows="loads silently; a second adapter on the same base is garbage")
def initialised_from_the_base(bench: Bench) -> None:
    """PiSSA takes its start out of the base's weights."""
    edit_json(_config(bench), init_lora_weights="pissa")


@TABLE.warning("adapter-config-newer", shows="loads, UserWarning: Unexpected keyword arguments ['quantum_rank']")
def field_of_a_newer_peft(bench: Bench) -> None:
    """A field that the installed PEFT does not know."""
    edit_json(_config(bench), quantum_rank=7)


@TABLE.warning("adapter-tied-embeddings", shows="loads; merged differs from the adapter")
def trained_a_tied_embedding(bench: Bench) -> None:
    """LoRA on the embedding of a model whose output head is the same tensor."""
    folder = _adapter(bench, "lora-tied-base")
    edit_json(folder / "adapter_config.json", target_modules=["q_proj", "v_proj", "embed_tokens"])
    path = folder / ADAPTER
    prefix = "base_model.model.model.embed_tokens."
    tensors.pack(
        path,
        {
            **tensors.unpack(path),
            f"{prefix}lora_embedding_A": ("F32", [4, 128], b"\0\0\x80\x3d" * 512),
            f"{prefix}lora_embedding_B": ("F32", [32, 4], b"\0\0\x80\x3d" * 128),
        },
    )


@TABLE.healthy()
def with_what_a_trainer_leaves(bench: Bench) -> None:
    """Optimizer, scheduler and arguments as pickles beside the adapter, an older checkpoint below it."""
    folder = _adapter(bench)
    shutil.copytree(bench.stock / "lora", folder / "checkpoint-10")
    for place in (folder, folder / "checkpoint-10"):
        for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
            (place / name).write_bytes(baited(bench.bait))
        write_json(place / "trainer_state.json", {"global_step": 10})
