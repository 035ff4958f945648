"""An installed doctor must find the same suite as the checkout, and bring nothing it does not need."""

import configparser
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(pattern: str) -> set[str]:
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", pattern],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {name for name in out.split("\0") if name}


def test_wheel_holds_every_check_and_fixture_inside_the_package(names: set[str]) -> None:
    suite = {name for name in tracked("checks/*.py") | tracked("fixtures/*.py") if (ROOT / name).exists()}
    assert any(name.startswith("checks/") for name in suite)
    assert any(name.startswith("fixtures/") for name in suite)
    assert {f"sage_doctor/_suite/{name}" for name in suite} <= names


def test_wheel_holds_every_file_of_the_package(names: set[str]) -> None:
    package = {name for name in tracked("sage_doctor/*") if (ROOT / name).exists()}
    assert package <= names
    assert "sage_doctor/py.typed" in names
    assert any(name.startswith("sage_doctor/schemas/") and name.endswith(".json") for name in names)
    assert "sage_doctor/demo/adapter/adapter_model.safetensors" in names


def test_wheel_holds_nothing_outside_the_package(names: set[str], wheel: Path) -> None:
    """Only what a shell completes lies outside, where shells look for it."""
    of = "-".join(wheel.name.split("-")[:2])
    assert {name.split("/")[0] for name in names} == {"sage_doctor", f"{of}.dist-info", f"{of}.data"}
    assert {name.split("/")[2] for name in names if name.startswith(f"{of}.data/data/")} == {"share"}
    assert not [name for name in names if "__pycache__" in name or "/test_" in name]


def test_wheel_installs_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        points = configparser.ConfigParser()
        points.read_string(archive.read(entry).decode())
    assert points["console_scripts"]["sage-doctor"] == "sage_doctor.cli:main"


def test_wheel_stays_small_enough_for_a_slow_line(wheel: Path) -> None:
    assert wheel.stat().st_size < 2_000_000
