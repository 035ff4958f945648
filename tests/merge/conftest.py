"""Tiny models, adapters and merges of them, shared by the tests of a session."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sage_doctor

from .older_model import write_older_model


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def zoo() -> ModuleType:
    """The module that makes models and adapters, with the libraries told to be quiet."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    spec = importlib.util.spec_from_file_location("merge_zoo", Path(__file__).with_name("zoo.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def quiet() -> Iterator[None]:
    """The libraries warn of things that these tests are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def base_of(zoo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a base of a kind and dtype, made once."""
    made: dict[object, Path] = {}
    root = tmp_path_factory.mktemp("bases")

    def base(kind: str, dtype: str = "bfloat16", *, shards: bool = False) -> Path:
        key = (kind, dtype, shards)
        if key not in made:
            folder = root / f"{kind}-{dtype}-{'shards' if shards else 'one'}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[key] = zoo.make_base(folder, kind, dtype, shards=shards)
        return made[key]

    return base


Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(warm_python: Path) -> Doctor:
    """Run `sage-doctor` with these words, where it and what it starts find torch imported."""

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(Path(sage_doctor.__file__).parents[1])}
        return subprocess.run(
            [str(warm_python), "-m", "sage_doctor", *map(str, arguments)],
            capture_output=True, text=True, cwd=cwd, env=environ, timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def parts(zoo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of some 30 MB in shards with an adapter for it."""
    root = tmp_path_factory.mktemp("parts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoo.make_wide(root / "base", root / "adapter")
    return root


@pytest.fixture
def place(parts: Path, tmp_path: Path) -> Path:
    """A directory with `base`, `adapter` and an older `merged`."""
    for name in ("base", "adapter"):
        shutil.copytree(parts / name, tmp_path / name, copy_function=os.link)
    write_older_model(tmp_path)
    return tmp_path
