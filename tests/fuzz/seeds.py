"""Small valid inputs, where a mutation begins; by the reader's name."""

from __future__ import annotations

import json
import struct

_TENSORS = {
    "__metadata__": {"format": "pt"},
    "model.embed_tokens.weight": {"dtype": "F16", "shape": [4, 2], "data_offsets": [0, 16]},
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": {
        "dtype": "F32",
        "shape": [2, 2],
        "data_offsets": [16, 32],
    },
}
_HEADER = json.dumps(_TENSORS).encode()
_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "vocab_size": 96,
    "num_hidden_layers": 2,
    "text_config": {"hidden_size": 16, "num_experts": 4},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "auto_map": {"AutoConfig": "x.Y"},
    "rope_scaling": {"type": "linear", "factor": 2.0},
    "tie_word_embeddings": False,
    "transformers_weights": "other.safetensors",
}
_ADAPTER = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"],
    "rank_pattern": {"layers.0.q_proj": 2, "^x.*": 3},
    "alpha_pattern": {},
    "modules_to_save": ["lm_head"],
    "base_model_name_or_path": "org/base",
    "task_type": "CAUSAL_LM",
}
_INDEX = {
    "metadata": {"total_size": 32},
    "weight_map": {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "../out.safetensors"},
}
_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [{"id": 5, "content": "<s>", "special": True}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b", ["a", "b"]]},
}
_MANIFEST = """schema = 1
[machines.thor]
match.hostname = "thor*"
roles = ["raising"]
python = "/usr/bin/python3"
vars.zoo = "/home/dp/zoo"
[roles.raising]
models = ["m"]
runners = ["run_*.py"]
[models.m]
kind = "merged"
path = "{zoo}/m"
merge = { base = "b", adapter = "a" }
budget = { load_s = 30, tokens_per_s = 5 }
[models.b]
kind = "full"
path = "hf:org/name@main"
[models.a]
kind = "adapter"
path = "a"
"""
_LOCK = """schema = 1
[models.m]
kind = "full"
weights = "0000000000000000000000000000000000000000000000000000000000000000"
[[models.m.files]]
path = "model.safetensors"
size = 10
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"""
_PYTHON = """#!/usr/bin/env python3
from pathlib import Path
import os
ROOT = Path("/home/sprout/HRM") / "model-zoo"
sys.path.insert(0, f"{ROOT}/x")
model = from_pretrained("/home/dp/HRM/gone", cache_dir=os.path.join("/home/ann", "c"))
"""
_SHELL = """#!/bin/bash
cd "/home/sprout/HRM" || exit 1
export PYTHONPATH=$HOME/x:/home/dp/y
python3 run.py --model /home/dp/gone <<EOT
/home/sprout/z
EOT
"""
_UNIT = """[Service]
ExecStart=/home/sprout/venv/bin/python "%h/run.py" \\
  --x
Environment="A=/home/dp/x" B=/home/y
WorkingDirectory=-/home/dp/HRM
"""
_PLIST = b"""<?xml version="1.0"?><plist version="1.0"><dict><key>ProgramArguments</key>
<array><string>/home/dp/x</string></array></dict></plist>"""
_STREAM = """data: {"choices": [{"delta": {"content": "Hi"}}], "usage": {"completion_tokens": 2}}

data: {"error": {"message": "no"}}

data: [DONE]
"""
_ANSWERS = """{"event": "stage", "name": "load"}
{"event": "failed", "kind": "failed", "type": "X", "message": "m", "module": "", "where": []}
"""
_RECORD = {
    "schema": 1,
    "key": ["key"],
    "environment": {"a": "b"},
    "watched": {"/x": [1, 2, 3], "/y": None},
    "level": "static",
    "taken_s": 1.0,
    "taken_at": "2026-01-01T00:00:00+00:00",
    "directory": None,
    "body": {},
}
_MERGE = {
    "schema_version": 1,
    "outputs": [{"path": "model.safetensors", "sha256": "a" * 64, "size": 1}],
    "inputs": [],
    "base": {"path": "x"},
    "adapter": {},
}
_LISTING = {"format_version": 1, "files": {"model.safetensors": {"size": 5, "lfs_sha256": "a" * 64, "lfs_size": 5}}}
_LOG = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /home/dp/x.
RuntimeError: size mismatch for base_model.model.q_proj.lora_A.weight: copying a param with shape torch.Size([2, 4])
"""

SEEDS: dict[str, list[bytes]] = {
    "safetensors-header": [struct.pack("<Q", len(_HEADER)) + _HEADER + bytes(32)],
    "safetensors-stand-in": [b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 5\n"],
    "tensor-values": [bytes(40), bytes([2]) + b"\x80\x7f" * 20],
    "config": [json.dumps(_CONFIG).encode()],
    "weights-index": [json.dumps(_INDEX).encode()],
    "adapter-config": [json.dumps(_ADAPTER).encode()],
    "tokenizer": [json.dumps(_TOKENIZER).encode()],
    "merge-record": [json.dumps(_MERGE).encode()],
    "hub-metadata": [
        json.dumps(_LISTING).encode(),
        b"c" * 40 + b"\n" + b"b" * 64 + b"\n1700000000.0\n",
    ],
    "signature": [b"GGUF\x03\0\0\0", b"<!doctype html><html>", b"PK\x03\x04", b"\x80\x02}q"],
    "versions": [b'torch>=2.1,<3; extra == "x"\n2.5.0a0+nv24.08', b"2.1\npython_version >= '3.10'"],
    "manifest": [_MANIFEST.encode()],
    "lock": [_LOCK.encode()],
    "gate-record": [json.dumps(_RECORD).encode()],
    "report": [json.dumps({"schema_version": 1, "findings": [], "checks": [], "machine": {}}).encode()],
    "python-script": [_PYTHON.encode()],
    "shell-script": [_SHELL.encode()],
    "other-text": [b"path: /home/sprout/x\nother: '/home/dp/My Models/y'\n"],
    "units": [_UNIT.encode(), b"*/5 * * * * cd /home/dp && /home/sprout/run.sh\n", _PLIST],
    "service": [_STREAM.encode(), b'{"error": "model not found"}', b"<html>"],
    "transcript": [_ANSWERS.encode()],
    "log-text": [_LOG.encode()],
    "shown-text": ["\u202e\x1b[31m caf\u00e9 \U0001f600 'x'".encode()],
}
