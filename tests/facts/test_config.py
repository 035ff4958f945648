from typing import Any

import pytest

from sage_doctor.facts.config import impossible_sizes, read_config_facts, sizes_named


def test_names_of_different_architectures() -> None:
    gpt2 = read_config_facts({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257})
    assert (gpt2.hidden_size, gpt2.layers, gpt2.heads, gpt2.vocab_size) == (768, 12, 12, 50257)
    qwen = {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
    facts = read_config_facts(qwen | {"architectures": ["Qwen2ForCausalLM"], "dtype": "bfloat16"})
    assert (facts.hidden_size, facts.layers, facts.heads, facts.kv_heads) == (896, 24, 14, 2)
    assert (facts.architectures, facts.dtype, facts.model_type) == (("Qwen2ForCausalLM",), "bfloat16", None)


def test_the_text_part_of_a_nested_config() -> None:
    text = {"hidden_size": 64, "vocab_size": 100, "tie_word_embeddings": False}
    facts = read_config_facts(
        {"model_type": "llava", "text_config": text, "hidden_size": 1, "tie_word_embeddings": True}
    )
    assert (facts.model_type, facts.hidden_size, facts.vocab_size, facts.nested) == ("llava", 64, 100, True)
    assert facts.tied_embeddings is False
    assert read_config_facts({"text_config": {}, "vocab_size": 7}).vocab_size == 7


@pytest.mark.parametrize("odd", [None, "64", 64.0, True, -1, 0, [64], {"a": 64}])
def test_odd_values_count_as_not_stated(odd: Any) -> None:
    facts = read_config_facts(
        {"vocab_size": odd, "hidden_size": odd, "num_hidden_layers": odd, "architectures": odd, "auto_map": odd}
        | {"model_type": None, "text_config": odd if not isinstance(odd, dict) else None, "torch_dtype": 5}
    )
    assert (facts.vocab_size, facts.hidden_size, facts.layers, facts.dtype) == (None, None, None, None)


def test_quantised_and_with_code_of_its_own() -> None:
    facts = read_config_facts({"quantization_config": {"bits": 4}, "auto_map": {"AutoModel": "modeling.py"}})
    assert (facts.quantized, facts.auto_map) == (True, ("AutoModel",))
    assert read_config_facts({"quantization": {"bits": 4}}).quantized


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"vocab_size": "32000"}, "vocab_size is '32000', where a whole number is expected"),
    ({"hidden_size": 64.5}, "hidden_size is 64.5, where a whole number is expected"),
    ({"num_attention_heads": True}, "num_attention_heads is True, where a whole number is expected"),
    ({"vocab_size": 0}, "vocab_size is 0"),
    ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
    ({"model_type": "llama", "hidden_size": 32, "num_attention_heads": 5},
     "hidden size 32 cannot be divided by 5 attention heads"),
    ({"num_attention_heads": 8, "num_key_value_heads": 3}, "8 attention heads cannot share 3 key/value heads"),
    ({"text_config": {"hidden_size": -5}}, "hidden_size is -5"),
]  # fmt: skip


@pytest.mark.parametrize("config, sentence", IMPOSSIBLE)
def test_impossible_sizes(config: dict[str, Any], sentence: str) -> None:
    assert list(impossible_sizes(config)) == [sentence]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": 0},
        {"hidden_size": [64, 128], "num_attention_heads": [1, 2]},
        {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 5, "head_dim": 8},
        {"model_type": "qwen2", "hidden_size": 32, "num_attention_heads": 5},  # rounds down, and works
        {"model_type": ["llama"], "hidden_size": 32, "num_attention_heads": 5},
        {"text_config": "llama"},
    ],
)
def test_nothing_is_said_of_what_may_be(config: dict[str, Any]) -> None:
    assert list(impossible_sizes(config)) == []


def test_sizes_by_part_of_their_name() -> None:
    config = {"vocab_size": 10, "text_vocab_size": 20, "vocab": "x", "text_config": {"padded_vocab_size": 30}}
    assert sizes_named(config, part="vocab") == {10, 20, 30}
    assert 18 in sizes_named({"model_type": "mllama", "text_config": {"vocab_size": 10}}, part="vocab")
