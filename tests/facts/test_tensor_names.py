import pytest

from sage_doctor.facts.model_source import ModelClass
from sage_doctor.facts.tensor_names import find_wrapped, saved_from_peft

LLAMA = ModelClass(
    name="LlamaForCausalLM",
    parts=frozenset({"model", "lm_head", "embed_tokens", "layers", "norm"}),
    base_prefix="model",
    base_parts=frozenset({"embed_tokens", "layers", "norm"}),
)
NAMES = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "policy.", "model.", "module._orig_mod.", "a.b.c."])
def test_a_prefix_is_found_and_taken_off(prefix: str) -> None:
    found = find_wrapped([prefix + n for n in NAMES], LLAMA)
    assert found is not None
    assert [found.strip(n) for n in found.names] == list(NAMES)
    assert [eval(found.expression, {"k": n}) for n in found.names] == list(NAMES)


def test_a_wrapper_within_the_names() -> None:
    inner = [n.replace("model.", "model.module.") for n in NAMES]
    layers = [n.replace("layers.0.", "layers.0._orig_mod.") for n in NAMES]
    for names in (inner, layers):
        found = find_wrapped(names, LLAMA)
        assert found is not None
        assert [found.strip(n) for n in names] == list(NAMES)


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        [n.removeprefix("model.") for n in NAMES],  # of the base model alone
        [*NAMES, "v_head.weight"],
        [*NAMES, *(f"_orig_mod.{n}" for n in NAMES)],  # twice: nothing is missing
        [f"policy.{n}" for n in ("a.weight", "b.weight")],
    ],
)
def test_nothing_is_found(names: list[str]) -> None:
    assert find_wrapped(names, LLAMA) is None


def test_a_prefix_of_unknown_origin_needs_the_class() -> None:
    assert find_wrapped([f"policy.{n}" for n in NAMES], None) is None
    assert find_wrapped([f"policy.{n}" for n in NAMES], LLAMA, lambda: 'WeightRenaming("^policy", "model")') is None


def test_behind_the_models_own_prefix_nothing_is_sure_where_the_library_renames() -> None:
    names = [f"model.model.llm.{n}" for n in NAMES]
    found = find_wrapped(names, LLAMA)
    assert found is not None
    assert found.front == "model.model.llm."
    assert find_wrapped(names, LLAMA, lambda: 'WeightRenaming("^other", "model")') is None


def test_names_of_peft() -> None:
    mine, matrices = saved_from_peft(
        ["base_model.model.a.base_layer.weight", "base_model.model.a.lora_A.default.weight"]
    )
    assert (len(mine), matrices) == (2, ["base_model.model.a.lora_A.default.weight"])
    assert saved_from_peft(NAMES) == ([], [])
