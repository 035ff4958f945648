"""Directories of other programs: a tree of models holds them, and a doctor of transformers has nothing to say there."""

from __future__ import annotations

import shutil

from . import tensors
from .case import Bench, Table, edit_json, write_json
from .tensors import MODEL

TABLE = Table("foreign", shows="loads")


@TABLE.healthy()
def for_sentence_embeddings(bench: Bench) -> None:
    """What sentence-transformers saves: a BERT, and a folder with a config.json that is none of a model's."""
    folder = bench.copy("bert")
    modules = [{"idx": 0, "name": "0", "path": ""}, {"idx": 1, "name": "1", "path": "1_Pooling"}]
    write_json(folder / "modules.json", modules)
    write_json(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "5.0.0"}})
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})


@TABLE.healthy(shows="no model of transformers")
def a_pipeline_of_diffusers(bench: Bench) -> None:
    """An image model: its parts lie in folders, each with what it needs and no more."""
    folder = bench.here
    bench.copy(to=folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / "text_encoder" / name).rename(folder / "tokenizer" / name)
    for part, class_name in (("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL")):
        (folder / part).mkdir()
        write_json(folder / part / "config.json", {"_class_name": class_name, "sample_size": 8})
        shutil.copy(bench.stock / "llama" / MODEL, folder / part / "diffusion_pytorch_model.safetensors")
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler"})
    write_json(folder / "model_index.json", {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "x"]})


@TABLE.healthy(shows="no model of transformers")
def for_llama_cpp(bench: Bench) -> None:
    """A directory of GGUF files, as llama.cpp and Ollama use them."""
    bench.here.mkdir(parents=True)
    for name in ("llama.Q4_K_M.gguf", "mmproj.gguf"):
        (bench.here / name).write_bytes(b"GGUF" + bytes(100))
    (bench.here / "README.md").write_text("# tiny GGUF\n", encoding="utf-8")


@TABLE.healthy(shows="no model of transformers")
def for_a_mac(bench: Bench) -> None:
    """MLX packs eight 4-bit numbers into a word: the embedding is an eighth as wide as config.json says."""
    folder = bench.copy()
    packed: dict[str, tuple[str, list[int], bytes]] = {}
    for name, (dtype, shape, raw) in tensors.unpack(folder / MODEL).items():
        if len(shape) == 2:
            rows, columns = shape
            stem = name.removesuffix("weight")
            packed[name] = ("U32", [rows, columns // 8], bytes(range(4)) * (rows * columns // 8))
            packed[f"{stem}scales"] = ("F16", [rows, columns // 32], b"\0\x3c" * (rows * columns // 32))
            packed[f"{stem}biases"] = ("F16", [rows, columns // 32], b"\0\x3c" * (rows * columns // 32))
        else:
            packed[name] = (dtype, shape, raw)
    tensors.pack(folder / MODEL, packed)
    edit_json(folder / "config.json", quantization={"group_size": 32, "bits": 4})


@TABLE.healthy(shows="no model itself")
def a_zoo_of_two(bench: Bench) -> None:
    """A directory that is no model itself, with two below it and a file beside them."""
    bench.copy(to=bench.here / "org" / "first")
    bench.copy("gpt2", to=bench.here / "org" / "second")
    (bench.here / "README.md").write_text("# zoo\n", encoding="utf-8")
    (bench.here / "empty").mkdir()
    (bench.here / "notes.safetensors.txt").write_text("none\n", encoding="utf-8")
