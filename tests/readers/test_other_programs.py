from pathlib import Path

import pytest

from sage_doctor.readers.other_programs import is_for_another_program, program_of

CONFIG = '{"model_type": "llama"}'


@pytest.mark.parametrize(
    "names,program",
    [
        (["llama.Q4_K_M.gguf"], "llama.cpp"),
        (["model.onnx", "config.json"], "ONNX Runtime"),
        (["consolidated.00.pth"], "Meta's own code"),
        (["consolidated-00001-of-00002.safetensors"], "mistral-inference or vLLM"),
        (["model.bin", "vocabulary.json"], "CTranslate2"),
        (["weights.npz"], "MLX"),
        (["rank0.engine"], "TensorRT-LLM"),
    ],
)
def test_the_names_tell_the_program(names: list[str], program: str) -> None:
    found = program_of(names)
    assert found is not None
    assert found.name == program


@pytest.mark.parametrize("names", [["model.bin"], ["model.safetensors"], ["config.json", "tokenizer.json"], []])
def test_other_names_tell_none(names: list[str]) -> None:
    assert program_of(names) is None


def directory(path: Path, *names: str, config: str = CONFIG) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(config if name == "config.json" else "")
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "llama.gguf"),
        ("config.json", "onnx/model.onnx"),
        ("config.json", "cpu/int4/model.onnx"),
        ("pytorch_model.bin", "config.yaml"),
        ("config.json", "tokenizer.json", "global_step300/zero_pp_rank_0_mp_rank_00_model_states.pt"),
    ],
)
def test_for_another_program(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = directory(tmp_path, *names)
    assert is_for_another_program(path, {p.name for p in path.iterdir()})


@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "model.safetensors", "model.gguf"),
        ("config.json", "tf_model.h5", "model.gguf"),
        ("config.json", "tokenizer.json"),
        ("config.json", "checkpoint-1/model.safetensors", "onnx/model.onnx"),
        ("adapter_config.json", "model.gguf"),
        ("pytorch_model.bin",),
    ],
)
def test_for_transformers(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = directory(tmp_path, *names)
    assert not is_for_another_program(path, {p.name for p in path.iterdir()})


def test_a_config_of_another_library(tmp_path: Path) -> None:
    path = directory(tmp_path, "config.json", "model.safetensors", config='{"hidden": 3}')
    assert is_for_another_program(path, {"config.json", "model.safetensors"})
    assert not is_for_another_program(path, {"config.json", "model.safetensors", "tokenizer.json"})
