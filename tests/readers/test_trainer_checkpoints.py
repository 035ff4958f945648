"""Weights in a trainer's form: which it is, where it lies, and the command of its own tool."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sage_doctor.readers.trainer_checkpoints import FORMS, find_checkpoint


def laid(folder: Path, *names: str) -> Path:
    """Write empty files below a directory."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "name, what, advice",
    [
        ("model_world_size_8_rank_0.pt", "verl's FSDP", "-m verl.model_merger merge --backend fsdp --local_dir DIR "),
        ("dist_ckpt/__0_0.distcp", "verl's Megatron", "--backend megatron --local_dir DIR --target_dir DIR/merged"),
        ("context/model.yaml", "NeMo 2", "nemo llm export -y path=DIR output_path=DIR/merged target=hf"),
        ("llama.nemo", "archive of NeMo", "scripts/checkpoint_converters/"),
        ("iter_0000100/__0_0.distcp", "Megatron's", "export --hf-model THE ORIGINAL --megatron-path DIR "),
        ("iter_0001000/mp_rank_00_001/model_optim_rng.pt", "older form", "tools/checkpoint/convert.py"),
        ("global_step9/layer_00-model_00-model_states.pt", "GPT-NeoX", "--input_dir DIR/global_step9 "),
        ("pytorch_model_fsdp_0/__0_0.distcp", "FSDP's", "accelerate merge-weights DIR/pytorch_model_fsdp_0 HERE"),
        ("__1_0.distcp", "torch.distributed", "accelerate merge-weights DIR HERE"),
        ("model/__0_0.distcp", "torch.distributed", "accelerate merge-weights DIR/model HERE"),
        (".hf_metadata/config.json", "Automodel", "tools/offline_hf_consolidation.py"),
        ("lit_model.pth", "LitGPT", "litgpt convert_from_litgpt DIR DIR/merged"),
        ("hf_model_0002_0.pt", "torchtune", "save_pretrained(state_dict="),
        ("meta_model_0.pt", "torchtune", "consolidated.00.pth"),
        ("last-epoch=3-step=100.ckpt", "Lightning", "state_dict"),
        ("qmodel.pt", "HQQ", "from_quantized"),
        ("consolidated.00.pth", "Meta", "convert_llama_weights_to_hf.py"),
        ("consolidated-00001-of-00002.safetensors", "Mistral", "--load-format mistral"),
        ("flax_model-00001-of-00002.msgpack", "Flax", "from_flax=True"),
        ("tf_model.h5", "TensorFlow", "from_tf=True"),
        ("bert_model.ckpt.index", "TensorFlow 1", "transformers-cli convert"),
        ("0/items/manifest.ocdbt", "Orbax", "load_parameters_path=DIR/0/items"),
    ],
)
def test_form(tmp_path: Path, name: str, what: str, advice: str) -> None:
    """Each form is told by one name, and its advice has the directory's path in it."""
    found = find_checkpoint(laid(tmp_path / "run", name), below=False)
    assert found is not None
    assert what in found.form.what
    how, command = found.advice(tmp_path / "here", "/usr/bin/python3")
    places = {"DIR": str(tmp_path / "run"), "HERE": str(tmp_path / "here")}
    wanted = re.sub(r"\b(?:DIR|HERE)\b", lambda m: places[m[0]], advice)
    assert wanted in f"{how} {command}"
    assert not re.search(r"\{\w+\}", f"{how} {command}")


def test_every_form_has_its_case() -> None:
    """The table above names each form once or more."""
    names = [c[1] for c in test_form.pytestmark[0].args[1]]  # type: ignore[attr-defined]
    assert [f.what for f in FORMS if not any(n in f.what for n in names)] == []


def test_an_optimizer_is_no_model(tmp_path: Path) -> None:
    """Shards of an optimizer's state are not taken for the weights."""
    assert find_checkpoint(laid(tmp_path, "optimizer_0/__0_0.distcp", "optim/__0_0.distcp", "scheduler.pt")) is None


def test_the_nearest_comes_first(tmp_path: Path) -> None:
    """What lies in the directory itself goes before what lies below; without `below` only that counts."""
    laid(tmp_path, "checkpoint-9/pytorch_model_fsdp_0/__0_0.distcp")
    assert find_checkpoint(tmp_path, below=False) is None
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.held == tmp_path / "checkpoint-9"
    assert found.shards == tmp_path / "checkpoint-9" / "pytorch_model_fsdp_0"


def test_paths_are_quoted(tmp_path: Path) -> None:
    """A name that a shell would read is quoted in the command."""
    found = find_checkpoint(laid(tmp_path / "a $(touch x)", "pytorch_model_fsdp_0/__0_0.distcp"))
    assert found is not None
    _, command = found.advice(found.held, "python")
    assert shlex.split(command)[-1] == str(found.held)
