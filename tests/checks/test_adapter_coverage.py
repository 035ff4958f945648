"""Whether an adapter has tensors for all that its configuration names."""

from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import ADAPTER, LORA, PROJECTION, WEIGHTS, WIDTH, write_adapter, write_full, write_tensors

from .cases import Bench, Case, Cases

CASES = Cases()


def healthy(bench: Bench, **config: Any) -> Path:
    return write_adapter(bench.here, write_full(bench.root / "base"), **config)


@CASES.passes("check_adapter_complete")
def whole(bench: Bench) -> None:
    healthy(bench)


@CASES.skips("check_adapter_complete", "only LoRA")
def of_another_type(bench: Bench) -> None:
    healthy(bench, peft_type="IA3")


SECOND = PROJECTION.replace("layers.0", "layers.1")


def of_two_layers(bench: Bench, **config: Any) -> Path:
    more = {**WEIGHTS, f"{SECOND}.weight": (WIDTH, WIDTH)}
    base = write_full(bench.root / "base", tensors=more, num_hidden_layers=2)
    return write_adapter(bench.here, base, **config)


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "a module that it targets has no tensors")
def layer_absent(bench: Bench) -> None:
    of_two_layers(bench)


@CASES.passes("check_adapter_complete")
def layer_not_asked_for(bench: Bench) -> None:
    of_two_layers(bench, layers_to_transform=[0])


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "q_proj.lora_B")
def half_a_pair(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n: s for n, s in LORA.items() if "lora_A" in n})


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "lora_magnitude_vector")
def no_magnitude(bench: Bench) -> None:
    healthy(bench, use_dora=True)


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "modules_to_save names what it has no tensors for")
def head_of_a_list_of_modules(bench: Bench) -> None:
    folder = healthy(bench, modules_to_save=["lm_head"])
    write_tensors(folder / ADAPTER, {**LORA, "base_model.model.0.lm_head.weight": (WIDTH, WIDTH)})


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "modules_to_save names what it has no tensors for")
def no_head(bench: Bench) -> None:
    healthy(bench, modules_to_save=["lm_head"])


@CASES.passes("check_adapter_complete")
def head_that_the_model_does_not_have(bench: Bench) -> None:
    healthy(bench, modules_to_save=["classifier", "score"])


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "has no tensors and stays as in the base: lm_head")
def tied_output_layer_without_tensors(bench: Bench) -> None:
    healthy(bench, target_modules=["q_proj", "lm_head"])


@CASES.finds("check_adapter_complete", "adapter-targets-missing", "targets model.layers.0.self_attn, which PEFT has no")
def pattern_that_takes_what_holds_layers(bench: Bench) -> None:
    healthy(bench, target_modules=".*self_attn.*")


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "ensure_weight_tying asks for the embedding and")
def one_of_two_tied_layers(bench: Bench) -> None:
    folder = healthy(bench, ensure_weight_tying=True, modules_to_save=["embed_tokens"])
    write_tensors(folder / ADAPTER, {**LORA, "base_model.model.model.embed_tokens.weight": (16, WIDTH)})


@CASES.finds("check_adapter_complete", "adapter-targets-missing", "targets model.norm")
def norm_targeted(bench: Bench) -> None:
    healthy(bench, target_modules=["q_proj", "norm"])


@CASES.finds(
    "check_adapter_complete", "adapter-keys-unmatched", "trainable_token_indices names what it has no rows for"
)
def rows_named_and_absent(bench: Bench) -> None:
    healthy(bench, trainable_token_indices=[1, 2])


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "modules_to_save names what it has no tensors for")
def saved_under_its_running_name(bench: Bench) -> None:
    folder = healthy(bench, modules_to_save=["lm_head"])
    write_tensors(folder / ADAPTER, {**LORA, "base_model.model.lm_head.modules_to_save.weight": (WIDTH, WIDTH)})


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "model.embed_tokens")
def embedding_without_tensors(bench: Bench) -> None:
    healthy(bench, target_modules=["q_proj", "embed_tokens"])


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "model.embed_tokens")
def embedding_whole_that_peft_ignores(bench: Bench) -> None:
    whole = {"base_model.model.model.embed_tokens.weight": WEIGHTS["model.embed_tokens.weight"]}
    write_tensors(healthy(bench, target_modules=["q_proj", "embed_tokens"]) / ADAPTER, {**LORA, **whole})


@CASES.passes("check_adapter_complete")
def embedding_saved_whole_instead(bench: Bench) -> None:
    whole = {"base_model.model.model.embed_tokens.weight": WEIGHTS["model.embed_tokens.weight"]}
    write_tensors(
        healthy(bench, target_modules=["q_proj", "embed_tokens"], modules_to_save=["embed_tokens"]) / ADAPTER,
        {**LORA, **whole},
    )


@CASES.passes("check_adapter_complete")
def output_layer_that_a_classifier_has_not(bench: Bench) -> None:
    tensors = {**LORA, "base_model.model.score.weight": (2, WIDTH)}
    write_tensors(healthy(bench, target_modules=["q_proj", "lm_head"], task_type="SEQ_CLS") / ADAPTER, tensors)


@CASES.finds("check_adapter_complete", "adapter-keys-unmatched", "head of its task (SEQ_CLS)")
def head_of_the_task_absent(bench: Bench) -> None:
    healthy(bench, task_type="SEQ_CLS")


@CASES.passes("check_adapter_complete")
def head_of_the_task_in_the_base(bench: Bench) -> None:
    healthy(bench, task_type="SEQ_CLS")
    write_full(bench.root / "base", architectures=["LlamaForSequenceClassification"])


def of_classes(bench: Bench, labels: int, **config: Any) -> Path:
    folder = healthy(bench, task_type="SEQ_CLS", **config)
    write_tensors(folder / ADAPTER, {**LORA, "base_model.model.score.weight": (labels, WIDTH)})
    return folder


@CASES.passes("check_adapter_labels")
def as_many_labels_as_a_base_has_by_itself(bench: Bench) -> None:
    of_classes(bench, 2)


@CASES.passes("check_adapter_labels")
def as_many_labels_as_the_base_says(bench: Bench) -> None:
    of_classes(bench, 3)
    write_full(bench.root / "base", id2label={"0": "a", "1": "b", "2": "c"})


@CASES.finds("check_adapter_labels", "adapter-shape-mismatch", "is for 5 label(s), and", severity="warning")
def more_labels_than_the_base(bench: Bench) -> None:
    of_classes(bench, 5)


@CASES.skips("check_adapter_labels", "only adapters that classify")
def without_labels(bench: Bench) -> None:
    healthy(bench)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
