import contextlib
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from checks import adapter_base, adapter_tensors
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapters import (
    lora_tensors,
    rank_of,
    read_adapter_config,
    read_adapter_weights,
)
from sage_doctor.facts.base_modules import BaseModules
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.readers.tree import read_tree
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model

COMMON: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = COMMON | {"intermediate_size": 48, "num_key_value_heads": 2}
TINY: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA | {"head_dim": 16},
    "gemma2": LLAMA | {"head_dim": 8},
    "phi3": LLAMA | {"pad_token_id": 0},
    "gpt2": {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32},
    "gpt_neox": COMMON | {"intermediate_size": 48},
    "opt": COMMON | {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "bloom": {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": COMMON,
    "mixtral": LLAMA | {"num_local_experts": 2},
    "qwen2_moe": LLAMA | {"num_experts": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
}
DENSE = [n for n in TINY if n != "mixtral"]
MIXED = ["mixtral", "qwen2_moe"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    import transformers

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.enable_progress_bar()
    transformers.logging.set_verbosity(before)


@dataclass
class Trained:
    """A base and an adapter as the libraries write them, and what PEFT made of each module's rank."""

    directory: Path
    ranks: dict[str, int]
    embedding: str

    @cached_property
    def model(self) -> Model:
        host = Host(cwd=self.directory, home=self.directory, environ={}, root=self.directory)
        return Model(
            name=".", kind="adapter", host=host, reference=ModelPath(text=".", path=self.directory / "adapter")
        )


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Trained]:
    def make(kind: str, *, embeddings: bool = False, **lora: Any) -> Trained:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import CONFIG_MAPPING, AutoModelForCausalLM

        with warnings.catch_warnings(), torch.device("cpu"):
            warnings.simplefilter("ignore")
            base = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**TINY[kind]))
            base.save_pretrained(tmp_path / "base")
            embedding = next(n for n, m in base.named_modules() if m is base.get_input_embeddings()).rpartition(".")[2]
            targets = {"target_modules": [embedding]} if embeddings else {}
            adapted = get_peft_model(base, LoraConfig(**{"r": 4, "target_modules": "all-linear"} | lora | targets))
            adapted.save_pretrained(tmp_path / "adapter")
        prefix = "base_model.model."
        ranks = {
            n.removeprefix(prefix): m.r["default"] for n, m in adapted.named_modules() if hasattr(m, "lora_embedding_A")
        }
        path = tmp_path / "adapter/adapter_config.json"
        values = json.loads(path.read_text()) | {"base_model_name_or_path": str(tmp_path / "base")}
        path.write_text(json.dumps(values))
        return Trained(tmp_path, ranks, embedding)

    return make


def assert_sound(trained: Trained) -> None:
    """Every LoRA tensor joins a weight of the base, has the rank that PEFT gave it, and nothing is reported."""
    tree = read_tree(trained.directory / "adapter")
    config, header = read_adapter_config(tree), read_adapter_weights(tree).header
    assert header is not None
    base = trained.model.base.model
    assert base is not None
    modules = BaseModules(base.tensors)
    loras = lora_tensors(header.tensors.values())
    assert loras
    for lora in loras:
        assert modules.find(lora.module) is not None, lora
        assert lora.adapter_name is None
        if rank_of(lora) is not None:
            assert rank_of(lora) == config.rank_for(lora.module) == trained.ranks[lora.module], lora
    assert reported(trained) == []


def reported(trained: Trained) -> list[str]:
    messages: list[str] = []
    for check in (
        adapter_tensors.check_adapter_keys,
        adapter_tensors.check_adapter_rank,
        adapter_base.check_adapter_targets_in_base,
        adapter_base.check_adapter_fits_base,
    ):
        with contextlib.suppress(NotApplicable):
            messages += [f.message for f in check(trained.model)]
    return messages


@pytest.mark.parametrize("kind", DENSE)
def test_lora_on_every_linear_layer(train: Callable[..., Trained], kind: str) -> None:
    assert_sound(train(kind))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "falcon"])
def test_dora(train: Callable[..., Trained], kind: str) -> None:
    trained = train(kind, use_dora=True)
    assert {t.part for t in lora_tensors(trained.model.tensors.values())} == {"A", "B", "magnitude_vector"}
    assert_sound(trained)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "opt", "bloom", "mixtral"])
def test_lora_on_the_token_embedding(train: Callable[..., Trained], kind: str) -> None:
    trained = train(kind, embeddings=True)
    assert {t.part for t in lora_tensors(trained.model.tensors.values())} == {"embedding_A", "embedding_B"}
    assert_sound(trained)


def test_further_modules_saved_whole(train: Callable[..., Trained]) -> None:
    trained = train("llama", target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"])
    assert any(n.endswith("lm_head.weight") for n in trained.model.tensors)
    assert_sound(trained)


PATTERNS = {
    "^model.layers.0.self_attn.q_proj": 8,
    "k_proj": 2,
    "layers.1.self_attn.v_proj": 16,
    r".*\.o_proj": 6,
    "(up|down)_proj": 3,
    "layers.0.mlp.gate_proj|nothing": 5,
    "^gate_proj": 7,
    "attn.v_proj": 9,
}


def test_rank_patterns(train: Callable[..., Trained]) -> None:
    trained = train("llama", rank_pattern=PATTERNS)
    assert {8, 2, 16, 6, 3, 5, 4} == set(trained.ranks.values())  # `^gate_proj` and `attn.v_proj` match no module
    assert_sound(trained)


@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("targets", [["q_proj"], []])
def test_experts_are_left_unjudged(train: Callable[..., Trained], kind: str, targets: list[str]) -> None:
    trained = train(kind, target_modules=targets, target_parameters=EXPERTS)
    assert any("experts.base_layer.lora_A" in n for n in trained.model.tensors)
    assert reported(trained) == []


def test_all_linear_layers_of_a_mixture(train: Callable[..., Trained]) -> None:
    assert reported(train("mixtral")) == []


def test_but_a_wrong_rank_or_base_is_reported(train: Callable[..., Trained]) -> None:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    trained = train("qwen2")
    path = trained.directory / "adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 5}))
    assert "has rank 4, adapter_config.json states 5" in reported(trained)[0]
    other = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen2"](**TINY["qwen2"] | {"hidden_size": 64}))
    other.save_pretrained(trained.directory / "base")
    again = Trained(trained.directory, trained.ranks, trained.embedding)
    assert "lora_B.weight is 32×4, the base's model.layers.0.mlp.down_proj.weight is 64×48" in reported(again)[-1]


def tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name, "F32", shape, 0, 0)


def test_names_of_lora_tensors() -> None:
    prefix = "base_model.model.m.q_proj"
    found = lora_tensors(
        tensor(n, 4, 8)
        for n in (f"{prefix}.lora_A.weight", f"{prefix}.lora_A.default.weight", "m.q_proj.lora_B.weight",
                  f"{prefix}.lora_embedding_A", f"{prefix}.weight", "lora_A.weight")
    )  # fmt: skip
    assert [(t.module, t.part, t.adapter_name) for t in found] == [
        ("m.q_proj", "A", None),
        ("m.q_proj", "A", "default"),
        ("m.q_proj", "B", None),
        ("m.q_proj", "embedding_A", None),
    ]
    assert [rank_of(t) for t in found] == [4, 4, 8, 4]
    assert rank_of(lora_tensors([tensor(f"{prefix}.lora_A.weight", 0)])[0]) is None


def test_joining_by_ends() -> None:
    names = (
        "model.layers.0.q.weight",
        "lm_head.weight",
        "transformer.h.0.c.weight",
        "model.x.y.weight",
        "language_model.x.y.weight",
    )
    modules = BaseModules({n: tensor(n, 2, 2) for n in names})
    asked = (
        "model.layers.0.q",
        "layers.0.q",
        "model.language_model.lm_head",
        "outer.model.layers.0.q",
        "h.0.c",
        "x.y",
        "q",
    )
    joins = {m: t.name if (t := modules.find(m)) else None for m in asked}
    assert joins == {
        "model.layers.0.q": "model.layers.0.q.weight",
        "layers.0.q": "model.layers.0.q.weight",
        "model.language_model.lm_head": None,
        "outer.model.layers.0.q": "model.layers.0.q.weight",
        "h.0.c": "transformer.h.0.c.weight",
        "x.y": None,  # two join equally well
        "q": None,
    }


@pytest.mark.parametrize("odd", [None, 5, True, [], {}, "  "])
def test_odd_values_count_as_not_stated(tmp_path: Path, odd: Any) -> None:
    keys = ("peft_type", "base_model_name_or_path", "rank_pattern", "init_lora_weights", "target_parameters")
    values = dict.fromkeys(keys, odd) | {"r": odd if odd != 5 else -5}
    (tmp_path / "adapter_config.json").write_text(json.dumps(values))
    config = read_adapter_config(read_tree(tmp_path))
    assert (config.base, config.rank, config.target_parameters) == (None, None, ())
    assert config.rank_for("anything") is None


def test_patterns_that_are_no_expressions_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "rank_pattern": {"(": 8, "q": 2, "k": "3"}}))
    config = read_adapter_config(read_tree(tmp_path))
    assert [config.rank_for(m) for m in ("a.q", "a.k", "a.(")] == [2, 4, 4]


def test_which_weights_peft_reads(tmp_path: Path) -> None:
    assert read_adapter_weights(read_tree(tmp_path)).name is None
    (tmp_path / "adapter_model.bin").touch()
    assert read_adapter_weights(read_tree(tmp_path)).pickle
    (tmp_path / "adapter_model.safetensors").touch()
    weights = read_adapter_weights(read_tree(tmp_path))
    assert (weights.name, weights.pickle) == ("adapter_model.safetensors", False)
    assert weights.header is not None
    assert weights.header.problem is not None
    assert weights.header.problem.code == "weights-empty"
