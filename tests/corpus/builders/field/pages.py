"""Healthy directories as popular pages have them: files of other names, settings of other programs, classes unknown."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.cache import write_repository
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json, write_manifest
from tests.corpus.builders.field.layouts import touch
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-pages", in_tree=False, shows="loads")
_MEAN = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def _modules(folder: Path, **parts: str) -> None:
    """Write a modules.json of directory → class, and the configuration of a pooling."""
    listed = [
        {"idx": i, "name": str(i), "path": "" if path == "here" else path.replace("__", ""), "type": kind}
        for i, (path, kind) in enumerate(parts.items())
    ]
    write_json(folder / "modules.json", listed)


def without(folder: Path, *names: str) -> Path:
    """Delete files, and return the directory."""
    for name in names:
        (folder / name).unlink()
    return folder


def with_metadata(bench: Bench, value: object) -> None:
    """Copy a model whose header has this metadata; None for a header without."""
    path = bench.copy() / MODEL
    header, data = tensors.parts(path)
    header.pop("__metadata__")
    tensors.write(path, {**({} if value is None else {"__metadata__": value}), **header}, data)


# Tokenizers of other files, or of none


@TABLE.healthy(source="https://huggingface.co/google/canine-s/tree/main")
def canine(bench: Bench) -> None:
    """It reads characters: no vocabulary, and no need to name the class."""
    without(bench.copy("canine"), "tokenizer_config.json")


def _spelled(bench: Bench) -> Path:
    """Copy a model whose tokenizer is SpeechT5's, without its vocabulary."""
    folder = without(bench.copy("bart"), "tokenizer.json")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "SpeechT5Tokenizer", "model_max_length": 600})
    return folder


@TABLE.error(
    "package-missing",
    source="https://huggingface.co/microsoft/speecht5_tts/tree/main",
    shows="ImportError",
    shows_4="loads",
)
def speech_in_pieces(bench: Bench) -> None:
    """spm_char.model is the whole tokenizer, and SentencePiece reads it."""
    touch(_spelled(bench), "spm_char.model", raw=b"\x0a\x0e\x0a\x05<unk>" + bytes(40))


@TABLE.error("tokenizer-missing", source="https://huggingface.co/microsoft/speecht5_tts/tree/main", shows="ImportError")
def speech_without_pieces(bench: Bench) -> None:
    """And without it nothing writes what is to be spoken."""
    _spelled(bench)


@TABLE.healthy(source="https://huggingface.co/amazon/chronos-bolt-tiny/tree/main", shows="no model itself")
def forecaster(bench: Bench) -> None:
    """A T5 of Chronos' own class reads numbers: there is no tokenizer."""
    edit_json(without(bench.copy("t5"), *_TOKENIZER) / "config.json", architectures=["ChronosBoltModelForForecasting"])


@TABLE.healthy(source="huggingface/transformers#46622")
def tekken_beside(bench: Bench) -> None:
    """mistral-common's file beside tokenizer.json."""
    write_json(bench.copy("mistral") / "tekken.json", {"config": {"pattern": "."}, "vocab": []})


@TABLE.healthy(source="huggingface/sentence-transformers#973")
def added_tokens_with_a_gap(bench: Bench) -> None:
    """added_tokens.json whose ids do not follow the vocabulary: once refused, today taken."""
    write_json(bench.copy("bert") / "added_tokens.json", {"impure": 120})


@TABLE.healthy(source="hiyouga/LlamaFactory#4778", shows_4="Exception: No such file or directory")
def paths_of_another_machine(bench: Bench) -> None:
    """Where it was saved stands in the settings: transformers 5 does not look there, 4 reads tokenizer_file."""
    folder, there = bench.copy(), "/mnt/workspace/.cache/modelscope/hub/qwen/Qwen1___5-0___5B-Chat"
    edit_json(folder / "tokenizer_config.json", name_or_path=there, tokenizer_file=f"{there}/tokenizer.json")
    edit_json(folder / "config.json", _name_or_path=there)


@TABLE.healthy(source="huggingface/text-generation-inference#3247")
def template_that_asks_the_date(bench: Bench) -> None:
    """Llama 3.2's asks what day it is, and if a content is a text."""
    (bench.copy() / "chat_template.jinja").write_text(
        "{%- if strftime_now is defined %}{%- set day = strftime_now('%d %b %Y') %}{%- endif %}{{ day }}"
        "{% for m in messages %}{% if m.content is string %}{{ '<|' + m.role + '|>' + m.content | trim }}{% else %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
        "{{ tools | tojson(indent=4) if tools else '' }}",
        encoding="utf-8",
    )


@TABLE.healthy(source="https://huggingface.co/CohereForAI/c4ai-command-r7b-12-2024/tree/main")
def templates_in_a_folder(bench: Bench) -> None:
    """Further templates in additional_chat_templates."""
    folder = bench.copy() / "additional_chat_templates"
    folder.mkdir()
    (folder / "rag.jinja").write_text("{{ documents }}", encoding="ascii")


@TABLE.healthy(source="QwenLM/Qwen3-VL#1488")
def template_of_a_processor(bench: Bench) -> None:
    """chat_template.json is the processor's; the video has settings of its own."""
    folder = bench.copy("llava")
    write_json(
        folder / "chat_template.json", {"chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}"}
    )
    write_json(folder / "video_preprocessor_config.json", {"video_processor_type": "LlavaNextVideoVideoProcessor"})


# Settings


@TABLE.healthy(source="oobabooga/textgen#590")
def class_of_march_2023(bench: Bench) -> None:
    """LLaMAForCausalLM: a load goes by the model type."""
    edit_json(bench.copy() / "config.json", architectures=["LLaMAForCausalLM"])


@TABLE.healthy(source="https://huggingface.co/docs/transformers/main_classes/configuration")
def no_class_named(bench: Bench) -> None:
    """No architectures, or null."""
    edit_json(bench.copy() / "config.json", architectures=None)


@TABLE.healthy(source="https://huggingface.co/mistralai/Mistral-7B-v0.1/blob/main/config.json")
def nulls(bench: Bench) -> None:
    """Null for what is not used."""
    path = bench.copy("mistral") / "config.json"
    write_json(
        path, {**read_json(path), **dict.fromkeys(("head_dim", "sliding_window", "rope_scaling", "pad_token_id"))}
    )


@TABLE.healthy(source="huggingface/transformers#45007")
def whole_numbers_where_the_class_takes_them(bench: Bench) -> None:
    """A dropout of 0, which 5.4 refused: its class takes int | float since."""
    edit_json(bench.copy() / "config.json", attention_dropout=0, some_rate=1, use_cache=False)


@TABLE.healthy(source="sgl-project/sglang#26674")
def infinity(bench: Bench) -> None:
    """Python's JSON has Infinity, and line ends may be those of Windows."""
    path = bench.copy() / "config.json"
    text = path.read_text(encoding="utf-8").replace("{", '{\n "clip": Infinity,', 1)
    path.write_bytes(text.replace("\n", "\r\n").encode())


@TABLE.healthy(source="huggingface/transformers#48016")
def padding_that_is_an_end(bench: Bench) -> None:
    """TRL pads with the end: generate takes it."""
    write_json(bench.copy() / "generation_config.json", {"eos_token_id": [2, 3], "pad_token_id": 3})


@TABLE.healthy(source="huggingface/olm-training#6")
def end_beyond_the_vocabulary(bench: Bench) -> None:
    """GPT-2's end in a model of another vocabulary: it never comes, and nothing fails."""
    edit_json(bench.copy("gpt2") / "config.json", bos_token_id=50256, eos_token_id=50256)


@TABLE.healthy(source="https://huggingface.co/google/gemma-3-1b-it/blob/main/generation_config.json")
def settings_of_gemma(bench: Bench) -> None:
    """A cache by name, and an end of two tokens."""
    values = {"cache_implementation": "hybrid", "do_sample": True, "eos_token_id": [1, 2], "top_k": 64, "top_p": 0.95}
    write_json(bench.copy("gemma3_text") / "generation_config.json", values)


@TABLE.healthy(source="https://huggingface.co/Qwen/Qwen-7B-Chat/blob/main/generation_config.json")
def settings_of_its_own(bench: Bench) -> None:
    """Keys that generate passes over, and numbers that switch a rule off."""
    values = {"chat_format": "chatml", "max_window_size": 24000, "do_sample": True, "top_k": 0, "temperature": 1}
    write_json(bench.copy() / "generation_config.json", {**values, "repetition_penalty": 1, "eos_token_id": 2})


@TABLE.healthy(source="ml-explore/mlx#743")
def saved_by_mlx(bench: Bench) -> None:
    """The header says mlx."""
    with_metadata(bench, {"format": "mlx"})


@TABLE.healthy(source="safetensors/safetensors#549")
def saved_without_metadata(bench: Bench) -> None:
    """save_file(weights, path): no metadata at all."""
    with_metadata(bench, None)


@TABLE.healthy(source="foundation-model-stack/fastsafetensors#96", shows_4="ValueError: Incompatible safetensors file")
def metadata_of_nothing(bench: Bench) -> None:
    """MiniMax-M3-MXFP8: `__metadata__` is there and empty, which transformers 4 refuses."""
    with_metadata(bench, {})


@TABLE.healthy(source="https://huggingface.co/openai/gpt-oss-20b/tree/main")
def mxfp4(bench: Bench) -> None:
    """gpt-oss: blocks and scales of its experts, which a load on a CPU unpacks."""
    path = write_mxfp4(bench)
    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    edit_json(
        path.with_name("config.json"), quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": kept}
    )


def write_mxfp4(bench: Bench) -> Path:
    """Copy a gpt-oss with its experts packed, and return the file of its weights."""
    path = bench.copy("gpt_oss") / MODEL
    packed: dict[str, tuple[str, list[int], bytes]] = {}
    for name, (dtype, shape, raw) in tensors.unpack(path).items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, inward, outward = shape
            blocks = experts * outward * (inward // 32)
            packed[f"{name}_blocks"] = ("U8", [experts, outward, inward // 32, 16], bytes(blocks * 16))
            packed[f"{name}_scales"] = ("U8", [experts, outward, inward // 32], bytes([127]) * blocks)
        else:
            packed[name] = (dtype, shape, raw)
    tensors.pack(path, packed)
    return path


@TABLE.healthy(
    level="load",
    also=("weights-unverified",),
    source="https://huggingface.co/deepseek-ai/DeepSeek-V3",
    shows_4="RuntimeError: No GPU or XPU found",
)
def blocks_of_fp8(bench: Bench) -> None:
    """FP8 by blocks, which transformers 5 unpacks where there is no GPU."""
    path = bench.copy() / MODEL
    packed: dict[str, tuple[str, list[int], bytes]] = {}
    for name, (dtype, shape, raw) in tensors.unpack(path).items():
        packed[name] = ("F8_E4M3", shape, bytes(len(raw) // 4)) if "_proj." in name else (dtype, shape, raw)
        if "_proj." in name:
            packed[f"{name}_scale_inv"] = ("F32", [1, 1], bytes(4))
    tensors.pack(path, packed)
    stated = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    edit_json(path.with_name("config.json"), quantization_config=stated)


# Directories


@TABLE.healthy(source="huggingface/sentence-transformers#736", shows="no model itself")
def sentences_of_2020(bench: Bench) -> None:
    """config.json holds a version alone; the model is in 0_BERT."""
    folder = bench.here
    bench.copy("bert", to=folder / "0_BERT")
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", _MEAN)
    _modules(
        folder, **{"0_BERT": "sentence_transformers.models.BERT", "1_Pooling": "sentence_transformers.models.Pooling"}
    )
    write_json(folder / "config.json", {"__version__": "0.2.5"})


@TABLE.healthy(source="https://huggingface.co/naver/splade-v3/tree/main")
def sparse_encoder(bench: Bench) -> None:
    """Classes of sentence-transformers' sparse encoders."""
    folder = bench.copy("bert")
    (folder / "1_SpladePooling").mkdir()
    write_json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "max"})
    base = "sentence_transformers.sparse_encoder.models."
    _modules(folder, here=f"{base}MLMTransformer", **{"1_SpladePooling": f"{base}SpladePooling"})


@TABLE.healthy(source="https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/tree/main")
def open_clip_beside(bench: Bench) -> None:
    """Open CLIP's weights and settings beside those of transformers."""
    folder = bench.copy("vit")
    shutil.copy(folder / MODEL, folder / "open_clip_model.safetensors")
    write_json(folder / "open_clip_config.json", {})
    touch(folder, "open_clip_pytorch_model.bin")


@TABLE.healthy(source="https://huggingface.co/patrickvonplaten/wav2vec2-base-100h-with-lm/tree/main")
def with_a_language_model(bench: Bench) -> None:
    """A recogniser of letters with n-grams, which its model does without."""
    folder = bench.copy("wav2vec2-letters")
    touch(folder / "language_model", "5gram.bin", "attrs.json", "unigrams.txt")
    write_json(folder / "alphabet.json", {"labels": [], "is_bpe": False})
    edit_json(folder / "preprocessor_config.json", processor_class="Wav2Vec2ProcessorWithLM")


@TABLE.healthy(source="hiyouga/LlamaFactory#4778", shows="no model itself")
def cache_of_modelscope(bench: Bench) -> None:
    """Dots became underscores; `._____temp` holds what a download left."""
    folder = bench.copy(to=bench.here / "Qwen" / "Qwen1___5-0___5B-Chat")
    touch(folder, ".msc", ".mdl", raw=b"x")
    write_json(folder / "configuration.json", {"framework": "pytorch", "task": "chat"})
    left = bench.here / "._____temp" / "Qwen" / "Qwen1.5-0.5B-Chat"
    left.mkdir(parents=True)
    shutil.copy(folder / "config.json", left / "config.json")


@TABLE.healthy(source="https://www.kaggle.com/models/google/gemma-3", shows="no model itself")
def versions_of_kaggle(bench: Bench) -> None:
    """framework/variation/version."""
    for place in ("gemma-3-1b-it/1", "gemma-3-1b-pt/2"):
        bench.copy("gemma3_text", to=bench.here / "gemma-3" / "transformers" / place)


@TABLE.healthy(source="https://jupyterlab.readthedocs.io/en/stable/user/files.html")
def copies_of_a_notebook(bench: Bench) -> None:
    """.ipynb_checkpoints keeps copies of files that were opened."""
    folder = bench.copy()
    (folder / ".ipynb_checkpoints").mkdir()
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copy(folder / name, folder / ".ipynb_checkpoints" / name)


@TABLE.healthy(source="https://docs.wandb.ai/guides/runs")
def records_of_a_run(bench: Bench) -> None:
    """wandb/ and data/ have configs and safetensors that are no model's."""
    folder = bench.copy()
    for name, value in (("wandb/run-1/files/config.json", {"lr": 1}), ("data/dataset_info.json", {})):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_json(folder / name, value)
    touch(folder / "data", "data-00000-of-00001.arrow", "latents_00000.safetensors")


@TABLE.healthy(source="huggingface/huggingface_hub#2284")
def shards_linked_to_a_store(bench: Bench) -> None:
    """Each shard is a relative link to another directory."""
    folder, store = bench.copy("llama-sharded"), bench.beside / "store"
    store.mkdir(parents=True)
    for shard in folder.glob("model-*.safetensors"):
        shutil.move(shard, store / shard.name)
        shard.symlink_to(os.path.relpath(store / shard.name, folder))


@TABLE.healthy(source="meta-pytorch/torchtune#2358")
def named_by_torchtune(bench: Bench) -> None:
    """ft-model-00001-of-…, named so by the index."""
    folder = bench.copy("llama-sharded")
    index = read_json(folder / INDEX)
    for shard in sorted(folder.glob("model-*.safetensors")):
        shard.rename(folder / f"ft-{shard.name}")
    edit_json(folder / INDEX, weight_map={k: f"ft-{v}" for k, v in index["weight_map"].items()})
    touch(folder, "recipe_state.pt")


@TABLE.healthy(
    subject="cached",
    manifest=True,
    environment={"HF_HUB_CACHE": "hub"},
    source="https://huggingface.co/docs/huggingface_hub/guides/manage-cache",
)
def cache_with_tags(bench: Bench) -> None:
    """CACHEDIR.TAG, a pull request's ref, xet beside hub."""
    write_manifest(bench.here, cached="hf:acme/tiny")
    snapshot = write_repository(bench.stock / "llama", bench.here / "hub", "acme/tiny")
    (bench.here / "hub" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n", encoding="ascii")
    touch(snapshot.parents[1] / "refs" / "pr", "3", raw=b"c" * 40)
    touch(bench.here / "xet" / "https___cas", "shard")
