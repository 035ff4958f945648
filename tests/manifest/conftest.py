"""Loading small manifests as some host would, and the problems they have."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.specs import Manifest
from tests.other_hosts import load_manifest

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a manifest text from the working directory; `schema = 1` is put on its first line."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *, hostname: str = "host", **host: Any) -> Manifest:
        path = tmp_path / "sage-doctor.toml"
        path.write_text("schema = 1\n" + textwrap.dedent(text), encoding="utf-8")
        settings = {"environ": {}, "device_tree": None, "home": Path("/home/me"), **host}
        return load_manifest(path, hostname=hostname, **settings)

    return run


@pytest.fixture
def problems(load: Load) -> Problems:
    """Return the problems of a manifest text, without the file's name in front."""

    def run(text: str, **host: Any) -> list[str]:
        with pytest.raises(ManifestError) as caught:
            load(text, **host)
        assert all(problem.startswith("sage-doctor.toml:") for problem in caught.value.problems)
        return [problem.removeprefix("sage-doctor.toml:") for problem in caught.value.problems]

    return run
