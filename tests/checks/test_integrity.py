"""Contents of the weight files."""

import errno
import hashlib
import math
import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.system.path_info import UnreadableFile
from tests.model_directories import (
    ADAPTER,
    LORA,
    MODEL,
    WEIGHTS,
    WIDTH,
    write_adapter,
    write_cached,
    write_full,
    write_sharded,
    write_tensors,
)

from .cases import Bench, Case, Cases

CASES = Cases()


def recorded(place: Path, *names: str) -> None:
    """Record the hashes of files as `hf download --local-dir` does."""
    for name in names:
        file = place / ".cache" / "huggingface" / "download" / f"{name}.metadata"
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256((place / name).read_bytes()).hexdigest()
        file.write_text(f"{'c' * 40}\n{digest}\n{(place / name).stat().st_mtime + 1}\n")


@CASES.passes("check_hashes")
@CASES.passes("check_library")
@CASES.passes("check_numbers")
def as_downloaded(bench: Bench) -> None:
    recorded(write_full(bench.here), MODEL)


@CASES.passes("check_hashes")
@CASES.passes("check_library")
@CASES.passes("check_numbers")
@CASES.passes("check_adapter_trained")
def adapter_as_downloaded(bench: Bench) -> None:
    recorded(write_adapter(bench.here, "org/name"), ADAPTER)


@CASES.finds("check_hashes", "weights-hash-mismatch", "expected")
def another_number(bench: Bench) -> None:
    recorded(write_full(bench.here), MODEL)
    write_tensors(bench.here / MODEL, WEIGHTS, fill=0.25)


@CASES.finds("check_hashes", "weights-hash-mismatch", "blob in the cache")
def another_blob(bench: Bench) -> None:
    bench.environ["HF_HUB_CACHE"] = str(bench.root / "hub")
    write_cached(bench.root / "hub", "org/name")
    bench.manifest('[models.m]\nkind = "full"\npath = "hf:org/name"\n', "m")


@CASES.finds("check_hashes", "weights-hash-mismatch", "sha256")
def not_what_git_lfs_points_to(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / "weights").write_bytes((place / MODEL).read_bytes())
    (place / MODEL).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d" * 32 + "\nsize 840\n")
    for words in (["init", "-q"], ["add", MODEL]):
        subprocess.run(["git", *words], cwd=place, check=True)
    (place / "weights").replace(place / MODEL)


def library(bench: Bench, code: str) -> None:
    """Put a library of this code in the place of the sessions' safetensors."""
    write_sharded(bench.here)
    package = bench.root / "library" / "safetensors"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = '0.0.7'\n{code}\n")
    bench.environ["PYTHONPATH"] = str(package.parent)


@CASES.finds("check_library", "weights-reader-disagrees", "safetensors 0.0.7 cannot read model-00001-of-00002")
def a_library_that_refuses_them(bench: Bench) -> None:
    library(bench, "def safe_open(path, framework):\n    raise ValueError('unknown dtype')")


@CASES.finds("check_library", "weights-reader-disagrees", "finds other tensors")
def a_library_that_finds_other_tensors(bench: Bench) -> None:
    library(
        bench,
        "class safe_open(dict):\n    def __init__(self, path, framework):\n        super().__init__(other=1)\n"
        "    def __enter__(self):\n        return self\n    def __exit__(self, *error):\n        return None\n",
    )


@CASES.finds("check_library", "weights-reader-disagrees", "ended with status 7")
def a_library_that_dies_of_them(bench: Bench) -> None:
    library(bench, "import os\ndef safe_open(path, framework):\n    os._exit(7)")


@CASES.passes("check_library")
def a_start_up_that_prints(bench: Bench) -> None:
    write_sharded(bench.here)
    place = bench.root / "noise"
    place.mkdir()
    (place / "sitecustomize.py").write_text("print('activating')\n")
    bench.environ["PYTHONPATH"] = str(place)


@CASES.passes("check_library")
def an_interpreter_without_the_library(bench: Bench) -> None:
    """The doctor's own is asked instead."""
    write_full(bench.root / "m")
    python = bench.root / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    text = '[machines.here]\nmatch.hostname = "*"\npython = "./python"\n[models.m]\nkind = "full"\npath = "m"\n'
    bench.manifest(text, "m")


@CASES.skips("check_library", "no safetensors")
def pickles_are_not_opened(bench: Bench) -> None:
    write_full(bench.here)
    (bench.here / MODEL).rename(bench.here / "pytorch_model.bin")


@CASES.finds("check_hashes", "weights-unverified", "no hash", severity="info")
def nobody_recorded_them(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_hashes", "weights-unverified", "model-00002-of-00002.safetensors", severity="info")
def one_of_two_recorded(bench: Bench) -> None:
    recorded(write_sharded(bench.here), "model-00001-of-00002.safetensors")


@CASES.finds("check_numbers", "weights-nonfinite", "3 tensor(s) contain NaN or infinite values")
def not_numbers(bench: Bench) -> None:
    write_tensors(write_full(bench.here) / MODEL, WEIGHTS, fill=float("nan"))


@CASES.finds("check_numbers", "weights-nonfinite", "128 infinite of 128")
def infinite_numbers(bench: Bench) -> None:
    write_tensors(write_full(bench.here) / MODEL, WEIGHTS, fill=float("inf"))


@CASES.passes("check_numbers")
def bounds_before_calibration(bench: Bench) -> None:
    write_tensors(write_full(bench.here) / MODEL, {"a.input_max": (), "a.output_min": (1,)}, fill=float("inf"))


@CASES.finds("check_numbers", "weights-all-zero", "2 weight matrices")
def never_filled(bench: Bench) -> None:
    write_tensors(write_full(bench.here) / MODEL, WEIGHTS, fill=0.0)


def ending_in(bench: Bench, zeros: int) -> None:
    path = write_full(bench.here) / MODEL
    raw = path.read_bytes()
    path.write_bytes(raw[:-zeros] + bytes(zeros))


LAST = 4 * sum(math.prod(shape) for shape in list(WEIGHTS.values())[1:])  # the matrix and the norm behind it


@CASES.passes("check_numbers")
def saved_as_zeros(bench: Bench) -> None:
    ending_in(bench, LAST)


@CASES.finds("check_numbers", "weights-all-zero", "1 weight matrices")
def cut_within_a_tensor(bench: Bench) -> None:
    ending_in(bench, LAST + 8)


def with_zeros_in_the_last_matrix(bench: Bench, zeros: int) -> None:
    path = write_full(bench.here) / MODEL
    write_tensors(path, {"model.layers.0.mlp.up_proj.weight": (8, 8)})
    path.write_bytes(path.read_bytes()[:-zeros] + bytes(zeros))


@CASES.finds("check_numbers", "weights-all-zero", "begin within a row of model.layers.0.mlp.up_proj.weight")
def cut_within_a_row(bench: Bench) -> None:
    with_zeros_in_the_last_matrix(bench, 2 * 32 + 8)


@CASES.passes("check_numbers")
def rows_of_zeros(bench: Bench) -> None:
    with_zeros_in_the_last_matrix(bench, 2 * 32)


@CASES.passes("check_numbers")
def a_row_that_ends_in_zeros(bench: Bench) -> None:
    with_zeros_in_the_last_matrix(bench, 24)


@CASES.finds("check_numbers", "weights-all-zero", "all its tensors are zeros")
def zeros_of_another_type_alone(bench: Bench) -> None:
    scales = {"base_model.model.model.layers.0.mlp.up_proj.ia3_l": (WIDTH, 1)}
    write_tensors(write_adapter(bench.here, "org/name", peft_type="IA3") / ADAPTER, scales, fill=0.0)


@CASES.passes("check_numbers")
def fresh_lora(bench: Bench) -> None:
    write_adapter(bench.here, "org/name", tensors={n: s for n, s in LORA.items() if "lora_B" in n})
    write_tensors(bench.here / ADAPTER, {n: s for n, s in LORA.items() if "lora_B" in n}, fill=0.0)


@CASES.skips("check_numbers", "no safetensors")
def pickle_alone(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).rename(place / "pytorch_model.bin")


@CASES.finds("check_adapter_trained", "adapter-no-effect", "all zeros, as before training")
def never_trained(bench: Bench) -> None:
    write_tensors(write_adapter(bench.here, "org/name") / ADAPTER, LORA, fill=-0.0)


@CASES.skips("check_adapter_trained", "no safetensors")
def never_saved(bench: Bench) -> None:
    (write_adapter(bench.here, "org/name") / ADAPTER).rename(bench.here / "adapter_model.bin")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_bad_sector_is_the_file_system_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> None:
        raise UnreadableFile("input/output error") from OSError(errno.EIO, "")

    monkeypatch.setattr("sage_doctor.readers.tensor_scan.scan", scan)
    bench = Bench(root=tmp_path)
    write_full(bench.here)
    (found,) = bench.run("check_numbers").findings
    assert found.code == "filesystem-failed"
    assert "model.safetensors cannot be read: input/output error" in found.message


def test_a_library_that_cannot_be_imported_says_nothing_of_the_files(tmp_path: Path) -> None:
    """As with a LD_LIBRARY_PATH that leads numpy to another libstdc++."""
    bench = Bench(root=tmp_path)
    library(bench, "def safe_open(path, framework):\n    raise ImportError('Importing the numpy C-extensions failed')")
    outcome = bench.run("check_library")
    assert (outcome.result.status, outcome.findings) == ("error", ())
    assert "cannot be asked: ImportError: Importing the numpy" in (outcome.result.reason or "")
