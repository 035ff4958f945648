"""Where a shared library is looked for that a session does not find."""

from pathlib import Path

import pytest

from sage_doctor.facts.shared_libraries import find_library

NAME = "libcudart.so.12"


def put(root: Path, place: str) -> Path:
    directory = root / place
    directory.mkdir(parents=True)
    (directory / NAME).touch()
    return directory


@pytest.mark.parametrize(
    "place", ["usr/local/cuda-12.4/lib64", "usr/local/cuda/targets/x86_64-linux/lib", "opt/rocm/lib", "usr/local/lib"]
)
def test_where_vendors_install(tmp_path: Path, place: str) -> None:
    directory = put(tmp_path, place)
    (found,) = find_library(NAME, home=tmp_path / "home", root=tmp_path)
    assert (found.directory, found.named_by) == (directory, "")


@pytest.mark.parametrize(
    "line",
    [
        "export LD_LIBRARY_PATH={place}:$LD_LIBRARY_PATH",
        'LD_LIBRARY_PATH="/other:{place}"',
        "export LD_LIBRARY_PATH=${{LD_LIBRARY_PATH}}:{place}  # CUDA",
    ],
)
@pytest.mark.parametrize("file", ["home/.bashrc", "home/.profile", "etc/profile.d/cuda.sh", "etc/environment"])
def test_what_a_login_names(tmp_path: Path, line: str, file: str) -> None:
    directory = put(tmp_path, "srv/cuda/lib")
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("# first\n" + line.format(place=directory) + "\n")
    (found,) = find_library(NAME, home=tmp_path / "home", root=tmp_path)
    assert (found.directory, found.named_by) == (directory, f"{tmp_path / file}:2")


def test_a_comment_names_nothing(tmp_path: Path) -> None:
    directory = put(tmp_path, "srv/cuda/lib")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.bashrc").write_text(f"# export LD_LIBRARY_PATH={directory}\n")
    assert find_library(NAME, home=tmp_path / "home", root=tmp_path) == []


def test_wheels_that_bring_it(tmp_path: Path) -> None:
    directory = put(tmp_path, "site-packages/nvidia/cuda_runtime/lib")
    (found,) = find_library(NAME, home=tmp_path, near=[tmp_path / "site-packages"], root=tmp_path)
    assert found.directory == directory
