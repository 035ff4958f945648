"""What a base is called where that is no name for transformers; the names are out of public reports."""

from pathlib import Path

import pytest

from sage_doctor.facts.base_names import foreign_name

FOREIGN = {
    "https://huggingface.co/meta-llama/Llama-3.2-1B": ("web address", "hf download meta-llama/Llama-3.2-1B"),
    "https://huggingface.co/meta-llama/Llama-3.2-1B/tree/main": ("web address", "hf download meta-llama/Llama-3.2-1B"),
    "http://hf.co/Qwen/Qwen2.5-0.5B/": ("web address", "hf download Qwen/Qwen2.5-0.5B"),
    "https://hf-mirror.com/Qwen/Qwen2.5-0.5B?x=1": ("web address", "hf download Qwen/Qwen2.5-0.5B"),
    "https://huggingface.co": ("", ""),
    "https://huggingface.co/": ("no loader fetches", ""),
    "https://example.org/model.tar.gz": ("no loader fetches", ""),
    "/home/me/Llama-3.2-1B-Q4_K_M.gguf": ("GGUF", ""),
    "bartowski/Llama-3.2-1B-Instruct-GGUF": ("GGUF", ""),
    "llama3.2:1b": ("Ollama", "ollama show llama3.2:1b"),
    "library/llama3.2:latest": ("Ollama", "ollama show library/llama3.2:latest"),
    "ollama/llama3.1": ("Ollama", "ollama show llama3.1"),
    "hf.co/a/b-GGUF:Q4_K_M": ("Ollama's name for a/b-GGUF", ""),
    "mlx-community/Llama-3.2-1B-Instruct-4bit": ("MLX", ""),
    "/root/.cache/modelscope/hub/Qwen/Qwen2___5-7B": ("ModelScope", "modelscope download --model Qwen/Qwen2.5-7B"),
    "/d/.cache/modelscope/hub/models/Qwen/Qwen3-8B": ("ModelScope", "modelscope download --model Qwen/Qwen3-8B"),
    r"C:\Users\me\models\Llama-3.2-1B": ("Windows", ""),
    "D:/models/Llama": ("Windows", ""),
    r"\\server\share\Llama": ("Windows", ""),
}
USUAL = (
    *(
        "meta-llama/Llama-3.2-1B",
        "gpt2",
        "./fine_tuned_model/final_model",
        "/data/models/llama",
        "~/models/x",
        "..",
        "",
    ),
    *("mlx-community/Llama-3.2-1B-bf16", "models/Qwen2.5-7B.v2", "hf.co/a/b", "org/gguf-tools", "/data/model.bin"),
)


@pytest.mark.parametrize("text", FOREIGN)
def test_a_foreign_name_says_what_it_is(text: str) -> None:
    what, command = FOREIGN[text]
    found = foreign_name(text)
    assert (found.what if found is not None else "").count(what) if what else found is None
    assert found is None or found.commands == ((command,) if command else ())


@pytest.mark.parametrize("text", USUAL)
def test_a_usual_name_is_left_to_the_loader(text: str) -> None:
    assert foreign_name(text) is None


def test_a_file_of_weights_names_its_directory(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    found = foreign_name(str(tmp_path / "model.safetensors"))
    assert found is not None
    assert str(tmp_path) in found.advice
