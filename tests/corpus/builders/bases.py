"""Adapters whose base is the question: unset, elsewhere, ill itself, or found where a loader would find it."""

from __future__ import annotations

import shutil
from pathlib import Path

from .case import Bench, Table, edit_json
from .tensors import MODEL, POINTER

TABLE = Table("bases")
_NOT_A_NAME = "OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name'"


def _named(bench: Bench, base: object) -> Path:
    folder = bench.copy("lora")
    edit_json(folder / "adapter_config.json", base_model_name_or_path=base)
    return folder


@TABLE.error("adapter-base-unset", shows="OSError: We couldn't connect to 'https://huggingface.co'")
def unset(bench: Bench) -> None:
    """`null`: the base was built in memory."""
    _named(bench, None)


@TABLE.error("adapter-base-unset", shows="OSError: Repo id must use alphanumeric chars")
def empty(bench: Bench) -> None:
    """An empty text."""
    _named(bench, "")


@TABLE.error("adapter-base-unset", shows="OSError: We couldn't connect to 'https://huggingface.co'")
def absent(bench: Bench) -> None:
    """No such key at all."""
    folder = bench.copy("lora")
    edit_json(folder / "adapter_config.json", drop=("base_model_name_or_path",))


@TABLE.error("adapter-base-missing", shows="OSError: Repo id must be in the form …: './fine_tuned_model/final_model'")
def of_the_incident(bench: Bench) -> None:
    """A path relative to wherever the training once ran."""
    _named(bench, "./fine_tuned_model/final_model")


@TABLE.error("adapter-base-missing", shows=_NOT_A_NAME)
def below_another_home(bench: Bench) -> None:
    """An absolute path of the machine that trained it."""
    _named(bench, "/home/sprout/ai-workspace/model-zoo/qwen2.5-0.5b/base")


@TABLE.error("adapter-base-missing", shows=_NOT_A_NAME)
def below_a_windows_drive(bench: Bench) -> None:
    """A path as Windows writes it."""
    _named(bench, "C:\\Users\\dp\\models\\base")


@TABLE.error("adapter-base-missing", shows="OSError: couldn't connect … cached files")
def never_downloaded(bench: Bench) -> None:
    """A name on the hub that the local cache does not hold."""
    _named(bench, "Qwen/Qwen2.5-0.5B-Instruct")


@TABLE.error("adapter-base-missing", "adapter-config-invalid", shows=_NOT_A_NAME)
def with_control_characters(bench: Bench) -> None:
    """A text that no path can be, and that would colour the terminal."""
    _named(bench, "\0/etc/\x1b[31mred\x07")


@TABLE.error(
    "adapter-config-invalid",
    "adapter-base-unset",
    "adapter-base-missing",
    shows="TypeError: stat: path should be string, bytes, os.PathLike or integer, not list",
)
def a_list(bench: Bench) -> None:
    """No text at all."""
    _named(bench, ["llama"])


@TABLE.error("adapter-base-broken", shows="OSError: Error no file named model.safetensors")
def without_weights(bench: Bench) -> None:
    """The base is there; its weights are not."""
    base = bench.copy(to=bench.beside / "base")
    (base / MODEL).unlink()
    _named(bench, str(base))


@TABLE.error("adapter-base-broken", shows="SafetensorError: header too large")
def a_pointer(bench: Bench) -> None:
    """The base was cloned without Git LFS."""
    base = bench.copy(to=bench.beside / "base")
    (base / MODEL).write_text(POINTER, encoding="utf-8")
    _named(bench, str(base))


@TABLE.error("adapter-base-broken", shows="ValueError: Unrecognized model in …")
def an_empty_directory(bench: Bench) -> None:
    """The base's directory was made, and nothing was ever copied into it."""
    base = bench.beside / "base"
    base.mkdir()
    _named(bench, str(base))


@TABLE.error("adapter-base-broken", "adapter-base-missing", shows=_NOT_A_NAME)
def a_file(bench: Bench) -> None:
    """The base is named by its weights file, which PEFT cannot load."""
    _named(bench, str(bench.stock / "llama" / MODEL))


@TABLE.error("adapter-base-broken", "adapter-base-missing", shows="ValueError: Unrecognized model in …")
def itself(bench: Bench) -> None:
    """An adapter that names its own directory as its base."""
    folder = _named(bench, "")
    edit_json(folder / "adapter_config.json", base_model_name_or_path=str(folder))


# PEFT itself looks from the working directory of the session only, which may well be the right one: a warning is fair.
@TABLE.healthy(also=("adapter-base-relative",), shows="no model itself")
def beside_it(bench: Bench) -> None:
    """`../base`, from the adapter's own directory: how a pair is committed together."""
    folder = bench.here
    bench.copy(to=folder / "base")
    shutil.copytree(bench.stock / "lora", folder / "adapter")
    edit_json(folder / "adapter" / "adapter_config.json", base_model_name_or_path="../base")


@TABLE.healthy(also=("adapter-base-relative",), shows="no model itself")
def below_the_directory_of_both(bench: Bench) -> None:
    """`./zoo/base`, from a parent of the adapter's: trained from the repository's root."""
    folder = bench.here
    bench.copy(to=folder / "zoo" / "base")
    shutil.copytree(bench.stock / "lora", folder / "runs" / "adapter")
    edit_json(folder / "runs" / "adapter" / "adapter_config.json", base_model_name_or_path="./zoo/base")


@TABLE.healthy()
def in_the_cache(bench: Bench) -> None:
    """A name on the hub that the local cache holds complete."""
    _named(bench, "corpus/tiny-llama")


@TABLE.healthy()
def behind_a_link(bench: Bench) -> None:
    """A symbolic link to the base."""
    link = bench.beside / "linked-base"
    link.symlink_to(bench.stock / "llama")
    _named(bench, str(link))
