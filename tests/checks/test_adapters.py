"""PEFT adapters: their own files, and whether a loader finds the base they name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import (
    ADAPTER,
    CONFIG,
    POINTER,
    edit_json,
    write_adapter,
    write_full,
    write_json,
    write_tensors,
)

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
MANIFEST = '[models.a]\nkind = "adapter"\npath = "here"\n'


def healthy(bench: Bench, **config: Any) -> Path:
    return write_adapter(bench.here, write_full(bench.root / "base"), **config)


def with_peft(bench: Bench) -> None:
    """Let the sessions' interpreter have a peft that knows LoRA, and LoRA's fields of an earlier day."""
    peft = bench.root / "site-packages" / "peft"
    (peft / "utils").mkdir(parents=True)
    (peft / "tuners" / "lora").mkdir(parents=True)
    (peft / "utils" / "peft_types.py").write_text(
        'class PeftType(str, enum.Enum):\n    LORA = "LORA"\n    IA3 = "IA3"\n'
    )
    fields = "    r: int = 8\n    lora_alpha: int = 8\n    target_modules: object = None\n"
    (peft / "tuners" / "lora" / "config.py").write_text(f"class LoraConfig(PeftConfig):\n{fields}")
    (peft / "config.py").write_text(
        "class PeftConfigMixin:\n    task_type: object = None\n    peft_type: object = None\n"
        "class PeftConfig(PeftConfigMixin):\n    base_model_name_or_path: object = None\n"
    )
    bench.session = replace(SESSION, site_packages=(peft.parent,))


@CASES.passes("check_adapter_config")
@CASES.passes("check_adapter_weights")
@CASES.passes("check_adapter_base")
@CASES.passes("check_adapter_base_sound")
@CASES.passes("check_adapter_initialisation")
@CASES.passes("check_adapter_mergeable")
@CASES.skips("check_adapter_config_known", "could not be read")
def whole(bench: Bench) -> None:
    healthy(bench)


@CASES.passes("check_adapter_config")
@CASES.passes("check_adapter_config_known")
def whole_and_peft_known(bench: Bench) -> None:
    healthy(bench, future_field=None)
    with_peft(bench)


@CASES.finds("check_adapter_config", "adapter-config-missing", "no adapter_config.json")
def no_configuration(bench: Bench) -> None:
    (healthy(bench) / "adapter_config.json").unlink()


@CASES.finds("check_adapter_config", "adapter-config-invalid", "adapter_config.json:1: not valid JSON")
def configuration_cut_off(bench: Bench) -> None:
    (healthy(bench) / "adapter_config.json").write_text('{"peft_type": "LO')


@CASES.finds("check_adapter_config", "adapter-config-invalid", "Git LFS pointer")
def configuration_is_a_pointer(bench: Bench) -> None:
    (healthy(bench) / "adapter_config.json").write_text(POINTER)


@CASES.finds("check_adapter_config", "adapter-config-invalid", "names no peft_type")
def no_type(bench: Bench) -> None:
    edit_json(healthy(bench) / "adapter_config.json", drop=("peft_type",))


@CASES.finds("check_adapter_config", "adapter-config-invalid", "'TOMORROW' is unknown")
def type_of_tomorrow(bench: Bench) -> None:
    healthy(bench, peft_type="TOMORROW")
    with_peft(bench)


@CASES.finds("check_adapter_config", "adapter-config-invalid", "r is not a positive whole number")
def rank_of_zero(bench: Bench) -> None:
    healthy(bench, r=0)


@CASES.finds("check_adapter_config", "adapter-config-invalid", "feedforward_modules names 'fc1'")
def inputs_that_are_not_targeted(bench: Bench) -> None:
    healthy(bench, peft_type="IA3", feedforward_modules=["fc1"])


@CASES.finds("check_adapter_config_known", "adapter-config-newer", "future_field", severity="warning")
def field_of_tomorrow(bench: Bench) -> None:
    healthy(bench, future_field=True)
    with_peft(bench)


@CASES.finds("check_adapter_weights", "adapter-weights-missing", "neither adapter_model.safetensors")
def no_weights(bench: Bench) -> None:
    (healthy(bench) / ADAPTER).unlink()


@CASES.finds("check_adapter_weights", "adapter-weights-missing", "a link to gone")
def weights_link_to_nothing(bench: Bench) -> None:
    file = healthy(bench) / ADAPTER
    file.unlink()
    file.symlink_to("gone")


@CASES.finds("check_adapter_weights", "adapter-weights-missing", "the adapter's tensors are in lora.safetensors")
def weights_under_another_name(bench: Bench) -> None:
    place = healthy(bench)
    (place / ADAPTER).rename(place / "lora.safetensors")


@CASES.finds("check_adapter_config", "adapter-config-invalid", "an adapter of mlx-lm (adapters.safetensors)")
@CASES.skips("check_adapter_weights", "blocked by adapter-config-invalid")
def of_mlx(bench: Bench) -> None:
    place = healthy(bench, peft_type=None, fine_tune_type="lora", lora_parameters={"rank": 2}, model="org/name")
    (place / ADAPTER).rename(place / "adapters.safetensors")


@CASES.finds("check_adapter_config", "adapter-config-invalid", "the `adapters` library")
@CASES.skips("check_adapter_weights", "blocked by adapter-config-invalid")
def of_adapter_hub(bench: Bench) -> None:
    bench.here.mkdir()
    write_json(bench.here / "adapter_config.json", {"config": {}, "model_class": "BertModel", "model_name": "bert"})


@CASES.finds("check_adapter_config", "adapter-config-invalid", "the config.json of a model (model_type llama)")
def of_the_configuration_of_a_model(bench: Bench) -> None:
    write_json(healthy(bench) / "adapter_config.json", CONFIG)


@CASES.finds(
    "check_adapter_config", "adapter-config-missing", "of a training run; its adapters are in directories below"
)
@CASES.skips("check_adapter_weights", "blocked by adapter-config-missing")
def of_a_training_run(bench: Bench) -> None:
    base = write_full(bench.root / "base")
    for step in (9, 10):
        write_adapter(bench.here / f"checkpoint-{step}", base)
    bench.manifest(MANIFEST, "a")


@CASES.finds("check_adapter_weights", "adapter-weights-missing", "below it: policy, checkpoint-10")
@CASES.passes("check_adapter_config")
def of_a_training_run_with_its_configuration(bench: Bench) -> None:
    place = healthy(bench)
    for name in ("checkpoint-10", "policy"):
        write_adapter(place / name, bench.root / "base")
    (place / ADAPTER).unlink()


@CASES.finds("check_adapter_weights", "adapter-weights-pickle", "adapter_model.bin", severity="warning")
def pickle_alone(bench: Bench) -> None:
    place = healthy(bench)
    (place / ADAPTER).rename(place / "adapter_model.bin")


@CASES.finds("check_adapter_weights", "weights-truncated", "truncated: ")
def weights_cut_off(bench: Bench) -> None:
    file = healthy(bench) / ADAPTER
    file.write_bytes(file.read_bytes()[:-4])


@CASES.finds("check_adapter_weights", "adapter-weights-empty", "has no tensors")
def no_tensors(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {})


@CASES.finds("check_adapter_weights", "adapter-weights-empty", "has 1 tensor(s) without elements")
def hollow_tensor(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {"base_model.model.x.lora_A.weight": (0,)})


@CASES.finds("check_adapter_initialisation", "adapter-init-mutates-base", "pissa_niter_16", severity="warning")
def pissa(bench: Bench) -> None:
    healthy(bench, init_lora_weights="pissa_niter_16")


@CASES.finds("check_adapter_mergeable", "adapter-unmergeable", "type PROMPT_TUNING", severity="info")
def prompt_tuning(bench: Bench) -> None:
    healthy(bench, peft_type="PROMPT_TUNING")


@CASES.finds("check_adapter_mergeable", "adapter-unmergeable", "layer_replication", severity="info")
def replicated_layers(bench: Bench) -> None:
    healthy(bench, layer_replication=[[0, 1], [0, 1]])


@CASES.finds("check_adapter_mergeable", "adapter-unmergeable", "type PREFIX_TUNING", severity="error")
def unmergeable_and_wanted(bench: Bench) -> None:
    healthy(bench, peft_type="PREFIX_TUNING")
    bench.manifest(
        f'{MANIFEST}base = "b"\n[models.b]\nkind = "full"\npath = "base"\n'
        '[models.m]\nkind = "merged"\npath = "merged"\nmerge = { base = "b", adapter = "a" }\n',
        "a",
    )


@CASES.finds("check_adapter_config", "adapter-config-invalid", "lora_alpha is not a number")
def scale_of_nothing(bench: Bench) -> None:
    healthy(bench, lora_alpha=None)


@CASES.finds("check_adapter_config", "adapter-config-invalid", "modules_to_save is the text 'lm_head'")
def saved_modules_as_text(bench: Bench) -> None:
    healthy(bench, modules_to_save="lm_head")


@CASES.finds("check_adapter_config", "adapter-config-invalid", "task_type 'CUASAL_LM' is unknown")
def task_misspelt(bench: Bench) -> None:
    with_peft(bench)
    path = bench.root / "site-packages" / "peft"
    with (path / "utils" / "peft_types.py").open("a") as file:
        file.write('class TaskType(str, enum.Enum):\n    CAUSAL_LM = "CAUSAL_LM"\n')
    with (path / "config.py").open("a") as file:
        file.write('    def __post_init__(self):\n        raise ValueError("Invalid task type")\n')
    healthy(bench, task_type="CUASAL_LM")


@CASES.passes("check_adapter_config")
def task_that_an_early_peft_does_not_look_at(bench: Bench) -> None:
    with_peft(bench)
    healthy(bench, task_type="CUASAL_LM")


@CASES.passes("check_adapter_config_known")
def fields_that_nothing_reads(bench: Bench) -> None:
    with_peft(bench)
    healthy(bench, peft_version="0.99.0", enable_lora=[True], merge_weights=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
