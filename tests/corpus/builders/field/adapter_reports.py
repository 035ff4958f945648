"""Adapters after reports on peft, unsloth, axolotl, LLaMA-Factory, mlx-lm, vLLM and ollama: names, rows, layouts."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.tensors import ADAPTER, MODEL

TABLE = Table("field-adapter-reports", in_tree=False)
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
NOT_A_NAME = "OSError: Repo id must"
NOT_A_NAME_4 = "HFValidationError: Repo id must"
NOT_HERE = "OSError: We couldn't connect to 'https://huggingface.co'"
MISFIT = "RuntimeError: Error(s) in loading state_dict: size mismatch"
NO_FILE = "HFValidationError: Repo id must be"
GGUF = b"GGUF\x03\0\0\0" + bytes(64)


# Bases that are called by another name than transformers takes.


def _called(name: str, text: str, source: str, shows: str = NOT_A_NAME, shows_4: str = NOT_A_NAME_4) -> None:
    def build(bench: Bench) -> None:
        edit_json(bench.copy("lora") / CONFIG, base_model_name_or_path=text)

    build.__name__ = name
    TABLE.error("adapter-base-missing", shows=shows, shows_4=shows_4, source=source)(build)


_called("base_of_gguf", "/home/me/models/Llama-3.2-1B-Instruct-Q4_K_M.gguf", "ollama/ollama#4217")
_called("base_of_a_gguf_repository", "bartowski/Llama-3.2-1B-Instruct-GGUF", "ollama/ollama#10121", NOT_HERE, "OSError")
_called("base_of_ollama", "llama3.2:1b", "ollama/ollama#9951")
_called("base_of_ollama_by_a_prefix", "ollama/llama3.1", "neuml/rag#2", NOT_HERE, "OSError")
_called("base_of_ollama_from_the_hub", "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", "ollama/ollama#10121")
_called("base_of_mlx", "mlx-community/Llama-3.2-1B-4bit", "ml-explore/mlx-examples#777", NOT_HERE, "OSError")
_called("base_by_address", "https://huggingface.co/meta-llama/Llama-3.2-1B", "hiyouga/LlamaFactory#8266")
_called("base_by_address_of_a_branch", "https://huggingface.co/a/b/tree/main", "hiyouga/LlamaFactory#8266")
_called("base_by_address_of_a_mirror", "https://hf-mirror.com/Qwen/Qwen2.5-0.5B", "ollama/ollama#4217")
_called("base_by_address_of_another_hub", "https://modelscope.cn/models/Qwen/Qwen2.5-0.5B", "modelscope/ms-swift#222")
_called("base_of_modelscope", "/home/u/.cache/modelscope/hub/models/Qwen/Qwen2___5-7B", "modelscope/ms-swift#2290")
_called("base_on_windows", r"C:\Users\me\my-project\final_model", "ollama/ollama#13314")


@TABLE.error("adapter-base-missing", shows=NOT_A_NAME, shows_4=NOT_A_NAME_4, source="ollama/ollama#4217")
def base_is_a_gguf_file(bench: Bench) -> None:
    """The file is there, and no loader takes a file."""
    bench.beside.mkdir(parents=True, exist_ok=True)
    path = bench.beside / "Llama-3.2-1B-Q4_K_M.gguf"
    path.write_bytes(GGUF)
    edit_json(bench.copy("lora") / CONFIG, base_model_name_or_path=str(path))


@TABLE.error("adapter-base-missing", shows=NOT_A_NAME, shows_4=NOT_A_NAME_4, source="hiyouga/LlamaFactory#8322")
def base_is_its_weights(bench: Bench) -> None:
    """model.safetensors where its directory was meant."""
    base = bench.copy("llama", bench.beside / "llama")
    edit_json(bench.copy("lora") / CONFIG, base_model_name_or_path=str(base / MODEL))


@TABLE.error("adapter-base-unset", shows=NOT_A_NAME, shows_4=NOT_A_NAME_4, source="MakazhanAlpamys/Soup#531")
def base_is_empty(bench: Bench) -> None:
    """Saved from a model that was made of a configuration."""
    edit_json(bench.copy("lora") / CONFIG, base_model_name_or_path="")


@TABLE.error("adapter-base-broken", shows="ValueError: no `quant_method`", source="ml-explore/mlx-examples#777")
def base_quantised_by_mlx(bench: Bench) -> None:
    """A model of mlx-community, with scales and biases beside packed numbers."""
    base = bench.copy("llama", bench.beside / "mlx")
    packed = {}
    for name, (dtype, shape, raw) in tensors.unpack(base / MODEL).items():
        if not name.endswith("_proj.weight"):
            packed[name] = (dtype, shape, raw)
            continue
        rows, module = shape[0], name.removesuffix(".weight")
        packed[name] = ("U32", [rows, shape[1] // 8], bytes(rows * shape[1] // 2))
        packed |= {f"{module}.{part}": ("F16", [rows, 1], b"\0\x3c" * rows) for part in ("scales", "biases")}
    tensors.pack(base / MODEL, packed)
    form = {"group_size": 32, "bits": 4}
    edit_json(base / "config.json", quantization=form, quantization_config=form)
    edit_json(bench.copy("lora") / CONFIG, base_model_name_or_path=str(base))


@TABLE.error("adapter-no-effect", shows="loads, but base behaviour", source="verl-project/verl#1821")
def scaled_to_nothing(bench: Bench) -> None:
    """Taken out of a checkpoint that does not say its scale."""
    edit_json(bench.copy("lora") / CONFIG, lora_alpha=0)


@TABLE.error(
    "adapter-keys-unmatched",
    shows="loads, but Found missing",
    shows_4="ValueError: Trying to load old OFT",
    source="hiyouga/LlamaFactory#9014",
)
def oft_of_an_older_release(bench: Bench) -> None:
    """`oft_r`, which PEFT 0.16 replaced with `oft_R`."""
    tensors.rename(bench.copy("oft") / ADAPTER, lambda n: n.replace("oft_R.weight", "oft_r"))


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="huggingface/sentence-transformers#3052")
def tokens_added_to_an_encoder(bench: Bench) -> None:
    """Its base stores the embedding below `bert.`, and a session of features has no such part."""
    path = bench.copy("lora-features") / ADAPTER
    whole = ("F32", [100, 32], bytes(100 * 32 * 4))
    tensors.pack(path, {**tensors.unpack(path), f"{PREFIX}embeddings.word_embeddings.weight": whole})


# Tokens that were added, and trained by their rows.


def _without_tokenizer(folder: Path) -> Path:
    for path in folder.iterdir():
        if "token" in path.name or "chat" in path.name:
            path.unlink()
    return folder


def _rows_alone(folder: Path) -> None:
    """Leave the trained rows, as `save_embedding_layers=False` does."""
    held = tensors.unpack(folder / ADAPTER)
    tensors.pack(folder / ADAPTER, {n: t for n, t in held.items() if "base_layer" not in n and "lm_head" not in n})


@TABLE.error("adapter-shape-mismatch", shows="IndexError: index 96 is out of bounds", source="huggingface/peft#2376")
def rows_added(bench: Bench) -> None:
    """Nothing says to the session that the base has to grow."""
    _without_tokenizer(bench.copy("lora-rows-added"))


@TABLE.error("adapter-shape-mismatch", shows="IndexError: index 128 is out of bounds", source="huggingface/peft#2376")
def rows_added_to_a_tied_base(bench: Bench) -> None:
    """The same where embedding and output layer are one."""
    _without_tokenizer(bench.copy("lora-rows-added-tied"))


@TABLE.error("adapter-shape-mismatch", shows="IndexError: index 96 is out of bounds", source="unslothai/unsloth#1225")
def rows_added_without_their_layers(bench: Bench) -> None:
    """Only the rows were saved."""
    _rows_alone(_without_tokenizer(bench.copy("lora-rows-added")))


@TABLE.warning("adapter-shape-mismatch", shows="loads with AutoPeftModel", source="unslothai/unsloth#1225")
def rows_added_and_a_tokenizer_with_them(bench: Bench) -> None:
    """The tokenizer beside the adapter says how many rows there have to be."""
    _rows_alone(bench.copy("lora-rows-added"))


@TABLE.warning("adapter-shape-mismatch", level="load", shows="loads", source="huggingface/peft#2376")
def rows_saved_twice(bench: Bench) -> None:
    """With its tokenizer it loads; the rows of the tied output layer are in the file as well, and not used."""
    bench.copy("lora-rows-added-tied")


@TABLE.warning(
    "adapter-shape-mismatch", level="load", shows="RuntimeError: Error(s) in loading", source="huggingface/peft#554"
)
def more_labels_than_the_base(bench: Bench) -> None:
    """A session that states num_labels loads it."""
    bench.copy("lora-labels")


@TABLE.healthy(shows="loads", source="huggingface/peft#2777")
def tied_layers_saved_together(bench: Bench) -> None:
    """`ensure_weight_tying` with modules_to_save: both layers are one and stay so."""
    bench.copy("lora-saved-together")


@TABLE.healthy(shows="loads", source="huggingface/peft#2944", also=("adapter-config-newer",))  # for PEFT 0.17
def tying_asked_of_a_base_without_it(bench: Bench) -> None:
    """`ensure_weight_tying` where nothing is tied: PEFT says so and goes on."""
    edit_json(bench.copy("lora") / CONFIG, ensure_weight_tying=True)


# Matrices in another layout.


def _turned(tensor: tuple[str, list[int], bytes]) -> tuple[str, list[int], bytes]:
    dtype, (rows, columns), raw = tensor
    numbers = struct.unpack(f"<{rows * columns}f", raw)
    flat = [numbers[r * columns + c] for c in range(columns) for r in range(rows)]
    return dtype, [columns, rows], struct.pack(f"<{len(flat)}f", *flat)


def _turn(bench: Bench, name: str, part: str = "lora_") -> None:
    path = bench.copy(name) / ADAPTER
    tensors.pack(path, {n: _turned(t) if part in n else t for n, t in tensors.unpack(path).items()})


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="osaurus-ai/vmlx-swift#320")
def transposed(bench: Bench) -> None:
    """Converted from MLX by names alone."""
    _turn(bench, "lora")


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="ml-explore/mlx-lm#1120")
def one_matrix_transposed(bench: Bench) -> None:
    """Half of the conversion."""
    _turn(bench, "lora", "lora_A")


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="unslothai/unsloth-zoo#957")
def transposed_on_transposed_weights(bench: Bench) -> None:
    """GPT-2's Conv1D is a transposed layer, its LoRA is not."""
    _turn(bench, "lora-conv1d")


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="ml-explore/mlx-lm#1120")
def matrices_exchanged(bench: Bench) -> None:
    """lora_a was taken for lora_B."""
    swap = {"lora_A": "lora_B", "lora_B": "lora_A"}
    path = bench.copy("lora") / ADAPTER
    tensors.rename(path, lambda n: next((n.replace(old, new) for old, new in swap.items() if old in n), n))


@TABLE.error("adapter-shape-mismatch", shows=MISFIT, source="huggingface/peft#1337")
def of_a_joined_layer_of_peft_02(bench: Bench) -> None:
    """dreamsim's: MergedLinear with `enable_lora`."""
    folder = bench.copy("lora-conv1d")
    held = {}
    for name, (dtype, shape, raw) in tensors.unpack(folder / ADAPTER).items():
        joined = ([2 * shape[0], shape[1]], raw * 2) if "lora_A" in name else ([64, 2, 1], raw[: 64 * 2 * 4])
        held[name] = (dtype, *joined)
    tensors.pack(folder / ADAPTER, held)
    edit_json(folder / CONFIG, enable_lora=[True, False, True], merge_weights=False)


# Configurations that PEFT refuses.


def _configured(name: str, shows: str, source: str, **values: object) -> None:
    def build(bench: Bench) -> None:
        path = bench.copy("lora") / CONFIG
        write_json(path, {**read_json(path), **values})

    build.__name__ = name
    TABLE.error("adapter-config-invalid", shows=shows, source=source)(build)


_configured("task_misspelt", "ValueError: Invalid task type", "huggingface/peft#2210", task_type="CUASAL_LM")
_configured("type_in_small_letters", "KeyError: 'lora'", "huggingface/peft#2210", peft_type="lora")
_configured("scale_of_nothing", "TypeError: unsupported operand", "huggingface/peft#340", lora_alpha=None)
_configured("rank_as_text", "TypeError: '<=' not supported", "huggingface/peft#340", r="4")
_configured("saved_modules_as_text", "KeyError: …", "axolotl-ai-cloud/axolotl#2633", modules_to_save="lm_head")


@TABLE.error(
    "adapter-targets-missing", shows="ValueError: Please specify `target_modules`", source="huggingface/peft#1497"
)
def no_targets_for_this_base(bench: Bench) -> None:
    """PEFT has no default for OLMo 2."""
    edit_json(bench.copy("lora") / CONFIG, target_modules=None, base_model_name_or_path=str(bench.stock / "olmo2"))


@TABLE.error(
    "adapter-targets-missing", shows="NoMatchingPeftModuleError", shows_4="ValueError", source="huggingface/peft#377"
)
def names_of_t5_on_bert(bench: Bench) -> None:
    """`q` and `v`, out of T5's guide."""
    edit_json(bench.copy("lora-t5") / CONFIG, base_model_name_or_path=str(bench.stock / "bert"), task_type="TOKEN_CLS")


# Files of other programs and of training runs.


def _shards(folder: Path) -> None:
    held = tensors.unpack(folder / ADAPTER)
    (folder / ADAPTER).unlink()
    names = sorted(held)
    for number, part in enumerate((names[:4], names[4:]), start=1):
        tensors.pack(folder / f"adapter_model-0000{number}-of-00002.safetensors", {n: held[n] for n in part})


@TABLE.error("adapter-weights-missing", shows=NO_FILE, source="unslothai/unsloth#7375")
def in_shards(bench: Bench) -> None:
    """PEFT reads one file."""
    _shards(bench.copy("lora"))


def _beside_its_configuration(name: str, file: str, raw: bytes, source: str) -> None:
    def build(bench: Bench) -> None:
        folder = bench.copy("lora")
        (folder / ADAPTER).unlink()
        (folder / file).write_bytes(raw)

    build.__name__ = name
    TABLE.error("adapter-weights-missing", shows=NO_FILE, source=source)(build)


_beside_its_configuration("converted_for_llama_cpp", "adapter-f16.gguf", GGUF, "ollama/ollama#4217")
_beside_its_configuration("converted_for_an_old_llama_cpp", "ggml-adapter-model.bin", b"algg\1\0", "ollama/ollama#4825")


@TABLE.error("adapter-weights-missing", shows=NO_FILE, source="axolotl-ai-cloud/axolotl#1391")
def merged_shards_of_a_run(bench: Bench) -> None:
    """The base's shards and the adapter's configuration at the top, the adapter in the last checkpoint."""
    folder = bench.copy("llama-sharded")
    shutil.copy(bench.stock / "lora-sharded-base" / CONFIG, folder / CONFIG)
    bench.copy("lora-sharded-base", folder / "checkpoint-2390")


@TABLE.error("adapter-weights-empty", shows=MISFIT, source="hiyouga/LlamaFactory#7665")
def saved_layers_not_gathered(bench: Bench) -> None:
    """ZeRO-3: embedding and output layer of shape [0]."""
    folder = bench.copy("lora")
    empty = {f"{PREFIX}{n}.weight": ("F32", [0], b"") for n in ("model.embed_tokens", "lm_head")}
    tensors.pack(folder / ADAPTER, {**tensors.unpack(folder / ADAPTER), **empty})
    edit_json(folder / CONFIG, modules_to_save=["embed_tokens", "lm_head"])


@TABLE.error("adapter-keys-unmatched", shows="loads, but base behaviour", source="PrimeIntellect-ai/prime-rl#1707")
def its_matrices_stripped(bench: Bench) -> None:
    """The LoRA was taken out of the state dict, and the base's own weights were left."""
    held = tensors.unpack(bench.stock / "llama" / MODEL)
    tensors.pack(bench.copy("lora") / ADAPTER, {f"{PREFIX}{n}": t for n, t in held.items()})


@TABLE.error("adapter-keys-unmatched", shows="loads, but its embedding is the base's", source="arcee-ai/mergekit#521")
def embedding_whole_and_targeted(bench: Bench) -> None:
    """PEFT looks for a LoRA of the embedding, and its whole weight matches nothing."""
    folder = bench.copy("lora")
    whole = {f"{PREFIX}model.embed_tokens.weight": tensors.unpack(bench.stock / "llama" / MODEL)["lm_head.weight"]}
    tensors.pack(folder / ADAPTER, {**tensors.unpack(folder / ADAPTER), **whole})
    edit_json(folder / CONFIG, target_modules=["q_proj", "v_proj", "embed_tokens"])


@TABLE.error("adapter-keys-unmatched", shows="loads, but base behaviour", source="huggingface/peft#1337")
def wrapped_twice(bench: Bench) -> None:
    """`get_peft_model` of a PeftModel."""
    tensors.rename(bench.copy("lora") / ADAPTER, lambda n: PREFIX + n)


# Healthy.


def _healthy(source: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    return TABLE.healthy(shows="loads", source=source)


@_healthy("axolotl-ai-cloud/axolotl#2633")
def with_its_checkpoints(bench: Bench) -> None:
    """A finished run: the adapter at the top, those of earlier steps below."""
    folder = bench.copy("lora")
    for step in (3106, 6212):
        bench.copy("lora", folder / f"checkpoint-{step}")
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n")


@_healthy("vllm-project/vllm#30690")
def a_checkpoint_with_its_optimizer(bench: Bench) -> None:
    """What a trainer needs to go on, DeepSpeed's states among it."""
    folder = bench.copy("lora")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin", "scaler.pt"):
        (folder / name).write_bytes(b"PK\x03\x04")
    write_json(folder / "trainer_state.json", {"global_step": 57, "log_history": []})
    (folder / "latest").write_text("global_step57")
    (folder / "global_step57").mkdir()
    (folder / "global_step57" / "mp_rank_00_model_states.pt").write_bytes(b"PK\x03\x04")
    (folder / "zero_to_fp32.py").write_text("raise SystemExit(1)")


@_healthy("modelscope/ms-swift#2290")
def of_swift(bench: Bench) -> None:
    """With the arguments of its training."""
    folder = bench.copy("lora")
    write_json(folder / "args.json", {"model": "Qwen/Qwen2.5-7B-Instruct", "train_type": "lora"})
    write_json(folder / "additional_config.json", {"lora_dtype": None, "lorap_lr_ratio": None})


@_healthy("oobabooga/textgen#6819")
def fields_of_a_later_release(bench: Bench) -> None:
    """All without a value, and the release that wrote them."""
    absent = dict.fromkeys(("corda_config", "eva_config", "trainable_token_indices", "use_bdlora", "of_tomorrow"))
    path = bench.copy("lora") / CONFIG
    write_json(path, {**read_json(path), **absent, "lora_bias": False, "peft_version": "0.99.0"})


@_healthy("vllm-project/vllm#32599")
def output_layer_with_its_base(bench: Bench) -> None:
    """`lm_head.base_layer.weight`, which vLLM refuses and PEFT reads."""
    folder = bench.copy("lora")
    held = tensors.unpack(folder / ADAPTER)
    held[f"{PREFIX}lm_head.base_layer.weight"] = tensors.unpack(bench.stock / "llama" / MODEL)["lm_head.weight"]
    for part, shape in (("A", [4, 32]), ("B", [96, 4])):
        count = shape[0] * shape[1]
        held[f"{PREFIX}lm_head.lora_{part}.weight"] = ("F32", shape, struct.pack("<f", 0.01) * count)
    tensors.pack(folder / ADAPTER, held)
    edit_json(folder / CONFIG, target_modules=["q_proj", "v_proj", "lm_head"])


@_healthy("huggingface/sentence-transformers#3980")
def of_sentence_transformers(bench: Bench) -> None:
    """The adapter of an embedding model, with that library's files."""
    folder = bench.copy("lora-features")
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", {"prompts": {}})
