"""Weights as training tools left them: wrapped, cut out of a larger checkpoint, untied, or without their values."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-saved-wrong", in_tree=False)
_MISSING = "loads, but with random numbers: MISSING and UNEXPECTED"
_KEYS = "weights-keys-missing"


def _renamed(bench: Bench, before: str, after: str = "", name: str = "llama") -> Path:
    """Put `before` in front of every name, or in place of `after` where that is in it."""
    folder = bench.copy(name)
    tensors.rename(folder / MODEL, lambda n: n.replace(after, before) if after else before + n)
    return folder


@TABLE.error(_KEYS, source="pytorch/pytorch#101107", shows=_MISSING)
def compiled(bench: Bench) -> None:
    """The state of a model behind torch.compile."""
    _renamed(bench, "_orig_mod.")


@TABLE.error(_KEYS, source="Lightning-AI/pytorch-lightning#20233", shows=_MISSING)
def compiled_inside(bench: Bench) -> None:
    """Only the inner model was compiled."""
    _renamed(bench, "model._orig_mod.", "model.")


@TABLE.error(_KEYS, source="Lightning-AI/pytorch-lightning#20233", shows=_MISSING)
def compiled_by_layer(bench: Bench) -> None:
    """Every layer was compiled on its own (regional compilation)."""
    folder = bench.copy("qwen3")
    tensors.rename(folder / MODEL, lambda n: n.replace("layers.0.", "layers.0._orig_mod."))


@TABLE.error(_KEYS, source="huggingface/pytorch-image-models#2003", shows=_MISSING)
def compiled_and_distributed(bench: Bench) -> None:
    """Both wrappers, one in the other."""
    _renamed(bench, "module._orig_mod.")


@TABLE.error(_KEYS, source="eole-nlp/eole#179", shows=_MISSING)
def compiled_shards(bench: Bench) -> None:
    """Sharded, and the index agrees with the wrong names."""
    folder = bench.copy("llama-sharded")
    for shard in folder.glob("model-*.safetensors"):
        tensors.rename(shard, lambda n: f"_orig_mod.{n}")
    index = read_json(folder / INDEX)
    write_json(folder / INDEX, {**index, "weight_map": {f"_orig_mod.{k}": v for k, v in index["weight_map"].items()}})


@TABLE.error(_KEYS, source="huggingface/transformers#2886", shows=_MISSING)
def data_parallel(bench: Bench) -> None:
    """`module.` in front of everything."""
    _renamed(bench, "module.")


@TABLE.error(_KEYS, source="deepspeedai/DeepSpeed#1394", shows=_MISSING)
def engine_around_parallel(bench: Bench) -> None:
    """DeepSpeed's engine around a model that was wrapped already."""
    _renamed(bench, "module.module.", name="gpt2")


@TABLE.error(_KEYS, source="huggingface/pytorch-image-models#2003", shows=_MISSING)
def parallel_inside(bench: Bench) -> None:
    """The inner model alone was wrapped: the head keeps its name."""
    _renamed(bench, "model.module.", "model.")


@TABLE.error(_KEYS, source="FareedKhan-dev/train-llm-from-scratch#37", shows=_MISSING)
def parallel_of_another_architecture(bench: Bench) -> None:
    """The same for names that do not begin with `model`."""
    _renamed(bench, "module.", name="gpt_neox")


@TABLE.error(_KEYS, source="meta-pytorch/torchsnapshot#141", shows=_MISSING)
def fsdp(bench: Bench) -> None:
    """FSDP wraps the model and every layer."""
    folder = bench.copy("mistral")
    change = "_fsdp_wrapped_module."
    tensors.rename(folder / MODEL, lambda n: change + n.replace("layers.1.", f"layers.1.{change}"))


@TABLE.error(_KEYS, source="pytorch/pytorch#117446", shows=_MISSING)
def activation_checkpointing(bench: Bench) -> None:
    """Each layer behind the wrapper that recomputes it."""
    folder = bench.copy("phi")
    tensors.rename(folder / MODEL, lambda n: n.replace("layers.1.", "layers.1._checkpoint_wrapped_module."))


@TABLE.error(_KEYS, source="ray-project/ray#43594", shows=_MISSING)
def lightning_strategy(bench: Bench) -> None:
    """Lightning's own wrapper around the module."""
    _renamed(bench, "_forward_module.")


@TABLE.error(_KEYS, source="yongzhuo/chatglm-maths#5", shows=_MISSING)
def policy_of_an_agent(bench: Bench) -> None:
    """Saved with the value head of a PPO trainer around it."""
    _renamed(bench, "pretrained_model.")


@TABLE.error(_KEYS, source="facebookresearch/dinov2#544", shows=_MISSING)
def with_a_value_head(bench: Bench) -> None:
    """A model with a value head, saved by its state: the language model is one level down."""
    path = bench.copy() / MODEL
    inner = {f"pretrained_model.{k}": v for k, v in tensors.unpack(path).items()}
    tensors.pack(path, {**inner, "v_head.summary.weight": ("F32", [1, 32], bytes(128))})


@TABLE.error(_KEYS, source="huggingface/transformers#9209", shows=_MISSING)
def prefix_twice(bench: Bench) -> None:
    """A LightningModule keeps the model as `self.model`, which begins with `model.` itself."""
    _renamed(bench, "model.")


@TABLE.error(_KEYS, source="OpenGVLab/InternVL#593", shows=_MISSING)
def still_wrapped_by_peft(bench: Bench) -> None:
    """The state of the wrapped model: base layers under PEFT's names, and the adapter unmerged."""
    path = bench.copy() / MODEL
    stored: dict[str, tuple[str, list[int], bytes]] = {}
    for name, (dtype, shape, raw) in tensors.unpack(path).items():
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            stored[f"{stem}.base_layer.weight"] = (dtype, shape, raw)
            stored[f"{stem}.lora_A.default.weight"] = ("F32", [2, 32], bytes(256))
            stored[f"{stem}.lora_B.default.weight"] = ("F32", [shape[0], 2], bytes(shape[0] * 8))
        else:
            stored[f"base_model.model.{name}"] = (dtype, shape, raw)
    tensors.pack(path, stored)


@TABLE.error(_KEYS, source="huggingface/peft#3000", shows=_MISSING)
def base_layers(bench: Bench) -> None:
    """Merged, never unloaded: only the wrapped layers have other names."""
    folder = bench.copy("qwen2-tied-padded")
    tensors.rename(folder / MODEL, lambda n: n.replace("_proj.", "_proj.base_layer."))


@TABLE.error(_KEYS, source="huggingface/peft#1579", shows=_MISSING)
def peft_prefix_alone(bench: Bench) -> None:
    """`base_model.model.` in front, and nothing else changed."""
    _renamed(bench, "base_model.model.")


def _torch_file(path: Path, value: object) -> None:
    """Write a file as torch.save does, of tensors that only a reader of opcodes will look at."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(value, protocol=2))
        archive.writestr("archive/version", "3\n")
    path.write_bytes(file.getvalue())


@TABLE.error(_KEYS, also=("weights-pickle-only",), source="FareedKhan-dev/train-llm-from-scratch#37", shows=_MISSING)
def lightning_checkpoint(bench: Bench) -> None:
    """A checkpoint of Lightning, renamed to pytorch_model.bin."""
    folder = bench.copy()
    names = tensors.unpack(folder / MODEL)
    (folder / MODEL).unlink()
    state = {f"model.{n}": None for n in names}
    whole = {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.4.0", "state_dict": state}
    _torch_file(folder / "pytorch_model.bin", whole)


@TABLE.error(_KEYS, also=("weights-pickle-only",), source="amjltc295/pytorch-golden-template#48", shows=_MISSING)
def data_parallel_pickle(bench: Bench) -> None:
    """`module.` in the names of a pickle: they are read without unpickling it."""
    folder = bench.copy()
    names = tensors.unpack(folder / MODEL)
    (folder / MODEL).unlink()
    _torch_file(folder / "pytorch_model.bin", {f"module.{n}": None for n in names})


@TABLE.error(_KEYS, source="huggingface/transformers#43429", shows=_MISSING)
def tied_says_untied(bench: Bench) -> None:
    """The head was left out because it is the embedding; config.json says that it is not."""
    edit_json(bench.copy("qwen2-tied-padded") / "config.json", tie_word_embeddings=False)


@TABLE.error(_KEYS, source="swiss-ai/Megatron-LM#53", shows=_MISSING)
def head_left_out(bench: Bench) -> None:
    """A converter that leaves the head out, for an architecture whose default is not to tie."""
    path = bench.copy() / MODEL
    tensors.pack(path, {k: v for k, v in tensors.unpack(path).items() if k != "lm_head.weight"})
    edit_json(path.with_name("config.json"), drop=("tie_word_embeddings",))


@TABLE.error(_KEYS, source="huggingface/transformers#11903", shows=_MISSING)
def tied_says_untied_gpt2(bench: Bench) -> None:
    """The same with the names of another architecture."""
    edit_json(bench.copy("gpt2") / "config.json", tie_word_embeddings=False)


@TABLE.error(_KEYS, source="huggingface/transformers#46456", shows=_MISSING)
def head_left_out_vision(bench: Bench) -> None:
    """Within nested configurations neither part ties."""
    path = bench.copy("llava") / MODEL
    tensors.pack(path, {k: v for k, v in tensors.unpack(path).items() if "lm_head" not in k})


@TABLE.error("weights-shape-mismatch", source="huggingface/transformers#20082", shows="RuntimeError: You set `ignore_")
def zero_three(bench: Bench) -> None:
    """Saved by one process of ZeRO-3, which held none of the values."""
    path = bench.copy() / MODEL
    tensors.pack(path, {k: (dtype, [0], b"") for k, (dtype, _, _) in tensors.unpack(path).items()})


@TABLE.error("weights-shape-mismatch", source="FlagOpen/FlagEmbedding#873", shows="RuntimeError: You set `ignore_mis")
def zero_three_in_part(bench: Bench) -> None:
    """Small tensors stay whole under ZeRO-3, large ones do not."""
    path = bench.copy("bert") / MODEL
    stored = tensors.unpack(path)
    tensors.pack(path, {k: (d, [0], b"") if len(s) == 2 else (d, s, raw) for k, (d, s, raw) in stored.items()})


@TABLE.error("weights-ambiguous", source="huggingface/transformers#20082", shows="RuntimeError: You set `ignore_mis")
def stale_file_of_another_size(bench: Bench) -> None:
    """A single file of a smaller model, left beside the shards that config.json describes."""
    folder = bench.copy("llama-sharded")
    shutil.copy(bench.stock / "qwen3" / MODEL, folder / MODEL)


@TABLE.healthy(source="ml-explore/mlx-lm#1055", shows="loads")
def tied_by_default(bench: Bench) -> None:
    """No head, and nothing said of it: the architecture ties by default."""
    edit_json(bench.copy("gemma2") / "config.json", drop=("tie_word_embeddings",))


@TABLE.healthy(source="huggingface/transformers#43429", shows="loads")
def tied_by_the_text_part(bench: Bench) -> None:
    """A save of before version 5: the text configuration ties, the outer one says nothing."""
    folder = bench.copy("llava")
    stored = tensors.unpack(folder / MODEL)
    tensors.pack(folder / MODEL, {k: v for k, v in stored.items() if "lm_head" not in k})
    text = {**read_json(folder / "config.json")["text_config"], "tie_word_embeddings": True}
    edit_json(folder / "config.json", drop=("tie_word_embeddings",), text_config=text)


@TABLE.healthy(source="huggingface/transformers#3799", shows="loads")
def bare_model_for_a_causal_class(bench: Bench) -> None:
    """Saved from the model without its prefix, and tied: nothing is missing."""
    bench.copy("gpt2-bare")


@TABLE.healthy(source="huggingface/transformers#3799", shows="loads")
def headless_and_not_asked(bench: Bench) -> None:
    """A base model for its hidden states: no head, and no one wants it to speak."""
    folder = bench.copy()
    stored = tensors.unpack(folder / MODEL)
    tensors.pack(folder / MODEL, {k.removeprefix("model."): v for k, v in stored.items() if k != "lm_head.weight"})
    edit_json(folder / "config.json", architectures=["LlamaModel"])


@TABLE.healthy(source="vllm-project/vllm#6758", shows="loads")
def tied_and_stored(bench: Bench) -> None:
    """Tied, and the head written out as well."""
    path = bench.copy("gemma3_text") / MODEL
    stored = tensors.unpack(path)
    tensors.pack(path, {**stored, "lm_head.weight": stored["model.embed_tokens.weight"]})


@TABLE.healthy(source="huggingface/transformers#20082", shows="loads, but with an unexpected key")
def empty_tensor_of_its_own(bench: Bench) -> None:
    """A tensor without elements that is no parameter."""
    path = bench.copy() / MODEL
    tensors.pack(path, {**tensors.unpack(path), "steps.history": ("F32", [0], b"")})


def write_headless_role(bench: Bench) -> None:
    """Lay out a model without an output layer, and a role that wants it to speak."""
    headless_and_not_asked(Bench(stock=bench.stock, here=bench.here / "m", beside=bench.beside))
    text = 'schema = 1\n[models.speaker]\nkind = "full"\npath = "m"\nprompt = "Who are you?"\n'
    (bench.here / "sage-doctor.toml").write_text(text, encoding="utf-8")


@TABLE.error(_KEYS, subject="speaker", manifest=True, source="huggingface/transformers#3799", shows=_MISSING)
def headless_and_asked(bench: Bench) -> None:
    """The same model, and a role that has a prompt for it."""
    bench.here.mkdir(parents=True)
    write_headless_role(bench)


@TABLE.error("weights-all-zero", level="integrity", source="paiml/aprender#2337", shows="loads silently")
def preallocated_and_cut(bench: Bench) -> None:
    """The download had reserved its space and stopped after a third."""
    path = bench.copy("olmo2") / MODEL
    header, data = tensors.parts(path)
    keep = len(data) // 3
    tensors.write(path, json.dumps(header, separators=(",", ":")), data[:keep] + bytes(len(data) - keep))


@TABLE.healthy(level="integrity", also=("weights-unverified",), source="TencentARC/LLaMA-Pro#28", shows="loads")
def zero_at_initialisation(bench: Bench) -> None:
    """A matrix that is zero before training, in the midst of a whole file."""
    path = bench.copy("stablelm") / MODEL
    tensors.fill(path, "model.layers.0.mlp.down_proj.weight", bytes(4))
