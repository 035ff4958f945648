"""What a result holds for besides files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sage_doctor.facts.kernel_log import KernelLog, Xid
from sage_doctor.gate.environment import (
    difference,
    import_places,
    package_places,
    read_environment,
    settings,
    since_boot_s,
)


def test_surroundings_are_the_same_twice_and_differ_in_words() -> None:
    one = read_environment(None, {"HOME": "/h"})
    assert difference(one, read_environment(None, {"HOME": "/h"})) is None
    assert difference({**one, "boot": "x"}, one) == "the machine was rebooted"
    assert difference(one, read_environment(None, {"HOME": "/other"})) == "environment variables changed"
    assert difference(one, read_environment(Path("/bin/sh"), {"HOME": "/h"})) == ("the sessions' interpreter changed")
    assert difference({}, one) is not None


def test_what_the_kernel_allows_this_process_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    one = read_environment(None, {})["settings"]
    monkeypatch.setattr("os.getgroups", lambda: [4242])
    assert "4242" in read_environment(None, {})["settings"]["user"] != one["user"]
    monkeypatch.setattr("resource.getrlimit", lambda _which: (1 << 30, -1))
    assert read_environment(None, {})["settings"]["limits"] != one["limits"]


def test_gpu_errors_count_and_those_that_programs_cause_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    log = KernelLog(xids=tuple(Xid(number=n, device="0000:01:00", text="") for n in (31, 79, 13)))
    monkeypatch.setattr("sage_doctor.facts.kernel_log.read_kernel_log", lambda: log)
    monkeypatch.setattr("sage_doctor.gate.environment.read_line", lambda _path: "NVRM version: 580.00")
    one = read_environment(None, {})
    assert one["xids"] == 1
    assert difference({**one, "xids": 0}, one) == "the NVIDIA driver reported an error"
    assert difference({**one, "accelerators": ["x"]}, one) == "an accelerator's device came or went"


def test_what_checks_read_of_packages_is_watched(tmp_path: Path) -> None:
    own, named, libraries = tmp_path / "site-packages", tmp_path / "named", tmp_path / "cuda"
    for metadata in (own / "torch-2.9.dist-info" / "METADATA", named / "zebra.egg-info" / "PKG-INFO"):
        metadata.parent.mkdir(parents=True)
        metadata.touch()
    (own / "x.pth").write_text(f"{named}\n")
    found = import_places([str(own)], "relative", f"{libraries}:")
    assert {str(own / "torch-2.9.dist-info/METADATA"), str(named / "zebra.egg-info/PKG-INFO")} <= set(found)
    assert str(libraries) in found
    assert all(p.startswith(str(tmp_path)) for p in found)


def test_settings_hold_no_secrets() -> None:
    secret = {"HF_TOKEN": "secret", "HF_SECRET": "secret", "HF_PASSWORD": "secret", "TORCH_AUTH": "secret"}
    url = "https://user:secret@mirror"
    found = settings({**secret, "HF_ENDPOINT": url, "HF_HOME": "/x", "EDITOR": "ed", "CUDA_VISIBLE_DEVICES": "0"})
    assert found.keys() == {"HF_ENDPOINT", "HF_HOME", "CUDA_VISIBLE_DEVICES"}
    assert "secret" not in str(found)
    assert "/x" not in found.values()
    assert settings({"HF_HOME": "/y"})["HF_HOME"] != found["HF_HOME"] == settings({"HF_HOME": "/x"})["HF_HOME"]


def test_the_users_own_packages_are_looked_for_before_they_exist() -> None:
    assert package_places((Path("/env/site-packages"),), "3.11.7", Path("/home/x")) == [
        "/env/site-packages", "/home/x/.local/lib/python3.11/site-packages"
    ]  # fmt: skip


def test_the_clock_runs_forwards() -> None:
    first = since_boot_s()
    assert 0 < first <= since_boot_s()
    assert sys.maxsize > first
