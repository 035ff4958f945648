"""Modules that the library renamed or joined since an adapter was trained, as its own sources say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library_sources import write_library
from tests.model_directories import ADAPTER, LORA, PROJECTION, WEIGHTS, WIDTH, write_adapter, write_full, write_tensors

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
CHECK, CODE = "check_adapter_modules_run", "adapter-keys-unmatched"
EXPERT = "model.layers.0.mlp.experts.0.up_proj"
MAPPING = """
_MODEL_TO_CONVERSION_PATTERN = {
    "llama_moe": "qwen_moe",
}

def _build():
    mapping = {
        "SeeingModel": [
            PrefixChange(prefix_to_add="language_model"),
        ],
        "SeeingForConditionalGeneration": [
            WeightRenaming(source_patterns=r"^visual", target_patterns="model.visual"),
            WeightRenaming(
                source_patterns=r"^model(?!\\.(language_model|visual))", target_patterns="model.language_model"
            ),
        ],
        "qwen_moe": [
            WeightConverter(source_patterns="mlp.experts.*.up_proj.weight", operations=[MergeModulelist(dim=0)]),
        ],
    }
"""
CONVERSION = """
_MOE_TARGET_MODULE_MAPPING: dict[str, dict[str, str]] = {
    "qwen_moe": {
        "up_proj": "gate_up_proj",
    },
}
"""
ROUTER = "class QwenMoeBlock:\n    def __init__(self, config):\n        self.gate = QwenMoeTopKRouter(config)\n"


def adapter_of(bench: Bench, module: str, architecture: str, model_type: str, **config: Any) -> None:
    site = write_library(bench.root / "site-packages")
    (site / "transformers" / "conversion_mapping.py").write_text(MAPPING)
    models = site / "transformers" / "models" / "qwen_moe"
    models.mkdir()
    (models / "__init__.py").write_text("")
    (models / "modeling_qwen_moe.py").write_text(ROUTER)
    (site / "peft" / "utils").mkdir(parents=True)
    (site / "peft" / "utils" / "transformers_weight_conversion.py").write_text(CONVERSION)
    bench.session = replace(SESSION, site_packages=(site,))
    tensors = {**WEIGHTS, f"{module}.weight": (WIDTH, WIDTH)}
    base = write_full(bench.root / "base", tensors=tensors, architectures=[architecture], model_type=model_type)
    lora = {n.replace(PROJECTION, module): s for n, s in LORA.items()}
    write_tensors(write_adapter(bench.here, base, **config) / ADAPTER, lora)


@CASES.finds(CHECK, CODE, f"{PROJECTION} is model.language_model.layers.0.self_attn.q_proj in Seeing")
def of_a_class_rebuilt(bench: Bench) -> None:
    adapter_of(bench, PROJECTION, "SeeingForConditionalGeneration", "seeing", task_type="CAUSAL_LM")


@CASES.finds(CHECK, CODE, "in SeeingForConditionalGeneration")
def of_a_class_that_version_4_rebuilt(bench: Bench) -> None:
    adapter_of(bench, PROJECTION, "SeeingForConditionalGeneration", "qwen_moe")
    (bench.root / "site-packages/transformers/models/qwen_moe/modeling_qwen_moe.py").write_text(
        "\nclass SeeingForConditionalGeneration(A, B):\n    _checkpoint_conversion_mapping = {\n"
        '        r"^model(?!\\.(language_model|visual))": "model.language_model",\n    }\n'
    )


@CASES.passes(CHECK)
def of_a_class_that_renames_with_more_than_prefixes(bench: Bench) -> None:
    adapter_of(bench, PROJECTION, "SeeingModel", "seeing")


@CASES.passes(CHECK)
def named_as_the_class_does(bench: Bench) -> None:
    adapter_of(bench, "model.language_model.layers.0.q_proj", "SeeingForConditionalGeneration", "seeing")


@CASES.finds(CHECK, CODE, f"QwenMoeForCausalLM has no layer of its own for {EXPERT}")
def experts_that_are_joined(bench: Bench) -> None:
    adapter_of(bench, EXPERT, "QwenMoeForCausalLM", "qwen_moe")


@CASES.finds(CHECK, CODE, "no layer of its own for model.layers.0.mlp.gate")
def a_router_that_is_a_class(bench: Bench) -> None:
    adapter_of(bench, "model.layers.0.mlp.gate", "QwenMoeForCausalLM", "qwen_moe")


@CASES.passes(CHECK)
def experts_that_peft_joins_as_well(bench: Bench) -> None:
    adapter_of(bench, EXPERT, "LlamaMoeForCausalLM", "llama_moe")


CLASSES = """
class SeeingPreTrainedModel(P):
    base_model_prefix = "model"

class SeeingModel(SeeingPreTrainedModel):
    def __init__(self):
        self.visual = Tower(1)
        self.language_model = SeeingTextModel(1)

class SeeingTextModel(SeeingPreTrainedModel):
    def __init__(self):
        self.layers = List(1)

class SeeingForConditionalGeneration(SeeingPreTrainedModel):
    def __init__(self):
        self.model = SeeingModel(1)
        self.lm_head = Linear(1)

class SeeingForCausalLM(SeeingPreTrainedModel):
    def __init__(self):
        self.model = SeeingTextModel(1)
        self.lm_head = Linear(1)
"""
AUTO, BUILDER = "check_adapter_auto_class", "adapter-auto-class"
Q = "model.language_model.layers.0.q_proj"


def seeing(bench: Bench, module: str = Q, built: str = "", **config: Any) -> None:
    """Lay out an adapter of a model for images and text; `built` is what AutoModelForCausalLM makes of it."""
    adapter_of(bench, module, "SeeingForConditionalGeneration", "seeing", **config)
    models = bench.root / "site-packages/transformers/models"
    (models / "seeing").mkdir()
    (models / "seeing" / "__init__.py").write_text("")
    (models / "seeing" / "modeling_seeing.py").write_text(CLASSES)
    row = f'        ("seeing", "{built}"),\n' if built else ""
    (models / "auto").mkdir(exist_ok=True)
    table = f'MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = OrderedDict(\n    [\n        ("a", "B"),\n{row}    ]\n)\n'
    (models / "auto" / "modeling_auto.py").write_text(table)


@CASES.finds(CHECK, CODE, "none of its modules is in SeeingForConditionalGeneration")
def named_as_no_class_does(bench: Bench) -> None:
    seeing(bench, "language_model.model.layers.0.q_proj")


@CASES.passes(CHECK)
@CASES.passes(AUTO)
def of_the_text_part_that_a_session_builds(bench: Bench) -> None:
    seeing(bench, "model.layers.0.q_proj.own", "SeeingForCausalLM")


@CASES.finds(
    AUTO, BUILDER, "AutoPeftModelForCausalLM, by its task_type, does not build a base of type seeing", severity="info"
)
@CASES.passes(CHECK)
def of_a_task_without_a_class(bench: Bench) -> None:
    seeing(bench)


@CASES.finds(AUTO, BUILDER, "builds SeeingForCausalLM, which has none of its modules", severity="warning")
def of_a_task_with_another_class(bench: Bench) -> None:
    seeing(bench, built="SeeingForCausalLM")


@CASES.passes(AUTO)
def of_a_task_with_the_base_s_class(bench: Bench) -> None:
    seeing(bench, built="SeeingForConditionalGeneration")


@CASES.skips(AUTO, "only a task and a base")
def of_no_task(bench: Bench) -> None:
    seeing(bench, task_type=None)


@CASES.skips(CHECK, "only LoRA on a base that is here")
def no_base(bench: Bench) -> None:
    write_adapter(bench.here, "org/name")


@CASES.skips(CHECK, "its own code")
def base_with_its_own_code(bench: Bench) -> None:
    write_adapter(bench.here, write_full(bench.root / "base", auto_map={"AutoModel": "modeling.Own"}))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
