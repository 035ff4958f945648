"""Adapters after public reports: targets, layers and rows that the base does not have, ties, and healthy ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.tensors import ADAPTER

TABLE = Table("field-adapters", in_tree=False)
PREFIX = "base_model.model."
NOTHING = "loads, but Found missing adapter keys: base behaviour"
SOME = "loads, but the tensors that match no module are skipped silently"
MISFIT = "RuntimeError: Error(s) in loading state_dict: size mismatch"
RANK, WIDTH, TOKENS = 4, 32, 96
Modules = Mapping[str, tuple[int, int]]


def _named(bench: Bench, old: str, new: str, name: str = "lora") -> None:
    """Copy a stock adapter with other names."""
    tensors.rename(bench.copy(name) / ADAPTER, lambda key: key.replace(old, new))


def _numbers(*shape: int) -> tuple[str, list[int], bytes]:
    count = 1
    for size in shape:
        count *= size
    return "F32", list(shape), b"\x0a\xd7\x23\x3c\x0a\xd7\xa3\xbc" * (count // 2) + b"\x0a\xd7\x23\x3c" * (count % 2)


def _lora(bench: Bench, base: Path, modules: Modules, embeddings: Modules | None = None, **config: object) -> Path:
    """Write a LoRA adapter for modules of these inputs and outputs, and for embeddings of these rows and widths."""
    folder = bench.copy("lora")
    held = {}
    for module, (inputs, outputs) in modules.items():
        held[f"{PREFIX}{module}.lora_A.weight"] = _numbers(RANK, inputs)
        held[f"{PREFIX}{module}.lora_B.weight"] = _numbers(outputs, RANK)
    for module, (rows, width) in (embeddings or {}).items():
        held[f"{PREFIX}{module}.lora_embedding_A"] = _numbers(RANK, rows)
        held[f"{PREFIX}{module}.lora_embedding_B"] = _numbers(width, RANK)
    tensors.pack(folder / ADAPTER, held)
    leaves = sorted({m.rpartition(".")[2] for m in (*modules, *(embeddings or {}))})
    changes = {"target_modules": leaves, "base_model_name_or_path": str(base), **config}
    path = folder / "adapter_config.json"
    write_json(path, {**read_json(path), **changes})
    return folder


def _with(folder: Path, **held: tuple[str, list[int], bytes]) -> None:
    """Add tensors to an adapter; `__` in a keyword stands for a dot."""
    more = {PREFIX + name.replace("__", "."): tensor for name, tensor in held.items()}
    tensors.pack(folder / ADAPTER, {**tensors.unpack(folder / ADAPTER), **more})


Q = {f"model.layers.{n}.self_attn.q_proj": (32, 32) for n in (0, 1)}


# What the base does not have.


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="hiyouga/LlamaFactory#1785")
def query_key_value_on_qwen(bench: Bench) -> None:
    """Trained on a ChatGLM, put on a Qwen2."""
    base = bench.stock / "qwen2-tied-padded"
    _lora(bench, base, {f"transformer.layers.{n}.attention.query_key_value": (32, 96) for n in (0, 1)})


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="Stability-AI/StableLM#98")
def dense_on_llama(bench: Bench) -> None:
    """GPT-NeoX's names on a Llama."""
    names = ("query_key_value", "dense_h_to_4h", "dense_4h_to_h")
    _lora(bench, bench.stock / "llama", {f"gpt_neox.layers.0.{n}": (32, 32) for n in names})


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="hiyouga/LlamaFactory#181")
def packed_on_mistral(bench: Bench) -> None:
    """Baichuan's W_pack on a Mistral."""
    _lora(bench, bench.stock / "mistral", {f"model.layers.{n}.self_attn.W_pack": (32, 96) for n in (0, 1)})


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="OptimalScale/LMFlow#125")
def q_proj_on_bloom(bench: Bench) -> None:
    """Llama's names on a Bloom."""
    _lora(bench, bench.stock / "bloom", {f"transformer.h.{n}.self_attention.q_proj": (32, 32) for n in (0, 1)})


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="mikeybellissimo/LoRA-MPT#4")
def wqkv_on_a_mixture(bench: Bench) -> None:
    """MPT's Wqkv on a Mixtral, whose tensors the library renames."""
    _lora(bench, bench.stock / "mixtral", {f"transformer.blocks.{n}.attn.Wqkv": (32, 96) for n in (0, 1)})


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="huggingface/peft#2566")
def c_attn_on_a_vision_model(bench: Bench) -> None:
    """GPT-2's names on a LLaVA."""
    folder = _lora(bench, bench.stock / "llava", {f"transformer.h.{n}.attn.c_attn": (32, 96) for n in (0, 1)})
    edit_json(folder / "adapter_config.json", task_type=None)


@TABLE.error("adapter-targets-missing", shows="NoMatchingPeftModuleError", source="huggingface/peft#1932")
def ia3_on_another_architecture(bench: Bench) -> None:
    """IA3 of a Llama on a GPT-2."""
    edit_json(bench.copy("ia3") / "adapter_config.json", base_model_name_or_path=str(bench.stock / "gpt2"))


@TABLE.error("adapter-keys-unmatched", shows=SOME, source="hiyouga/LlamaFactory#2111")
def more_layers_than_the_base(bench: Bench) -> None:
    """Trained on a deeper model of the same width."""
    base = bench.stock / "llama"
    _lora(bench, base, {f"model.layers.{n}.self_attn.q_proj": (32, 32) for n in range(4)})


@TABLE.error("adapter-keys-unmatched", shows=SOME, source="huggingface/peft#2772")
def half_of_the_names(bench: Bench) -> None:
    """One of two targets has another name in this base."""
    more = {f"model.layers.{n}.self_attn.query": (32, 32) for n in (0, 1)}
    _lora(bench, bench.stock / "llama", {**Q, **more})


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="bghira/SimpleTuner#2153")
def another_outer_name(bench: Bench) -> None:
    """`model.decoder.layers` where the base has `model.layers`."""
    _named(bench, "model.model.layers", "model.model.decoder.layers")


@TABLE.error("adapter-keys-unmatched", shows=NOTHING, source="huggingface/transformers#45313")
def names_of_a_vision_model(bench: Bench) -> None:
    """Trained on a vision-language model, put on the text model alone."""
    _named(bench, "model.model.layers", "model.model.language_model.layers")


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="oobabooga/textgen#959")
def tokens_added(bench: Bench) -> None:
    """The embedding and the head were resized, and saved with the adapter."""
    grown = _numbers(TOKENS + 4, WIDTH)
    _with(bench.copy("lora"), model__embed_tokens__weight=grown, lm_head__weight=grown)


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="hiyouga/LlamaFactory#3125")
def tokens_added_to_saved_modules(bench: Bench) -> None:
    """As `modules_to_save`, whose old copy is saved as well."""
    folder, grown = bench.copy("lora"), _numbers(TOKENS + 4, WIDTH)
    edit_json(folder / "adapter_config.json", modules_to_save=["embed_tokens"])
    _with(folder, model__embed_tokens__weight=grown, model__embed_tokens__original_module__weight=grown)


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="huggingface/peft#2290")
def tokens_added_below_a_lora(bench: Bench) -> None:
    """LoRA on a resized embedding."""
    folder = _lora(bench, bench.stock / "llama", Q, {"model.embed_tokens": (TOKENS + 4, WIDTH)})
    _with(folder, model__embed_tokens__base_layer__weight=_numbers(TOKENS + 4, WIDTH))


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="huggingface/peft#1554")
def embedding_padded(bench: Bench) -> None:
    """The base was padded to a multiple of 64 in training."""
    _with(bench.copy("lora"), model__embed_tokens__weight=_numbers(128, WIDTH))


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="hiyouga/LlamaFactory#6749")
def tokens_added_to_a_tied_base(bench: Bench) -> None:
    """Only the input embedding was saved: the output layer is the same tensor."""
    _with(bench.copy("lora-tied-base"), model__embed_tokens__weight=_numbers(132, WIDTH))


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="unslothai/unsloth#978")
def tokens_cut(bench: Bench) -> None:
    """The vocabulary was cut to what one language uses."""
    _with(bench.copy("lora"), lm_head__weight=_numbers(TOKENS - 16, WIDTH))


@TABLE.warning(
    "adapter-shape-mismatch", shows="loads with AutoPeftModel, which resizes", source="huggingface/peft#2898"
)
def tokens_added_and_a_tokenizer_with_them(bench: Bench) -> None:
    """The tokenizer beside the adapter has as many tokens as the embedding has rows."""
    bench.copy("lora-resized")


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="huggingface/peft#1932")
def ia3_of_another_width(bench: Bench) -> None:
    """IA3 of a wider Llama."""
    path = bench.copy("ia3") / ADAPTER
    wide = {
        n: ("F32", [2 * s if s > 1 else s for s in shape], raw * 2)
        for n, (_, shape, raw) in tensors.unpack(path).items()
    }
    tensors.pack(path, wide)


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="hiyouga/ChatGLM-Efficient-Tuning#383")
def prompt_of_another_width(bench: Bench) -> None:
    """Virtual tokens of a model of another hidden size."""
    tensors.pack(bench.copy("prompt-tuning") / ADAPTER, {"prompt_embeddings": _numbers(4, 64)})


# Ties.


@TABLE.warning("adapter-tied-embeddings", shows="loads; merged differs", source="huggingface/peft#2018")
def lora_on_a_tied_head(bench: Bench) -> None:
    """PEFT merges it into the embedding as well."""
    base = bench.stock / "qwen2-tied-padded"
    _lora(bench, base, {**Q, "lm_head": (32, 128)})


@TABLE.warning("adapter-tied-embeddings", shows="loads; merged differs", source="huggingface/peft#2777")
def lora_on_a_tied_embedding_of_bloom(bench: Bench) -> None:
    """`word_embeddings`, of which config.json does not say that it is tied."""
    linear = {f"transformer.h.{n}.self_attention.query_key_value": (32, 96) for n in (0, 1)}
    _lora(bench, bench.stock / "bloom", linear, {"transformer.word_embeddings": (TOKENS, WIDTH)})


@TABLE.warning("adapter-tied-embeddings", shows="loads; merged differs", source="huggingface/peft#2777")
def lora_on_a_tied_embedding_of_gpt2(bench: Bench) -> None:
    """`wte`."""
    rows = read_json(bench.stock / "gpt2" / "config.json")["vocab_size"]
    linear = {f"transformer.h.{n}.attn.c_attn": (32, 96) for n in (0, 1)}
    _lora(bench, bench.stock / "gpt2", linear, {"transformer.wte": (rows, WIDTH)}, fan_in_fan_out=True)


# Healthy.


@TABLE.healthy(shows="loads", source="unslothai/unsloth#9331")
def tied_layers_saved_whole(bench: Bench) -> None:
    """Both layers of a tied base in `modules_to_save`: PEFT's merge keeps both."""
    folder, rows = bench.copy("lora-tied-base"), _numbers(128, WIDTH)
    edit_json(folder / "adapter_config.json", modules_to_save=["embed_tokens", "lm_head"])
    _with(folder, model__embed_tokens__weight=rows, lm_head__weight=rows)


@TABLE.healthy(shows="loads", source="huggingface/peft#2777")
def tied_head_saved_whole(bench: Bench) -> None:
    """The output layer alone."""
    folder = bench.copy("lora-tied-base")
    edit_json(folder / "adapter_config.json", modules_to_save=["lm_head"])
    _with(folder, lm_head__weight=_numbers(128, WIDTH))


@TABLE.healthy(shows="loads", source="huggingface/peft#1147")
def embeddings_saved_of_the_same_size(bench: Bench) -> None:
    """`save_embedding_layers=True` without a resize."""
    same = _numbers(TOKENS, WIDTH)
    _with(bench.copy("lora"), model__embed_tokens__weight=same, lm_head__weight=same)


@TABLE.healthy(shows="loads", source="https://huggingface.co/tloen/alpaca-lora-7b")
def configuration_of_the_first_days(bench: Bench) -> None:
    """PEFT 0.2: fields that no later release has, all without a value."""
    folder = bench.copy("lora")
    old = {"enable_lora": None, "merge_weights": False, "lora_dropout": 0.05, "bias": "none", "fan_in_fan_out": False}
    kept = ("base_model_name_or_path", "peft_type", "task_type", "r", "lora_alpha", "target_modules")
    values = read_json(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", {**{k: values[k] for k in kept}, **old, "inference_mode": True})


@TABLE.healthy(shows="loads", source="unslothai/unsloth#1601")
def configuration_of_unsloth(bench: Bench) -> None:
    """Targets as one long expression, and an auto_mapping of its own."""
    edit_json(
        bench.copy("lora") / "adapter_config.json",
        target_modules=r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp).*?(?:q_proj|v_proj).*?)"
        r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn)\.(?:(?:q_proj|v_proj)))",
        auto_mapping={
            "base_model_class": "LlamaForCausalLM",
            "parent_library": "transformers.models.llama.modeling_llama",
            "unsloth_fixed": True,
        },
    )


@TABLE.healthy(shows="loads", source="huggingface/peft#1474")
def magnitudes_of_an_earlier_release(bench: Bench) -> None:
    """DoRA's vectors without `.weight`."""
    _named(bench, "lora_magnitude_vector.weight", "lora_magnitude_vector", "lora-dora")


@TABLE.error(
    "adapter-keys-unmatched",
    shows="loads, but without the experts",
    shows_4="loads",
    source="huggingface/transformers#42491",
)
def experts_of_transformers_4(bench: Bench) -> None:
    """LoRA on each expert, which transformers 5 keeps as one parameter: PEFT 0.21 converts this type's names alone."""
    leaves = {"gate_proj": (32, 16), "up_proj": (32, 16), "down_proj": (16, 32)}
    places = {f"model.layers.{n}.mlp.experts.{e}.{x}": s for n in (0, 1) for e in (0, 1) for x, s in leaves.items()}
    shared = {f"model.layers.{n}.mlp.shared_expert.{x}": s for n in (0, 1) for x, s in leaves.items()}
    folder = _lora(bench, bench.stock / "qwen2_moe", {**Q, **places, **shared})
    edit_json(folder / "adapter_config.json", target_modules=["q_proj", *leaves], alpha_pattern={}, rank_pattern={})


@TABLE.healthy(shows="loads", source="unslothai/unsloth-zoo#812")
def attention_of_a_renamed_mixture(bench: Bench) -> None:
    """Mixtral stores `block_sparse_moe` and runs `mlp`."""
    _lora(bench, bench.stock / "mixtral", Q)


@TABLE.healthy(shows="loads", source="huggingface/peft#910")
def of_a_headless_base_name(bench: Bench) -> None:
    """The base's stored names lack the outer part that the adapter's have."""
    bench.copy("lora-conv1d-bare")


@TABLE.healthy(shows="no model at the top; one directory below it loads", source="huggingface/peft#718")
def in_a_directory_of_its_own_name(bench: Bench) -> None:
    """An adapter called `policy` is saved one directory below; that one is named."""
    bench.copy("lora", bench.here / "policy")


@TABLE.healthy(shows="loads", source="huggingface/peft#1059")
def beside_a_second_adapter(bench: Bench) -> None:
    """A model with two adapters: one at the top, one below."""
    bench.copy("lora")
    bench.copy("lora-dora", bench.here / "other")


@TABLE.healthy(shows="loads", source="huggingface/trl#692")
def with_the_base_s_configuration(bench: Bench) -> None:
    """A trainer copied config.json and the tokenizer beside the adapter."""
    folder = bench.copy("lora")
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bench.stock / "llama" / name, folder / name)


@TABLE.healthy(shows="loads", source="huggingface/peft#3306")
def with_biases(bench: Bench) -> None:
    """`lora_bias=True`: a bias beside each B."""
    folder = bench.copy("lora-bias")
    held = tensors.unpack(folder / ADAPTER)
    more = {n.replace("lora_B.weight", "lora_B.bias"): _numbers(t[1][0]) for n, t in held.items() if "lora_B" in n}
    tensors.pack(folder / ADAPTER, {**held, **more})
    edit_json(folder / "adapter_config.json", lora_bias=True, bias="none")


@TABLE.healthy(shows="loads", source="hiyouga/LlamaFactory#2343")
def in_half_precision(bench: Bench) -> None:
    """Saved in 16 bits, with the old pickle beside it."""
    folder = bench.copy("lora")
    held = tensors.unpack(folder / ADAPTER)
    tensors.pack(folder / ADAPTER, {n: ("BF16", s, raw[: len(raw) // 2]) for n, (_, s, raw) in held.items()})
    (folder / "adapter_model.bin").write_bytes(b"PK\x03\x04")


@TABLE.healthy(shows="loads", source="huggingface/peft#1168")
def without_a_task(bench: Bench) -> None:
    """Saved in the midst of training, without a task."""
    edit_json(bench.copy("lora") / "adapter_config.json", task_type="CAUSAL_LM", inference_mode=False, revision=None)


@TABLE.healthy(shows="loads", source="hiyouga/LlamaFactory#2588")
def of_chosen_layers(bench: Bench) -> None:
    """`layers_to_transform`: the others have no tensors, and need none."""
    bench.copy("lora-one-layer")


@TABLE.healthy(shows="loads", source="huggingface/peft#2946")
def trained_rows(bench: Bench) -> None:
    """`trainable_token_indices` beside LoRA."""
    bench.copy("lora-trainable-tokens")
