"""The packages of the sessions' interpreter: versions that were seen on real machines, put in by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library_sources import write_library
from tests.model_directories import MODEL, WEIGHTS, edit_json, write_adapter, write_full, write_tensors

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
THOR = "2.5.0a0+872d972e41.nv24.08"


def having(bench: Bench, needs: dict[str, tuple[str, ...]] | None = None, /, **packages: str | None) -> None:
    bench.session = replace(SESSION, packages={**SESSION.packages, **packages}, needs=needs or {})


def requiring(bench: Bench, *requires: str, of_model: str = "", **packages: str | None) -> None:
    write_full(bench.here)
    top = f"requires = {json.dumps(requires)}\n" if requires else ""
    bench.manifest(f'{top}[models.m]\nkind = "full"\npath = "here"\n{of_model}', "m")
    having(bench, **packages)


@CASES.passes("check_requirements")
def met(bench: Bench) -> None:
    requiring(bench, "transformers>=4.45", "peft", "flash-attn; python_version < '3.0'")


@CASES.passes("check_requirements")
def met_by_a_vendors_build(bench: Bench) -> None:
    requiring(bench, "torch>=2.5", torch=THOR)


@CASES.skips("check_requirements", "requires no packages")
@CASES.passes("check_packages_agree")
@CASES.passes("check_model_packages")
@CASES.passes("check_config_understood")
def nothing_required(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_requirements", "package-version", "needs transformers>=6, and the sessions' interpreter has 5.23.0")
def too_old(bench: Bench) -> None:
    requiring(bench, "transformers>=6")


@CASES.finds("check_requirements", "package-version", "torch>=2.6, and the sessions' interpreter has 2.5.0a0+87")
def a_vendors_build_that_is_too_old(bench: Bench) -> None:
    requiring(bench, "torch>=2.6", torch=THOR)


@CASES.finds("check_requirements", "package-version", "which cannot be compared", severity="warning")
def version_unknown(bench: Bench) -> None:
    requiring(bench, "peft>=0.12", peft="unknown")


@CASES.finds(
    "check_requirements", "package-missing", "needs accelerate>=1, which is not installed in the sessions' interpreter"
)
def not_installed(bench: Bench) -> None:
    requiring(bench, "accelerate>=1")


@CASES.skips("check_packages", "blocked by package-missing")
def said_already(bench: Bench) -> None:
    requiring(bench, "peft", "torch", torch=None)


@CASES.skips("check_requirements", "blocked by interpreter-missing")
def no_interpreter(bench: Bench) -> None:
    requiring(bench, "peft")
    bench.session = replace(SESSION, problem="missing", packages={})


@CASES.skips("check_packages_agree", "did not list its packages")
def silent_interpreter(bench: Bench) -> None:
    write_full(bench.here)
    bench.session = replace(SESSION, problem="timeout", packages={})


@CASES.finds("check_packages_agree", "package-version", "transformers 5.23.0 asks for tokenizers<=0.21,>=0.20")
def transformers_refuses_its_tokenizers(bench: Bench) -> None:
    write_full(bench.here)
    having(bench, {"transformers": ("tokenizers<=0.21,>=0.20", "torch>=9; extra == 'torch'", "tqdm>=4")})


@CASES.finds("check_packages_agree", "package-version", "peft 0.21.2 asks for accelerate>=1", severity="warning")
def peft_asks_for_another_accelerate(bench: Bench) -> None:
    write_full(bench.here)
    having(bench, {"peft": ("accelerate>=1", "transformers")}, accelerate="0.21.0")


@CASES.finds("check_packages_agree", "package-version", "peft is 0.17.1", severity="warning")
def peft_before_transformers_5(bench: Bench) -> None:
    write_full(bench.here)
    having(bench, peft="0.17.1")


@CASES.passes("check_packages_agree")
def vendors_torch_goes_with_everything(bench: Bench) -> None:
    write_full(bench.here)
    having(bench, {"peft": ("torch>=1.13.0",), "transformers": ("torch>=2.5",)}, torch=THOR)


@CASES.finds("check_model_packages", "package-missing", "the manifest's table of m needs bitsandbytes>=0.45")
def model_requires(bench: Bench) -> None:
    requiring(bench, of_model='requires = ["bitsandbytes>=0.45"]\n')


@CASES.skips("check_model_packages", "has no transformers")
def no_transformers(bench: Bench) -> None:
    write_full(bench.here)
    having(bench, transformers=None)


def quantised(bench: Bench, method: dict[str, Any], **packages: str | None) -> None:
    write_full(bench.here, quantization_config=method)
    having(bench, **packages)


@CASES.finds("check_model_packages", "package-missing", "its quantisation (gptq) needs gptqmodel (or auto-gptq)")
def quantised_by_gptq(bench: Bench) -> None:
    quantised(bench, {"quant_method": "gptq", "bits": 4})
    write_tensors(bench.here / MODEL, {**WEIGHTS, "model.layers.0.mlp.up_proj.qweight": (2,)})


def by_gptq_of_a_library(bench: Bench, **packages: str | None) -> None:
    quantised(bench, {"quant_method": "gptq", "bits": 4}, **packages)
    write_tensors(bench.here / MODEL, {**WEIGHTS, "model.layers.0.mlp.up_proj.qweight": (2,)})
    bench.session = replace(bench.session, site_packages=(write_library(bench.root / "site-packages"),))


@CASES.finds("check_model_packages", "package-missing", "its quantisation (gptq) needs gptqmodel, which is not")
def quantised_by_gptq_of_today(bench: Bench) -> None:
    by_gptq_of_a_library(bench, auto_gptq="0.7.1", optimum="2.0")


@CASES.finds("check_model_packages", "package-missing", "its quantisation (gptq) needs optimum, which is not")
def quantised_by_gptq_without_optimum(bench: Bench) -> None:
    by_gptq_of_a_library(bench, gptqmodel="5.0")


@CASES.passes("check_model_packages")
def quantised_by_gptq_with_both(bench: Bench) -> None:
    by_gptq_of_a_library(bench, gptqmodel="5.0", optimum="2.0")


@CASES.passes("check_model_packages")
def quantised_by_gptq_with_the_older_package(bench: Bench) -> None:
    quantised(bench, {"quant_method": "gptq", "bits": 4}, auto_gptq="0.7.1")


@CASES.finds("check_model_packages", "package-missing", "its quantisation (bitsandbytes) needs bitsandbytes")
def quantised_by_bitsandbytes_of_old(bench: Bench) -> None:
    quantised(bench, {"load_in_4bit": True})
    write_tensors(bench.here / MODEL, {**WEIGHTS, "model.layers.0.mlp.up_proj.weight.absmax": (2,)})


@CASES.passes("check_model_packages")
def said_to_be_quantised_by_bitsandbytes(bench: Bench) -> None:
    quantised(bench, {"quant_method": "bitsandbytes", "load_in_4bit": True})


@CASES.finds("check_model_packages", "package-missing", "its base: its quantisation (bitsandbytes) needs bitsandbytes")
def on_a_base_quantised_by_bitsandbytes(bench: Bench) -> None:
    base = write_full(bench.root / "base", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    write_tensors(base / MODEL, {**WEIGHTS, "model.layers.0.mlp.up_proj.weight.absmax": (2,)})
    write_adapter(bench.here, base)
    having(bench)


@CASES.passes("check_model_packages")
def quantised_by_what_transformers_brings(bench: Bench) -> None:
    quantised(bench, {"quant_method": "fp8"})


@CASES.finds("check_model_packages", "package-missing", "flash_attention_2) needs flash-attn (or kernels)")
def flash_attention(bench: Bench) -> None:
    write_full(bench.here, _attn_implementation="flash_attention_2")


@CASES.finds("check_model_packages", "package-missing", "its tokenizer (a SentencePiece file without tokenizer.json)")
def sentencepiece(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").rename(bench.here / "tokenizer.model")


@CASES.finds("check_model_packages", "package-missing", "its tokenizer (a tiktoken file")
def tiktoken(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").rename(bench.here / "qwen.tiktoken")


def saved_by_5(
    bench: Bench, theta: object, transformers: str = "4.57.1", more: dict[str, Any] | None = None, **config: Any
) -> None:
    rope = {"rope_type": "default", "rope_theta": theta}
    write_full(bench.here, rope_parameters={**rope, **(more or {})}, transformers_version="5.2.0", **config)
    having(bench, transformers=transformers)
    site = write_library(bench.root / "site-packages")
    (site / "transformers/models/llama/configuration_llama.py").write_text(
        "def __init__(self, rope_theta=10000.0, rope_scaling=None): ...\n"
    )
    bench.session = replace(bench.session, site_packages=(site,))


@CASES.finds(
    "check_config_understood", "package-version", "silently compute positions with the base 10000 instead of 500000"
)
def positions_of_another_base(bench: Bench) -> None:
    saved_by_5(bench, 500_000.0)


@CASES.finds("check_config_understood", "package-version", "positions without their scaling (yarn)")
def scaling_of_positions(bench: Bench) -> None:
    saved_by_5(bench, 10_000, more={"rope_type": "yarn", "factor": 4.0})


@CASES.finds("check_config_understood", "package-version", "instead of 500000")
def positions_of_the_text_part(bench: Bench) -> None:
    saved_by_5(bench, 10_000)
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    edit_json(bench.here / "config.json", text_config={"model_type": "llama", "rope_parameters": rope})


@CASES.passes("check_config_understood")
def positions_of_the_classes_own_base(bench: Bench) -> None:
    saved_by_5(bench, 1_000_000.0)
    source = bench.root / "site-packages/transformers/models/llama/configuration_llama.py"
    source.write_text("def __init__(self, rope_theta=1000000.0, rope_scaling=None): ...\n")


@CASES.passes("check_config_understood")
def positions_read_by_5(bench: Bench) -> None:
    saved_by_5(bench, 500_000.0, transformers="5.0.0rc1")


@CASES.passes("check_config_understood")
def positions_of_the_usual_base(bench: Bench) -> None:
    saved_by_5(bench, 10_000)


@CASES.passes("check_config_understood")
def positions_written_both_ways(bench: Bench) -> None:
    saved_by_5(bench, 500_000.0, rope_theta=500_000.0)


def of_version_4(bench: Bench) -> None:
    site = write_library(bench.root / "site-packages", asks_for_format=True)
    bench.session = replace(SESSION, packages={**SESSION.packages, "transformers": "4.57.6"}, site_packages=(site,))


@CASES.passes("check_weights_understood")
@CASES.passes("check_tokenizer_understood")
def as_version_4_wants_it(bench: Bench) -> None:
    write_full(bench.here)
    of_version_4(bench)


@CASES.skips("check_weights_understood", "asks for no metadata")
@CASES.skips("check_tokenizer_understood", "transformers 5 reads")
def version_5(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_weights_understood", "package-version", "has metadata without 'format'")
def metadata_of_its_own(bench: Bench) -> None:
    path = write_full(bench.here) / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"format"', b'"formed"'))
    of_version_4(bench)


@CASES.finds("check_tokenizer_understood", "package-version", "it does not have the class TokenizersBackend")
def class_of_version_5(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    of_version_4(bench)


@CASES.finds("check_tokenizer_understood", "package-version", "it does not have the class LLaMATokenizer")
def class_that_no_version_has(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer_config.json", tokenizer_class="LLaMATokenizer")
    of_version_4(bench)


@CASES.passes("check_tokenizer_understood")
def class_of_the_models_own_code(bench: Bench) -> None:
    own = {"AutoTokenizer": ["tokenization_acme.AcmeTokenizer", None]}
    edit_json(write_full(bench.here) / "tokenizer_config.json", tokenizer_class="AcmeTokenizer", auto_map=own)
    of_version_4(bench)


@CASES.finds("check_tokenizer_understood", "package-version", "extra_special_tokens as an object")
def list_of_version_5(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer_config.json", extra_special_tokens=["<a>"])
    of_version_4(bench)


@CASES.finds("check_tokenizer_understood", "package-version", "it reads /content/tokenizer.json, which is not there")
def file_of_another_machine(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer_config.json", tokenizer_file="/content/tokenizer.json")
    of_version_4(bench)


@CASES.passes("check_tokenizer_understood")
def file_of_this_machine(bench: Bench) -> None:
    folder = write_full(bench.here)
    edit_json(folder / "tokenizer_config.json", tokenizer_file=str(folder / "tokenizer.json"))
    of_version_4(bench)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


@pytest.mark.parametrize("wanted", ["torch>=2.6", "torchvision", "triton>=3", "numpy>=3"])
def test_what_a_vendor_builds_is_never_installed_by_a_pasted_command(tmp_path: Path, wanted: str) -> None:
    bench = Bench(root=tmp_path)
    requiring(bench, wanted, torch=THOR, numpy="2.0.0")
    (found,) = bench.run("check_requirements").findings
    assert found.fix.commands == ("/opt/sessions/bin/python -m pip list",)
    assert "vendor" in found.fix.summary


def test_what_asks_for_torch_is_installed_without_what_it_depends_on(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    requiring(bench, "bitsandbytes>=0.45", "sentencepiece")
    heavy, light = bench.run("check_requirements").findings
    assert heavy.fix.commands[0] == "/opt/sessions/bin/python -m pip install --no-deps 'bitsandbytes>=0.45'"
    assert light.fix.commands == ("/opt/sessions/bin/python -m pip install sentencepiece",)
