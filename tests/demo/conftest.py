"""A model directory with the real one's files and none of its bytes: enough to lay the incident out."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sage_doctor.manifest.specs import Manifest
from tests.other_hosts import load_manifest
from tests.repairs import sshd

_UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "true"]
_CAN_ENTER = bool(shutil.which("unshare")) and not subprocess.run(_UNSHARE, capture_output=True, check=False).returncode
collect_ignore = [] if sshd.CAN_RUN and _CAN_ENTER else ["test_new_machine.py"]
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


@pytest.fixture
def hollow_model(tmp_path: Path) -> Path:
    model = tmp_path / "hollow"
    model.mkdir()
    for name in FILES:
        (model / name).write_text(f"{name} of the base\n")
    return model


@pytest.fixture
def as_thor(tmp_path: Path) -> Callable[[Path], Manifest]:
    """Reads a manifest as the demo's machine would, whatever machine the tests run on."""
    return partial(
        load_manifest, environ={"SAGE_MACHINE": "thor"}, hostname="anything", device_tree=None, home=tmp_path
    )
