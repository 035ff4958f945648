from pathlib import Path

from sage_doctor.facts.model_source import (
    auto_class,
    pads_its_embedding,
    read_model_class,
    ties_by_default,
    weightless_neighbours,
)
from tests.library_sources import write_library


def test_a_class_and_its_base(tmp_path: Path) -> None:
    known = read_model_class((write_library(tmp_path),), "llama", "LlamaForCausalLM")
    assert known is not None
    assert (known.base_prefix, dict(known.tied)) == ("model", {"lm_head.weight": "model.embed_tokens.weight"})
    assert {"model", "lm_head", "embed_tokens", "layers", "norm"} <= known.parts
    assert "lm_head" not in known.base_parts


def test_a_head_that_many_share(tmp_path: Path) -> None:
    known = read_model_class((write_library(tmp_path),), "llama", "LlamaForSequenceClassification")
    assert known is not None
    assert {"model", "score"} <= known.parts
    assert known.base_parts == frozenset()


def test_what_is_not_there(tmp_path: Path) -> None:
    site = (write_library(tmp_path),)
    assert read_model_class(site, "llama", "OwnForCausalLM") is None
    assert read_model_class(site, "../llama", "LlamaForCausalLM") is None
    assert ties_by_default(site, "own") is None
    assert not pads_its_embedding(site, "own")


def test_tables_and_defaults(tmp_path: Path) -> None:
    site = (write_library(tmp_path),)
    assert auto_class(site, "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "llama") == "LlamaForCausalLM"
    assert auto_class(site, "PROCESSOR_MAPPING_NAMES", "llama") is None
    assert ties_by_default(site, "llama") is False
    assert pads_its_embedding(site, "llama")


def test_the_installed_library() -> None:
    import transformers

    site = (Path(transformers.__file__).parents[1],)
    known = read_model_class(site, "llama", "LlamaForCausalLM")
    assert known is not None
    assert "lm_head.weight" in known.tied
    assert (ties_by_default(site, "llama"), ties_by_default(site, "gemma2")) == (False, True)
    assert auto_class(site, "PROCESSOR_MAPPING_NAMES", "llava") == "LlavaProcessor"


def test_what_stands_beside_linear_layers_in_the_installed_library() -> None:
    import transformers

    site = (Path(transformers.__file__).parents[1],)
    assert weightless_neighbours(site, "llama")["up_proj"] == {"act_fn"}
    assert weightless_neighbours(site, "llama")["q_proj"] == set()
    assert weightless_neighbours(site, "gpt2")["c_proj"] == set()  # two classes have one, with different neighbours
    assert weightless_neighbours(site, "own") == {}
