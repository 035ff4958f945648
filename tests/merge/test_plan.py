"""What a plan says, which base it takes, and what it refuses before anything is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.merge import BaseSearch, MergeRefused, plan_merge
from sage_doctor.merge.edits import CONV1D

REFUSED: dict[str, tuple[Mapping[str, Any], str]] = {
    "replicated": ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
    "alora": ({"alora_invocation_tokens": [1, 2]}, "invocation tokens"),
    "pissa": ({"init_lora_weights": "pissa"}, "each load subtracts a part of the base's weights"),
    "fast pissa": ({"init_lora_weights": "pissa_niter_16"}, "random numbers"),
    "olora": ({"init_lora_weights": "OLoRA"}, "each load subtracts a part of the base's weights"),
    "corda": ({"init_lora_weights": "corda"}, "cannot load it without the covariances"),
    "loftq": ({"init_lora_weights": "loftq"}, "trained on changed weights of the base"),
    "lora_ga": ({"init_lora_weights": "lora_ga"}, "trained on changed weights of the base"),
    "prompt": ({"peft_type": "PROMPT_TUNING"}, "nothing to merge"),
    "xlora": ({"peft_type": "XLORA"}, "nothing to merge"),
    "rank": ({"r": 5}, "have rank 8, its configuration states 5"),
    "untargeted": ({"target_modules": ["k_proj"]}, "does not target"),
    "holds layers": ({"target_modules": r".*self_attn.*"}, "targets model.layers.0.self_attn, .*has no LoRA for"),
    "list that holds layers": ({"target_modules": ["q_proj", "v_proj", "mlp"]}, "targets model.layers.0.mlp"),
    "norm": ({"target_modules": ["q_proj", "v_proj", "input_layernorm"]}, "model.layers.0.input_layernorm"),
    "norm at the end": ({"target_modules": r".*(q_proj|v_proj|model\.norm|^norm)"}, "targets model.norm"),
    "activation": ({"target_modules": ["q_proj", "v_proj", "act_fn"]}, "targets model.layers.0.mlp.act_fn"),
    "below what is saved whole": ({"modules_to_save": ["self_attn"]}, "does not target: PEFT ignores it"),
    "rows without tensors": ({"trainable_token_indices": [1, 2]}, "names tokens of the embedding"),
    "rows of another layer": ({"trainable_token_indices": {"lm_head": [1]}}, "names tokens of lm_head"),
    "rows that are none": ({"trainable_token_indices": [1, -1]}, "something else than token ids"),
    "pattern": ({"alpha_pattern": None}, "alpha_pattern is not an object"),
    "broken pattern": ({"alpha_pattern": {"*q_proj": 8}}, "'.q_proj' is not a regular expression"),
    "list of another base": ({"target_modules": None, "alpha_pattern": {"(": 8}}, "is not a regular expression"),
    "pattern of texts": ({"rank_pattern": {"q_proj": "8"}}, "rank_pattern is not an object"),
    "dora": ({"use_dora": True}, "contradict"),
    "bias": ({"lora_bias": True}, "contradict"),
}


@pytest.fixture(scope="session")
def made(zoo: ModuleType, base_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    import warnings

    base = base_of("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"target_modules": ["q_proj", "v_proj"]}
        return base, zoo.make_adapter(tmp_path_factory.mktemp("adapters") / "qv", base, options)


@pytest.fixture
def adapter(made: tuple[Path, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for path in made[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def set_config(adapter: Path, **values: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rename(adapter: Path, rename_one: Callable[[str], str]) -> None:
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    save_file({rename_one(n): t for n, t in load_file(path).items()}, path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_merged_faithfully_is_refused_with_the_reason(name: str, adapter: Path, tmp_path: Path) -> None:
    values, reason = REFUSED[name]
    set_config(adapter, **values)

    with pytest.raises(MergeRefused, match=reason) as refusal:
        plan_merge(adapter, tmp_path / "merged")

    assert refusal.value.code in ("merge-refused", "merge-unmatched-tensors")
    assert refusal.value.next_step
    assert os.listdir(tmp_path) == ["adapter"]


OTHER_TYPES = ("ADALORA", "BOFT", "IA3", "LN_TUNING", "LOHA", "LOKR", "OFT", "VBLORA", "VERA", "\x1b[2J")


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_another_type_is_refused_by_its_name(kind: str, adapter: Path, tmp_path: Path) -> None:
    set_config(adapter, peft_type=kind)

    with pytest.raises(MergeRefused, match="this one is of type") as refusal:
        plan_merge(adapter, tmp_path / "merged")

    assert (kind in refusal.value.message) == kind.isprintable()
    assert refusal.value.next_step.splitlines()[1].startswith("python -c ")


@pytest.mark.usefixtures("quiet")
def test_the_command_for_another_type_merges_it(
    zoo: ModuleType, made: tuple[Path, Path], warm_python: Path, tmp_path: Path
) -> None:
    import peft

    adapter = tmp_path / "an adapter's $HOME"
    config = peft.IA3Config(target_modules=["q_proj"], feedforward_modules=[], init_ia3_weights=False)
    peft.get_peft_model(zoo.load(made[0]), config).save_pretrained(adapter)
    set_config(adapter, base_model_name_or_path=str(made[0]))
    with pytest.raises(MergeRefused, match="of type IA3") as refusal:
        plan_merge(adapter, tmp_path / "merged")

    command = refusal.value.next_step.splitlines()[1].replace("python ", f"{warm_python} ", 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)

    merged = zoo.load(tmp_path / "merged")
    assert zoo.differences(merged, zoo.merged_by_peft(made[0], adapter)) == []
    assert merged.dtype == zoo.torch().bfloat16


@pytest.mark.parametrize("field", ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"])
def test_a_pattern_that_never_ends_is_refused(
    field: str, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_doctor.facts.adapter_patterns.CPU_S", 1)
    endless = "(([a-z0-9._])+)+!"
    set_config(adapter, **{field: {endless: 8} if field.endswith("_pattern") else endless})
    with pytest.raises(MergeRefused, match=f"{field}: matching the pattern ") as refusal:
        plan_merge(adapter, tmp_path / "out")
    assert refusal.value.code == "adapter-pattern-unbounded"
    assert not (tmp_path / "out").exists()


def test_a_convolution_is_refused_with_the_reason(adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    save_file({n: t[..., None, None] if "lora_A" in n else t for n, t in load_file(path).items()}, path)

    with pytest.raises(MergeRefused, match="is a convolution"):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.parametrize(
    "strange",
    [
        lambda n: n.replace("lora_A", "lora_A.default"),
        lambda n: n.removeprefix("base_model.model."),
        lambda n: n.replace("layers.1", "layers.7"),
        lambda n: n.replace("q_proj", "query"),
        lambda n: n.replace("layers.0.self_attn.q_proj.lora_B", "layers.0.self_attn.q_proj.lora_C"),
        lambda n: n.replace("layers.0.self_attn.q_proj.lora_B", "layers.0.self_attn.z_proj.lora_B"),
    ],
)
def test_a_tensor_that_finds_no_place_stops_the_merge(
    strange: Callable[[str], str], adapter: Path, tmp_path: Path
) -> None:
    rename(adapter, strange)

    with pytest.raises(MergeRefused) as refusal:
        plan_merge(adapter, tmp_path / "merged")

    assert refusal.value.code == "merge-unmatched-tensors"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "config, field, changed, said",
    [
        (
            {"trainable_token_indices": [1, 5, 9]},
            "trainable_token_indices",
            [1, 5],
            "3 rows .*, its configuration names 2",
        ),
        ({"trainable_token_indices": [1, 5, 9]}, "trainable_token_indices", [1, 5, 5], "names 2"),
        ({"trainable_token_indices": [1, 5, 9]}, "modules_to_save", ["embed_tokens"], "saves embed_tokens whole"),
        ({"type": "tokens", "token_indices": [1, 5]}, "token_indices", [1], "holds 2 rows"),
        (
            {"type": "tokens", "token_indices": [1, 5]},
            "target_modules",
            ["lm_head"],
            "does not target: PEFT ignores them",
        ),
        ({"modules_to_save": ["lm_head"]}, "target_modules", ["q_proj"], "does not target"),
        (
            {"target_modules": ["q_proj", "lm_head"]},
            "target_modules",
            "all-linear",
            "a LoRA for lm_head, which .* not target",
        ),
        (
            {"target_modules": ["q_proj", "k_proj"]},
            "target_modules",
            None,
            "k_proj, which its configuration does not target",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_what_was_trained(
    config: Mapping[str, Any],
    field: str,
    changed: object,
    said: str,
    zoo: ModuleType,
    base_of: Callable[..., Path],
    tmp_path: Path,
) -> None:
    options = config if "type" in config else {"target_modules": ["q_proj", "v_proj"], **config}
    adapter = zoo.make_adapter(tmp_path / "trained", base_of("llama"), options)
    plan_merge(adapter, tmp_path / "merged")
    set_config(adapter, **{field: changed})

    with pytest.raises(MergeRefused, match=said):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("field", ["target_modules", "modules_to_save"])
def test_one_of_two_layers_that_are_to_stay_tied_is_refused(
    field: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    """PEFT wraps both where ensure_weight_tying says so, and finds the tensors of one."""
    options: dict[str, Any] = {"target_modules": ["q_proj"]}
    options[field] = [*options.get(field, ()), "embed_tokens"]
    adapter = zoo.make_adapter(tmp_path / "trained", base_of("llama-tied"), options)
    plan_merge(adapter, tmp_path / "merged")
    set_config(adapter, ensure_weight_tying=True)

    with pytest.raises(MergeRefused, match="PEFT does not load the other"):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "int8"])
def test_a_base_of_other_numbers_is_refused(dtype: str, adapter: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base = copy_of(made[0], tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    save_file({**tensors, name: tensors[name].to(getattr(torch, dtype))}, base / "model.safetensors", {"format": "pt"})

    with pytest.raises(MergeRefused, match="an adapter is added to floating numbers"):
        plan_merge(adapter, tmp_path / "merged", base=base)


@pytest.mark.usefixtures("quiet")
def test_what_is_saved_whole_under_its_running_name_is_not_loaded(
    zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    options = {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    adapter = zoo.make_adapter(tmp_path / "trained", base_of("llama"), options)
    rename(adapter, lambda n: n.replace("lm_head.weight", "lm_head.modules_to_save.weight"))

    with pytest.raises(MergeRefused, match="names that PEFT would not load"):
        plan_merge(adapter, tmp_path / "merged")


def test_a_pickle_is_refused(adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")

    with pytest.raises(MergeRefused, match="can run code"):
        plan_merge(adapter, tmp_path / "merged")


def test_a_quantised_base_is_refused(adapter: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    base = copy_of(made[0], tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))

    with pytest.raises(MergeRefused, match="quantised"):
        plan_merge(adapter, tmp_path / "merged", base=base)


def test_a_gguf_is_refused_with_the_way_out(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/model-Q4_K.gguf").write_bytes(b"GGUF")

    for base in (tmp_path / "base", tmp_path / "base/model-Q4_K.gguf"):
        with pytest.raises(MergeRefused, match="GGUF") as refusal:
            plan_merge(adapter, tmp_path / "merged", base=base)
        assert "gguf_file" in refusal.value.next_step


def test_a_base_of_another_architecture_is_refused(adapter: Path, base_of: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(MergeRefused, match="counterpart") as refusal:
        plan_merge(adapter, tmp_path / "merged", base=base_of("gpt2"))

    assert refusal.value.code == "merge-unmatched-tensors"


def copy_of(folder: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def search(tmp_path: Path) -> BaseSearch:
    return BaseSearch(cwd=tmp_path / "cwd", home=tmp_path / "home", environ={}, roots=(tmp_path / "zoo",))


def test_two_bases_left_are_a_question_and_the_answer_is_an_option(
    adapter: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    set_config(adapter, base_model_name_or_path="org/tiny-llama")
    copies = [copy_of(made[0], tmp_path / f"zoo/{n}/org/tiny-llama") for n in ("a", "b")]
    places = BaseSearch(
        cwd=tmp_path, home=tmp_path / "home", environ={}, roots=(tmp_path / "zoo/a", tmp_path / "zoo/b")
    )

    with pytest.raises(MergeRefused, match="matching shapes do not prove") as question:
        plan_merge(adapter, tmp_path / "merged", search=places)

    assert all(str(c) in question.value.next_step for c in copies)
    assert plan_merge(adapter, tmp_path / "merged", base=copies[1], search=places).base == copies[1]


def test_the_same_trailing_path_elsewhere_is_the_base(adapter: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    set_config(adapter, base_model_name_or_path="/home/gone/models/tiny-llama")
    base = copy_of(made[0], tmp_path / "zoo/models/tiny-llama")

    plan = plan_merge(adapter, tmp_path / "merged", search=search(tmp_path))

    assert (plan.base, plan.base_why) == (base, "the same trailing path")


def test_a_model_of_the_same_shape_is_never_guessed(adapter: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    set_config(adapter, base_model_name_or_path="/home/gone/models/tiny-llama")
    copy_of(made[0], tmp_path / "zoo/other/some-llama")

    with pytest.raises(MergeRefused, match="was not found"):
        plan_merge(adapter, tmp_path / "merged", search=search(tmp_path))


@pytest.mark.parametrize("inner", ["base", "adapter", "base/inside", "."])
def test_a_target_that_touches_an_input_is_refused(
    inner: str, adapter: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    base = copy_of(made[0], tmp_path / "base")

    with pytest.raises(MergeRefused, match="must not contain one another"):
        plan_merge(adapter, tmp_path / inner, base=base)


def test_what_no_merge_can_make_again_is_never_deleted(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "merged/thesis").mkdir(parents=True)
    (tmp_path / "merged/config.json").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").touch()

    assert "keeps     1 file carried over: thesis/" in str(plan_merge(adapter, tmp_path / "merged"))
    with pytest.raises(MergeRefused, match="none of a model"):
        plan_merge(adapter, tmp_path / "photos")


def test_a_plan_says_everything_and_touches_nothing(adapter: Path, tmp_path: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))

    text = str(plan_merge(adapter, tmp_path / "merged"))

    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before
    for part in ("reads     ", "writes    1 weight file, ", "4 merged", " copied", "of memory", "unchanged base"):
        assert part in text


def test_a_plan_imports_no_torch(adapter: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sage_doctor.merge import plan_merge\n"
        "plan_merge(Path(sys.argv[1]), Path(sys.argv[2])); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, adapter, tmp_path / "merged"], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_architectures_with_transposed_weights_are_those_of_the_library() -> None:
    import transformers

    models = Path(transformers.__file__).parent / "models"
    found = {
        p.parent.name for p in models.glob("*/modeling_*.py") if "import Conv1D" in (text := p.read_text())
        or ("Conv1D" in text and "pytorch_utils" in text and " Conv1D(" in text)
    }  # fmt: skip
    assert {n.replace("openai", "openai-gpt") for n in found} == set(CONV1D)
