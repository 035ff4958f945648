"""Small files beside the weights."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from tests.library_sources import write_library
from tests.model_directories import POINTER, write_full, write_json

from .cases import SESSION, Bench, Case, Cases

SPEC = importlib.util.find_spec("transformers")
LIBRARY = (Path(str(SPEC.origin)).parents[1],) if SPEC is not None else ()
CASES = Cases()


def seeing(bench: Bench) -> Path:
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))
    return write_full(bench.here, model_type="llava", architectures=["LlavaForConditionalGeneration"])


def of_parts(bench: Bench, *kinds: str) -> Path:
    parts = [{"path": f"{n}_{k}", "type": f"sentence_transformers.models.{k}"} for n, k in enumerate(kinds, 1)]
    write_json(write_full(bench.here) / "modules.json", parts)
    return bench.here


@CASES.skips("check_generation_config", "none")
@CASES.skips("check_processor", "no images")
@CASES.skips("check_modules", "not a sentence-transformers model")
def plain(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_generation_config")
def generation(bench: Bench) -> None:
    write_json(write_full(bench.here) / "generation_config.json", {"do_sample": True})


@CASES.passes("check_generation_config")
def generation_with_rules_off(bench: Bench) -> None:
    values = {"do_sample": True, "temperature": 1, "top_k": 0, "repetition_penalty": 1, "eos_token_id": [1, 2]}
    write_json(write_full(bench.here) / "generation_config.json", values)


@CASES.passes("check_generation_config")
def generation_that_does_not_sample(bench: Bench) -> None:
    values = {"do_sample": False, "temperature": 0.0, "top_k": -1}
    write_json(write_full(bench.here) / "generation_config.json", values)


def generating(bench: Bench, **values: object) -> None:
    bench.session = replace(SESSION, site_packages=LIBRARY)
    write_json(write_full(bench.here) / "generation_config.json", values)


@CASES.passes("check_generation_config")
def settings_that_a_load_takes(bench: Bench) -> None:
    generating(bench, max_new_tokens=8, cache_implementation="static", num_return_sequences=2, num_beams=2)


@CASES.finds("check_generation_config", "config-invalid", "max_new_tokens is -1, where a whole number above 0")
def no_tokens(bench: Bench) -> None:
    generating(bench, max_new_tokens=-1)


@CASES.finds("check_generation_config", "config-invalid", "early_stopping is 'yes'")
def stopping_early(bench: Bench) -> None:
    generating(bench, early_stopping="yes")


@CASES.finds("check_generation_config", "config-invalid", "a cache that it does not have; transformers refuses to")
def cache_unknown(bench: Bench) -> None:
    generating(bench, cache_implementation="dynamic_cache")


@CASES.finds("check_generation_config", "config-invalid", "num_return_sequences is 3, which takes do_sample or num_b")
def several_greedy_answers(bench: Bench) -> None:
    generating(bench, num_return_sequences=3)


@CASES.finds("check_generation_config", "config-invalid", "num_beams is 0", severity="warning")
def no_beams(bench: Bench) -> None:
    generating(bench, num_beams=0)


@CASES.finds("check_generation_config", "config-invalid", "min_p is 2.0", severity="warning")
def a_share_above_one(bench: Bench) -> None:
    generating(bench, do_sample=True, min_p=2.0)


@CASES.finds("check_generation_config", "config-invalid", "temperature is 0.0", severity="warning")
def generation_without_warmth(bench: Bench) -> None:
    write_json(write_full(bench.here) / "generation_config.json", {"do_sample": True, "temperature": 0.0})


@CASES.finds("check_generation_config", "config-invalid", "top_k is -1", severity="warning")
def generation_of_vllm(bench: Bench) -> None:
    write_json(write_full(bench.here) / "generation_config.json", {"do_sample": True, "top_k": -1})


@CASES.finds("check_generation_config", "config-invalid", "repetition_penalty is '1.1'", severity="warning")
def generation_with_a_text(bench: Bench) -> None:
    write_json(write_full(bench.here) / "generation_config.json", {"repetition_penalty": "1.1"})


@CASES.finds("check_generation_config", "config-invalid", "pad_token_id is '<pad>'", severity="warning")
def generation_with_a_token(bench: Bench) -> None:
    write_json(write_full(bench.here) / "generation_config.json", {"pad_token_id": "<pad>"})


@CASES.finds("check_generation_config", "config-invalid", "passes over it silently", severity="warning")
def generation_empty(bench: Bench) -> None:
    (write_full(bench.here) / "generation_config.json").write_bytes(b"")


@CASES.finds("check_generation_config", "config-invalid", "Git LFS pointer", severity="warning")
def generation_pointer(bench: Bench) -> None:
    (write_full(bench.here) / "generation_config.json").write_text(POINTER)


@CASES.finds("check_generation_config", "config-invalid", "holds a JSON array")
def generation_list(bench: Bench) -> None:
    write_json(write_full(bench.here) / "generation_config.json", [])


@CASES.passes("check_processor")
def processor(bench: Bench) -> None:
    write_json(seeing(bench) / "preprocessor_config.json", {})


@CASES.finds("check_processor", "processor-missing", "takes images, but", severity="warning")
def image_processor_gone(bench: Bench) -> None:
    bench.session = replace(SESSION, site_packages=LIBRARY)
    write_full(bench.here, model_type="vit", architectures=["ViTForImageClassification"])


@CASES.finds("check_processor", "processor-missing", "cannot make its LlavaProcessor", severity="warning")
def processor_gone(bench: Bench) -> None:
    seeing(bench)


@CASES.finds(
    "check_processor",
    "processor-missing",
    "which the session's transformers (5.23.0) does not have",
    severity="warning",
)
def processor_of_another_release(bench: Bench) -> None:
    write_json(seeing(bench) / "preprocessor_config.json", {"image_processor_type": "LlavaNewImageProcessor"})


@CASES.passes("check_processor")
def processor_in_another_implementation(bench: Bench) -> None:
    write_json(seeing(bench) / "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessorFast"})


@CASES.finds("check_processor", "processor-missing", "WhisperForConditionalGeneration takes sound", severity="warning")
def hearing_without_a_feature_extractor(bench: Bench) -> None:
    place = bench.root / "site-packages"
    bench.session = replace(SESSION, site_packages=(write_library(place),))
    write_full(bench.here, model_type="whisper", architectures=["WhisperForConditionalGeneration"])


@CASES.finds("check_processor", "processor-missing", "processor_config.json: empty")
def processor_empty(bench: Bench) -> None:
    (seeing(bench) / "processor_config.json").write_bytes(b"")


@CASES.passes("check_modules")
def modules(bench: Bench) -> None:
    (of_parts(bench, "Pooling", "Normalize") / "1_Pooling").mkdir()
    write_json(bench.here / "1_Pooling" / "config.json", {})


@CASES.finds("check_modules", "module-missing", "modules.json names 1_Pooling")
def module_gone(bench: Bench) -> None:
    of_parts(bench, "Pooling")


@CASES.finds("check_modules", "module-missing", "1_Dense/config.json")
def module_empty(bench: Bench) -> None:
    (of_parts(bench, "Dense") / "1_Dense").mkdir()


@CASES.finds("check_modules", "config-invalid", 'type of a module is "__main__"')
def module_of_a_script(bench: Bench) -> None:
    write_json(write_full(bench.here) / "modules.json", [{"idx": 0, "path": "", "type": "__main__"}])


@CASES.finds("check_modules", "config-invalid", "not a JSON array")
def modules_broken(bench: Bench) -> None:
    (of_parts(bench) / "modules.json").write_text("Entry not found")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
