"""Healthy trees with several models or none of transformers: zoos, other programs' directories, caches after years."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.cache import write_repository
from tests.corpus.builders.case import Bench, Table, write_json
from tests.corpus.builders.field.layouts import tokenizer_only, touch
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-zoos", in_tree=False, shows="loads")
_ZOO = "no model itself"


# Parts of models, and models of other programs


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct/tree/main/original")
def metas_own_files_inside(bench: Bench) -> None:
    """`original/` with params.json, consolidated.00.pth and a tiktoken file called tokenizer.model."""
    folder = bench.copy("llama-sharded", bench.here / "Meta-Llama-3-8B-Instruct")
    touch(folder / "original", "consolidated.00.pth")
    write_json(folder / "original" / "params.json", {"dim": 32, "n_layers": 2})
    (folder / "original" / "tokenizer.model").write_text("IQ== 0\nIg== 1\n", encoding="ascii")


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/BAAI/bge-m3/tree/main/onnx")
def onnx_export_inside(bench: Bench) -> None:
    """`onnx/` with the export, its config.json and its tokenizer; `openvino/` likewise."""
    folder = bench.copy("bert", bench.here / "bge")
    for name, file in (("onnx", "model.onnx"), ("openvino", "openvino_model.xml")):
        tokenizer_only(bench, folder / name)
        shutil.copy(folder / "config.json", folder / name / "config.json")
        touch(folder / name, file)


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/onnx-community/Llama-3.2-1B-Instruct/tree/main")
def for_the_browser(bench: Bench) -> None:
    """transformers.js: config and tokenizer at the top, the weights in `onnx/`."""
    folder = bench.here / "onnx-community" / "llama"
    tokenizer_only(bench, folder)
    shutil.copy(bench.stock / "llama" / "config.json", folder / "config.json")
    touch(folder / "onnx", "model_q4.onnx", "model_q4.onnx_data")


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/microsoft/Phi-3-mini-4k-instruct-onnx/tree/main")
def for_onnxruntime(bench: Bench) -> None:
    """onnxruntime-genai: the graph and the tokenizer two levels below a config.json."""
    folder = bench.here / "phi-onnx"
    tokenizer_only(bench, folder / "cpu_and_mobile" / "cpu-int4")
    write_json(folder / "cpu_and_mobile" / "cpu-int4" / "genai_config.json", {"model": {"type": "phi3"}})
    touch(folder / "cpu_and_mobile" / "cpu-int4", "model.onnx", "model.onnx.data")
    write_json(folder / "config.json", {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"]})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/Systran/faster-whisper-small/tree/main")
def for_ctranslate2(bench: Bench) -> None:
    """faster-whisper: model.bin, vocabulary.txt and a tokenizer.json."""
    folder = bench.here / "faster-whisper-small"
    tokenizer_only(bench, folder)
    touch(folder, "model.bin", "vocabulary.txt")
    write_json(folder / "config.json", {"alignment_heads": [[5, 3]], "lang_ids": [1], "suppress_ids": []})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/TheBloke/Llama-2-7B-Chat-GGUF/tree/main")
def for_llama_cpp(bench: Bench) -> None:
    """GGUF files beside a config.json, in a zoo with a model of transformers."""
    bench.copy(to=bench.here / "llama")
    touch(bench.here / "llama-gguf", "llama.Q4_K_M.gguf", "llama.Q8_0.gguf", raw=b"GGUF" + bytes(60))
    write_json(bench.here / "llama-gguf" / "config.json", {"model_type": "llama"})
    tokenizer_only(bench, bench.here / "llama-gguf")


@TABLE.healthy(source="https://huggingface.co/docs/hub/gguf")
def gguf_beside_safetensors(bench: Bench) -> None:
    """One repository for both, with its projector."""
    touch(bench.copy(), "model-Q4_K_M.gguf", "mmproj-model-f16.gguf", "Modelfile", raw=b"GGUF" + bytes(60))


@TABLE.healthy(source="https://huggingface.co/mistralai/Mistral-7B-Instruct-v0.3/tree/main")
def mistrals_own_file_beside(bench: Bench) -> None:
    """consolidated.safetensors, params.json and tekken.json beside the shards of transformers."""
    folder = bench.copy("mistral")
    shutil.copy(folder / MODEL, folder / "consolidated.safetensors")
    tensors.rename(folder / "consolidated.safetensors", lambda name: name.removeprefix("model."))
    write_json(folder / "params.json", {"dim": 32, "n_layers": 2})


@TABLE.healthy(shows=_ZOO, source="vllm-project/vllm#33253")
def only_mistrals_own(bench: Bench) -> None:
    """A repository for vLLM alone, in a zoo."""
    bench.copy("mistral", bench.here / "mistral")
    folder = bench.here / "voxtral"
    touch(folder, "consolidated.safetensors")
    write_json(folder / "params.json", {"dim": 32})
    write_json(folder / "tekken.json", {"config": {}, "vocab": []})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/mlx-community/whisper-large-v3-mlx/tree/main")
def for_mlx(bench: Bench) -> None:
    """weights.npz and a config.json with a model type."""
    touch(bench.here / "whisper-mlx", "weights.npz")
    write_json(bench.here / "whisper-mlx" / "config.json", {"model_type": "whisper", "n_mels": 80})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/turboderp/Llama-3.1-8B-Instruct-exl2")
def for_exllama(bench: Bench) -> None:
    """output.safetensors beside the original's configuration and index."""
    folder = bench.copy("llama-sharded", bench.here / "llama-exl2")
    for shard in folder.glob("model-*.safetensors"):
        shard.unlink()
    (folder / INDEX).unlink()
    shutil.copy(bench.stock / "llama" / MODEL, folder / "output.safetensors")


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/mlc-ai/Llama-3.2-1B-Instruct-q4f16_1-MLC/tree/main")
def for_mlc(bench: Bench) -> None:
    """params_shard_N.bin and mlc-chat-config.json."""
    folder = bench.here / "llama-mlc"
    tokenizer_only(bench, folder)
    touch(folder, "params_shard_0.bin", "params_shard_1.bin")
    write_json(folder / "mlc-chat-config.json", {"model_type": "llama"})


@TABLE.healthy(shows=_ZOO, source="https://nvidia.github.io/TensorRT-LLM/")
def for_tensorrt(bench: Bench) -> None:
    """Engines, and the tokenizer that was copied beside them."""
    folder = bench.here / "llama-engine"
    tokenizer_only(bench, folder)
    touch(folder, "rank0.engine")
    write_json(folder / "config.json", {"version": "0.9", "pretrained_config": {"architecture": "LlamaForCausalLM"}})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/pyannote/segmentation-3.0/tree/main")
def for_pyannote(bench: Bench) -> None:
    """pytorch_model.bin beside a config.yaml."""
    touch(bench.here / "segmentation", "pytorch_model.bin")
    (bench.here / "segmentation" / "config.yaml").write_text("task: {}\n", encoding="ascii")


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/docs/huggingface_hub/package_reference/mixins")
def of_another_library(bench: Bench) -> None:
    """PyTorchModelHubMixin: model.safetensors and a config.json of the class's own arguments."""
    folder = bench.copy(to=bench.here / "detector")
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / "config.json", {"hidden": 32, "layers": 2})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/sentence-transformers/static-similarity-mrl-multilingual-v1")
def static_embedding(bench: Bench) -> None:
    """A table of vectors: no config.json, weights and tokenizer in `0_StaticEmbedding`."""
    part = bench.here / "0_StaticEmbedding"
    part.mkdir(parents=True)
    shutil.copy(bench.stock / "llama" / "tokenizer.json", part / "tokenizer.json")
    tensors.pack(part / MODEL, {"embedding.weight": ("F32", [96, 4], bytes([0, 0, 128, 63]) * 384)})
    kind = "sentence_transformers.models.StaticEmbedding"
    write_json(bench.here / "modules.json", [{"idx": 0, "name": "0", "path": part.name, "type": kind}])


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/sentence-transformers/average_word_embeddings_glove.6B.300d")
def word_vectors_in_a_zoo(bench: Bench) -> None:
    """GloVe as a sentence-transformers model, and one whose first module is a directory with a transformer."""
    glove = bench.here / "glove"
    touch(glove / "0_WordEmbeddings", "pytorch_model.bin")
    write_json(glove / "0_WordEmbeddings" / "wordembedding_config.json", {"tokenizer_class": "WhitespaceTokenizer"})
    write_json(glove / "modules.json", [{"path": "0_WordEmbeddings"}, {"path": "1_Pooling"}])
    old = bench.here / "old"
    bench.copy("bert", old / "0_Transformer")
    write_json(old / "modules.json", [{"path": "0_Transformer"}, {"path": "1_Pooling"}])


@TABLE.healthy(source="https://huggingface.co/nomic-ai/nomic-embed-text-v1.5/tree/main", shows=_ZOO)
def dense_module_with_weights(bench: Bench) -> None:
    """`2_Dense` has weights and a configuration of its own."""
    folder = bench.copy("bert", bench.here / "labse")
    write_json(folder / "modules.json", [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}])
    touch(folder / "2_Dense", "pytorch_model.bin")
    write_json(folder / "2_Dense" / "config.json", {"in_features": 32, "out_features": 32})


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/tree/main")
def parts_of_a_pipeline(bench: Bench) -> None:
    """Text encoder and tokenizer of an image model that were fetched without model_index.json."""
    folder = bench.here / "sdxl"
    bench.copy("bert", folder / "text_encoder")
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer_only(bench, folder / name)


@TABLE.healthy(shows=_ZOO, source="huggingface/transformers#26186")
def checkpoints_below_a_finished_run(bench: Bench) -> None:
    """The run has its final weights; its checkpoints hold shards for the trainer."""
    folder = bench.copy(to=bench.here / "run")
    for step in (100, 200):
        checkpoint = folder / f"checkpoint-{step}"
        tokenizer_only(bench, checkpoint)
        shutil.copy(folder / "config.json", checkpoint / "config.json")
        touch(checkpoint / "pytorch_model_fsdp_0", "__0_0.distcp", ".metadata")
        touch(checkpoint / "optimizer_0", "__0_0.distcp", ".metadata")


@TABLE.healthy(shows=_ZOO, source="deepspeedai/DeepSpeed#506")
def run_that_goes_on(bench: Bench) -> None:
    """A run in progress: its checkpoints are the trainer's, nobody has put the weights together yet."""
    checkpoint = bench.here / "run" / "checkpoint-300"
    tokenizer_only(bench, checkpoint)
    shutil.copy(bench.stock / "llama" / "config.json", checkpoint / "config.json")
    touch(checkpoint / "global_step300", "zero_pp_rank_0_mp_rank_00_model_states.pt")
    (checkpoint / "zero_to_fp32.py").write_text("#!/usr/bin/env python\n", encoding="ascii")


# The Hugging Face cache as a directory to look through


def _hub(bench: Bench) -> Path:
    bench.here.mkdir(parents=True)
    return write_repository(bench.stock / "llama", bench.here, "acme/tiny")


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/docs/huggingface_hub/guides/manage-cache")
def cache_after_years(bench: Bench) -> None:
    """Marks of absence, locks, an earlier snapshot with little in it, a pull request's ref."""
    snapshot = _hub(bench)
    folder, old = snapshot.parents[1], "f" * 40
    (snapshot.parent / old).mkdir()
    (snapshot.parent / old / "config.json").symlink_to((snapshot / "config.json").readlink())
    (folder / "refs" / "refs" / "pr").mkdir(parents=True)
    (folder / "refs" / "refs" / "pr" / "1").write_text(old, encoding="ascii")
    absent = ("adapter_config.json", "model.safetensors.index.json", "config.json", "tokenizer.model", "vocab.txt")
    touch(folder / ".no_exist" / snapshot.name, *absent, raw=b"")
    touch(bench.here / ".locks" / folder.name, f"{'c' * 40}.lock", raw=b"")
    touch(bench.here, "CACHEDIR.TAG", "version.txt", raw=b"1")


@TABLE.healthy(shows=_ZOO, source="huggingface/huggingface_hub#4624")
def cache_of_tokenizers(bench: Bench) -> None:
    """Only the tokenizer was ever asked for, to count tokens; of another repository only config.json."""
    snapshot = _hub(bench)
    (snapshot / MODEL).unlink()
    for name in ("config.json", "generation_config.json"):
        (snapshot / name).unlink()
    other = write_repository(bench.stock / "llama", bench.here, "acme/other")
    for file in other.iterdir():
        if file.name != "config.json":
            file.unlink()


@TABLE.healthy(shows=_ZOO, source="huggingface/huggingface_hub#1222")
def cache_without_links(bench: Bench) -> None:
    """Filled on Windows: snapshots hold the files, `blobs` is empty."""
    snapshot = _hub(bench)
    for link in sorted(snapshot.iterdir()):
        raw = link.read_bytes()
        link.unlink()
        link.write_bytes(raw)
    for blob in (snapshot.parents[1] / "blobs").iterdir():
        blob.unlink()


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/docs/huggingface_hub/guides/manage-cache")
def cache_of_everything(bench: Bench) -> None:
    """Data sets and spaces with files of such names, a GGUF repository, and an earlier revision cut short."""
    snapshot = _hub(bench)
    touch(bench.here / "datasets--acme--texts" / "snapshots" / ("a" * 40), "tokenizer.json", "pytorch_model.bin")
    touch(bench.here / "spaces--acme--demo" / "snapshots" / ("a" * 40), "adapter_config.json")
    gguf = bench.here / "models--acme--tiny-GGUF" / "snapshots" / ("b" * 40)
    touch(gguf, "tiny-Q4_K_M.gguf", raw=b"GGUF" + bytes(60))
    (gguf / "config.json").write_text('{"model_type": "llama"}', encoding="ascii")
    earlier = snapshot.with_name("e" * 40)
    earlier.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (earlier / name).symlink_to((snapshot / name).readlink())
    shutil.copy(bench.stock / "llama-sharded" / INDEX, earlier / INDEX)


@TABLE.healthy(shows=_ZOO, source="https://huggingface.co/docs/huggingface_hub/guides/download")
def downloaded_into_a_directory(bench: Bench) -> None:
    """`hf download --local-dir` keeps its records below `.cache`."""
    folder = bench.copy(to=bench.here / "tiny")
    records = folder / ".cache" / "huggingface" / "download"
    touch(records, "config.json.metadata", "model.safetensors.lock", "adapter_config.json", raw=b"")
    (folder / "notes.json").write_text(json.dumps({"a": 1}), encoding="ascii")


@TABLE.healthy(shows=_ZOO, source="vllm-project/vllm#30537")
def original_with_a_familiar_name(bench: Bench) -> None:
    """gpt-oss: `original/` holds a model.safetensors and a config.json without a model type; `metal/` a model.bin."""
    folder = bench.copy("llama-sharded", bench.here / "gpt-oss-20b")
    (folder / "original").mkdir()
    shutil.copy(bench.stock / "llama" / MODEL, folder / "original" / MODEL)
    write_json(folder / "original" / "config.json", {"num_hidden_layers": 2, "num_experts": 2})
    write_json(folder / "original" / "dtypes.json", {"block.0.attn.norm.scale": "FP32"})
    touch(folder / "metal", "model.bin")
