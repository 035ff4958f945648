"""Installing sage-doctor must never replace a vendor's torch, nor the numpy it was built against.

pip's own resolver is asked, offline: an index made here offers torch 99.0 and numpy 99.0 as bait, the environment
holds a Jetson's alpha build. What each package asks for is copied from its real metadata.
"""

import json
import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

JETSON_TORCH = "2.5.0a0+872d972e41.nv24.08"
BAIT = "99.0"
PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
DRY = ["--dry-run", "--quiet", "--report", "-"]
# Requires-Dist as published, without the extras that nothing here asks for.
PUBLISHED = {
    ("transformers", "5.23.0"): [
        "huggingface-hub<3.0,>=1.31.0",
        "numpy>=1.17",
        "packaging>=20.0",
        "pyyaml>=5.1",
        "regex>=2025.10.22",
        "tokenizers<0.24.0,>=0.23.1",
        "packaging",
        "safetensors>=0.8.0",
        "tqdm>=4.60",
        'torch>=2.6; extra == "torch"',
        'accelerate>=1.1.0; extra == "torch"',
    ],
    ("peft", "0.21.2"): [
        "numpy>=1.17",
        "packaging>=20.0",
        "psutil",
        "pyyaml",
        "torch>=1.13.0",
        "transformers",
        "tqdm",
        "accelerate>=0.21.0",
        "safetensors",
        "huggingface_hub>=0.25.0",
    ],
    ("accelerate", "1.15.0"): [
        "numpy>=1.17",
        "packaging>=20.0",
        "psutil",
        "pyyaml",
        "torch>=2.0.0",
        "huggingface_hub>=0.21.0",
        "safetensors>=0.4.3",
    ],
    ("gguf", "0.19.0"): ["numpy>=1.17", "pyyaml>=5.1", "requests>=2.25", "tqdm>=4.27"],
    ("huggingface-hub", "2.4.0"): [],
    ("tokenizers", "0.23.3"): ["huggingface-hub"],
    ("careless", "1.0"): ["torch>=2.5"],
}


def write_wheel(index: Path, name: str, version: str, requires: list[str]) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: torch\n"
    with zipfile.ZipFile(index / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", metadata + "".join(f"Requires-Dist: {r}\n" for r in requires))
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


def requirements_of(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        headers = HeaderParser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in headers.get_all("Requires-Dist", [])]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A package index in one directory: sage-doctor itself, and the newest of everything as bait."""
    index = tmp_path_factory.mktemp("index")
    (index / wheel.name).write_bytes(wheel.read_bytes())
    wanted = {r.name for r in requirements_of(wheel)}
    for (name, version), requires in PUBLISHED.items():
        write_wheel(index, name, version, requires)
        wanted.update(Requirement(r).name for r in requires)
    known = {name for name, _ in PUBLISHED} | {"sage-doctor"}
    for name in {w.replace("_", "-").lower() for w in wanted} - known:
        write_wheel(index, name, "2099.0" if name == "regex" else BAIT, [])
    return index


@pytest.fixture(scope="module")
def jetson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the vendor's torch and an old numpy, as far as pip can tell."""
    env = tmp_path_factory.mktemp("jetson")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True, timeout=60)
    (site,) = env.glob("lib/python3*/site-packages")
    for name, version in (("torch", JETSON_TORCH), ("numpy", "1.26.1")):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "INSTALLER").write_text("pip\n")
        (info / "RECORD").write_text("")
    return env / "bin" / "python"


def would_install(python: Path, index: Path, *wanted: str) -> dict[str, str]:
    """Return what pip would put into the environment, name to version."""
    done = subprocess.run(
        [*PIP, "--python", str(python), "install", *DRY, "--no-index", "--find-links", str(index), *wanted],
        # A machine-wide pip.conf may cap torch, which would hide the bait.
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["install"]
    return {item["metadata"]["name"].replace("_", "-").lower(): item["metadata"]["version"] for item in found}


@pytest.mark.parametrize("extra", ["", "[deep]", "[demo]", "[all]", "[dev]"])
def test_install_keeps_the_vendors_torch_and_numpy(jetson: Path, index: Path, extra: str) -> None:
    planned = would_install(jetson, index, f"sage-doctor{extra}")
    assert "sage-doctor" in planned
    assert "torch" not in planned
    assert "numpy" not in planned
    assert ("peft" in planned) == bool(extra)


def test_upgrade_keeps_them_too(jetson: Path, index: Path) -> None:
    assert not {"torch", "numpy"} & set(would_install(jetson, index, "--upgrade", "sage-doctor[deep]"))


def test_the_bait_is_taken_by_a_floor(jetson: Path, index: Path) -> None:
    """The control: with the requirement this project avoids, the same resolver does replace the vendor's build."""
    assert would_install(jetson, index, "careless")["torch"] == BAIT


def test_without_torch_the_core_installs_none_and_deep_brings_it(tmp_path: Path, index: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True, timeout=60)
    python = tmp_path / "env" / "bin" / "python"
    assert not {"torch", "transformers", "peft"} & set(would_install(python, index, "sage-doctor"))
    assert would_install(python, index, "sage-doctor[deep]")["torch"] == BAIT


def test_only_dev_names_torch_and_no_extra_limits_it(wheel: Path) -> None:
    named = [r for r in requirements_of(wheel) if r.name == "torch"]
    assert [str(r.specifier) for r in named] == [""]
    assert [str(r.marker) for r in named] == ['extra == "dev"']
    assert [str(r.specifier) for r in requirements_of(wheel) if r.name == "numpy"] == [""]
