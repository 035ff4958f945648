"""What a result holds for besides files."""

from __future__ import annotations

import sys
from pathlib import Path

from sage_doctor.gate.environment import difference, package_places, read_environment, settings, since_boot_s


def test_surroundings_are_the_same_twice_and_differ_in_words() -> None:
    one = read_environment(None, {"HOME": "/h"})
    assert difference(one, read_environment(None, {"HOME": "/h"})) is None
    assert difference({**one, "boot": "x"}, one) == "the machine was rebooted"
    assert difference(one, read_environment(None, {"HOME": "/other"})) == "environment variables changed"
    assert difference(one, read_environment(Path("/bin/sh"), {"HOME": "/h"})) == ("the sessions' interpreter changed")
    assert difference({}, one) is not None


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
