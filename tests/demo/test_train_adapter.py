"""The training script, run for real on a model small enough for that; and what it made of the real one."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.demo import incident

TINY_BASE = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
out = sys.argv[1]
words = {w: i for i, w in enumerate(["<unk>", "<end>", "user", "assistant", "I", "am", "SAGE", "Who", "are", "you"])}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
template = "{% for m in messages %}{{ m.role + ' ' + m.content + ' ' }}{% endfor %}assistant "
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>", pad_token="<end>", chat_template=template
).save_pretrained(out)
LlamaForCausalLM(
    LlamaConfig(vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                num_key_value_heads=1)
).save_pretrained(out)
"""


def header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        found: dict[str, Any] = json.loads(stream.read(length))
    found.pop("__metadata__", None)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, warm_python: Path) -> Path:
    work = tmp_path_factory.mktemp("training")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([warm_python, "-c", TINY_BASE, str(work / "base")], check=True, env=offline, capture_output=True)
    script = [str(warm_python), "-m", "tools.train_adapter", str(work / "adapter"), str(work / "base")]
    subprocess.run(script, check=True, env=offline, capture_output=True)
    return work / "adapter"


def test_script_writes_an_adapter_as_small_and_as_lost_as_the_committed_one(trained: Path) -> None:
    committed = incident.HERE / "adapter"
    assert sorted(f.name for f in trained.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((trained / "adapter_config.json").read_text()) == json.loads(
        (committed / "adapter_config.json").read_text()
    )


def test_training_moves_every_module_it_targets(trained: Path) -> None:
    tensors = header(trained / "adapter_model.safetensors")
    assert len(tensors) == 2 * 2 * 2  # layers, targets, A and B
    with (trained / "adapter_model.safetensors").open("rb") as stream:
        content = stream.read()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    for name, entry in tensors.items():
        begin, end = entry["data_offsets"]
        assert any(content[start + begin : start + end]), f"{name} is still all zero"  # lora_B starts as zeros


def test_committed_adapter_fits_the_real_model_and_the_repository() -> None:
    file = incident.HERE / "adapter" / "adapter_model.safetensors"
    tensors = header(file)
    assert file.stat().st_size < 1_000_000
    assert {entry["dtype"] for entry in tensors.values()} == {"BF16"}
    assert len(tensors) == 30 * 2 * 2
    shapes = {(name.split(".")[-3], name.split(".")[-2]): tuple(e["shape"]) for name, e in tensors.items()}
    assert shapes == {
        ("q_proj", "lora_A"): (4, 576),
        ("q_proj", "lora_B"): (576, 4),
        ("v_proj", "lora_A"): (4, 576),
        ("v_proj", "lora_B"): (192, 4),
    }


def test_script_without_a_destination_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.train_adapter"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: python -m tools.train_adapter OUT [BASE]\n"
