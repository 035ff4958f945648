"""Names that a wrapper left, tensors without values, and output layers that nothing ties."""

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.library_sources import write_library
from tests.model_directories import MODEL, WEIGHTS, edit_json, write_full, write_tensors

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
UNTIED = {**WEIGHTS, "lm_head.weight": WEIGHTS["model.embed_tokens.weight"]}


def with_library(bench: Bench) -> None:
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))


def renamed(bench: Bench, prefix: str, **config: object) -> None:
    write_full(bench.here, tensors={prefix + n: s for n, s in WEIGHTS.items()}, **config)
    with_library(bench)


@CASES.passes("check_tensor_names")
@CASES.passes("check_tensors_filled")
@CASES.passes("check_output_layer")
def whole(bench: Bench) -> None:
    renamed(bench, "")


@CASES.passes("check_output_layer")
def untied(bench: Bench) -> None:
    write_full(bench.here, tensors=UNTIED, tie_word_embeddings=False)
    with_library(bench)


@CASES.skips("check_output_layer", "names no output layer")
def untied_without_the_library(bench: Bench) -> None:
    write_full(bench.here, tie_word_embeddings=False)


@CASES.finds("check_output_layer", "weights-keys-missing", "tie_word_embeddings: false")
def untied_and_left_out(bench: Bench) -> None:
    renamed(bench, "", tie_word_embeddings=False)


@CASES.finds("check_output_layer", "weights-keys-missing", "tie_word_embeddings: false")
def untied_by_the_text_part(bench: Bench) -> None:
    renamed(bench, "", tie_word_embeddings=True, text_config={"model_type": "llama", "tie_word_embeddings": False})
    (bench.root / "site-packages" / "transformers" / "modeling_utils.py").write_text(
        'if getattr(self.config.get_text_config(decoder=True), "tie_word_embeddings", True):'
    )


@CASES.finds("check_output_layer", "weights-keys-missing", "lm_head.weight is missing")
def untied_by_default(bench: Bench) -> None:
    renamed(bench, "")
    edit_json(bench.here / "config.json", drop=("tie_word_embeddings",))


@CASES.finds("check_output_layer", "weights-keys-missing", "a LlamaModel without an output layer")
def asked_to_speak(bench: Bench) -> None:
    renamed(bench, "", tie_word_embeddings=False, architectures=["LlamaModel"])
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\nprompt = "Who are you?"\n', "m")


@CASES.finds("check_tensor_names", "weights-keys-missing", "left by torch.compile")
def compiled(bench: Bench) -> None:
    renamed(bench, "_orig_mod.")


@CASES.finds("check_tensor_names", "weights-keys-missing", "'policy.' in their names: a loader looks for")
def policy(bench: Bench) -> None:
    renamed(bench, "policy.")


@CASES.passes("check_tensor_names")
def renamed_by_the_library(bench: Bench) -> None:
    renamed(bench, "language_model.")


@CASES.passes("check_tensor_names")
def unknown_class(bench: Bench) -> None:
    renamed(bench, "policy.", architectures=["HomegrownForCausalLM"])


@CASES.finds("check_tensor_names", "weights-keys-missing", "1 tensor(s) are FSDP's flat parameters")
def flat_parameters(bench: Bench) -> None:
    renamed(bench, "")
    write_tensors(bench.here / MODEL, {"_fsdp_wrapped_module.flat_param": (64,)})


@CASES.finds("check_tensor_names", "weights-keys-missing", "saved from a model that PEFT still wraps")
def wrapped_by_peft(bench: Bench) -> None:
    renamed(bench, "base_model.model.")


@CASES.finds("check_tensor_names", "weights-keys-missing", "with 1 matrices of its adapter unmerged")
def with_its_adapter(bench: Bench) -> None:
    renamed(bench, "base_model.model.")
    lora = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight": (2, 8)}
    write_tensors(bench.here / MODEL, {**{f"base_model.model.{n}": s for n, s in WEIGHTS.items()}, **lora})


@CASES.skips("check_tensor_names", "names of the tensors are not known")
def no_names(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).rename(bench.here / "pytorch_model.bin")


@CASES.finds("check_tensor_names", "weights-keys-missing", "inside it, under 'state_dict'")
def training_checkpoint(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).unlink()
    whole = {"epoch": 1, "state_dict": dict.fromkeys(WEIGHTS)}
    with zipfile.ZipFile(bench.here / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(whole, protocol=2))


@CASES.finds("check_tensors_filled", "weights-shape-mismatch", "3 of 3 tensors have no values")
def without_values(bench: Bench) -> None:
    write_tensors(write_full(bench.here) / MODEL, dict.fromkeys(WEIGHTS, (0,)))


@CASES.finds("check_tensors_filled", "weights-shape-mismatch", "1 of 14 tensors")
def only_the_embedding_without_values(bench: Bench) -> None:
    rest = {f"model.layers.{n}.norm.weight": (8,) for n in range(13)}
    write_tensors(write_full(bench.here) / MODEL, {"model.embed_tokens.weight": (0,), **rest})


@CASES.passes("check_tensors_filled")
def parts_of_no_size(bench: Bench) -> None:
    rest = {f"model.layers.{n}.norm.weight": (8,) for n in range(13)}
    write_tensors(write_full(bench.here) / MODEL, {"model.layers.0.attn.offsets.bias": (0,), **rest})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
