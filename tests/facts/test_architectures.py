"""The doctor does not cry wolf: what transformers builds by default is possible, and fits its own configuration."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from checks import config as checks
from sage_doctor.facts.config import _DIVIDED, _HEAD_SIZES, impossible_sizes, read_config_facts
from sage_doctor.facts.embeddings import embedding_tensor, layer_count
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model

LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers")
WIDTHS = ("hidden_size", "n_embd", "d_model")
HEADS = ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads")
# Their default configurations cannot be made: they need a subconfiguration, or refuse themselves.
UNMADE = {"gemma4_assistant", "nougat"}
# Default embeddings that are stored under a name of their own: nothing is said of them.
UNNAMED = {"cpmant", "ctrl", "openai-gpt", "xlnet"}


def as_written(config: Any) -> dict[str, Any]:
    """Return a configuration as `save_pretrained` writes it."""
    values: dict[str, Any] = json.loads(config.to_json_string())
    return values


def quietly(make: Callable[[], Any]) -> Any:
    """Return what `make` makes on the meta device, or None where the defaults cannot be made in that form."""
    import torch

    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            return make()
    except Exception:  # noqa: BLE001 - hundreds of architectures, each with its own way to refuse
        return None


def language_models() -> Iterator[str]:
    from transformers.models.auto import modeling_auto

    for names in (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    ):
        yield from names


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    import transformers

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(before)


def test_default_configurations_are_possible() -> None:
    from transformers import CONFIG_MAPPING

    reported, made = {}, 0
    for name in sorted(set(language_models()) - UNMADE):
        config = quietly(CONFIG_MAPPING[name])
        if config is None:
            continue
        made += 1
        said = list(impossible_sizes(as_written(config)))
        if said:
            reported[name] = said
    assert reported == {}
    assert made > 200


def shallow(name: str) -> tuple[Any, Any]:
    """Return a default configuration of two layers, else of as many as it has, and its model without weights."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    kind = CONFIG_MAPPING[name]
    config = quietly(kind)
    if config is None:
        return None, None
    counts = {k: n for k in LAYERS if type(n := config.to_dict().get(k)) is int}
    less = quietly(lambda: kind(**dict.fromkeys(counts, 2)))
    model = quietly(lambda: AutoModelForCausalLM.from_config(less)) if less is not None else None
    if model is not None:
        return less, model
    if max(counts.values(), default=0) > 60:
        return None, None
    return config, quietly(lambda: AutoModelForCausalLM.from_config(config))


@cache
def built() -> Mapping[str, tuple[Any, Any]]:
    """Return configurations and models of the causal architectures that can be built from defaults."""
    from transformers.models.auto import modeling_auto

    pairs = {name: shallow(name) for name in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    return {name: pair for name, pair in pairs.items() if pair[1] is not None}


def test_enough_architectures_are_built() -> None:
    assert len(built()) >= 120
    assert {"llama", "gpt2", "qwen2", "qwen3_moe", "mixtral", "gemma3", "mamba", "gpt_neox", "opt"} <= built().keys()


def header_of(model: Any) -> dict[str, Tensor]:
    return {n: Tensor(n, "F32", tuple(t.shape), 0, 0) for n, t in model.state_dict().items()}


def test_the_token_embedding_is_found_or_nothing_is() -> None:
    wrong, unnamed = {}, set()
    for name, (_, model) in built().items():
        found = embedding_tensor(header_of(model))
        if found is None:
            unnamed.add(name)
        elif found.shape != tuple(model.get_input_embeddings().weight.shape):
            wrong[name] = found
    assert wrong == {}
    assert unnamed <= UNNAMED


def test_layers_are_counted_or_left_alone() -> None:
    wrong, counted = {}, 0
    for name, (config, model) in built().items():
        facts = read_config_facts(as_written(config))
        layers = layer_count(model.state_dict())
        if layers is None or facts.layers is None or facts.nested:
            continue
        counted += 1
        if not facts.layers <= layers <= facts.layers + facts.extra_layers:
            wrong[name] = (facts.layers, layers)
    assert wrong == {}
    assert counted > 80


def write_hollow(directory: Path, config: Any, model: Any) -> Model:
    """Write a model directory whose weights are one long hole behind a real header."""
    directory.mkdir()
    (directory / "config.json").write_text(config.to_json_string())
    header, at = {}, 0
    for name, tensor in model.state_dict().items():
        size = tensor.numel()
        header[name] = {"dtype": "U8", "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + at)
    host = Host(cwd=directory, home=directory, environ={}, root=directory)
    return Model(name=".", kind="full", host=host, reference=ModelPath(text=".", path=directory))


def test_no_architecture_is_accused(tmp_path: Path) -> None:
    accused = {}
    for name, (config, built_model) in built().items():
        model = write_hollow(tmp_path / name, config, built_model)
        said = [*checks.check_config_possible(model), *checks.check_config_fits_weights(model)]
        if said:
            accused[name] = [f.message for f in said]
    assert accused == {}


def test_but_a_wrong_configuration_is(tmp_path: Path) -> None:
    """The tests above could not fail if nothing were judged: most architectures are, for each of the three sizes."""
    missed: dict[str, list[str]] = {"vocab_size": [], "hidden_size": [], "num_hidden_layers": []}
    names = ("llama", "qwen2", "mistral", "gemma2", "phi3", "gpt_neox", "olmo2", "mixtral", "qwen3_moe", "stablelm")
    for name in names:
        config, built_model = built()[name]
        model = write_hollow(tmp_path / name, config, built_model)
        for key, unseen in missed.items():
            values = as_written(config)
            values[key] += 64
            (tmp_path / name / "config.json").write_text(json.dumps(values))
            again = Model(name=".", kind="full", host=model.host, reference=model.reference)
            if not checks.check_config_fits_weights(again):
                unseen.append(name)
    assert missed == {"vocab_size": [], "hidden_size": [], "num_hidden_layers": []}


@pytest.mark.parametrize("name", sorted(_DIVIDED))
def test_architectures_that_refuse_heads_which_do_not_divide(name: str) -> None:
    from transformers import CONFIG_MAPPING, AutoModel

    kind = CONFIG_MAPPING[name]
    defaults = kind().to_dict()
    width = next(k for k in WIDTHS if type(defaults.get(k)) is int)
    counts = {k: 1 for k in LAYERS if type(defaults.get(k)) is int}
    heads = next(n for n in (3, 5, 7, 11) if defaults[width] % n)
    keys = [
        k
        for k in (*HEADS, "num_key_value_heads", "num_kv_heads", "decoder_attention_heads")
        if type(defaults.get(k)) is int
    ]
    assert quietly(lambda: AutoModel.from_config(kind(**counts))) is not None
    assert quietly(lambda: AutoModel.from_config(kind(**counts, **dict.fromkeys(keys, heads)))) is None
    config = {k: v for k, v in as_written(kind()).items() if k not in _HEAD_SIZES} | dict.fromkeys(keys, heads)
    assert list(impossible_sizes(config)) == [
        f"hidden size {defaults[width]} cannot be divided by {heads} attention heads"
    ]
