"""Model directories written by hand, without torch: tiny, healthy, and to be broken by the tests that take them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Tensors = Mapping[str, tuple[int, ...]]

MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d" * 32 + "\nsize 269060552\n"
VOCABULARY, WIDTH, RANK = 16, 8, 2
PROJECTION = "model.layers.0.self_attn.q_proj"
WEIGHTS: Tensors = {
    "model.embed_tokens.weight": (VOCABULARY, WIDTH),
    f"{PROJECTION}.weight": (WIDTH, WIDTH),
    "model.norm.weight": (WIDTH,),
}
LORA: Tensors = {
    f"base_model.model.{PROJECTION}.lora_A.weight": (RANK, WIDTH),
    f"base_model.model.{PROJECTION}.lora_B.weight": (WIDTH, RANK),
}
CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}


def write_json(path: Path, value: object) -> None:
    """Write a JSON value to `path`."""
    path.write_text(json.dumps(value), encoding="utf-8")


def edit_json(path: Path, *, drop: tuple[str, ...] = (), **changes: object) -> None:
    """Change and drop keys of the JSON object in `path`."""
    value = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    write_json(path, {k: v for k, v in value.items() if k not in drop})


def write_tensors(path: Path, tensors: Tensors, *, fill: float = 0.5) -> None:
    """Write a safetensors file of float32 tensors, given as name → shape, every number being `fill`."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in tensors.items():
        count = 1
        for n in shape:
            count *= n
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, start + 4 * count]}
        start += 4 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<f", fill) * (start // 4))


def write_tokenizer(directory: Path, *, tokens: int = VOCABULARY, chat: bool = True) -> None:
    """Write a tokenizer of that many tokens, with a chat template or without one."""
    vocabulary = {f"w{n}": n for n in range(tokens)}
    write_json(directory / "tokenizer.json", {"model": {"type": "WordLevel", "vocab": vocabulary}})
    template = {"chat_template": "{{ messages[0].content }}"} if chat else {}
    write_json(directory / "tokenizer_config.json", {"model_max_length": 64, **template})


def write_full(directory: Path, *, tensors: Tensors = WEIGHTS, **config: object) -> Path:
    """Write a full model and return its directory. Keywords change its config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", {**CONFIG, **config})
    write_tensors(directory / MODEL, tensors)
    write_tokenizer(directory)
    return directory


def write_sharded(directory: Path, *, shards: int = 2) -> Path:
    """Write a full model in shards of one tensor or more, with their index, and return its directory."""
    write_full(directory)
    (directory / MODEL).unlink()
    weight_map = {}
    for number in range(shards):
        name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        held = {n: s for position, (n, s) in enumerate(WEIGHTS.items()) if position % shards == number}
        write_tensors(directory / name, held)
        weight_map.update(dict.fromkeys(held, name))
    write_json(directory / INDEX, {"metadata": {"total_size": 1}, "weight_map": weight_map})
    return directory


def write_adapter(directory: Path, base: Path | str | None, *, tensors: Tensors = LORA, **config: object) -> Path:
    """Write a LoRA adapter and return its directory. Keywords change its adapter_config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": str(base) if base is not None else None,
    }
    write_json(directory / "adapter_config.json", {**values, **config})
    write_tensors(directory / ADAPTER, tensors)
    return directory


def write_cached(cache: Path, repo_id: str, *, commit: str = "c" * 40) -> Path:
    """Write a full model into a Hugging Face cache as a download does, and return its snapshot."""
    folder = cache / ("models--" + repo_id.replace("/", "--"))
    snapshot = folder / "snapshots" / commit
    blobs = folder / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for file in sorted(write_full(folder / "made").iterdir()):
        blob = blobs / (file.name.encode().hex().ljust(40, "0")[:40])
        file.rename(blob)
        (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
    (folder / "made").rmdir()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    return snapshot
