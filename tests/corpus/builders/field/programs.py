"""Whole models of other programs, which transformers does not load, and models that bring code of their own."""

from __future__ import annotations

from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, write_json
from tests.corpus.builders.field.layouts import touch
from tests.corpus.builders.field.pages import without
from tests.corpus.builders.tensors import MODEL

TABLE = Table("field-programs", in_tree=False, shows="no model of transformers")
_FOREIGN = "weights-missing"


def _emptied(bench: Bench, name: str = "llama") -> Path:
    return without(bench.copy(name), MODEL)


@TABLE.error(_FOREIGN, source="https://huggingface.co/OpenVINO/Qwen3-0.6B-int4-ov/tree/main")
def of_openvino(bench: Bench) -> None:
    """The model, its tokenizer and its detokenizer as OpenVINO has them, and transformers' own small files."""
    names = ("openvino_model", "openvino_tokenizer", "openvino_detokenizer")
    touch(_emptied(bench, "qwen3"), *(f"{n}.{e}" for n in names for e in ("xml", "bin")))


@TABLE.error(_FOREIGN, source="https://huggingface.co/onnx-community/Qwen3-0.6B-ONNX/tree/main")
def of_transformers_js(bench: Bench) -> None:
    """onnx/ below the configuration and the tokenizer."""
    touch(_emptied(bench, "qwen3") / "onnx", "model_q4f16.onnx", "model_quantized.onnx")


@TABLE.error(_FOREIGN, source="https://huggingface.co/Systran/faster-whisper-large-v3/tree/main")
def of_faster_whisper(bench: Bench) -> None:
    """model.bin, told by its vocabulary.json."""
    folder = _emptied(bench, "whisper")
    touch(folder, "model.bin", raw=bytes(64))
    write_json(folder / "vocabulary.json", ["<unk>"])


@TABLE.error(_FOREIGN, source="https://huggingface.co/keras/gemma3_1b/tree/main", shows="ValueError")
def of_keras(bench: Bench) -> None:
    """A preset of KerasHub: its own config.json and model.weights.h5."""
    touch(bench.here, "model.weights.h5", raw=b"\x89HDF\r\n\x1a\n" + bytes(64))
    values = {"module": "keras_hub.src.models.gemma3.gemma3_backbone", "class_name": "Gemma3Backbone", "config": {}}
    write_json(bench.here / "config.json", values)
    write_json(bench.here / "tokenizer.json", {"module": "keras_hub", "class_name": "Gemma3Tokenizer", "config": {}})
    write_json(bench.here / "metadata.json", {"keras_version": "3.9.0", "parameter_count": 1})


@TABLE.error("config-type-unknown", source="https://huggingface.co/turboderp/Qwen3-8B-exl3/tree/3.0bpw")
def of_exllama_3(bench: Bench) -> None:
    """The trellis of EXL3 under the names of transformers' files."""
    folder = bench.copy("qwen3")
    kept, stored = {}, tensors.unpack(folder / MODEL)
    for name, value in stored.items():
        if name.endswith("_proj.weight"):
            kept[name.replace("weight", "trellis")] = ("I16", [2, 2, 16], bytes(128))
            kept[name.replace("weight", "suh")] = ("F16", [32], bytes(64))
        else:
            kept[name] = value
    tensors.pack(folder / MODEL, kept)
    edit_json(folder / "config.json", quantization_config={"quant_method": "exl3", "version": "0.0.1", "bits": 3.0})


@TABLE.healthy(source="https://huggingface.co/urchade/gliner_small-v2.1/tree/main")
def of_gliner(bench: Bench) -> None:
    """gliner_config.json and the weights, with and without a tokenizer: there never was a config.json."""
    bench.copy(to=bench.here / "llama")
    for name in ("gliner", "gliner-multitask"):
        bench.copy("bert", bench.here / name)
        write_json(without(bench.here / name, "config.json") / "gliner_config.json", {"max_width": 12})
    without(bench.here / "gliner", "tokenizer_config.json", "vocab.txt")


@TABLE.healthy(source="https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5/tree/main")
def of_diffusers(bench: Bench) -> None:
    """A pipeline, of which transformers reads the text encoder alone, beside a model of text."""
    bench.copy(to=bench.here / "llama")
    bench.copy("bert", bench.here / "sd" / "text_encoder")
    names = {"text_encoder": ["transformers", "BertModel"], "unet": ["diffusers", "UNet2DConditionModel"]}
    write_json(bench.here / "sd" / "model_index.json", {"_class_name": "StableDiffusionPipeline", **names})
    (bench.here / "sd" / "unet").mkdir()
    tensors.pack(bench.here / "sd" / "unet" / "diffusion_pytorch_model.safetensors", {"a": ("F32", [2], bytes(8))})


@TABLE.healthy(
    level="load", source="https://huggingface.co/colbert-ir/colbertv2.0/tree/main", shows="loads, but as a causal model"
)
def of_colbert(bench: Bench) -> None:
    """A class that transformers does not have, and a matrix for it: bert is read with the rest left over."""
    folder = bench.copy("bert")
    stored = {k: v for k, v in tensors.unpack(folder / MODEL).items() if k.startswith("bert.")}
    tensors.pack(folder / MODEL, {**stored, "linear.weight": ("F32", [16, 32], bytes([0, 0, 128, 63]) * 512)})
    edit_json(folder / "config.json", architectures=["HF_ColBERT"])


@TABLE.warning(
    "custom-code", level="load", source="https://huggingface.co/microsoft/Phi-4-multimodal-instruct/tree/main"
)
def with_code_of_its_own(bench: Bench) -> None:
    """A type that only its own code knows: what it needs is there, and no level runs it."""
    folder = bench.copy()
    own = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    edit_json(folder / "config.json", model_type="own", architectures=["OwnForCausalLM"], auto_map=own)
    for name in ("configuration_own.py", "modeling_own.py"):
        (folder / name).write_text(f"open({str(bench.bait)!r}, 'w')\n", encoding="utf-8")
