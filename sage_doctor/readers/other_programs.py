"""Model directories of other programs than transformers, told by the names of their weight files.

transformers opens none of these, so that a directory with nothing else is no broken model: it is another program's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.system.frozen import frozen
from sage_doctor.system.walk import Walk

_DEEP: Final = 4
_MOST_DIRECTORIES: Final = 200
# The names that transformers loads, or an earlier release loaded: a directory with one of them is its own.
_OWN = re.compile(
    r"(?:model|pytorch_model)(?:-\d{5}-of-\d{5})?\.safetensors|pytorch_model(?:-\d{5}-of-\d{5})?\.bin|(?:model\.safetensors|pytorch_model\.bin)\.index\.json"
    r"|adapter_(?:config\.json|model\.(?:safetensors|bin))|tf_model\.h5|flax_model\.msgpack|model\.ckpt\.index",
    re.ASCII,
)


@frozen
class Program:
    """Who reads weights under names that match `pattern`, and whether sessions reach it over HTTP."""

    name: str
    form: str
    pattern: str
    serves: bool = False

    @property
    def title(self) -> str:
        """Its name, and what its form is called if that says more."""
        return self.name if self.form == self.name else f"{self.name} ({self.form})"


# What a training run leaves: a model of transformers, once it is put together.
CHECKPOINTS: Final = (
    Program(name="DeepSpeed", form="ZeRO", pattern=r"global_step\d+|zero_to_fp32\.py"),
    Program(name="torch.distributed", form="FSDP", pattern=r"pytorch_model_fsdp_\d+|.+\.distcp"),
)
PROGRAMS: Final = (
    Program(name="llama.cpp", form="GGUF", pattern=r".+\.gguf|ggml-.+\.bin", serves=True),
    Program(name="Ollama", form="its own store", pattern=r"sha256-[0-9a-f]{64}", serves=True),
    Program(name="ONNX Runtime", form="ONNX", pattern=r".+\.onnx"),
    Program(name="OpenVINO", form="OpenVINO", pattern=r"openvino_.+\.xml"),
    Program(name="mistral-inference or vLLM", form="Mistral's own", pattern=r"consolidated.*\.safetensors"),
    Program(name="Meta's own code", form="Meta's own", pattern=r"consolidated\.\d+\.pth"),
    Program(name="MLX", form="MLX", pattern=r"weights(?:\.\d+)?\.(?:npz|safetensors)"),
    Program(name="MLC", form="MLC", pattern=r"mlc-chat-config\.json|params_shard_\d+\.bin"),
    Program(name="ExLlamaV2", form="EXL2", pattern=r"output(?:-\d{5}-of-\d{5})?\.safetensors"),
    Program(name="TensorRT-LLM", form="TensorRT", pattern=r".+\.(?:engine|plan)"),
    Program(name="Core ML", form="Core ML", pattern=r".+\.ml(?:package|modelc?)"),
    Program(name="LiteRT", form="LiteRT", pattern=r".+\.(?:tflite|task|litertlm)"),
    Program(name="ExecuTorch", form="ExecuTorch", pattern=r".+\.pte"),
    Program(name="Keras", form="Keras", pattern=r".+\.(?:weights\.h5|keras)"),
    Program(name="NeMo", form="NeMo", pattern=r".+\.nemo"),
    Program(name="MNN", form="MNN", pattern=r".+\.mnn"),
    Program(name="RKLLM", form="RKLLM", pattern=r".+\.rk(?:llm|nn)"),
    Program(name="diffusers", form="a pipeline", pattern=r"model_index\.json"),
    Program(name="diffusers", form="a LoRA", pattern=r"pytorch_lora_weights\.(?:safetensors|bin)"),
    Program(name="GLiNER", form="GLiNER", pattern=r"gliner_config\.json"),
    *CHECKPOINTS,
)
_COMPILED = tuple((p, re.compile(p.pattern, re.ASCII)) for p in PROGRAMS)
# CTranslate2 calls its file model.bin, as others do: its vocabulary beside it tells.
_CTRANSLATE2 = Program(name="CTranslate2", form="CTranslate2", pattern=r"model\.bin")
_CTRANSLATE2_VOCABULARY = re.compile(r"(?:shared_|source_|target_)?vocabulary\.(?:json|txt)", re.ASCII)


def program_of(names: Iterable[str]) -> Program | None:
    """Return the program whose weights are among the names of a directory, None where there are none."""
    names = set(names)
    found = next((p for p, pattern in _COMPILED if any(pattern.fullmatch(n) for n in names)), None)
    if found is None and "model.bin" in names and any(_CTRANSLATE2_VOCABULARY.fullmatch(n) for n in names):
        return _CTRANSLATE2
    return found


def is_for_another_program(path: Path, names: Iterable[str]) -> bool:
    """Return whether a directory is another program's or library's model: transformers is not meant to load it.

    That is one whose weights lie in another form, here or in directories below, and one with weights under a name
    that transformers knows as well, whose configuration is that of another library.
    """
    names = set(names)
    if any(_OWN.fullmatch(n) for n in names):
        return "adapter_config.json" not in names and _configured_for_another(path, names)
    if any(re.fullmatch(r".+-\d{5}-of-\d{5}\.(?:safetensors|bin)", n) and program_of([n]) is None for n in names):
        return False
    return program_of(names) is not None or program_below(path) is not None


def _configured_for_another(path: Path, names: set[str]) -> bool:
    """Return whether the configuration is one of pyannote, flair, timm, MLX … but none of transformers."""
    if "config.json" not in names:
        return any(n.endswith((".yaml", ".yml")) for n in names) and "tokenizer_config.json" not in names
    config = read_json_object(path / "config.json", most=1 << 24).value
    if config is not None and isinstance(config.get("quantization"), Mapping) and "bits" in config["quantization"]:
        return True  # MLX's own, which leaves the rest as it was
    return is_of_another_library(path, names)


def is_of_another_library(path: Path, names: Iterable[str]) -> bool:
    """Return whether a config.json is there that speaks of no class of transformers, and no tokenizer beside it.

    With one, transformers wrote the directory, and the model type was lost.
    """
    if {"tokenizer.json", "tokenizer_config.json"} & set(names):
        return False
    config = read_json_object(path / "config.json", most=1 << 24).value or {}
    # transformers wraps the models of timm: `pretrained_cfg` is theirs.
    return bool(config) and not {"model_type", "architectures", "pretrained_cfg"} & config.keys()


def program_below(path: Path) -> Program | None:
    """Return the program of the weights in directories below one that has none, None where transformers' own lie."""
    found: Program | None = None
    for listing in Walk(roots=[path], most_directories=_MOST_DIRECTORIES, most_depth=_DEEP).listings():
        if any(_OWN.fullmatch(n) for n in listing.names):
            return None
        found = found or program_of(listing.names)
    return found
